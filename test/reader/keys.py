"""Keyrings, key slots, key files, derivations and sessions (§5, §12)."""

import strict_cbor as cbor
from errors import Damage, NewerFormat, WrongKey, need
from objects import KEY_FILE, LIMITS, SLOT, check_preamble, prefixed
from primitives import (check_scrypt, equal, hkdf, hpke_open, scrypt, seal_open, sha256, strict_base64,
                        x25519_public)

HEADER_LINE = b"varve key file v1"


class Keyring:
    """§12: CBOR [repository id, root secret, admin seed, writer], perhaps the added reader keys, an auditor's seed."""

    def __init__(self, data):
        items = cbor.decode(data)
        need(isinstance(items, list) and len(items) in (4, 5, 6), "keyring: wrong number of items")
        self.repository_id = cbor.octets(items[0], 32)
        self.root = cbor.octets_or_null(items[1], 32)
        self.admin_seed = cbor.octets_or_null(items[2], 32)
        self.writer = None
        if items[3] is not None:
            seed, domain, secret = cbor.array(items[3], 3)
            self.writer = (cbor.octets(seed, 32), cbor.octets(domain, 16), cbor.octets(secret, 32))
        self.added = []
        if len(items) > 4:
            added = cbor.octets(items[4])
            need(self.root is not None, "keyring: added keys without R")
            need((added or len(items) == 6) and len(added) % 32 == 0, "keyring: added keys")
            self.added = [added[i:i + 32] for i in range(0, len(added), 32)]
        self.auditor_seed = cbor.octets(items[5], 32) if len(items) == 6 else None


class SlotHeader:
    """§12: the header of a slot or a key file."""

    def __init__(self, raw, key_file):
        slot_id, kdf, log_n, r, p, salt, commitment, created, label = cbor.array(cbor.decode(raw), 9)
        self.slot_id = cbor.octets(slot_id, 8)
        self.kdf = cbor.integer(kdf)
        self.log_n, self.r, self.p = cbor.integer(log_n), cbor.integer(r), cbor.integer(p)
        self.salt, self.commitment = cbor.octets(salt, 32), cbor.octets(commitment, 32)
        cbor.seconds(created)
        cbor.text(label)
        if self.kdf == 0 and key_file:
            need(self.log_n == self.r == self.p == 0 and self.salt == bytes(32), "kdf 0: parameters not zero")
        else:
            need(self.kdf == 1, "unknown kdf")
            check_scrypt(self.log_n, self.r, self.p)

    def slot_key(self, passphrase):
        """The key of the seal, or None when the passphrase is another one."""
        kek = scrypt(passphrase, self.salt, self.log_n, self.r, self.p)
        if not equal(hkdf(kek, self.salt, b"varve v1 slot commitment"), self.commitment):
            return None
        return hkdf(kek, self.salt, b"varve v1 slot key")


def split_slot(data, kind):
    """(header, everything before the seal, the seal or content)."""
    check_preamble(data, kind)
    raw, end = prefixed(data, 8, "slot")
    return SlotHeader(raw, kind == KEY_FILE), data[:end], data[end:]


def open_slot_seal(key, repository_id, before, sealed):
    return Keyring(seal_open(key, b"varve v1 slot" + repository_id + sha256(before), sealed, "keyring"))


def read_slot(store, name):
    """A slot object, checked as far as that needs no passphrase."""
    header, before, sealed = split_slot(store.read(name), SLOT)
    need(name == "keys/" + header.slot_id.hex(), "slot id is not that of the name")
    need(len(sealed) >= 40, "slot: too short for a seal")
    return header, before, sealed


def open_slots(store, genesis, slot_list, passphrase, say):
    """The keyring of a slot that the passphrase opens: all are tried, and damaged ones named (§12)."""
    removed = None
    for name in store.names("keys/"):
        slot_id = bytes.fromhex(name[-16:])
        if slot_list.unnamed(slot_id):
            say("%s: a key slot that the ledger does not name" % name)
        try:
            header, before, sealed = read_slot(store, name)
            key = header.slot_key(passphrase)
            if key is not None and slot_list.removed(slot_id):
                removed = name  # §11.8: refused, but another slot may open
            elif key is not None:
                return open_slot_seal(key, genesis.repository_id, before, sealed)
        except Damage as error:
            say("%s: %s" % (name, error))
    if removed:
        raise WrongKey("%s: a key slot that was removed" % removed)
    raise WrongKey("the passphrase opens no key slot")


def parse_key_file(text):
    """§12: the bytes that the text of a key file encodes."""
    need(len(text) <= 128 << 10, "key file: too large")
    line, newline, rest = text.partition(b"\n")
    if newline and line.endswith(b"\r"):
        line = line[:-1]
    need(line == HEADER_LINE, "key file: first line")
    data = strict_base64(rest)
    need(len(data) <= LIMITS[KEY_FILE], "key file: too large")
    return data


def open_key_file(text, genesis, passphrase):
    header, before, content = split_slot(parse_key_file(text), KEY_FILE)
    if header.kdf == 0:
        need(equal(sha256(content), header.commitment), "key file: the keyring is not the one committed to")
        return Keyring(content)
    if passphrase is None:
        raise WrongKey("the key file has a passphrase")
    key = header.slot_key(passphrase)
    if key is None:
        raise WrongKey("wrong passphrase of the key file")
    try:
        return open_slot_seal(key, genesis.repository_id, before, content)
    except Damage:
        raise WrongKey("the key file is of another repository, or damaged") from None


def read_passphrase(path):
    """§12: the file's content without one trailing LF or CRLF, UTF-8."""
    with open(path, "rb") as file:
        data = file.read()
    if data.endswith(b"\n"):
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise WrongKey("the passphrase is not UTF-8") from None
    return data


class Domain:
    """What is derived from a domain's secret (§5)."""

    def __init__(self, secret, salt):
        self.secret = secret
        self.k_id, self.k_idx, self.psk, self.k_name, self.k_tag, self.k_scope = (
            hkdf(secret, salt, b"varve v1 " + label)
            for label in (b"chunk id", b"index", b"psk", b"names", b"tags", b"scope"))


class Keys:
    """The keyring at work in one repository (§5)."""

    def __init__(self, keyring, genesis):
        self.genesis, self.ring = genesis, keyring
        self._domains, self._sessions = {}, {}
        self.lacks_reader_key = False  # set when the ledger names a reader key that is not at hand
        if keyring.repository_id != genesis.repository_id:
            raise WrongKey("the key is of another repository")
        if keyring.root is None:
            raise WrongKey("needs the reader role")
        private = hkdf(keyring.root, genesis.salt, b"varve v1 reader")
        if x25519_public(private) != genesis.reader_key:
            raise WrongKey("the key is not the genesis's reader key")
        self.privates = [private] + keyring.added
        self.publics = [x25519_public(key) for key in self.privates]
        if keyring.writer is not None:
            need(equal(self.domain(keyring.writer[1]).secret, keyring.writer[2]),
                 "keyring: the domain secret is not the one derived from R")

    def domain(self, domain_id):
        if domain_id not in self._domains:
            secret = hkdf(self.ring.root, self.genesis.salt, b"varve v1 domain" + domain_id)
            self._domains[domain_id] = Domain(secret, self.genesis.salt)
        return self._domains[domain_id]

    def session_key(self, writer, domain_id, session_id, enc, ct, commitment):
        """K of a session, opened with whichever private key fits, and its commitment recomputed."""
        args = (writer, domain_id, session_id, enc, ct, commitment)
        if args not in self._sessions:
            self._sessions[args] = self._open_session(*args)
        return self._sessions[args]

    def _open_session(self, writer, domain_id, session_id, enc, ct, commitment):
        info = b"varve v1 session" + self.genesis.repository_id + writer + domain_id + session_id
        for private in reversed(self.privates):
            key = hpke_open(private, enc, self.domain(domain_id).psk, b"varve v1 psk" + domain_id, info,
                            commitment, ct)
            if key is not None:
                need(len(key) == 32, "session key: wrong length")
                need(equal(hkdf(key, session_id, b"varve v1 commitment"), commitment),
                     "session key: commitment differs")
                return key
        if self.lacks_reader_key:
            raise Damage("session key does not open: the keyring lacks a reader key that the ledger names")
        raise Damage("session key does not open")


def load_keys(store, genesis, slot_list, key_path, password_path, say):
    """The keys that the command line names (README.md)."""
    passphrase = None if password_path is None else read_passphrase(password_path)
    if key_path is None:
        return Keys(open_slots(store, genesis, slot_list, passphrase, say), genesis)
    with open(key_path, "rb") as file:
        text = file.read((128 << 10) + 1)
    try:
        return Keys(open_key_file(text, genesis, passphrase), genesis)
    except NewerFormat as error:
        raise NewerFormat("%s: %s" % (key_path, error)) from None
    except Damage as error:  # a key file is no object of a repository (§12)
        raise WrongKey("%s: %s" % (key_path, error)) from None
