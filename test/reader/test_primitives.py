#!/usr/bin/python3
"""Known answers for primitives.py and refusals of strict_cbor.py.  Run: /usr/bin/python3 test_primitives.py"""

import sys
import unittest

import primitives as p
import strict_cbor as cbor

sys.dont_write_bytecode = True
H = bytes.fromhex


class Primitives(unittest.TestCase):
    def test_hkdf_rfc5869_case_1(self):
        self.assertEqual(p.hkdf(b"\x0b" * 22, bytes(range(13)), H("f0f1f2f3f4f5f6f7f8f9"), 42).hex(),
                         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")

    def test_hchacha20_draft_2_2_1(self):
        self.assertEqual(p.hchacha20(bytes(range(32)), H("000000090000004a0000000031415927")).hex(),
                         "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")

    def test_xchacha20poly1305_draft_a_3_1(self):
        sealed = bytes(range(0x40, 0x58)) + H(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
            "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
            "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")
        aad = H("50515253c0c1c2c3c4c5c6c7")
        self.assertTrue(p.unseal(bytes(range(0x80, 0xa0)), aad, sealed).startswith(b"Ladies and Gentlemen of the class of '99"))
        with self.assertRaises(p.CryptoError):
            p.unseal(bytes(range(0x80, 0xa0)), aad, sealed[:-1] + b"\0")

    def test_hpke_rfc9180_a_2_2(self):
        arguments = dict(
            private=H("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879"),
            enc=H("2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04"),
            ct=H("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff"),
            info=H("4f6465206f6e2061204772656369616e2055726e"), aad=H("436f756e742d30"),
            psk=H("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82"),
            psk_id=H("456e6e796e20447572696e206172616e204d6f726961"))
        self.assertEqual(p.hpke_psk_open(**arguments), b"Beauty is truth, truth beauty")
        with self.assertRaises(p.CryptoError):
            p.hpke_psk_open(**{**arguments, "psk": bytes(32)})
        with self.assertRaises(p.CryptoError):
            p.hpke_psk_open(**{**arguments, "enc": bytes(32)})

    def test_ed25519_rfc8032_test_2(self):
        public = H("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        signature = H("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
        self.assertEqual(p.ed25519_public(H("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")), public)
        p.ed25519_verify(public, signature, b"\x72")
        with self.assertRaises(p.CryptoError):
            p.ed25519_verify(public, signature, b"\x73")

    def test_scrypt_rfc7914(self):
        self.assertEqual(p.scrypt(b"password", b"NaCl", 10, 8, 16).hex(),
                         "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162")


class Cbor(unittest.TestCase):
    @staticmethod
    def nested(depth):
        return [] if depth == 1 else [Cbor.nested(depth - 1)]

    def test_round(self):
        for item in ([], [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, -1, -24, -25, -2**64],
                     [None, b"", b"x" * 300, "", "\u00e9\U0001f600", [[[]]]], self.nested(32)):
            self.assertEqual(cbor.decode(cbor.encode(item)), item)

    def test_refusals(self):
        for text in ("", "1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "5801", "5817" + "00" * 23, "41", "61ff",
                     "62eda0", "63eda080", "a0", "c000", "d82000", "f90000", "fa00000000", "fb0000000000000000", "f4", "f5", "81f5", "f7", "f8ff", "f818", "e0",
                     "9fff", "5fff", "7fff", "ff", "1c", "0000", "8100" + "00", "82", "9b7fffffffffffffff", "81" * 100 + "00", "81" * 33 + "00", "81" * 32 + "80"):
            with self.subTest(text), self.assertRaises(cbor.CborError):
                cbor.decode(H(text))


if __name__ == "__main__":
    unittest.main()
