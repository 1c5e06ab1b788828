"""The store, names, preambles, signed objects and the genesis (§2, §3, §4)."""

import os
import re
import stat
import struct

import strict_cbor as cbor
from errors import Damage, NewerFormat, NoRepository, UnknownSuite, need
from primitives import ed25519_verify, sha256

GENESIS, SLOT, PACK, INDEX, MANIFEST, ENTRY, KEY_FILE = range(1, 8)

LIMITS = {GENESIS: 1 << 16, SLOT: 1 << 16, PACK: 1 << 26, INDEX: 1 << 26, MANIFEST: 1 << 26,
          ENTRY: 1 << 20, KEY_FILE: 1 << 16}

NAMES = ((GENESIS, re.compile(r"genesis")), (SLOT, re.compile(r"keys/[0-9a-f]{16}")),
         (PACK, re.compile(r"packs/([0-9a-f]{2})/\1[0-9a-f]{62}")), (INDEX, re.compile(r"index/[0-9a-f]{64}")),
         (MANIFEST, re.compile(r"snapshots/[0-9a-f]{64}")), (ENTRY, re.compile(r"ledger/[0-9a-f]{32}/[0-9]{16}")))


def kind_of_name(name):
    """The kind of the object that stands under a name (§3), or None."""
    for kind, pattern in NAMES:
        if pattern.fullmatch(name):
            return kind
    return None


def check_preamble(data, kind):
    """§2: the 8 bytes at the beginning of every object."""
    need(len(data) >= 8 and data[:4] == b"VARV", "no preamble")
    if data[5] > 1:
        raise NewerFormat("newer format: version %d" % data[5])
    need(data[5] == 1, "version 0")
    if data[6] != 1:
        raise UnknownSuite("unknown suite %d" % data[6])
    need(data[4] == kind, "another kind of object")
    need(data[7] == 0, "preamble: last byte is not zero")


def prefixed(data, at, what):
    """u32 length ‖ that many bytes: (the bytes, the offset behind them)."""
    need(len(data) >= at + 4, what + ": too short")
    length = struct.unpack_from("<I", data, at)[0]
    need(length <= len(data) - at - 4, what + ": length beyond the end")
    return data[at + 4:at + 4 + length], at + 4 + length


class Store:
    """A repository in a directory (§3)."""

    def __init__(self, path):
        self.path = os.fsencode(path)
        if not os.path.isfile(os.path.join(self.path, b"genesis")) or os.path.islink(
                os.path.join(self.path, b"genesis")):
            raise NoRepository("no repository at %s" % path)
        self.sizes, self.others, self.bad_ledger = {}, [], []
        self._taken = {}  # name: time of modification
        self._scan(b"")

    def _scan(self, prefix):
        for item in os.scandir(os.path.join(self.path, prefix)):
            name = prefix + item.name
            if name == b"tmp":
                continue
            info = item.stat(follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                self._scan(name + b"/")
                continue
            if not stat.S_ISREG(info.st_mode):
                continue  # symlinks and special files are nothing
            known = name.decode("ascii", "replace")
            if kind_of_name(known):
                self.sizes[known] = info.st_size
                self._taken[known] = divmod(info.st_mtime_ns, 10**9)
            elif name.startswith(b"ledger/"):
                self.bad_ledger.append(known)
            else:
                self.others.append(known)

    def names(self, prefix):
        return sorted(name for name in self.sizes if name.startswith(prefix))

    def taken(self, name):
        """The store's time of an object (§11.5): that of its file's modification."""
        return self._taken.get(name)

    def read(self, name, offset=0, length=None):
        """An object, or a range of one."""
        if name not in self.sizes:
            raise Damage(name + ": missing")
        try:
            fd = os.open(os.path.join(self.path, os.fsencode(name)), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Damage(name + ": missing") from None
        with os.fdopen(fd, "rb") as file:
            if length is None:
                limit = LIMITS[kind_of_name(name)]
                data = file.read(limit + 1)
                need(len(data) <= limit, name + ": too large")
                return data
            file.seek(offset)
            data = file.read(length)
            need(len(data) == length, name + ": too short")
            return data

    def read_named(self, name):
        """A whole object whose name ends with the SHA-256 of its bytes (§3)."""
        data = self.read(name)
        need(sha256(data).hex() == name[-64:], name + ": SHA-256 is not its name")
        return data


class Signed:
    """A signed object (§2): its body is only to be used after verify()."""

    def __init__(self, data, kind, label):
        check_preamble(data, kind)
        self.raw_body, end = prefixed(data, 8, "signed object")
        need(len(data) == end + 64, "signed object: wrong length")
        self.body = cbor.decode(self.raw_body)
        self.message, self.signature = label + b"\0" + data[:end], data[end:]

    def verify(self, public):
        need(ed25519_verify(public, self.message, self.signature), "signature does not verify")


class Genesis:
    """§4."""

    def __init__(self, data):
        signed = Signed(data, GENESIS, b"varve v1 genesis")
        need(len(cbor.array(signed.body)) in (6, 7), "genesis: wrong number of items")
        salt, created, admins, threshold, reader, vault = signed.body[:6]
        self.salt = cbor.octets(salt, 32)
        self.created = cbor.time(created)
        self.admins = [cbor.octets(key, 32) for key in cbor.array(admins)]
        need(self.admins, "genesis: no admin")
        need(len(set(self.admins)) == len(self.admins), "genesis: an admin twice")
        need(cbor.integer(threshold) == 1, "genesis: threshold is not 1")
        self.reader_key = cbor.octets(reader, 32)
        self.vault = cbor.octets_or_null(vault, 32)
        self.reader_sign_key = cbor.octets(signed.body[6], 32) if len(signed.body) == 7 else None
        signed.verify(self.admins[0])
        self.repository_id = sha256(data)


def read_genesis(store):
    try:
        return Genesis(store.read("genesis"))
    except Damage as error:
        raise type(error)("genesis: %s" % error) from None
