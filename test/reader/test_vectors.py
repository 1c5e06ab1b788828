"""The golden vectors (test/vectors/format.json), as far as they can be read without a key: plain asserts."""

import json
import os

import strict_cbor as cbor
from entries import ROLES, LedgerEntry
from errors import Damage
from keys import Keyring, parse_key_file, split_slot
from manifests import Body, Manifest
from objects import ENTRY, KEY_FILE, SLOT, Genesis, Signed
from packs import PackHeader, parse_directory
from payloads import CERT, WRITER_CERT
from primitives import author_id, sha256
from scopes import parse_scope
from tags import parse_change
from tree import parse_inner, parse_leaf, parse_rows

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "format.json")
with open(FILE, encoding="ascii") as file:
    VECTORS = {name: bytes.fromhex(value) for name, value in json.load(file).items()}
REPO = sha256(VECTORS["genesis"])


def page(data):
    items = cbor.decode(data)
    return parse_inner(items) if items[0] else parse_leaf(items)


def bodies():
    return [Signed(data, ENTRY, b"varve v1 entry").body for name, data in VECTORS.items() if name.startswith("entry: ")]


def public_keys():
    """Author: public key, of the authors that genesis vectors and entries name."""
    keys = []
    for name, data in VECTORS.items():
        if name.startswith("genesis"):
            genesis = Genesis(data)
            keys += genesis.admins + [key for key in (genesis.vault, genesis.reader_sign_key) if key]
    for body in bodies():
        keys += [body[6][0]] if body[5] == WRITER_CERT else [body[6][1]] if body[5] == CERT else []
    return {author_id(key): key for key in keys}


def entry(data):
    """An entry, its signature verified with the key of its author."""
    _, author, sequence, previous = Signed(data, ENTRY, b"varve v1 entry").body[:4]
    made = LedgerEntry(author, sequence, data, public_keys()[author], previous, Genesis(VECTORS["genesis"]))
    made.check_role(ROLES)
    return made


READ = {
    "genesis": Genesis, "keyring": Keyring, "key slot": lambda data: split_slot(data, SLOT),
    "key file with": lambda data: split_slot(data, KEY_FILE), "key file text": parse_key_file,
    "pack header": lambda data: PackHeader(data, REPO), "empty leaf": page, "leaf of": page, "inner page": page,
    "pack directory": lambda data: parse_directory(data, 1 << 26, 1 if data[8 + 20 * data[0] + 32] == 1 else 2, True),
    "list page": parse_rows, "manifest body": Body, "entry: ": entry, "tag change": parse_change, "scope of": parse_scope,
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
        made = reader_of(name)(data)
        assert not name.startswith("entry: ") or (made.void is not None) == ("changes nothing" in name), name
        read += 1
    assert read > 60


def test_cut():
    """A vector that lacks its end is refused, and so is one with something behind it."""
    for name in ("genesis", "keyring of a writer", "leaf of every kind of entry and content", "manifest body", "entry: receipt",
                 "tag change", "genesis with a key for rotations", "keyring of an auditor", "scope of a writer",
                 "entry: slots"):
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
