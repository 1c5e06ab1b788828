"""Ledgers made for tests: a store that holds nothing else, and entries signed here."""

import os
import struct
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import strict_cbor as cbor
from entries import entry_name
from errors import Damage
from ledger import Ledger
from primitives import author_id, ed25519_public, hchacha20, sha256
from retention import Snapshots

REPO = b"r" * 32
DOMAIN = b"d" * 16
STREAM = b"s" * 16
SEEDS = {name: bytes([ord(name)]) * 32 for name in "ABCDOUVWXYZ"}
PUBLIC = {name: ed25519_public(seed) for name, seed in SEEDS.items()}
ID = {name: author_id(public) for name, public in PUBLIC.items()}
NAME = {author: name for name, author in ID.items()}


def sign(who, message):
    return Ed25519PrivateKey.from_private_bytes(SEEDS[who]).sign(message)


def seal(key, aad, plain):
    nonce = os.urandom(24)
    return nonce + ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, aad)


def ids(*numbers):
    """Joined ids of the snapshots of these numbers."""
    return b"".join(bytes([n]) * 32 for n in numbers)


def refused(function, *args, error=Damage):
    try:
        function(*args)
    except error:
        return
    raise AssertionError("not refused: %r" % (args,))


class World:
    """A ledger being written; A (and perhaps B) are the genesis's admins."""

    def __init__(self, admins="A", vault=None, signer=None):
        self.objects, self.heads, self.bad_ledger, self.times = {}, {}, [], {}
        self.genesis = SimpleNamespace(repository_id=REPO, admins=[PUBLIC[name] for name in admins],
                                       vault=vault and PUBLIC[vault], reader_sign_key=signer and PUBLIC[signer])
        if "A" in admins:
            self.add("A", 0, 1, [])

    def add(self, who, time, kind, payload, /, signer=None, taken=None, **change):
        """Write the next entry of a key; its hash."""
        count, head = self.heads.get(who, (0, bytes(32)))
        body = dict(repo=REPO, author=ID[who], sequence=count, previous=head, time=[time, 0], type=kind,
                    payload=payload)
        body.update(change)
        raw = cbor.encode(list(body.values()))
        data = b"VARV\x06\x01\x01\x00" + struct.pack("<I", len(raw)) + raw
        data += sign(signer or who, b"varve v1 entry\0" + data)
        name = entry_name(ID[who], count)
        self.objects[name] = data
        if taken is not None:
            self.times[name] = (taken, 0)
        self.heads[who] = (count + 1, sha256(data))
        return sha256(data)

    def snapshot(self, who, time, number, retain=0, state=0, stream=STREAM, **more):
        return self.add(who, time, 5, [bytes([number]) * 32, stream, state, retain, 0], **more)

    def receipt(self, time, *of, who="V", retain=0):
        """A receipt of `who` for entries (author's name, sequence)."""
        return self.add(who, time, 9, [[ID[name], sequence, self.hash(name, sequence), retain, 0]
                                       for name, sequence in of])

    def prune_done(self, who, time, *numbers):
        return self.add(who, time, 15, [ID["A"], 0, b"", ids(*numbers), b""])

    def hash(self, who, sequence):
        return sha256(self.objects[entry_name(ID[who], sequence)])

    # --- as a store ---

    def names(self, prefix):
        return sorted(name for name in self.objects if name.startswith(prefix))

    def read(self, name):
        if name not in self.objects:
            raise Damage(name + ": missing")
        return self.objects[name]

    def taken(self, name):
        return self.times.get(name)

    # --- as it is read ---

    def ledger(self):
        return Ledger(self, self.genesis)

    def good(self):
        """The ledger, in which nothing is bad."""
        ledger = self.ledger()
        assert not ledger.errors, ledger.errors
        return ledger

    def bad(self, text):
        errors = self.ledger().errors
        assert errors and any(text in error for error in errors), (text, errors)

    def seen(self, now):
        return Snapshots(self.good(), now)

    def order(self):
        return "".join(NAME[author] for author in self.good().authors.order)

    def merged(self):
        return short(self.good().merged)

    def void(self):
        return short(entry for entry in self.good().entries() if entry.void is not None)


def short(entries):
    return " ".join("%s%d" % (NAME[entry.author], entry.sequence) for entry in entries)


def writer_world():
    """An admin A, a vault V, and a writer W."""
    w = World("A", "V")
    w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
    return w


def run(namespace):
    """Run the tests of a file."""
    for name, function in list(namespace.items()):
        if name.startswith("test_"):
            function()
    print("all well")
