"""Manifests (§10), key files and slots (§12) made here: plain asserts."""

import base64
import hashlib
import struct
from types import SimpleNamespace

import strict_cbor as cbor
from errors import Damage, WrongKey
from keys import Keyring, open_key_file, split_slot
from manifests import Body, Manifest, Manifests
from objects import KEY_FILE, SLOT
from primitives import sha256

REPO = b"r" * 32
P = [bytes([n]) * 32 for n in range(1, 6)]


def refused(function, *args, error=Damage):
    try:
        function(*args)
    except error:
        return
    raise AssertionError("not refused: %r" % (args,))


def envelope(pins, count, **change):
    items = dict(repo=REPO, writer=b"w" * 16, domain=b"d" * 16, session=b"s" * 16, enc=b"e" * 32, ct=b"c" * 48,
                 commitment=b"m" * 32, stream=b"t" * 16, started=[1, 0], finished=[-1, 5], claimed=[3, 0], state=0,
                 pins=pins, count=count, size=0, new=0, index=[b"i" * 32])
    items.update(change)
    raw = cbor.encode(list(items.values()))
    return b"VARV\x05\x01\x01\x00" + struct.pack("<I", len(raw)) + raw + b"seal"


class Fake:
    def __init__(self):
        self.objects = {}

    def put(self, data):
        self.objects["snapshots/" + sha256(data).hex()] = data
        return sha256(data)

    def read_named(self, name):
        if name not in self.objects:
            raise Damage("missing")
        return self.objects[name]


def test_envelope():
    ids = b"".join(P[:3])
    Manifest(envelope([0, ids], 3), REPO)
    for pins, count in (([0, ids], 2), ([0, ids + P[2]], 4), ([0, P[1] + P[0]], 2), ([0, ids[:-1]], 3), ([17, REPO, b"", b""], 0),
                        ([-1, ids], 3), ([1, ids], 3), ([0, ids, b""], 3), ([], 0), ([0, REPO, b"", b""], 0), (ids, 3)):
        refused(Manifest, envelope(pins, count), REPO)
    for change in (dict(repo=b"x" * 32), dict(state=2), dict(started=[0, 10**9]), dict(claimed=None), dict(index=[b"i"]),
                   dict(index=None), dict(index=[b"i" * 32] * 65_537), dict(new=-1), dict(size=2**53), dict(extra=0), dict(ct=b"c" * 47)):
        refused(Manifest, envelope([0, ids], 3, **change), REPO)
    good = envelope([0, ids], 3)
    refused(Manifest, good[:40], REPO)
    refused(Manifest, good[:8] + b"\xff\xff\xff\xff" + good[12:], REPO)


def test_pins():
    def pins(base, depth, removed, added, count, **change):
        manifest = fake.put(envelope([depth, base, b"".join(removed), b"".join(added)], count, **change))
        return Manifests(fake, keys).pins(manifest), manifest

    fake, keys = Fake(), SimpleNamespace(genesis=SimpleNamespace(repository_id=REPO))
    base = fake.put(envelope([0, b"".join(P[:3])], 3))
    found, one = pins(base, 1, P[:1], P[3:4], 3)
    assert found == set(P[1:4])
    assert pins(one, 2, [], [], 3)[0] == found
    for args in ((base, 2, [], [], 3), (base, 1, P[3:4], [], 2), (base, 1, [], P[:1], 4), (base, 1, P[:1], P[3:4], 4),
                 (one, 1, [], [], 3), (b"n" * 32, 1, [], [], 0), (base, 1, P[:1], P[:1], 3)):
        refused(pins, *args)
    refused(lambda: pins(base, 1, [], [], 3, domain=b"o" * 16))
    last = base
    for depth in range(1, 17):
        found, last = pins(last, depth, [], [], 3)
    refused(pins, last, 17, [], [], 3)


def body(**change):
    root = [b"", 2, 0o755, 0, 1, 0, None, 0, [], None, b"p" * 32, [0, 0, 0]]
    items = dict(host="h", label="l", paths=[b"/a"], tags=["a", "\uff5e", "\U0001f600"], owner=[0, 0, None, "g"], root=root,
                 problems=[], count=0, program="p", notes=[["n", "v"]])
    items.update(change)
    return cbor.encode(list(items.values()))


def test_body():
    Body(body())
    root = [b"", 2, 0o755, 0, 1, 0, None, 0, [], None, b"p" * 32, [0, 0, 0]]
    for change in (dict(paths=[b"a"]), dict(paths=[b"/a\0"]), dict(paths=["/a"]), dict(tags=["b", "a"]), dict(tags=["a", "a"]),
                   dict(tags=["\U0001f600", "\uff5e"]), dict(owner=[0, 0, None]), dict(root=[b"x"] + root[1:]),
                   dict(root=root[:3] + [1] + root[4:]), dict(root=[b"", 4] + root[2:10]), dict(count=1),
                   dict(problems=[[b"p", "c"]]), dict(notes=[["n"]]), dict(host=b"h"), dict(extra=0)):
        refused(Body, body(**change))
    long = ["%04d" % n for n in range(1025)]
    Body(body(tags=long[:1024], notes=[["n", "v"]] * 1024, paths=[b"/"] * 262_144))
    Body(body(tags=["\u00fc" * 512]))
    for change in (dict(tags=long), dict(tags=["\u00fc" * 512 + "x"]), dict(notes=[["n", "v"]] * 1025),
                   dict(paths=[b"/"] * 262_145)):
        refused(Body, body(**change))
    Body(body(problems=[[b"p", "c"]], count=1))
    many = [[b"p", "c"]] * 10_000
    Body(body(problems=many, count=10_001))
    refused(Body, body(problems=many[1:], count=10_001))


def slot(kind, kdf=1, log_n=17, r=8, p=1, salt=b"s" * 32, commitment=b"c" * 32, content=b"x" * 100, **more):
    header = cbor.encode([b"i" * 8, kdf, log_n, r, p, salt, commitment, 5, "label", *more.values()])
    return b"VARV" + bytes([kind]) + b"\1\1\0" + struct.pack("<I", len(header)) + header + content


def test_slots():
    split_slot(slot(SLOT), SLOT)
    for change in (dict(kdf=0, log_n=0, r=0, p=0, salt=bytes(32)), dict(kdf=2), dict(log_n=0), dict(r=0), dict(p=0), dict(p=65),
                   dict(log_n=22), dict(log_n=16, r=1), dict(salt=b""), dict(extra=0), dict(log_n=2**52)):
        refused(split_slot, slot(SLOT, **change), SLOT)
    refused(split_slot, slot(SLOT), KEY_FILE)


def test_key_files():
    ring = cbor.encode([REPO, b"R" * 32, None, None])
    genesis = SimpleNamespace(repository_id=REPO)

    def text(**change):
        args = dict(kdf=0, log_n=0, r=0, p=0, salt=bytes(32), commitment=hashlib.sha256(ring).digest(), content=ring)
        args.update(change)
        return b"varve key file v1\n" + base64.encodebytes(slot(KEY_FILE, **args))

    assert open_key_file(text(), genesis, None).root == b"R" * 32
    for change in (dict(r=1), dict(salt=b"s" * 32), dict(commitment=b"c" * 32), dict(content=ring + b"\0"), dict(kdf=2)):
        refused(open_key_file, text(**change), genesis, None)
    refused(open_key_file, text(kdf=1, log_n=4, r=1, p=1), genesis, None, error=WrongKey)
    refused(open_key_file, text(kdf=1, log_n=4, r=1, p=1), genesis, b"pass", error=WrongKey)
    good = [REPO, None, b"a" * 32, [b"s" * 32, b"d" * 16, b"D" * 32]]
    assert Keyring(cbor.encode(good)).writer[1] == b"d" * 16
    refused(Keyring, cbor.encode(good + [b"k" * 64]))  # added keys stand beside R only
    good[1] = b"R" * 32
    assert Keyring(cbor.encode(good + [b"k" * 64])).added == [b"k" * 32] * 2
    for added in (b"", b"k" * 32):
        assert Keyring(cbor.encode(good + [added, b"u" * 32])).auditor_seed == b"u" * 32
    assert Keyring(cbor.encode(good + [b"k" * 32])).auditor_seed is None
    for bad in (good[:3], good + [b""], good + [b"k" * 33], good + [None], good + [b"k" * 32, 0], good + [b"", None], good + [b"", b"u" * 31],
                good + [b"", b"u" * 32, 0], [REPO, None] + good[2:] + [b"", b"u" * 32], [REPO[1:]] + good[1:],
                good[:3] + [[b"s" * 32, b"d" * 16]], good[:2] + [b"a", None]):
        refused(Keyring, cbor.encode(bad))


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
