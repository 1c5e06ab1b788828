"""The algorithms of suite 1, from Python's hmac/hashlib and python3-cryptography: HKDF, XChaCha20-Poly1305, HPKE mode_psk,
Ed25519 verification, scrypt."""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class CryptoError(ValueError):
    """Authentication failed."""


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def equal(one, other):
    return hmac.compare_digest(one, other)


# -- HKDF (RFC 5869) -----------------------------------------------------------------------------------------------------

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
    return hkdf_expand(hkdf_extract(salt, key), info, length)


# -- ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) ------------------------------------------

def chacha_open(key, nonce, aad, sealed):
    if len(sealed) < 16:
        raise CryptoError("shorter than a tag")
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, bytes(sealed), aad)
    except InvalidTag:
        raise CryptoError("authentication failed") from None


def hchacha20(key, nonce16):
    s = list(struct.unpack("<4I8I4I", b"expand 32-byte k" + key + nonce16))

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            v = s[z] ^ s[x]
            s[z] = (v << n | v >> (32 - n)) & 0xffffffff

    for _ in range(10):
        quarter(0, 4, 8, 12)
        quarter(1, 5, 9, 13)
        quarter(2, 6, 10, 14)
        quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15)
        quarter(1, 6, 11, 12)
        quarter(2, 7, 8, 13)
        quarter(3, 4, 9, 14)
    return struct.pack("<8I", *s[:4], *s[12:])


def unseal(key, aad, sealed):
    """Open Seal(key, aad, plaintext) of section 2."""
    if len(sealed) < 40:
        raise CryptoError("shorter than a nonce and a tag")
    sealed = bytes(sealed)
    return chacha_open(hchacha20(key, sealed[:16]), bytes(4) + sealed[16:24], aad, sealed[24:])


# -- HPKE (RFC 9180), mode_psk, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305; one message -------------------------

_KEM = b"KEM" + struct.pack(">H", 0x0020)
_SUITE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0003)


def _labeled_extract(suite, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite, prk, label, info, length):
    return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def hpke_psk_open(private, enc, ct, info, aad, psk, psk_id):
    key = X25519PrivateKey.from_private_bytes(private)
    try:
        dh = key.exchange(X25519PublicKey.from_public_bytes(enc))
    except ValueError:      # the all-zero result
        raise CryptoError("HPKE: a point of small order") from None
    kem_context = enc + x25519_public(private)
    shared = _labeled_expand(_KEM, _labeled_extract(_KEM, b"", b"eae_prk", dh), b"shared_secret", kem_context, 32)
    context = b"\x01" + _labeled_extract(_SUITE, b"", b"psk_id_hash", psk_id) + _labeled_extract(_SUITE, b"", b"info_hash", info)
    secret = _labeled_extract(_SUITE, shared, b"secret", psk)
    return chacha_open(_labeled_expand(_SUITE, secret, b"key", context, 32),
                       _labeled_expand(_SUITE, secret, b"base_nonce", context, 12), aad, ct)


def x25519_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


# -- Ed25519 (RFC 8032), scrypt (RFC 7914) -------------------------------------------------------------------------------

def ed25519_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_verify(public, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise CryptoError("bad signature") from None


def scrypt(passphrase, salt, log_n, r, p):
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase)
