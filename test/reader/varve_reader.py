#!/usr/bin/python3
"""A second reader of the repository format, written from docs/format.md alone.  Small and slow on purpose.

    varve_reader.py REPO --key-file FILE [--password-file FILE] [--no-index] list
    varve_reader.py REPO ... ls SNAPSHOT
    varve_reader.py REPO ... restore SNAPSHOT TARGET
    varve_reader.py REPO ... check

SNAPSHOT is an id, the beginning of one, or `latest`.  Exit status: 0, 15 damage, 12 wrong key, 10 no repository, 2 usage."""

import argparse
import base64
import collections
import json
import os
import re
import stat
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import repository as fmt                                                # noqa: E402
from repository import Damage, Failure, NotFound, Repository, Reader    # noqa: E402


def b64(run):
    return base64.b64encode(run).decode()


def lossy(run):
    return run.decode("utf-8", "replace")


def out(value):
    print(json.dumps(value, ensure_ascii=True), flush=False)


def complain(message):
    print(f"varve_reader: {message}", file=sys.stderr)


def find_snapshot(repository, wanted):
    snapshots, errors = repository.snapshots()
    for error in errors:
        complain(f"ledger: {error}")
    if wanted == "latest":
        found = [snapshot for snapshot in snapshots if snapshot.state == 0][-1:]
    else:
        found = [snapshot for snapshot in snapshots if snapshot.id.hex().startswith(wanted.lower())] if wanted else []
    if len(found) != 1:
        raise (Damage if errors else NotFound)(f"{wanted}: {'no such snapshot' if not found else 'more than one snapshot begins so'}")
    return found[0]


SKIP = object()     # what visit returns when nothing beneath the node is to be visited


def walk(reader, node, path, depth, visit, failed):
    """Calls visit(node, path, children) for node and all beneath it; a directory that cannot be read has children None.
    visit returns a function to be called after the children, None, or SKIP.  Checks the totals; returns those of node."""
    children = None
    if node.kind == fmt.DIRECTORY:
        try:
            fmt.need(depth <= fmt.NEST_MAX, "directories nest too deep")
            children = reader.directory(node.page, lossy(path) or "/")
        except Damage as error:
            failed(path, error)
    after = visit(node, path, children)
    if node.kind != fmt.DIRECTORY:
        return 1, 0, node.size
    if children is None or after is SKIP:
        totals = node.totals
    else:
        files = directories = size = 0
        for child in children:
            below = walk(reader, child, path + b"/" + child.name, depth + 1, visit, failed)
            files, directories, size = files + below[0], directories + below[1], size + below[2]
        totals = files, directories, size
        if totals != node.totals:
            failed(path, Damage(f"{lossy(path) or '/'}: totals {list(node.totals)} instead of {list(totals)}"))
    if after is not None and after is not SKIP:
        after()
    return totals[0], totals[1] + 1, totals[2]


class Links:
    """Equal link ids in one snapshot are one file."""

    def __init__(self, failed):
        self.seen, self.failed = {}, failed

    def check(self, node, path):
        """The path of the first entry of this file, or None for the first."""
        if node.link is None:
            return None
        same = (node.kind, node.size, node.digest, node.target, node.major, node.minor)
        first = self.seen.setdefault(node.link[0], (same, path))
        if first[1] == path:
            return None
        if first[0] != same:
            self.failed(path, Damage(f"{lossy(path)}: has the link id of {lossy(first[1])}, but is another file"))
            return None
        return first[1]


# -- list -----------------------------------------------------------------------------------------------------------------------

def command_list(repository, _):
    snapshots, errors = repository.snapshots()
    for snapshot in snapshots:
        try:
            manifest = repository.manifest_of(snapshot)
        except Damage as error:
            errors.append(str(error))
            continue
        out({
            "id": snapshot.id.hex(), "host": manifest.host, "label": manifest.label,
            "paths": [lossy(path) for path in manifest.paths], "paths_b64": [b64(path) for path in manifest.paths],
            "tags": repository.tags(snapshot, manifest), "state": ("complete", "partial")[manifest.state],
            "time": snapshot.received, "claimed": manifest.claimed, "started": manifest.started, "finished": manifest.finished,
            "retain_until": snapshot.retain, "slots": snapshot.slots, "class": snapshot.class_name, "held": snapshot.held, "stream": manifest.stream.hex(),
            "writer": manifest.writer.hex(), "domain": manifest.domain.hex(), "sequence": snapshot.entry.sequence,
            "files": manifest.root.totals[0], "directories": manifest.root.totals[1], "bytes": manifest.root.totals[2],
            "pins": manifest.pin_count, "pin_bytes": manifest.pin_bytes, "pins_depth": manifest.depth, "new_bytes": manifest.new_bytes,
            "problem_count": manifest.problem_count, "problems": [[b64(path), code] for path, code in manifest.problems],
            "program": manifest.program, "notes": manifest.notes})
    for error in errors:
        complain(error)
    return 15 if errors else 0


# -- ls -------------------------------------------------------------------------------------------------------------------------

def command_ls(repository, options):
    snapshot = find_snapshot(repository, options.snapshot)
    reader = Reader(repository, repository.manifest_of(snapshot))
    status = 0

    def failed(path, error):
        nonlocal status
        status = 15
        complain(f"{lossy(path) or '/'}: {error}")

    links = Links(failed)

    def visit(node, path, children):
        links.check(node, path)
        uid, gid, user, group = node.owner
        line = {
            "path": lossy(path) or "/", "path_b64": b64(path or b"/"), "name": lossy(node.name), "name_b64": b64(node.name),
            "kind": fmt.KIND_NAMES[node.kind], "mode": f"{node.mode:04o}", "uid": uid, "gid": gid, "user": user, "group": group,
            "mtime": node.mtime, "birth_time": node.btime}
        xattrs = []
        for name, value in node.xattrs:
            one = {"name": lossy(name), "name_b64": b64(name)}
            try:
                one["value_b64"] = b64(reader.xattr(value))
            except Damage as error:
                failed(path, error)
                one["damaged"] = True
            xattrs.append(one)
        line["xattrs"] = xattrs
        line["hard_link"] = None if node.link is None else {"id": node.link[0].hex(), "nlink": node.link[1]}
        if node.kind in (fmt.REGULAR, fmt.IMAGE):
            line["size"] = node.size
            line["digest"] = None if node.digest is None else node.digest.hex()
            line["content"] = ("empty" if node.content is None else "inline" if isinstance(node.content, bytes) else
                               "chunk" if node.content == 1 else f"list of depth {node.content[0]}")
            try:
                line["holes"] = sum(length for length, part in reader.segments(node) if part is None)
            except Damage as error:
                failed(path, error)
        elif node.kind == fmt.DIRECTORY:
            line["page"] = node.page.hex()
            line["files"], line["directories"], line["bytes"] = node.totals
        elif node.kind == fmt.SYMLINK:
            line["target"], line["target_b64"] = lossy(node.target), b64(node.target)
        elif node.kind in (fmt.CHARACTER, fmt.BLOCK):
            line["major"], line["minor"] = node.major, node.minor
        out(line)

    walk(reader, reader.manifest.root, b"", 0, visit, failed)
    return status


# -- restore ----------------------------------------------------------------------------------------------------------------------

class Restore:
    """Writes the tree of a snapshot beneath an empty directory.  The current directory is always the parent of what is
    written next, so that no path grows long; names are single components, so nothing lands elsewhere."""

    def __init__(self, reader, target):
        self.reader, self.status = reader, 0
        os.makedirs(target, exist_ok=True)
        if os.listdir(target):
            raise Failure(f"{target}: not empty")
        self.top = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        os.fchdir(self.top)
        self.links = Links(self.failed)
        self.written = {}               # link id -> path relative to the target
        self.is_root = os.geteuid() == 0

    def failed(self, path, error):
        self.status = 15
        complain(f"{lossy(path) or '/'}: {error}")

    def note(self, path, what, error):
        complain(f"note: {lossy(path)}: {what}: {error.strerror}")

    def visit(self, node, path, children):
        if path == b"":
            return lambda: self.metadata(node, b".", path)
        try:
            return self.one(node, path)
        except Damage as error:
            self.failed(path, error)
        except (OSError, OverflowError) as error:
            self.status = self.status or 1
            complain(f"{lossy(path)}: {error}")
        return SKIP

    def one(self, node, path):
        name = node.name
        if node.kind == fmt.DIRECTORY:
            os.mkdir(name, 0o700)
            os.chdir(name)

            def leave():
                os.chdir(b"..")
                self.metadata(node, name, path)
            return leave
        if self.links.check(node, path) is not None and node.link[0] in self.written:
            os.link(self.written[node.link[0]], name, src_dir_fd=self.top, follow_symlinks=False)
            return None
        if node.kind in (fmt.REGULAR, fmt.IMAGE):
            self.file(node, name)
        elif node.kind == fmt.SYMLINK:
            os.symlink(node.target, name)
        elif node.kind == fmt.FIFO:
            os.mkfifo(name, 0o600)
        elif node.kind == fmt.SOCKET:
            os.mknod(name, stat.S_IFSOCK | 0o600)
        elif self.is_root:
            kind = stat.S_IFCHR if node.kind == fmt.CHARACTER else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(node.major, node.minor))
        else:
            complain(f"note: {lossy(path)}: a device, left out as only root can make it")
            return None
        self.metadata(node, name, path)
        if node.link is not None:
            self.written[node.link[0]] = path[1:]
        return None

    def file(self, node, name):
        try:
            with open(name, "xb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600)) as file:
                for run in self.reader.content(node):
                    if isinstance(run, int):
                        file.seek(run, os.SEEK_CUR)
                    else:
                        file.write(run)
                file.truncate(node.size)
        except Exception:
            if os.path.lexists(name):       # better no file than a wrong one
                os.unlink(name)
            raise

    def metadata(self, node, name, path):
        link = node.kind == fmt.SYMLINK
        if self.is_root:
            try:
                os.chown(name, node.owner[0], node.owner[1], follow_symlinks=False)
            except OSError as error:
                self.note(path, "owner", error)
        for attribute, value in node.xattrs:
            try:
                value = self.reader.xattr(value)
                if self.is_root or attribute.startswith(b"user."):
                    os.setxattr(name, attribute, value, follow_symlinks=False)
            except Damage as error:
                self.failed(path, error)
            except OSError as error:
                self.note(path, "xattr " + lossy(attribute), error)
        if not link:
            try:
                os.chmod(name, node.mode)
            except OSError as error:
                self.note(path, "mode", error)
        try:
            stamp = node.mtime[0] * 10 ** 9 + node.mtime[1]
            os.utime(name, ns=(stamp, stamp), follow_symlinks=False)
        except (OSError, OverflowError) as error:
            complain(f"note: {lossy(path)}: mtime: {error}")


def command_restore(repository, options):
    snapshot = find_snapshot(repository, options.snapshot)
    reader = Reader(repository, repository.manifest_of(snapshot))
    restore = Restore(reader, options.target)
    os.umask(0)
    walk(reader, reader.manifest.root, b"", 0, restore.visit, restore.failed)
    return restore.status


# -- check ----------------------------------------------------------------------------------------------------------------------

def command_check(repository, options):
    errors, counts = [], collections.Counter()

    def guard(function, *arguments):
        try:
            return function(*arguments)
        except Damage as error:
            errors.append(str(error))
            return None

    slots, strange = fmt.slot_names(repository.store)
    for name in slots:
        counts["key slots"] += 1
        parts = guard(fmt.read_slot, repository.store, name)
        if parts and options.passphrase is not None:
            try:
                guard(fmt.open_slot, *parts, options.passphrase, repository.genesis, f"keys/{name}")
            except fmt.WrongKey as error:
                repository.warn(f"{error} (not checked further)")

    # every pack: name, header, session key, directory, every frame, every chunk id
    def check_pack(pack):
        what = fmt.pack_name(pack)
        data = repository.store.read(what, fmt.PACK_MAX)
        fmt.need(fmt.cr.sha256(data) == pack, f"{what}: its name is not its hash")
        found = repository.read_pack_directory(pack, data)
        repository.session_key(found.header, what)
        for frame in found.frames:
            counts["frames"] += 1
            plain = guard(repository.read_frame, found, frame, data)
            for index in range(len(frame.chunks) if plain is not None else 0):
                counts["chunks"] += 1
                guard(repository.chunk_of, found, frame, index, plain)
        return found

    ids, more = repository.pack_ids()
    strange += more
    packs = {pack: guard(check_pack, pack) for pack in ids}
    counts["packs"] = len(ids)

    # index objects equal the packs' directories
    indexed = set()
    if repository.use_index:
        index_ids, more = repository.index_ids()
        strange += more
        counts["index objects"] = len(index_ids)
        for index in index_ids:
            for copy in guard(repository.read_index, index) or ():
                pack = packs.get(copy.id)
                indexed.add(copy.id)
                if copy.id not in packs:
                    repository.warn(f"{copy.source}: lists {copy.name}, which is not there")
                elif pack and (pack.size, pack.header.bytes, pack.plain) != (copy.size, copy.header.bytes, copy.plain):
                    errors.append(f"{copy.source}: is not what {copy.name} says of itself")
        for pack in packs:
            if pack not in indexed:
                repository.warn(f"{fmt.pack_name(pack)}: in no index object")

    # ledger
    snapshots, ledger_errors = repository.snapshots()
    errors += ledger_errors
    counts["ledger entries"] = len(repository._ledger[0])
    counts["snapshots"] = len(snapshots)

    # manifests without an entry are orphans, but must be sound
    known = {snapshot.id for snapshot in snapshots}
    for name in repository.store.names("snapshots"):
        if not re.fullmatch("[0-9a-f]{64}", name):
            strange.append(f"snapshots/{name}")
        elif bytes.fromhex(name) not in known:
            repository.warn(f"snapshots/{name}: no ledger entry (an orphan)")
            guard(repository.manifest, bytes.fromhex(name))

    # snapshots: pins complete, all pages, all contents
    for snapshot in snapshots:
        manifest = guard(repository.manifest_of, snapshot)
        reader = guard(Reader, repository, manifest) if manifest else None
        if reader is None:
            continue
        known_index = {index for index in repository.index_ids()[0]}
        for index in manifest.index_ids:
            if index not in known_index and repository.use_index:
                repository.warn(f"{manifest.what}: index object {index.hex()} is not there")
        for pin in reader.pins:
            if packs.get(pin) is None:
                errors.append(f"{manifest.what}: pins {fmt.pack_name(pin)}, which is " + ("damaged" if pin in packs else "missing"))
            elif packs[pin].header.domain != manifest.domain:
                errors.append(f"{manifest.what}: pins {fmt.pack_name(pin)} of another domain")
        total = sum(packs[pin].size for pin in reader.pins if packs.get(pin))
        if all(packs.get(pin) for pin in reader.pins) and total != manifest.pin_bytes:
            errors.append(f"{manifest.what}: pin bytes {manifest.pin_bytes} instead of {total}")

        def failed(path, error, what=manifest.what):
            errors.append(f"{what}: {lossy(path) or '/'}: {error}")

        links, verified = Links(failed), set()

        def visit(node, path, children):
            counts["entries"] += 1
            links.check(node, path)
            try:
                for _, value in node.xattrs:
                    reader.xattr(value)
                if node.kind in (fmt.REGULAR, fmt.IMAGE):
                    same = (node.size, node.digest, str(node.content))
                    if same not in verified:
                        for _ in reader.content(node):
                            pass
                        verified.add(same)
            except Damage as error:
                failed(path, error)

        walk(reader, manifest.root, b"", 0, visit, failed)

    for name in strange:
        repository.warn(f"{name}: not an object's name")
    out({"errors": errors, "warnings": repository.warnings, "counts": counts})
    repository.warnings = []
    return 15 if errors else 0


# -- command line -----------------------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description="A second, independent reader of the repository format.")
    parser.add_argument("repository", metavar="REPO")
    parser.add_argument("--key-file")
    parser.add_argument("--password-file")
    parser.add_argument("--no-index", action="store_true", help="take directories from the packs, never from index objects")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("ls").add_argument("snapshot", metavar="SNAPSHOT")
    restore = commands.add_parser("restore")
    restore.add_argument("snapshot", metavar="SNAPSHOT")
    restore.add_argument("target", metavar="TARGET")
    commands.add_parser("check")
    options = parser.parse_args()
    if not options.key_file and not options.password_file:
        parser.error("needs --key-file or --password-file")
    try:
        passphrase = key_file = None
        if options.password_file:
            with open(options.password_file, "rb") as file:
                passphrase = re.sub(rb"\r?\n\Z", b"", file.read())
        if options.key_file:
            with open(options.key_file, "rb") as file:
                key_file = file.read()
        options.passphrase = passphrase
        path = os.path.abspath(options.repository)
        repository = Repository(path, key_file, passphrase, not options.no_index)
        status = {"list": command_list, "ls": command_ls, "restore": command_restore, "check": command_check}[options.command](
            repository, options)
        for warning in repository.warnings:
            complain(f"note: {warning}")
    except Failure as error:
        complain(error)
        return error.status
    except OSError as error:
        complain(error)
        return 1
    sys.stdout.flush()
    return status


def run():
    try:
        run.status = main()
    except SystemExit as error:
        run.status = error.code
    except BaseException:
        run.status = 70
        raise


if __name__ == "__main__":
    run.status = 70
    sys.setrecursionlimit(100000)       # directories nest up to 2,048 deep
    threading.stack_size(512 << 20)
    worker = threading.Thread(target=run)
    worker.start()
    worker.join()
    sys.exit(run.status)
