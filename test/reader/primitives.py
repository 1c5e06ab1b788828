"""The cryptography of the page: HKDF, seals, HPKE, signatures, scrypt, and strict zstd and base64."""

import base64
import hashlib
import hmac as _hmac
import re
import struct

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from errors import Damage, need

ED25519_P = 2**255 - 19
ED25519_L = 2**252 + 27742317777372353535851937790883648493


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return _hmac.new(key, data, hashlib.sha256).digest()


def equal(a, b):
    return _hmac.compare_digest(a, b)


def hkdf_extract(salt, ikm):
    return hmac256(salt or bytes(32), ikm)


def hkdf_expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac256(prk, block + info + bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def hkdf(key, salt, info, length=32):
    """HKDF(key, salt, info) of §2."""
    return hkdf_expand(hkdf_extract(salt, key), info, length)


# --- XChaCha20-Poly1305 (§2, Seal) ---

def _quarter(s, a, b, c, d):
    m = 0xFFFFFFFF
    s[a] = (s[a] + s[b]) & m
    x = s[d] ^ s[a]
    s[d] = ((x << 16) | (x >> 16)) & m
    s[c] = (s[c] + s[d]) & m
    x = s[b] ^ s[c]
    s[b] = ((x << 12) | (x >> 20)) & m
    s[a] = (s[a] + s[b]) & m
    x = s[d] ^ s[a]
    s[d] = ((x << 8) | (x >> 24)) & m
    s[c] = (s[c] + s[d]) & m
    x = s[b] ^ s[c]
    s[b] = ((x << 7) | (x >> 25)) & m


def hchacha20(key, nonce):
    """The subkey of XChaCha20: 32-byte key, 16-byte nonce."""
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    for _ in range(10):
        _quarter(s, 0, 4, 8, 12)
        _quarter(s, 1, 5, 9, 13)
        _quarter(s, 2, 6, 10, 14)
        _quarter(s, 3, 7, 11, 15)
        _quarter(s, 0, 5, 10, 15)
        _quarter(s, 1, 6, 11, 12)
        _quarter(s, 2, 7, 8, 13)
        _quarter(s, 3, 4, 9, 14)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def aead_open(key, nonce, aad, data, what):
    """ChaCha20-Poly1305 (RFC 8439); a failure is damage."""
    need(len(data) >= 16, what + ": too short for its tag")
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, data, aad)
    except InvalidTag:
        raise Damage(what + ": does not authenticate") from None


def seal_open(key, aad, sealed, what):
    """The inverse of Seal(key, aad, plaintext) of §2."""
    need(len(sealed) >= 40, what + ": too short for a seal")
    subkey = hchacha20(key, sealed[:16])
    return aead_open(subkey, bytes(4) + sealed[16:24], aad, sealed[24:], what)


# --- HPKE, mode_psk (§5; RFC 9180) ---

_KEM = b"KEM" + b"\x00\x20"
_HPKE = b"HPKE" + b"\x00\x20" + b"\x00\x01" + b"\x00\x03"


def _labeled_extract(suite, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite, prk, label, info, length):
    return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def x25519_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)


def hpke_key_schedule(shared, psk, psk_id, info):
    """KeySchedule of RFC 9180 for mode_psk: (key, base nonce)."""
    context = (b"\x01" + _labeled_extract(_HPKE, b"", b"psk_id_hash", psk_id)
               + _labeled_extract(_HPKE, b"", b"info_hash", info))
    secret = _labeled_extract(_HPKE, shared, b"secret", psk)
    return (_labeled_expand(_HPKE, secret, b"key", context, 32),
            _labeled_expand(_HPKE, secret, b"base_nonce", context, 12))


def hpke_shared(dh, enc, public):
    """ExtractAndExpand of DHKEM(X25519, HKDF-SHA256)."""
    prk = _labeled_extract(_KEM, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM, prk, b"shared_secret", enc + public, 32)


def hpke_open(private, enc, psk, psk_id, info, aad, ct):
    """Plaintext of the first message, or None when it does not open with this private key."""
    try:
        dh = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(enc))
    except ValueError:  # the all-zero shared secret, which RFC 9180 refuses
        return None
    key, nonce = hpke_key_schedule(hpke_shared(dh, enc, x25519_public(private)), psk, psk_id, info)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ct, aad)
    except InvalidTag:
        return None


# --- Ed25519 (§2) ---

def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_verify(public, message, signature):
    """RFC 8032 §5.1.7, S below the group order, points in canonical encoding only."""
    if len(public) != 32 or len(signature) != 64:
        return False
    if int.from_bytes(signature[32:], "little") >= ED25519_L:
        return False
    for point in (public, signature[:32]):
        number = int.from_bytes(point, "little")
        y, sign = number & (2**255 - 1), number >> 255
        if y >= ED25519_P or (sign and y in (1, ED25519_P - 1)):
            return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def author_id(public):
    """§4: the first 16 bytes of the SHA-256 of an Ed25519 public key."""
    return sha256(public)[:16]


# --- scrypt (§12) ---

def check_scrypt(log_n, r, p):
    """§12: what must be refused before anything is allocated."""
    need(log_n >= 1 and r > 0 and 0 < p <= 64, "scrypt: parameters out of range")
    need(log_n <= 31 and log_n < 16 * r, "scrypt: N is too large")
    need(128 * r * ((1 << log_n) + p) <= 1 << 31, "scrypt: needs more than 2 GiB")


def scrypt(passphrase, salt, log_n, r, p):
    check_scrypt(log_n, r, p)
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase)


# --- zstd (§7) ---

MAX_WINDOW = 8 << 20


def zstd_decompress(data, raw_length):
    """One zstd frame with content size, without dictionary and checksum, and nothing behind it."""
    need(len(data) >= 6 and data[:4] == b"\x28\xb5\x2f\xfd", "zstd: no frame")
    flags = data[4]
    single = flags & 0x20
    need(not flags & 0x08, "zstd: reserved bit")
    need(not flags & 0x04, "zstd: checksum")
    at, window = 5, 0
    if not single:
        exponent, mantissa = data[5] >> 3, data[5] & 7
        window = (1 << (10 + exponent)) + ((1 << (10 + exponent)) // 8) * mantissa
        at = 6
    dictionary = (0, 1, 2, 4)[flags & 0x03]
    need(not any(data[at:at + dictionary]), "zstd: dictionary id")
    at += dictionary
    size_bytes = (1 if single else 0, 2, 4, 8)[flags >> 6]
    need(size_bytes, "zstd: no content size")
    need(len(data) >= at + size_bytes, "zstd: short header")
    size = int.from_bytes(data[at:at + size_bytes], "little") + (256 if size_bytes == 2 else 0)
    at += size_bytes
    need(size == raw_length, "zstd: content size is not the raw length")
    need((size if single else window) <= MAX_WINDOW, "zstd: window too large")
    last = False
    while not last:
        need(len(data) >= at + 3, "zstd: short block header")
        block = int.from_bytes(data[at:at + 3], "little")
        last, kind, length = block & 1, (block >> 1) & 3, block >> 3
        need(kind != 3, "zstd: reserved block type")
        at += 3 + (1 if kind == 1 else length)
    need(at == len(data), "zstd: bytes behind the frame, or missing")
    try:
        raw = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise Damage("zstd: %s" % error) from None
    need(len(raw) == raw_length, "zstd: wrong length")
    return raw


# --- base64 (§12) ---

def strict_base64(text):
    """Canonical base64 with padding; spaces, tabs and line ends (LF, CRLF) ignored."""
    compact = re.sub(rb"\r\n|[ \t\n]", b"", text)
    need(re.fullmatch(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", compact),
         "base64: not canonical")
    data = base64.b64decode(compact)
    need(base64.b64encode(data) == compact, "base64: not canonical")
    return data
