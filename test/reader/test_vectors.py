"""The golden vectors (test/vectors/format.json), as far as they can be read without a key: plain asserts."""

import json
import os

import strict_cbor as cbor
from errors import Damage
from keys import Keyring, parse_key_file, split_slot
from manifests import Body, Manifest
from objects import ENTRY, KEY_FILE, SLOT, Genesis, Signed
from packs import PackHeader, parse_directory
from payloads import parse
from primitives import sha256
from tree import parse_inner, parse_leaf, parse_rows

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "format.json")
with open(FILE, encoding="ascii") as file:
    VECTORS = {name: bytes.fromhex(value) for name, value in json.load(file).items()}
REPO = sha256(VECTORS["genesis"])


def page(data):
    items = cbor.decode(data)
    return parse_inner(items) if items[0] else parse_leaf(items)


def entry(data):
    items = Signed(data, ENTRY, b"varve v1 entry").body
    assert items[0] == REPO
    cbor.time(items[4])
    return parse(items[5], items[6])


def tag_change(data):
    ids, added, removed = cbor.array(cbor.decode(data), 3)
    return [cbor.octets(item, 32) for item in ids], cbor.texts(added), cbor.texts(removed)


READ = {
    "genesis": Genesis, "keyring": Keyring, "key slot": lambda data: split_slot(data, SLOT),
    "key file with": lambda data: split_slot(data, KEY_FILE), "key file text": parse_key_file,
    "pack header": lambda data: PackHeader(data, REPO), "empty leaf": page, "leaf of": page, "inner page": page,
    "pack directory": lambda data: parse_directory(data, 1 << 26, 1 if data[8 + 20 * data[0] + 32] == 1 else 2, True),
    "list page": parse_rows, "manifest body": Body, "entry: ": entry, "tag change": tag_change,
}
# Parts that stand in another vector, or mean nothing without a key.
PARTS = {"pack footer", "associated data of a frame", "pack", "index contents", "index object", "stream name",
         "manifest envelope with all pins", "manifest envelope with a difference"}


def reader_of(name):
    if name == "manifest":
        return lambda data: Manifest(data, REPO)
    return next((read for prefix, read in READ.items() if name.startswith(prefix)), None)


def test_vectors():
    read = 0
    for name, data in VECTORS.items():
        if name in PARTS:
            continue
        assert reader_of(name), name
        reader_of(name)(data)
        read += 1
    assert read > 40


def test_cut():
    """A vector that lacks its end is refused, and so is one with something behind it."""
    for name in ("genesis", "keyring of a writer", "leaf of every kind of entry and content", "manifest body", "entry: receipt",
                 "tag change"):
        data = VECTORS[name]
        for bad in [data[:end] for end in range(0, len(data), 7)] + [data + b"\0"]:
            try:
                reader_of(name)(bad)
            except Damage:
                continue
            raise AssertionError("not refused: %s of %d bytes" % (name, len(bad)))


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
