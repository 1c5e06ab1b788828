"""Known answers and refusals of the primitives: `python3 test_primitives.py` (plain asserts)."""

import struct

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import primitives as p
import strict_cbor as cbor
from errors import Damage, NewerFormat, UnknownSuite
from keys import parse_key_file
from objects import check_preamble, kind_of_name
from packs import parse_directory

h = bytes.fromhex


def refused(function, *args, error=Damage):
    try:
        function(*args)
    except error:
        return
    raise AssertionError("not refused: %s%r" % (function.__name__, args))


def test_hkdf():
    """RFC 5869, A.1 and A.3."""
    okm = p.hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xf0, 0xfa)), 42)
    assert okm == h("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    okm = p.hkdf(b"\x0b" * 22, b"", b"", 42)
    assert okm == h("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")


def test_xchacha():
    """draft-irtf-cfrg-xchacha, 2.2.1 and A.3.1."""
    assert p.hchacha20(bytes(range(32)), h("000000090000004a0000000031415927")) == h(
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")
    key, aad = bytes(range(0x80, 0xa0)), h("50515253c0c1c2c3c4c5c6c7")
    sealed = bytes(range(0x40, 0x58)) + h(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")
    plain = p.seal_open(key, aad, sealed, "vector")
    assert plain.startswith(b"Ladies and Gentlemen of the class of '99") and len(plain) == 114
    for at in (0, 23, 24, 60, len(sealed) - 1):
        refused(p.seal_open, key, aad, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:], "flipped")
    refused(p.seal_open, key, aad + b"x", sealed, "other aad")
    refused(p.seal_open, key, aad, sealed[:39], "short")


def hpke_seal(public, ephemeral, psk, psk_id, info, aad, plain):
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = p.x25519_public(ephemeral)
    dh = private.exchange(X25519PublicKey.from_public_bytes(public))
    key, nonce = p.hpke_key_schedule(p.hpke_shared(dh, enc, public), psk, psk_id, info)
    return enc, ChaCha20Poly1305(key).encrypt(nonce, plain, aad)


def test_hpke():
    """RFC 9180, A.2.2 (mode_psk, first message); there and back; refusals."""
    assert p.hpke_open(h("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879"),
                       h("2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04"),
                       h("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82"),
                       b"Ennyn Durin aran Moria", b"Ode on a Grecian Urn", b"Count-0",
                       h("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff")
                       ) == b"Beauty is truth, truth beauty"
    private = bytes(range(32))
    args = (b"k" * 32, b"id", b"info", b"aad")
    enc, ct = hpke_seal(p.x25519_public(private), b"e" * 32, *args, b"plain")
    assert p.hpke_open(private, enc, *args, ct) == b"plain"
    assert p.hpke_open(bytes(range(1, 33)), enc, *args, ct) is None
    for n in range(4):
        other = args[:n] + (args[n] + b"x",) + args[n + 1:]
        assert p.hpke_open(private, enc, *other, ct) is None
    assert p.hpke_open(private, enc, *args, ct[:-1] + bytes([ct[-1] ^ 1])) is None
    assert p.hpke_open(private, bytes(32), *args, ct) is None  # a point of small order


def test_ed25519():
    """RFC 8032, 7.1, tests 1 and 2; refusals."""
    seed = h("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = h("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = h("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                  "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
    assert p.ed25519_public(seed) == public
    assert p.ed25519_verify(public, b"", signature)
    assert not p.ed25519_verify(public, b"x", signature)
    assert not p.ed25519_verify(public, b"", signature[:63])
    for at in (0, 31, 32, 63):
        bad = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1:]
        assert not p.ed25519_verify(public, b"", bad)
    s = int.from_bytes(signature[32:], "little") + p.ED25519_L
    assert not p.ed25519_verify(public, b"", signature[:32] + s.to_bytes(32, "little"))
    high = (2**255 - 19 + 1).to_bytes(32, "little")  # y = p + 1, not canonical
    assert not p.ed25519_verify(high, b"", signature)
    assert not p.ed25519_verify(b"\x01" + bytes(30) + b"\x80", b"", signature)  # x = 0 with a sign
    other = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    assert p.ed25519_verify(p.ed25519_public(b"s" * 32), b"message", other.sign(b"message"))


def test_scrypt():
    """RFC 7914, 12 (its second vector), shortened to 32 bytes; the limits of §12."""
    assert p.scrypt(b"password", b"NaCl", 10, 8, 16) == h(
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162")
    for log_n, r, n in ((0, 8, 1), (17, 0, 1), (17, 8, 0), (10, 8, 65), (16, 1, 1), (21, 8, 1), (2**50, 2**50, 1),
                        (10, 2**21, 1)):
        refused(p.check_scrypt, log_n, r, n)
    p.check_scrypt(15, 1, 1)
    p.check_scrypt(17, 8, 64)
    refused(p.check_scrypt, 24, 1, 1)


def frame(plain, **options):
    return zstandard.ZstdCompressor(**options).compress(plain)


def test_zstd():
    plain = b"0123456789" * 1000
    good = frame(plain)
    assert p.zstd_decompress(good, len(plain)) == plain
    assert p.zstd_decompress(frame(b"x"), 1) == b"x"
    assert p.zstd_decompress(frame(bytes(300)), 300) == bytes(300)
    refused(p.zstd_decompress, good, len(plain) - 1)
    refused(p.zstd_decompress, good + b"\0", len(plain))
    refused(p.zstd_decompress, good + good, len(plain))
    refused(p.zstd_decompress, good[:-1], len(plain))
    refused(p.zstd_decompress, b"\x50\x2a\x4d\x18" + struct.pack("<I", 0) + good, len(plain))
    refused(p.zstd_decompress, good + b"\x50\x2a\x4d\x18" + struct.pack("<I", 0), len(plain))
    refused(p.zstd_decompress, frame(plain, write_checksum=True), len(plain))
    refused(p.zstd_decompress, frame(plain, write_content_size=False), len(plain))
    dictionary = zstandard.ZstdCompressionDict(b"0123456789" * 50, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    refused(p.zstd_decompress, frame(plain, dict_data=dictionary)[:6], len(plain))
    at = 5 if good[4] & 0x20 else 6  # behind the window field, if there is one
    refused(p.zstd_decompress, good[:4] + bytes([good[4] | 1]) + good[5:at] + b"\x07" + good[at:], len(plain))
    no_id = good[:4] + bytes([good[4] | 1]) + good[5:at] + b"\0" + good[at:]
    assert p.zstd_decompress(no_id, len(plain)) == plain
    refused(p.zstd_decompress, good[:4] + bytes([good[4] | 8]) + good[5:], len(plain))
    # A window of 16 MiB for a frame of one byte; one of 8 MiB is accepted.
    for exponent, fine in ((13, True), (14, False)):
        made = b"\x28\xb5\x2f\xfd\x80" + bytes([exponent << 3]) + struct.pack("<I", 1) + b"\x09\0\0" + b"x"
        if fine:
            assert p.zstd_decompress(made, 1) == b"x"
        else:
            refused(p.zstd_decompress, made, 1)
    refused(p.zstd_decompress, b"", 0)


def test_base64():
    assert p.strict_base64(b"Zm9v\r\nYm Fy\tCg==\n") == b"foobar\n"
    assert p.strict_base64(b"") == b""
    for bad in (b"Zg", b"Zg=", b"Zh==", b"Zm9=", b"Zg==Zg==", b"Zm9v\rYmFy", b"Zm9v*", b"Zm-_", b"Zm9v\0", b"=",
                b"Zm9v\x0bYmFy"):
        refused(p.strict_base64, bad)
    assert parse_key_file(b"varve key file v1\r\nZm9v\r\n") == b"foo"
    assert parse_key_file(b"varve key file v1\nZm9v") == b"foo"
    for bad in (b"", b"varve key file v2\nZm9v\n", b" varve key file v1\nZm9v\n",
                b"varve key file v1\r\r\nZm9v\n"):
        refused(parse_key_file, bad)


def nested(depth):
    return b"\x81" * (depth - 1) + b"\x80"


def test_cbor():
    """RFC 8949, appendix A, of what §2 leaves; and what it refuses."""
    for data, value in (("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1a000f4240", 10**6),
                        ("1b000000e8d4a51000", 10**12), ("20", -1), ("3903e7", -1000), ("f6", None), ("40", b""),
                        ("4401020304", b"\1\2\3\4"), ("62c3bc", "ü"), ("64f0908591", "𐅑"), ("80", []),
                        ("8301820203820405", [1, [2, 3], [4, 5]])):
        assert cbor.decode(h(data)) == value and cbor.encode(value) == h(data), data
    for data in ("", "1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "5817" + "00" * 23, "980100", "9f00ff",
                 "5f4100ff", "7f6100ff", "a0", "a10000", "c000", "f4", "f5", "f7", "f0", "f820", "f8ff", "f90000",
                 "fa00000000", "fb0000000000000000", "ff", "1c", "1f", "61ff", "62c080", "63eda080", "6261", "4201",
                 "82", "8100f6", "00" * 2, "9bffffffffffffffff", "5bffffffffffffffff"):
        refused(cbor.decode, h(data))
    cbor.decode(nested(32))
    refused(cbor.decode, nested(33))
    refused(cbor.decode, nested(5000))
    for function, bad in ((cbor.integer, -1), (cbor.integer, 2**53), (cbor.integer, b""), (cbor.seconds, -2**53),
                          (cbor.time, [0, 10**9]), (cbor.time, [0, -1]), (cbor.time, [0]), (cbor.text, b"a"),
                          (cbor.octets, "a"), (cbor.joined_ids, bytes(31)), (cbor.joined_ids, bytes(64)),
                          (cbor.joined_ids, b"b" * 32 + b"a" * 32), (cbor.owner, [0, 2**32, None, None]),
                          (cbor.owner, [0, 0, None])):
        refused(function, bad)
    assert cbor.time([-1, 999_999_999]) == (-1, 999_999_999)
    assert cbor.joined_ids(b"a" * 32 + b"b" * 32) == [b"a" * 32, b"b" * 32]


def test_preamble_and_names():
    check_preamble(b"VARV\x03\x01\x01\x00", 3)
    refused(check_preamble, b"VARV\x03\x02\x01\x00", 3, error=NewerFormat)
    refused(check_preamble, b"VARV\x09\x02\x07\x01", 3, error=NewerFormat)
    refused(check_preamble, b"VARV\x03\x01\x02\x00", 3, error=UnknownSuite)
    for bad in (b"VARV\x03\x00\x01\x00", b"VARV\x04\x01\x01\x00", b"VARV\x03\x01\x01\x01", b"VARX\x03\x01\x01\x00", b""):
        refused(check_preamble, bad, 3)
    assert kind_of_name("packs/ab/ab" + "0" * 62) == 3
    for bad in ("packs/ab/ac" + "0" * 62, "index/" + "A" * 64, "genesis\n", "keys/0", "ledger/" + "0" * 32 + "/0"):
        assert kind_of_name(bad) is None


def directory(frames, chunks, tail=b""):
    return (struct.pack("<II", len(frames), len(chunks)) + b"".join(struct.pack("<IIIIBxxx", *f) for f in frames)
            + b"".join(struct.pack("<32sBI", b"i" * 32, *c) for c in chunks) + tail)


def test_directory():
    one = directory([(256, 26, 10, 2, 0)], [(1, 4), (1, 6)])
    assert parse_directory(one + bytes(5), 282, 1, True)[0].chunks == [(b"i" * 32, 1, 4), (b"i" * 32, 1, 6)]
    assert parse_directory(directory([], []), 256, 2, False) == []
    refused(parse_directory, one + bytes(5), 282, 1, False)
    refused(parse_directory, one + b"\0\1", 282, 1, True)
    refused(parse_directory, one, 281, 1, True)
    refused(parse_directory, one, 282, 2, True)
    refused(parse_directory, one[:-1], 282, 1, True)
    refused(parse_directory, one[:8 + 17] + b"\1" + one[8 + 18:], 282, 1, True)
    for frames, chunks in (([(255, 26, 10, 1, 0)], [(1, 10)]), ([(256, 27, 10, 1, 0)], [(1, 10)]),
                           ([(256, 26, 10, 1, 2)], [(1, 10)]), ([(256, 16, 10, 1, 1)], [(1, 10)]),
                           ([(256, 26, 10, 1, 0)], [(1, 9)]), ([(256, 26, 10, 1, 0)], [(5, 10)]),
                           ([(256, 26, 10, 0, 0)], []), ([(256, 16, 0, 1, 0)], [(1, 0)]),
                           ([(256, 26, 10, 1, 0)], [(1, 10), (1, 10)]),
                           ([(256, 26, 10, 1, 0), (281, 26, 10, 1, 0)], [(1, 10), (1, 10)]),
                           ([(300, 26, 10, 1, 0), (256, 26, 10, 1, 0)], [(1, 10), (1, 10)]),
                           ([(256, 2097153 + 16, 2097153, 1, 0)], [(1, 2097153)]),
                           ([(256, 100, 4194305, 3, 1)], [(1, 2097152), (1, 2097152), (1, 1)])):
        refused(parse_directory, directory(frames, chunks), 1 << 26, 1, True)


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
