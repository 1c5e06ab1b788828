"""Mounts a file system that says whatever a test tells it to: names twice or too long, sizes, times, targets and attributes of every kind.

Arguments: a mountpoint, and a file with JSON: the root's children, each {name, mode, size, mtime, mtimensec, uid, gid, nlink, ino, rdev, data, target, xattrs,
children}; bytes are base64. Speaks FUSE (include/uapi/linux/fuse.h) to /dev/fuse itself and needs root. Prints `mounted`; SIGTERM ends it.
"""
import base64
import ctypes
import json
import os
import signal
import struct
import sys

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
GETXATTR, LISTXATTR, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, BATCH_FORGET = 22, 23, 25, 26, 27, 28, 29, 34, 42
ENOENT, ENOSYS, ENODATA, ERANGE = 2, 38, 61, 34
DIRECT_IO = 1

mountpoint, spec = sys.argv[1:3]
nodes = {}


def add(node):
    node["id"] = len(nodes) + 1
    nodes[node["id"]] = node
    for key in ("name", "data", "target"):
        if key in node:
            node[key] = base64.b64decode(node[key])
    node["xattrs"] = [(base64.b64decode(name), base64.b64decode(value)) for name, value in node.get("xattrs", [])]
    for child in node.get("children", []):
        add(child)


with open(spec) as file:
    add({"mode": 0o40755, "children": json.load(file)})


def attr(node):
    size = node.get("size", len(node.get("data", b"")))
    mtime, nsec = node.get("mtime", 1_000_000_000), node.get("mtimensec", 0)
    return struct.pack(
        "<6Q10I", node.get("ino", node["id"]), size, (size + 511) // 512, mtime, mtime % 2**64, 1_000_000_000, 0, nsec, 0,
        node["mode"], node.get("nlink", 1), node.get("uid", 0), node.get("gid", 0), node.get("rdev", 0), 4096, 0,
    )  # fmt: skip


def find(parent, name):
    for child in parent.get("children", []):
        if child["name"] == name:
            return child
    raise OSError(ENOENT, "")


def sized(answer, size):
    if size == 0:
        return struct.pack("<II", len(answer), 0)
    if len(answer) > size:
        raise OSError(ERANGE, "")
    return answer


def reply(op, node, body):
    if op == INIT:
        major, minor, readahead, flags = struct.unpack_from("<4I", body)
        return struct.pack("<4I2H2I2H8I", 7, 31, readahead, 0, 16, 12, 1 << 17, 1, 32, 0, *([0] * 8))
    if op == LOOKUP:
        child = find(node, body.rstrip(b"\0"))
        return struct.pack("<4Q2I", child["id"], 0, 0, 0, 0, 0) + attr(child)
    if op == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attr(node)
    if op == READLINK:
        return node["target"]
    if op in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, DIRECT_IO if op == OPEN else 0, 0)
    if op == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return node.get("data", b"")[offset : offset + size]
    if op == READDIR:
        _, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for at, child in enumerate(node.get("children", [])[offset:], offset + 1):
            name = child["name"]
            record = struct.pack("<QQII", child["id"], at, len(name), child["mode"] >> 12 & 15) + name
            record += b"\0" * (-len(record) % 8)
            if len(out) + len(record) > size:
                break
            out += record
        return out
    if op == LISTXATTR:
        return sized(b"".join(name + b"\0" for name, _ in node["xattrs"]), struct.unpack_from("<I", body)[0])
    if op == GETXATTR:
        name = body[8:].rstrip(b"\0")
        for known, value in node["xattrs"]:
            if known == name:
                return sized(value, struct.unpack_from("<I", body)[0])
        raise OSError(ENODATA, "")
    if op == STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 1024, 4096, 0, *([0] * 6))
    if op in (RELEASE, RELEASEDIR, FLUSH, ACCESS):
        return b""
    raise OSError(ENOSYS, "")


libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hostile", os.fsencode(mountpoint), b"fuse.hostile", 1 | 2 | 4, options) != 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")


def end(*_):
    libc.umount2(os.fsencode(mountpoint), 2)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
print("mounted", flush=True)
while True:
    try:
        request = os.read(fd, 1 << 18)
    except OSError:
        break
    _, op, unique, node_id = struct.unpack_from("<IIQQ", request)
    if op in (FORGET, BATCH_FORGET):
        continue
    try:
        answer, error = reply(op, nodes.get(node_id), request[40:]), 0
    except OSError as problem:
        answer, error = b"", -problem.errno
    try:
        os.write(fd, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)
    except OSError:
        pass  # the kernel refuses an answer that cannot be: the caller gets EIO
