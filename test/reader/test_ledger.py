"""Authors, ends of chains, merged order, receipts and pruning (§11) on ledgers made here: plain asserts."""

import struct
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import strict_cbor as cbor
from errors import Damage
from ledger import Ledger, entry_name
from primitives import author_id, ed25519_public, sha256
from retention import Snapshots

REPO = b"r" * 32
DOMAIN = b"d" * 16
STREAM = b"s" * 16
SEEDS = {name: bytes([ord(name)]) * 32 for name in "ABCVWXYZ"}
PUBLIC = {name: ed25519_public(seed) for name, seed in SEEDS.items()}
ID = {name: author_id(public) for name, public in PUBLIC.items()}


class World:
    """A store that holds nothing but a ledger; A (and perhaps B) are the genesis's admins."""

    def __init__(self, admins="A", vault=None):
        self.objects, self.heads, self.bad_ledger = {}, {}, []
        self.genesis = SimpleNamespace(repository_id=REPO, admins=[PUBLIC[name] for name in admins],
                                       vault=vault and PUBLIC[vault])
        if "A" in admins:
            self.add("A", 0, 1, [])

    def add(self, who, time, kind, payload, /, signer=None, **change):
        count, head = self.heads.get(who, (0, bytes(32)))
        body = dict(repo=REPO, author=ID[who], sequence=count, previous=head, time=[time, 0], type=kind, payload=payload)
        body.update(change)
        raw = cbor.encode(list(body.values()))
        data = b"VARV\x06\x01\x01\x00" + struct.pack("<I", len(raw)) + raw
        key = Ed25519PrivateKey.from_private_bytes(SEEDS[signer or who])
        data += key.sign(b"varve v1 entry\0" + data)
        self.objects[entry_name(ID[who], count)] = data
        self.heads[who] = (count + 1, sha256(data))
        return sha256(data)

    def snapshot(self, who, time, number, retain=0, state=0, **more):
        return self.add(who, time, 5, [bytes([number]) * 32, STREAM, state, retain, 0], **more)

    def names(self, prefix):
        return sorted(self.objects)

    def read(self, name):
        if name not in self.objects:
            raise Damage(name + ": missing")
        return self.objects[name]

    def ledger(self):
        return Ledger(self, self.genesis)

    def good(self):
        ledger = self.ledger()
        assert not ledger.errors, ledger.errors
        return ledger

    def bad(self, text=""):
        errors = self.ledger().errors
        assert errors and any(text in error for error in errors), (text, errors)


def names(ledger):
    by_id = {value: key for key, value in ID.items()}
    return "".join(by_id[author] for author in ledger.order)


def merged(ledger):
    by_id = {value: key for key, value in ID.items()}
    return " ".join("%s%d" % (by_id[entry.author], entry.sequence) for entry in ledger.merged)


def test_authors():
    w = World("AB", "V")
    w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
    w.add("A", 2, 19, [0, PUBLIC["Y"]])
    w.add("B", 1, 19, [0, PUBLIC["X"]])
    w.add("B", 2, 2, [PUBLIC["V"], DOMAIN])   # stays a vault
    w.add("B", 3, 2, [PUBLIC["Y"], DOMAIN])   # stays an admin
    w.add("Y", 0, 19, [1, PUBLIC["Z"]])
    w.snapshot("W", 0, 1)                     # before its cert, by time
    ledger = w.good()
    assert names(ledger) == "ABYXVZW" and ledger.roles[ID["V"]] == "vault"
    assert merged(ledger) == "A0 Y0 W0 A1 B0 A2 B1 B2", merged(ledger)
    assert ledger.may_use(ID["W"], DOMAIN) and not ledger.may_use(ID["W"], b"e" * 16)


def test_refusals():
    cert = [PUBLIC["W"], DOMAIN]
    World("B").bad("missing")
    for who, kind, payload in (("W", 2, cert), ("W", 9, []), ("V", 5, [b"i" * 32, STREAM, 0, 0, 0]), ("V", 18, [DOMAIN, b""]),
                               ("W", 7, [b"", ""]), ("A", 9, []), ("W", 14, [b"", b"", b""]), ("A", 1, []), ("X", 17, ["", ""])):
        w = World("A", "V")
        w.add("A", 0, 2, cert)
        w.add(who, 1, kind, payload)
        w.bad()
    for change in (dict(repo=b"x" * 32), dict(author=ID["B"]), dict(sequence=7), dict(previous=b"p" * 32), dict(type=0),
                   dict(type=256), dict(time=[0, 10**9]), dict(signer="B"), dict(payload=[PUBLIC["W"]]), dict(payload=None),
                   dict(payload=[PUBLIC["W"], DOMAIN, 0])):
        w = World()
        w.add("A", 1, 2, cert, **change)
        w.bad()
    w = World()
    w.add("A", 1, 99, [1, [2]])
    w.add("A", 1, 10, [])
    w.good()
    w.add("A", 1, 99, 1)
    w.bad()
    w = World("AB")
    w.add("B", 1, 1, [])
    w.bad("genesis entry")
    w = World()
    w.add("A", 1, 17, ["c", "d"])
    w.add("A", 1, 17, ["c", "d"])
    del w.objects[entry_name(ID["A"], 1)]
    w.bad("missing")
    w = World()
    w.bad_ledger = ["ledger/x"]
    w.bad("ledger/x")


def test_forged():
    w = World()
    w.add("A", 1, 17, ["c", "d"])
    name = entry_name(ID["A"], 1)
    data = w.objects[name]
    w.objects[name] = data[:20] + bytes([data[20] ^ 1]) + data[21:]
    w.bad()
    w.objects[name] = data[:-1] + bytes([data[-1] ^ 1])
    w.bad("signature")
    w.objects[name] = data + b"\0"
    w.bad()


def test_ends():
    w = World()
    w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
    first = w.snapshot("W", 2, 1)
    w.snapshot("W", 3, 2)
    w.add("A", 4, 3, [ID["W"], 1, first, "lost"])
    ledger = w.good()
    assert merged(ledger) == "A0 A1 W0 A2" and len(ledger.behind()) == 1
    w.add("A", 5, 3, [ID["W"], 0, bytes(32), "lost earlier"])
    assert merged(w.good()) == "A0 A1 A2 A3"
    w.add("A", 6, 3, [ID["W"], 2, b"x" * 32, "does not hold: not the least"])
    w.add("A", 7, 3, [ID["Z"], 0, bytes(32), "a stranger who never wrote"])
    w.good()
    w.add("A", 8, 3, [ID["W"], 0, first, "another head of the same count"])
    w.bad("entries are missing, or others")
    w = World()
    w.add("A", 7, 3, [ID["Z"], 1, first, "a stranger whose chain is gone"])
    w.bad("entries are missing, or others")
    # A head that is another, and a chain that is shorter.
    for count, head in ((1, b"x" * 32), (3, first)):
        w = World()
        w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
        w.snapshot("W", 2, 1)
        w.add("A", 4, 3, [ID["W"], count, head, ""])
        w.bad("entries are missing, or others")


def test_admins_end():
    w = World("AB")
    head = w.add("B", 1, 2, [PUBLIC["W"], DOMAIN])
    w.add("B", 2, 2, [PUBLIC["X"], DOMAIN])
    w.add("B", 3, 3, [ID["A"], 0, bytes(32), "lower rank: does not count"])
    w.add("A", 4, 3, [ID["B"], 1, head, ""])
    assert names(w.good()) == "ABW"
    w.snapshot("X", 5, 1)
    w.bad("unknown author")
    w = World()
    w.add("A", 1, 16, [0, PUBLIC["C"]])
    w.add("A", 2, 2, [PUBLIC["W"], DOMAIN])  # behind the end
    w.add("C", 3, 2, [PUBLIC["X"], DOMAIN])
    ledger = w.good()
    assert names(ledger) == "ACX" and merged(ledger) == "A0 A1 C0"
    w.add("A", 9, 9, [])  # behind the end, and not an admin's
    w.bad("type 9")


def seen(w, now):
    return Snapshots(w.good(), now)


def numbers(snapshots):
    return [snapshot.id[0] for snapshot in snapshots.listed()]


def prune_done(w, who, time, *ids):
    w.add(who, time, 15, [ID["A"], 0, b"", b"".join(bytes([n]) * 32 for n in ids), b""])


def writer_world():
    w = World("A", "V")
    w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
    return w


def test_pruning():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=50)
    w.snapshot("W", 20, 2, retain=50)
    prune_done(w, "A", 60, 1, 2)
    assert numbers(seen(w, 100)) == [2]  # the newest complete one stays
    assert numbers(seen(w, 40)) == [1, 2]  # by the reader's clock it had not expired
    w = writer_world()
    w.snapshot("W", 10, 1, retain=50)
    w.snapshot("W", 20, 2)
    prune_done(w, "A", 40, 1)
    assert numbers(seen(w, 100)) == [1, 2]  # too early
    prune_done(w, "V", 50, 1)
    assert numbers(seen(w, 100)) == [2]
    w.add("A", 70, 6, [bytes([1]) * 32, 90, "longer"])
    assert numbers(seen(w, 100)) == [1, 2]
    # What came after it was rightly pruned brings back nothing that is gone.
    wrong = [(entry.time[0], manifest[0]) for entry, manifest in seen(w, 100).wrong_prunes()]
    assert wrong == [(40, 1)]
    assert [s.id[0] for s in seen(w, 100).listed(lambda manifest: manifest[0] != 1)] == [2]
    w.add("A", 71, 7, [bytes([1]) * 32, "too late"])
    assert [s.id[0] for s in seen(w, 100).listed(lambda manifest: manifest[0] != 1)] == [2]


def test_held_before_pruning():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=50)
    w.snapshot("W", 20, 2)
    w.add("V", 15, 7, [bytes([1]) * 32, "in time"])
    prune_done(w, "A", 60, 1)
    assert [s.id[0] for s in seen(w, 100).listed(lambda manifest: manifest[0] != 1)] == [1, 2]
    assert [manifest[0] for _, manifest in seen(w, 100).wrong_prunes()] == [1]


def test_partial_is_not_the_newest():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=20)
    w.snapshot("W", 15, 2, retain=20, state=1)
    prune_done(w, "A", 60, 1, 2)
    assert numbers(seen(w, 100)) == [1]


def test_receipts():
    w = writer_world()
    head = w.snapshot("W", 10, 1, retain=20)
    w.snapshot("W", 20, 2)
    w.add("V", 90, 9, [[ID["W"], 0, b"x" * 32, 500, 0]])
    assert seen(w, 100).received(w.good().chains[ID["W"]][0]) == (10, 0)
    w.add("V", 91, 9, [[ID["W"], 0, head, 70, 0]])
    w.add("V", 92, 9, [[ID["W"], 0, head, 600, 0]])
    s = seen(w, 100)
    assert s.received(s.all[0].entry) == (91, 0) and s.retain_until(s.all[0]) == 70
    # The later snapshot counts as received at 20; with its receipt, only then.
    prune_done(w, "A", 75, 1)
    assert numbers(seen(w, 100)) == [2]
    w.add("V", 80, 9, [[ID["W"], 1, w.heads["W"][1], 0, 0]])
    assert seen(w, 100)._superseded(s.all[0]) == 80 and numbers(seen(w, 100)) == [1, 2]


def test_holds():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=20)
    w.snapshot("W", 20, 2)
    w.add("V", 15, 7, [bytes([1]) * 32, "hold"])
    prune_done(w, "A", 60, 1)
    assert numbers(seen(w, 100)) == [1, 2] and seen(w, 100).held(bytes([1]) * 32, 100)
    w.add("A", 65, 8, [ID["V"], 0, "release"])
    s = seen(w, 100)
    assert not s.held(bytes([1]) * 32, 100) and numbers(s) == [1, 2]  # held at 60
    w.add("V", 80, 9, [[ID["A"], 3, w.heads["A"][1], 0, 0]])
    assert seen(w, 79).held(bytes([1]) * 32, 79) and not seen(w, 80).held(bytes([1]) * 32, 80)
    w.add("A", 81, 8, [ID["V"], 0, "again: the first one ended it"])
    assert not seen(w, 80).held(bytes([1]) * 32, 80)
    prune_done(w, "A", 85, 1)
    assert numbers(seen(w, 100)) == [2]
    # A release before its hold in merged order does not count.
    w = writer_world()
    w.snapshot("W", 10, 1, retain=20)
    w.add("A", 12, 8, [ID["V"], 0, "release"])
    w.add("V", 15, 7, [bytes([1]) * 32, "hold"])
    assert seen(w, 100).held(bytes([1]) * 32, 100)


def test_two_entries():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=20)
    w.snapshot("A", 12, 1, retain=40)
    s = seen(w, 100)
    assert len(s.all) == 1 and s.retain_until(s.all[0]) == 40 and s.all[0].entry.author == ID["W"]


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
