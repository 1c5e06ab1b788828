"""The second reader's decoders, many cases in one process (decoders.test.ts). Cases on stdin: u8 decoder, u32 length, bytes; answers on stdout, a line each:
`no`, or `ok` and what was read. Decodes nothing itself: what would come from a store or be sealed is handed in as it is."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "reader"))

import packs  # noqa: E402
import strict_cbor as cbor  # noqa: E402
import tree  # noqa: E402
from errors import VarveError  # noqa: E402
from objects import INDEX  # noqa: E402
from primitives import zstd_decompress  # noqa: E402


def directory(case):
    """u8 class, u32 end, directory with padding."""
    end = struct.unpack_from("<I", case, 1)[0]
    frames = packs.parse_directory(case[5:], end, case[0], True)
    return " ".join("%d:%d:%d:%d:%d" % (f.offset, f.sealed, f.raw, f.count, f.codec) for f in frames)


class Whole:
    """A store with one object, and keys under which it is not sealed."""

    k_idx = None

    def __init__(self, data, repository):
        self.data, self.genesis, self.repository_id = data, self, repository

    def read_named(self, _):
        return self.data

    def domain(self, _):
        return self


def index(case):
    """repository 32, domain 16, plaintext of an index object."""
    repository, domain, plain = case[:32], case[32:48], case[48:]
    packs.seal_open = lambda key, aad, sealed, what: sealed
    whole = Whole(b"VARV" + bytes([INDEX, 1, 1, 0]) + repository + bytes(16) + domain + bytes(16) + plain, repository)
    listed = packs.read_index(whole, whole, "index/x")
    return " ".join("%s:%d:%d" % (p.id.hex(), p.size, len(p.plain)) for p in listed)


def page(case):
    items = cbor.decode(case)
    tree.need(isinstance(items, list) and items, "page: not an array")
    level = cbor.integer(items[0], 0, tree.MAX_LEVEL)
    cbor.array(items, 2 if level else 3)
    if level:
        return " ".join("%s:%d" % (first.hex(), count) for first, _, count in tree.parse_inner(items))
    return " ".join("%s:%d:%d:%d" % (e.name.hex(), e.kind, e.mode, e.size or 0) for e in tree.parse_leaf(items))


def frame(case):
    """u32 raw length, payload."""
    return zstd_decompress(case[4:], struct.unpack_from("<I", case)[0]).hex()


DECODERS = (directory, index, page, frame)


def main():
    source, out = sys.stdin.buffer, sys.stdout
    while True:
        head = source.read(5)
        if len(head) < 5:
            return
        kind, length = struct.unpack("<BI", head)
        case = source.read(length)
        try:
            out.write("ok %s\n" % DECODERS[kind](case))
        except VarveError:
            out.write("no\n")


main()
