"""The genesis (§4), scopes, tags and key slots against the ledger (§11.2, §11.6, §11.8): plain asserts."""

import struct
from types import SimpleNamespace

import strict_cbor as cbor
from check_slots import check_slots
from errors import WrongKey
from keys import Domain, open_slots
from objects import Genesis
from primitives import hkdf, scrypt, sha256
from scopes import Scopes, matches
from slots import SlotList
from tags import apply_tags, parse_change, tag_changes
from worlds import DOMAIN, ID, PUBLIC, REPO, World, ids, refused, run, seal, sign, writer_world

OTHER = b"e" * 16


class FakeKeys:
    def __init__(self):
        self.of = {name: Domain(name * 2, b"salt" * 8) for name in (DOMAIN, OTHER)}

    def domain(self, domain_id):
        return self.of[domain_id]


KEYS = FakeKeys()


# --- genesis ---

def genesis(*more):
    body = cbor.encode([b"s" * 32, [1, 0], [PUBLIC["A"]], 1, b"x" * 32, None, *more])
    before = b"VARV\x01\x01\x01\x00" + struct.pack("<I", len(body)) + body
    return before + sign("A", b"varve v1 genesis\0" + before)


def test_genesis():
    assert Genesis(genesis()).reader_sign_key is None
    assert Genesis(genesis(PUBLIC["C"])).reader_sign_key == PUBLIC["C"]
    for more in ([None], [b"short"], [PUBLIC["C"], None]):
        refused(Genesis, genesis(*more))


# --- scopes ---

def cert(hosts, labels, name="", domain=DOMAIN, about=ID["W"]):
    sealed = seal(KEYS.domain(domain).k_scope, b"varve v1 scope" + REPO + about + domain, cbor.encode([hosts, labels]))
    return [PUBLIC["W"], domain, name, sealed]


def scopes(*certs):
    w = World()
    for payload in certs:
        w.add("A", 1, 2, payload)
    return Scopes(w.good(), KEYS)


def test_patterns():
    for pattern, text, fits in (("web", "web", 1), ("web", "web1", 0), ("web*", "web", 1), ("*", "", 1), ("*.b", "a\n.b", 1),
                                ("a*b*c", "axbyc", 1), ("a*b", "ab.", 0), ("a.c", "abc", 0), ("a?", "ab", 0), ("", "", 1)):
        assert matches(pattern, text) == bool(fits), (pattern, text)


def test_certified():
    def certified(made, host="web1", label="data", writer="W", domain=DOMAIN):
        return made.certified(ID[writer], domain, host, label)

    assert certified(scopes([PUBLIC["W"], DOMAIN]))
    some = scopes(cert(["web*"], ["data", "d*"]))
    assert certified(some) and not certified(some, host="db") and not certified(some, label="etc")
    assert not certified(some, domain=OTHER) and certified(some, writer="A", host="db")
    assert certified(scopes(cert(["web*"], [])), label="etc") and not certified(scopes(cert([], [])))
    assert certified(scopes(cert(["db"], []), cert(["web1"], [])))          # they add up
    assert not certified(scopes(cert(["web1"], [], about=ID["X"])))         # does not open
    broken = cert(["web1"], [])
    assert not certified(scopes(broken[:3] + [b"short"]))


def test_shown():
    def shown(*certs, host="evil"):
        return scopes(*certs).shown(ID["W"], DOMAIN, host, "data")

    assert shown(cert(["web1"], []), host="web1") == "web1"
    assert shown(cert(["x*"], [], "first"), cert(["y*", "web1"], [], "second")) == "web1"
    assert shown(cert(["x*"], []), cert(["y*"], [], "second")) == "second"
    assert shown(cert(["x*"], [])) == "writer-" + ID["W"].hex()[:8]
    assert shown(cert(["x*"], []), cert(["web1"], [], "name", domain=OTHER)) == "writer-" + ID["W"].hex()[:8]


# --- tags ---

def change(w, who, time, named, added, removed, domain=DOMAIN, **more):
    sequence = w.heads.get(who, (0,))[0]
    aad = b"varve v1 tags" + REPO + ID[who] + struct.pack("<Q", sequence)
    sealed = seal(KEYS.domain(domain).k_tag, aad, cbor.encode([named, added, removed]))
    w.add(who, time, 18, [domain, sealed], **more)


def test_tags():
    one = ids(1)
    w = writer_world()
    change(w, "W", 10, [one], ["b", "x"], ["a", "x"])
    change(w, "A", 11, [one], ["other domain"], [], domain=OTHER)
    change(w, "A", 12, [one, ids(2)], ["a"], ["b"])
    change(w, "W", 13, [one], ["not certified"], [], domain=OTHER)
    w.add("W", 14, 18, [DOMAIN, bytes(60)])
    changes, errors = tag_changes(w.good(), KEYS)
    assert apply_tags(["a", "z"], changes[one], DOMAIN) == ["a", "x", "z"]
    assert [error[-60:] for error in errors] and len(errors) == 2
    assert all(error.startswith("ledger/%s/" % ID["W"].hex()) for error in errors)


def test_tag_bounds():
    many = ["%04d" % n for n in range(1025)]
    parse_change(cbor.encode([[ids(1)] * 16_384, many[:1024], ["t" * 1024]]))
    for bad in ([[ids(1)] * 16_385, [], []], [[], many, []], [[], [], many], [[], ["ü" * 513], []], [[b"short"], [], []]):
        refused(parse_change, cbor.encode(bad))
    full = apply_tags([], [(DOMAIN, [], many[:1023])], DOMAIN)
    assert len(apply_tags(full, [(DOMAIN, [], ["x", "y"])], DOMAIN)) == 1024
    assert "y" in apply_tags(full, [(DOMAIN, ["0000"], ["x", "y"])], DOMAIN)


# --- key slots ---

def slot(slot_id, passphrase=b"pass"):
    """A slot object that a passphrase opens, with a reader's keyring."""
    salt = b"s" * 32
    kek = scrypt(passphrase, salt, 1, 1, 1)
    header = cbor.encode([slot_id, 1, 1, 1, 1, salt, hkdf(kek, salt, b"varve v1 slot commitment"), -5, "label"])
    before = b"VARV\x02\x01\x01\x00" + struct.pack("<I", len(header)) + header
    aad = b"varve v1 slot" + REPO + sha256(before)
    return before + seal(hkdf(kek, salt, b"varve v1 slot key"), aad, cbor.encode([REPO, b"R" * 32, None, None]))


def put(w, slot_id, **more):
    data = w.objects["keys/" + slot_id.hex()] = slot(slot_id, **more)
    return [slot_id, "label", sha256(data)]


def test_slots():
    one, two, three = (bytes([n]) * 8 for n in (1, 2, 3))
    w, said = World(), []

    def opened():
        said.clear()
        return open_slots(w, SimpleNamespace(repository_id=REPO), SlotList(w.good()), b"pass", said.append)

    item = put(w, one)
    assert opened().root == b"R" * 32 and not said                  # no list, no warning
    assert check_slots(w, SlotList(w.good())) == ([], [])
    w.add("A", 1, 21, [[item], []])
    assert opened() and check_slots(w, SlotList(w.good())) == ([], [])
    w.add("A", 2, 21, [[], [one]])
    refused(opened, error=WrongKey)
    assert check_slots(w, SlotList(w.good())) == ([], [])           # it may stay for the wait
    other = put(w, two)
    assert opened() and two.hex() in said[0]                        # another opens, which is not named
    assert two.hex() in check_slots(w, SlotList(w.good()))[1][0]
    w.add("A", 3, 21, [[other[:2] + [b"x" * 32], [three, "", b"x" * 32]], []])
    errors, warnings = check_slots(w, SlotList(w.good()))
    assert len(errors) == 2 and "another digest" in errors[0] and "missing" in errors[1] and not warnings
    w.add("A", 4, 21, [[item, other], [three]])                     # the last word counts
    assert opened() and check_slots(w, SlotList(w.good())) == ([], [])


if __name__ == "__main__":
    run(globals())
