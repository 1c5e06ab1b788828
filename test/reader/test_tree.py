"""Refusals of §9 on trees made here: `python3 test_tree.py` (plain asserts)."""

import hashlib

import strict_cbor as cbor
from errors import Damage
from tree import Tree, parse_root

OWNER = [0, 0, "root", None]


def entry(name=b"f", kind=1, mode=0o644, owner=0, times=(1, 2, None, 0), xattrs=(), link=None, rest=None):
    if rest is None:
        rest = {1: [3, hashlib.sha256(b"abc").digest(), b"abc"], 3: [b"target"], 4: [], 5: [], 6: [1, 3], 7: [1, 3],
                8: [0, hashlib.sha256(b"").digest(), None]}[kind]
    return [name, kind, mode, owner, *times, list(xattrs), link, *rest]


class Chunks:
    def __init__(self):
        self.all = {}

    def put(self, value, kind):
        data = value if isinstance(value, bytes) else cbor.encode(value)
        chunk = hashlib.sha256(bytes([kind]) + data).digest()
        self.all[chunk, kind] = data
        return chunk

    def get(self, chunk, kind, length):
        data = self.all.get((chunk, kind))
        if data is None or length not in (None, len(data)):
            raise Damage("no such chunk")
        return data


def directory(chunks, page, totals, name=b"d"):
    return entry(name, 2, 0o755, rest=[chunks.put(page, 2), totals])


def walk(chunks, page, totals):
    root = parse_root(directory(chunks, page, totals, b""), (0, 0, None, None))
    tree = Tree(root, chunks.get, lambda digest: b"?" * 32)
    found = []
    for event, parts, item in tree.walk():
        found.append((event, b"/".join(parts)))
        if event == "entry":
            for _, content in item.xattrs:
                tree.xattr(content)
            if item.kind in (1, 8):
                list(tree.content(item))
    return found


def refused(page, totals=(1, 0, 3), chunks=None):
    try:
        walk(chunks or Chunks(), page, list(totals))
    except Damage:
        return
    raise AssertionError("not refused: %r" % (page,))


def leaf(*entries, owners=(OWNER,)):
    return [0, list(owners), list(entries)]


def test_entries():
    assert walk(Chunks(), leaf(entry()), [1, 0, 3]) == [("entry", b"f"), ("leave", b"")]
    assert walk(Chunks(), leaf(owners=()), [0, 0, 0]) == [("leave", b"")]
    for name in (b"", b".", b"..", b"a/b", b"a\0", b"a" * 256, "f"):
        refused(leaf(entry(name)))
    refused(leaf(entry(b"b"), entry(b"a")), (2, 0, 6))
    refused(leaf(entry(b"a"), entry(b"a")), (2, 0, 6))
    walk(Chunks(), leaf(entry(b"a"), entry(b"aa")), [2, 0, 6])
    for totals in ((0, 0, 3), (1, 1, 3), (1, 0, 2)):
        refused(leaf(entry()), totals)
    for bad in (dict(kind=0), dict(kind=9), dict(mode=0o10000), dict(mode=-1), dict(owner=1),
                dict(times=(1, 10**9, None, 0)), dict(times=(1, 0, None, 1)), dict(times=(None, 0, None, 0)),
                dict(xattrs=[[b"", b""]]), dict(xattrs=[[b"b", b""], [b"a", b""]]), dict(xattrs=[[b"a", b""]] * 2),
                dict(xattrs=[[b"a\0", b""]]), dict(xattrs=[[b"a" * 256, b""]]), dict(xattrs=[[b"a", bytes(4097)]]),
                dict(xattrs=[[b"a", [4096, b"i" * 32]]]), dict(link=[b"l" * 16, 1]), dict(link=[b"l" * 15, 2])):
        args = dict(rest=[3, hashlib.sha256(b"abc").digest(), b"abc"])
        args.update(bad)
        refused(leaf(entry(**args)))
    refused(leaf(entry() + [0]))
    refused(leaf(entry()[:-1]))
    for target in (b"", b"a\0", b"a" * 4097):
        refused(leaf(entry(kind=3, rest=[target])), (1, 0, 0))
    refused(leaf(entry(kind=6, rest=[1, 2**32])), (1, 0, 0))
    for kind in (3, 4, 5, 6, 7, 8):
        walk(Chunks(), leaf(entry(kind=kind)), [1, 0, 0])


def test_owners():
    two = [OWNER, [1, 1, None, None]]
    walk(Chunks(), leaf(entry(b"a", owner=0), entry(b"b", owner=1), owners=two), [2, 0, 6])
    refused(leaf(entry(b"a", owner=1), entry(b"b", owner=0), owners=two), (2, 0, 6))
    refused(leaf(entry(b"a"), owners=two))
    refused(leaf(entry(b"a", owner=0), entry(b"b", owner=1), owners=[OWNER, OWNER]), (2, 0, 6))
    refused(leaf(owners=[OWNER]), (0, 0, 0))


def test_links():
    one = entry(b"a", link=[b"l" * 16, 2])
    walk(Chunks(), leaf(one, entry(b"b", link=[b"l" * 16, 2])), [2, 0, 6])
    other = entry(b"b", link=[b"l" * 16, 2], rest=[3, hashlib.sha256(b"abd").digest(), b"abd"])
    refused(leaf(one, other), (2, 0, 6))


def test_content():
    digest = hashlib.sha256(b"abc").digest()
    zero = hashlib.sha256(b"").digest()
    for rest in ([3, digest, None], [0, zero, b""], [3, digest, b"ab"], [2, digest, b"abc"], [3, digest, 2], [3, None, b"abc"],
                 [3, zero, b"abc"], [3, digest, 1], [3, digest, [0, b""]], [3, digest, [5, bytes(40)]], [3, digest, "abc"]):
        refused(leaf(entry(rest=rest)))
    chunks = Chunks()
    row = (3).to_bytes(8, "little") + chunks.put(b"abc", 1)
    hole = (2).to_bytes(8, "little") + bytes(32)

    def rows(size, data, content, good):
        page = leaf(entry(rest=[size, data and hashlib.sha256(data).digest(), content]))
        if good:
            walk(chunks, page, [1, 0, size])
        else:
            refused(page, (1, 0, size), chunks)

    rows(3, b"abc", [0, row], True)
    rows(7, b"\0\0abc\0\0", [0, hole + row + hole], True)
    rows(5, b"abc\0", [0, row + hole], False)
    rows(4, b"abc\0\0", [0, row + hole], False)
    rows(2, b"ab", [0, (2).to_bytes(8, "little") + row[8:]], False)
    page = chunks.put(row + hole, 3)
    rows(5, b"abc\0\0", [1, (5).to_bytes(8, "little") + page], True)
    rows(6, b"abc\0\0", [1, (6).to_bytes(8, "little") + page], False)
    rows(5, b"abc\0\0", [2, (5).to_bytes(8, "little") + page], False)
    rows(2, b"\0\0", [1, hole], False)
    rows(3, None, [0, row], False)
    many = (2**30 + 1).to_bytes(8, "little") + bytes(32)
    rows(2**30 + 1, None, [0, many], True)
    rows(2**30, None, [0, (2**30).to_bytes(8, "little") + bytes(32)], False)
    rows(0, b"", [0, bytes(40)], False)


def test_pages():
    chunks = Chunks()
    a, b = (chunks.put(leaf(entry(name)), 2) for name in (b"a", b"b"))
    good = [[b"a", a, 1], [b"b", b, 1]]
    walk(chunks, [1, good], [2, 0, 6])
    inner = chunks.put([1, good], 2)
    walk(chunks, [2, [[b"a", inner, 2]]], [2, 0, 6])
    empty = chunks.put(leaf(owners=()), 2)
    for page in ([1, []], [1, [[b"b", b, 1], [b"a", a, 1]]], [1, [[b"a", a, 2], [b"b", b, 1]]], [9, good],
                 [1, [[b"0", a, 1], [b"b", b, 1]]], [2, good], [1, [[b"a", inner, 2]]], [1, good, 0], [-1, good],
                 [2, [[b"a", inner, 1]]], [1, [[b"a", a, 1], [b"c", empty, 0]]], [0, []]):
        refused(page, (2, 0, 6), chunks)
    overlap = chunks.put(leaf(entry(b"a"), entry(b"c")), 2)
    refused([1, [[b"a", overlap, 2], [b"b", b, 1]]], (3, 0, 9), chunks)


def test_depth():
    for depth, good in ((2048, True), (2049, False)):
        chunks = Chunks()
        page, totals = leaf(owners=()), [0, 0, 0]
        for _ in range(depth):
            page, totals = leaf(directory(chunks, page, totals)), [0, totals[1] + 1, 0]
        if good:
            assert len(walk(chunks, page, totals)) == 2 * depth + 1
        else:
            refused(page, totals, chunks)


def test_shared_totals():
    chunks = Chunks()
    inner = directory(chunks, leaf(entry()), [1, 0, 3])
    assert walk(chunks, leaf(inner, entry(b"e")), [2, 1, 6]) == [
        ("entry", b"d"), ("entry", b"d/f"), ("leave", b"d"), ("entry", b"e"), ("leave", b"")]
    refused(leaf(inner, entry(b"e")), (2, 0, 6), chunks)


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
