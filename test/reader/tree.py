"""Trees: pages, entries and content (§9)."""

import hashlib

import strict_cbor as cbor
from errors import need
from packs import ATTRIBUTE, DATA, LIST, MAX_CHUNK, TREE

REGULAR, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK, IMAGE = range(1, 9)
KIND_NAMES = {REGULAR: "regular", DIRECTORY: "directory", SYMLINK: "symlink", FIFO: "fifo", SOCKET: "socket",
              CHARACTER: "character device", BLOCK: "block device", IMAGE: "image"}
ITEMS = {REGULAR: 13, DIRECTORY: 12, SYMLINK: 11, FIFO: 10, SOCKET: 10, CHARACTER: 12, BLOCK: 12, IMAGE: 13}
MAX_LEVEL, MAX_DEPTH, MAX_LIST_DEPTH = 8, 2048, 4
MAX_INLINE_VALUE, MANY_HOLES = 4096, 1 << 30
HOLE = bytes(32)


class Entry:
    """One entry; `depth` of directories and the path are the walker's."""

    size = digest = content = page = totals = target = major = minor = None

    def __init__(self, items, owners, root=False):
        need(isinstance(items, list) and len(items) >= 10, "entry: wrong number of items")
        self.name = cbor.octets(items[0])
        if root:
            need(self.name == b"", "root: has a name")
        else:
            check_name(self.name)
        self.kind = cbor.integer(items[1])
        need(self.kind in ITEMS, "entry: unknown kind")
        cbor.array(items, ITEMS[self.kind])
        self.mode = cbor.integer(items[2], 0, 0o7777)
        self.owner_index = cbor.integer(items[3])
        need(self.owner_index < len(owners), "entry: owner out of range")
        self.uid, self.gid, self.user, self.group = owners[self.owner_index]
        self.mtime = cbor.time(items[4:6])
        if items[6] is None:
            need(cbor.integer(items[7]) == 0, "entry: nanoseconds of no birth time")
        else:
            cbor.time(items[6:8])
        self.xattrs = parse_xattrs(items[8])
        self.link = None
        if items[9] is not None:
            link, nlink = cbor.array(items[9], 2)
            self.link = cbor.octets(link, 16)
            cbor.integer(nlink, 2)
            need(self.kind != DIRECTORY, "entry: hard link of a directory")
        self._by_kind(items)

    def _by_kind(self, items):
        if self.kind in (REGULAR, IMAGE):
            self.size = cbor.integer(items[10])
            self.digest = cbor.octets_or_null(items[11], 32)
            self.content = items[12]
            check_content(self)
        elif self.kind == DIRECTORY:
            self.page = cbor.octets(items[10], 32)
            self.totals = tuple(cbor.integer(item) for item in cbor.array(items[11], 3))
        elif self.kind == SYMLINK:
            self.target = cbor.octets(items[10])
            need(1 <= len(self.target) <= 4096 and b"\0" not in self.target, "entry: symlink target")
        elif self.kind in (CHARACTER, BLOCK):
            self.major = cbor.integer(items[10], 0, 2**32 - 1)
            self.minor = cbor.integer(items[11], 0, 2**32 - 1)

    def linked(self):
        """What entries of one link id must agree in."""
        return self.kind, self.size, self.digest, self.target, self.major, self.minor


def check_name(name):
    need(0 < len(name) <= 255 and name not in (b".", b"..") and b"/" not in name and b"\0" not in name,
         "entry: name refused")


def parse_xattrs(value):
    """[(name, bytes or (length, chunk id))], sorted by name, each once."""
    result = []
    for item in cbor.array(value):
        name, content = cbor.array(item, 2)
        cbor.octets(name)
        need(1 <= len(name) <= 255 and b"\0" not in name, "xattr: name refused")
        need(not result or result[-1][0] < name, "xattrs: out of order")
        if isinstance(content, list):
            length, chunk = cbor.array(content, 2)
            content = cbor.integer(length, MAX_INLINE_VALUE + 1, MAX_CHUNK), cbor.octets(chunk, 32)
        else:
            need(len(cbor.octets(content)) <= MAX_INLINE_VALUE, "xattr: value too long")
        result.append((name, content))
    return result


def parse_rows(data):
    """Rows of content: [(length, id)]."""
    need(data and len(data) % 40 == 0, "rows: length")
    rows = [(int.from_bytes(data[i:i + 8], "little"), data[i + 8:i + 40]) for i in range(0, len(data), 40)]
    need(all(0 < length <= cbor.MAX_INT for length, _ in rows), "rows: a length of zero or too large")
    return rows


def check_rows(rows, depth, total):
    need(sum(length for length, _ in rows) == total, "rows: lengths do not add up")
    for length, chunk in rows:
        need(depth == 0 or chunk != HOLE, "rows: a list page that is a hole")
        need(depth > 0 or chunk == HOLE or length <= MAX_CHUNK, "rows: a chunk too long")


def check_content(entry):
    """The forms of content, as far as the entry alone shows."""
    content, size = entry.content, entry.size
    need((content is None) == (size == 0), "content: null is for size 0, and only for it")
    if isinstance(content, list):
        depth, rows = cbor.array(content, 2)
        cbor.integer(depth, 0, MAX_LIST_DEPTH)
        rows = parse_rows(cbor.octets(rows))
        check_rows(rows, depth, size)
        entry.content = [depth, rows]
        return
    need(entry.digest is not None, "content: no digest")
    if isinstance(content, bytes):
        need(len(content) == size, "content: another length than the size")
    elif content is not None:
        need(content == 1 and isinstance(content, int), "content: unknown form")
        need(size <= MAX_CHUNK, "content: one chunk of more than its limit")


def parse_root(items, owner):
    """§10: a directory with an empty name and owner 0."""
    root = Entry(items, [owner], root=True)
    need(root.kind == DIRECTORY, "root: not a directory")
    return root


def parse_leaf(items):
    """The entries of a leaf; the owners in the order of first use, each used, all different."""
    owners = [cbor.owner(item) for item in cbor.array(items[1])]
    need(len(set(owners)) == len(owners), "owners: not all different")
    entries, used = [], 0
    for item in cbor.array(items[2]):
        entry = Entry(item, owners)
        need(entry.owner_index <= used, "owners: not in the order of first use")
        used = max(used, entry.owner_index + 1)
        need(not entries or entries[-1].name < entry.name, "entries: out of order, or twice")
        entries.append(entry)
    need(used == len(owners), "owners: one is not used")
    return entries


def parse_inner(items):
    rows = []
    for item in cbor.array(items[1]):
        first, chunk, count = cbor.array(item, 3)
        check_name(cbor.octets(first))
        need(not rows or rows[-1][0] < first, "inner page: out of order")
        rows.append((first, cbor.octets(chunk, 32), cbor.integer(count)))
    need(rows, "inner page: no rows")
    return rows


class Tree:
    """A snapshot's tree; chunk(id, type, length or None) gives the plaintext of pinned chunks."""

    def __init__(self, root, chunk, id_of_digest):
        self.root, self.chunk, self.id_of_digest = root, chunk, id_of_digest

    def _page(self, chunk_id):
        items = cbor.decode(self.chunk(chunk_id, TREE, None))
        need(isinstance(items, list) and items, "page: not an array")
        level = cbor.integer(items[0], 0, MAX_LEVEL)
        cbor.array(items, 2 if level else 3)
        return level, parse_inner(items) if level else parse_leaf(items)

    def _below(self, chunk_id, level, first, count):
        """The entries of a page that stands below an inner one."""
        found, rows = self._page(chunk_id)
        need(found == level, "page: another level than its place has")
        need(rows, "page: a leaf without entries below an inner page")
        need((rows[0][0] if level else rows[0].name) == first, "page: another first name")
        if level:
            need(sum(row[2] for row in rows) == count, "page: entry counts do not add up")
            for name, chunk, number in rows:
                yield from self._below(chunk, level - 1, name, number)
        else:
            need(len(rows) == count, "page: entry count")
            yield from rows

    def directory(self, entry):
        """The entries of a directory, in order."""
        level, rows = self._page(entry.page)
        if level == 0:
            yield from rows
            return
        last = None
        for name, chunk, number in rows:
            for item in self._below(chunk, level - 1, name, number):
                need(last is None or last < item.name, "entries: out of order, or twice")
                last = item.name
                yield item

    def walk(self):
        """("entry", path parts, entry) in tree order, and ("leave", parts, entry) behind each directory."""
        links, parts = {}, []
        stack = [(self.root, self.directory(self.root), [0, 0, 0])]
        while stack:
            directory, entries, totals = stack[-1]
            entry = next(entries, None)
            if entry is None:
                need(tuple(totals) == directory.totals, "directory: totals")
                yield "leave", list(parts), directory
                stack.pop()
                if stack:
                    parts.pop()
                    above = stack[-1][2]
                    above[0] += totals[0]
                    above[1] += totals[1] + 1
                    above[2] += totals[2]
                continue
            if entry.link is not None:
                first = links.setdefault(entry.link, entry)
                need(first.linked() == entry.linked(), "hard links that do not agree")
            if entry.kind == DIRECTORY:
                need(len(stack) <= MAX_DEPTH, "directories nested too deep")
                parts.append(entry.name)
                yield "entry", list(parts), entry
                stack.append((entry, self.directory(entry), [0, 0, 0]))
            else:
                totals[0] += 1
                totals[2] += entry.size or 0
                yield "entry", parts + [entry.name], entry

    def xattr(self, content):
        return content if isinstance(content, bytes) else self.chunk(content[1], ATTRIBUTE, content[0])

    def _rows(self, rows, depth):
        for length, chunk in rows:
            if depth == 0:
                yield length, None if chunk == HOLE else self.chunk(chunk, DATA, length)
                continue
            below = parse_rows(self.chunk(chunk, LIST, None))
            check_rows(below, depth - 1, length)
            yield from self._rows(below, depth - 1)

    def _pieces(self, entry):
        content = entry.content
        if isinstance(content, list):
            yield from self._rows(content[1], content[0])
        elif isinstance(content, bytes):
            yield len(content), content
        elif content is not None:
            yield entry.size, self.chunk(self.id_of_digest(entry.digest), DATA, entry.size)

    def content(self, entry):
        """(length, bytes or None for a hole) of a file; refuses at the end when the digest differs."""
        digest, holes = hashlib.sha256(), 0
        zeros = bytes(1 << 20)
        for length, data in self._pieces(entry):
            if entry.digest is not None:
                if data is not None:
                    digest.update(data)
                for start in range(0, length if data is None else 0, len(zeros)):
                    digest.update(zeros[:min(len(zeros), length - start)])
            if data is None:
                holes += length
            yield length, data
        if entry.digest is None:
            need(holes > MANY_HOLES, "content: no digest, and not more than 1 GiB of holes")
        else:
            need(digest.digest() == entry.digest, "content: SHA-256 is not the digest")
