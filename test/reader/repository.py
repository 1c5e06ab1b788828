"""A repository of format version 1, read: genesis, keys, packs, index objects, manifests, ledger, trees.  Section numbers are
those of docs/format.md.  Whatever a reader must refuse raises Damage."""

import base64
import collections
import hashlib
import os
import re
import struct

import zstandard

import primitives as cr
import strict_cbor as cbor

KIND_GENESIS, KIND_SLOT, KIND_PACK, KIND_INDEX, KIND_MANIFEST, KIND_ENTRY, KIND_KEY_FILE = range(1, 8)
DATA, TREE_PAGE, LIST_PAGE, ATTRIBUTE = 1, 2, 3, 4
CHUNK_MAX, FRAME_MAX, PACK_MAX, WINDOW_MAX = 2097152, 4194304, 67108864, 8 << 20
OBJECT_MAX = 64 << 20
FRAMES_MAX = 65536
KEY_FILE_MAX, KEY_FILE_TEXT_MAX, SCRYPT_P_MAX = 64 << 10, 128 << 10, 64
HOLES_WITHOUT_DIGEST = 1 << 30
XATTR_INLINE, XATTR_NAME_MAX, TARGET_MAX = 4096, 255, 4096
NEST_MAX, LEVEL_MAX, CONTENT_DEPTH_MAX, PINS_DEPTH_MAX = 2048, 8, 4, 16
ZERO32 = bytes(32)


class Failure(Exception):
    status = 1


class Damage(Failure):
    status = 15


class WrongKey(Failure):
    status = 12


class NoRepository(Failure):
    status = 10


class NotFound(Failure):
    status = 2


def need(condition, message):
    if not condition:
        raise Damage(message)


# -- what CBOR items may be (section 2) ---------------------------------------------------------------------------------------

def record(data, count, what):
    try:
        item = cbor.decode(data)
    except cbor.CborError as error:
        raise Damage(f"{what}: CBOR: {error}") from None
    return items(item, count, what)


def items(item, count, what):
    need(isinstance(item, list), f"{what}: not an array")
    need(count is None or len(item) == count, f"{what}: {len(item)} items instead of {count}")
    return item


def raw(item, size, what):
    need(isinstance(item, bytes), f"{what}: not a byte string")
    need(size is None or len(item) == size, f"{what}: {len(item)} bytes instead of {size}")
    return item


def text(item, what):
    need(isinstance(item, str), f"{what}: not text")
    return item


def integer(item, what, low=0, high=(1 << 64) - 1):
    need(isinstance(item, int) and not isinstance(item, bool), f"{what}: not an integer")
    need(low <= item <= high, f"{what}: {item} is out of range")
    return item


def seconds(item, what):
    return integer(item, what, -(1 << 63), (1 << 63) - 1)


def time(item, what):
    items(item, 2, what)
    return seconds(item[0], what), integer(item[1], what + " nanoseconds", 0, 999999999)


def strictly_rising(run, what):
    for one, other in zip(run, run[1:]):
        need(one < other, f"{what}: duplicates or disorder")
    return run


def ids_of(run, what):
    """Joined 32-byte ids."""
    raw(run, None, what)
    need(len(run) % 32 == 0, f"{what}: not a multiple of 32 bytes")
    return [run[at:at + 32] for at in range(0, len(run), 32)]


def preamble(data, kind, what):
    need(len(data) >= 8, f"{what}: truncated")
    need(data[:4] == b"VARV", f"{what}: not an object of this format")
    need(data[5] <= 1, f"{what}: newer format (version {data[5]})")
    need(data[4] == kind, f"{what}: kind {data[4]} instead of {kind}")
    need(data[5] == 1, f"{what}: version {data[5]}")
    need(data[6] == 1, f"{what}: unknown suite {data[6]}")
    need(data[7] == 0, f"{what}: preamble's last byte is not 0")


def signed_parts(data, kind, limit, what):
    """(body, signature, signed bytes) of a signed object."""
    need(len(data) <= limit, f"{what}: larger than {limit} bytes")
    preamble(data, kind, what)
    need(len(data) >= 12, f"{what}: truncated")
    length = struct.unpack_from("<I", data, 8)[0]
    need(len(data) == 12 + length + 64, f"{what}: its length does not fit its body")
    return data[12:12 + length], data[-64:], data[:-64]


def verify(public, label, signature, signed, what):
    try:
        cr.ed25519_verify(public, signature, label + b"\0" + signed)
    except cr.CryptoError:
        raise Damage(f"{what}: bad signature") from None


def unseal(key, aad, sealed, what, failure=Damage):
    try:
        return cr.unseal(key, aad, sealed)
    except cr.CryptoError as error:
        raise failure(f"{what}: {error}") from None


def author_id(public):
    return cr.sha256(public)[:16]


# -- store (section 3) ------------------------------------------------------------------------------------------------------

class Store:
    """A directory whose files are the objects, by name."""

    def __init__(self, path):
        self.path = os.fsencode(path)

    def _file(self, name):
        return os.path.join(self.path, name.encode("ascii"))

    def read(self, name, limit=OBJECT_MAX):
        try:
            with open(self._file(name), "rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise Damage(f"{name}: missing") from None
        except OSError as error:
            raise Damage(f"{name}: {error.strerror}") from None
        need(len(data) <= limit, f"{name}: larger than {limit} bytes")
        return data

    def read_range(self, name, offset, length):
        try:
            with open(self._file(name), "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except FileNotFoundError:
            raise Damage(f"{name}: missing") from None
        except OSError as error:
            raise Damage(f"{name}: {error.strerror}") from None
        need(len(data) == length, f"{name}: truncated")
        return data

    def size(self, name):
        try:
            return os.stat(self._file(name)).st_size
        except FileNotFoundError:
            raise Damage(f"{name}: missing") from None

    def is_folder(self, name):
        return os.path.isdir(self._file(name))

    def names(self, folder):
        try:
            found = os.listdir(self._file(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(os.fsdecode(name).encode("utf-8", "replace").decode() for name in found)


def pack_name(pack):
    return f"packs/{pack.hex()[:2]}/{pack.hex()}"


# -- genesis (section 4) ------------------------------------------------------------------------------------------------------

class Genesis:
    def __init__(self, data):
        what = "genesis"
        body, signature, signed = signed_parts(data, KIND_GENESIS, 64 << 10, what)
        salt, created, admins, threshold, reader, vault = record(body, 6, what)
        self.salt = raw(salt, 32, what + " salt")
        self.created = time(created, what + " created")
        self.admins = [raw(key, 32, what + " admin") for key in items(admins, None, what + " admins")]
        need(self.admins, what + ": no admins")
        need(len(set(self.admins)) == len(self.admins), what + ": an admin twice")
        need(integer(threshold, what + " threshold") == 1, f"{what}: threshold {threshold}")
        self.reader_key = raw(reader, 32, what + " reader key")
        self.vault = None if vault is None else raw(vault, 32, what + " vault")
        verify(self.admins[0], b"varve v1 genesis", signature, signed, what)
        self.repository = cr.sha256(data)


# -- keys (sections 5 and 12) ----------------------------------------------------------------------------------------------------

class Keyring:
    def __init__(self, plaintext, genesis, what):
        fields = record(plaintext, None, what)
        need(len(fields) in (4, 5), f"{what}: {len(fields)} items")
        repository, root, admin, writer = fields[:4]
        added = [] if len(fields) == 4 else ids_of(fields[4], what + " added reader keys")
        need(len(fields) == 4 or added, f"{what}: an empty list of added reader keys")
        if raw(repository, 32, what + " repository id") != genesis.repository:
            raise WrongKey(f"{what}: the key of another repository ({repository.hex()[:16]})")
        self.root = None if root is None else raw(root, 32, what + " root secret")
        self.admin = None if admin is None else raw(admin, 32, what + " admin seed")
        self.writer = None
        if writer is not None:
            seed, domain, secret = items(writer, 3, what + " writer")
            self.writer = (raw(seed, 32, what + " writer seed"), raw(domain, 16, what + " domain id"),
                           raw(secret, 32, what + " domain secret"))
        self.salt = genesis.salt
        if self.root is None:
            raise WrongKey(f"{what}: holds no root secret, so it cannot read")
        self.reader_private = cr.hkdf(self.root, self.salt, b"varve v1 reader")
        if cr.x25519_public(self.reader_private) != genesis.reader_key:
            raise WrongKey(f"{what}: its root secret is not this repository's")
        self.readers = [self.reader_private] + added        # oldest first
        if self.writer and self.writer[2] != self._domain_secret(self.writer[1]):
            raise WrongKey(f"{what}: its domain secret does not follow from its root secret")
        self.domains = {}

    def _domain_secret(self, domain):
        return cr.hkdf(self.root, self.salt, b"varve v1 domain" + domain)

    def domain(self, domain):
        if domain not in self.domains:
            secret = self._domain_secret(domain)
            self.domains[domain] = DomainKeys(*(cr.hkdf(secret, self.salt, b"varve v1 " + label) for label in
                                                (b"chunk id", b"index", b"psk", b"names", b"tags")))
        return self.domains[domain]


DomainKeys = collections.namedtuple("DomainKeys", "k_id k_idx psk k_name k_tag")


def slot_header(data, kind, what):
    """(header items, content, all before the content) of a key slot or key file."""
    need(len(data) <= KEY_FILE_MAX, f"{what}: larger than 64 KiB")
    preamble(data, kind, what)
    need(len(data) >= 12, f"{what}: truncated")
    length = struct.unpack_from("<I", data, 8)[0]
    need(12 + length <= len(data), f"{what}: truncated")
    header = record(data[12:12 + length], 9, what)
    slot, kdf, log_n, r, p, salt, commitment, created, label = header
    raw(slot, 8, what + " slot id")
    integer(kdf, what + " kdf", 0, 1)
    need(kdf == 1 or kind == KIND_KEY_FILE, f"{what}: a slot without a passphrase")
    for value, name in ((log_n, "log2 N"), (r, "r"), (p, "p")):
        integer(value, f"{what} {name}", kdf, (1 << 32) - 1 if kdf else 0)
    if kdf == 1:
        need(log_n < 64 and 128 * r * ((1 << log_n) + p) <= 2 << 30, f"{what}: scrypt parameters that need more than 2 GiB")
        need(p <= SCRYPT_P_MAX and log_n < 16 * r, f"{what}: impossible scrypt parameters")
    raw(salt, 32, what + " salt")
    need(kdf == 1 or salt == ZERO32, f"{what}: salt is not zeros")
    raw(commitment, 32, what + " commitment")
    seconds(created, what + " created")
    text(label, what + " label")
    return header, data[12 + length:], data[:12 + length]


def open_slot(header, content, before, passphrase, genesis, what, failure=Damage):
    _, _, log_n, r, p, salt, commitment, _, _ = header
    kek = cr.scrypt(passphrase, salt, log_n, r, p)
    if not cr.equal(cr.hkdf(kek, salt, b"varve v1 slot commitment"), commitment):
        raise WrongKey(f"{what}: wrong passphrase")
    key = cr.hkdf(kek, salt, b"varve v1 slot key")
    plaintext = unseal(key, b"varve v1 slot" + genesis.repository + cr.sha256(before), content, what, failure)
    return Keyring(plaintext, genesis, what)


def open_key_file(run, passphrase, genesis):
    what = "key file"
    need(len(run) <= KEY_FILE_TEXT_MAX, f"{what}: larger than 128 KiB")
    line, _, rest = run.partition(b"\n")
    need(line.rstrip(b"\r") == b"varve key file v1", f"{what}: not a key file")
    try:
        data = base64.b64decode(re.sub(rb"[ \t\r\n\v\f]", b"", rest), validate=True)
    except ValueError:
        raise Damage(f"{what}: not base64") from None
    header, content, before = slot_header(data, KIND_KEY_FILE, what)
    if header[1] == 1:
        if passphrase is None:
            raise WrongKey(f"{what}: needs a passphrase")
        return open_slot(header, content, before, passphrase, genesis, what,
                         lambda error: WrongKey(f"{error} (of another repository, or damaged)"))
    need(cr.equal(cr.sha256(content), header[6]), f"{what}: its commitment does not fit its content")
    return Keyring(content, genesis, what)


def open_slots(store, passphrase, genesis):
    damaged = []
    for name in slot_names(store)[0]:
        what = f"keys/{name}"
        try:
            header, content, before = read_slot(store, name)
            return open_slot(header, content, before, passphrase, genesis, what)
        except WrongKey:
            continue
        except Damage as error:
            damaged.append(str(error))
    raise WrongKey("no key slot opens with this passphrase" + "".join("; " + reason for reason in damaged))


def slot_names(store):
    names = store.names("keys")
    return ([name for name in names if re.fullmatch("[0-9a-f]{16}", name)],
            [f"keys/{name}" for name in names if not re.fullmatch("[0-9a-f]{16}", name)])


def read_slot(store, name):
    what = f"keys/{name}"
    parts = slot_header(store.read(what, KEY_FILE_MAX), KIND_SLOT, what)
    need(parts[0][0].hex() == name, f"{what}: holds slot {parts[0][0].hex()}")
    return parts


# -- packs (section 7) --------------------------------------------------------------------------------------------------------

Frame = collections.namedtuple("Frame", "number offset sealed raw codec chunks")     # chunks: [(id, type, length, offset in raw)]
Header = collections.namedtuple("Header", "bytes writer domain session chunk_class enc ct commitment salt")


def pack_header(data, repository, what):
    preamble(data, KIND_PACK, what)
    need(data[8:40] == repository, f"{what}: belongs to another repository")
    need(data[88] in (1, 2), f"{what}: class {data[88]}")
    need(data[89:96] == bytes(7) and data[240:256] == bytes(16), f"{what}: header's zeros are not zero")
    return Header(data, data[40:56], data[56:72], data[72:88], data[88], data[96:128], data[128:176], data[176:208], data[208:240])


def parse_directory(plain, chunk_class, end, padded, what):
    """Frames of a directory's plaintext; frames must end at or before `end`."""
    what += " directory"
    need(len(plain) >= 8, f"{what}: truncated")
    frame_count, chunk_count = struct.unpack_from("<II", plain)
    need(frame_count <= FRAMES_MAX, f"{what}: {frame_count} frames")
    size = 8 + 20 * frame_count + 37 * chunk_count
    need(size <= len(plain), f"{what}: truncated")
    need(not any(plain[size:]) if padded else size == len(plain), f"{what}: bytes after the last chunk")
    frames, floor, taken, at = [], 256, 0, 8 + 20 * frame_count
    for number in range(frame_count):
        offset, sealed, raw_length, chunks, codec, zeros = struct.unpack_from("<IIIIB3s", plain, 8 + 20 * number)
        label = f"{what}: frame {number}"
        need(zeros == bytes(3), f"{label}: zeros are not zero")
        need(codec in (0, 1), f"{label}: codec {codec}")
        need(offset >= floor, f"{label}: overlaps or out of order")
        floor = offset + sealed
        need(floor <= end, f"{label}: does not end before the directory")
        need(sealed > 16, f"{label}: shorter than a tag")
        need(0 < raw_length <= FRAME_MAX, f"{label}: raw length {raw_length}")
        need(codec == 1 or sealed == raw_length + 16, f"{label}: stored raw with another length")
        need(0 < chunks <= chunk_count - taken, f"{label}: chunk count")
        taken += chunks
        held, inside = [], 0
        for _ in range(chunks):
            chunk, kind, length = struct.unpack_from("<32sBI", plain, at)
            at += 37
            need(1 <= length <= CHUNK_MAX, f"{label}: a chunk of {length} bytes")
            need((kind == DATA) if chunk_class == 1 else (kind in (TREE_PAGE, LIST_PAGE, ATTRIBUTE)),
                 f"{label}: a chunk of type {kind} in a pack of class {chunk_class}")
            held.append((chunk, kind, length, inside))
            inside += length
        need(inside == raw_length, f"{label}: chunk lengths do not add up")
        frames.append(Frame(number, offset, sealed, raw_length, codec, held))
    need(taken == chunk_count, f"{what}: the frames' chunk counts do not add up")
    return frames


class Pack:
    def __init__(self, pack, size, header, frames, plain, source):
        self.id, self.size, self.header, self.frames, self.plain, self.source = pack, size, header, frames, plain, source
        self.name = pack_name(pack)

    def chunk_table(self):
        return {chunk: (frame, index) for frame in self.frames for index, (chunk, *_) in enumerate(frame.chunks)}


def decompress(data, raw_length, what):
    """The content of exactly one zstd frame, whose header is judged first."""
    need(len(data) >= 6 and data[:4] == b"\x28\xb5\x2f\xfd", f"{what}: not a zstd frame")
    descriptor, at = data[4], 5
    single, size_flag = descriptor >> 5 & 1, descriptor >> 6
    need(not descriptor & 0x08, f"{what}: zstd: reserved bit")
    need(not descriptor & 0x04, f"{what}: zstd: has a checksum")
    need(not descriptor & 0x03, f"{what}: zstd: needs a dictionary")
    window = None
    if not single:
        window = 1 << (10 + (data[at] >> 3))
        window += window // 8 * (data[at] & 7)
        at += 1
    width = (1 if single else 0, 2, 4, 8)[size_flag]
    need(width, f"{what}: zstd: no content size")
    need(at + width <= len(data), f"{what}: zstd: truncated")
    size = int.from_bytes(data[at:at + width], "little") + (256 if width == 2 else 0)
    need(size == raw_length, f"{what}: zstd content size is not the raw length")
    need((size if single else window) <= WINDOW_MAX, f"{what}: zstd window is too large")
    try:
        engine = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX).decompressobj()
        plain = engine.decompress(data)
    except zstandard.ZstdError as error:
        raise Damage(f"{what}: {error}") from None
    need(engine.eof and not engine.unused_data, f"{what}: not exactly one zstd frame")
    need(len(plain) == raw_length, f"{what}: decompresses to another length")
    return plain


# -- manifests and ledger (sections 10 and 11) ----------------------------------------------------------------------------------

Entry = collections.namedtuple("Entry", "author sequence time type payload name")
Snapshot = collections.namedtuple("Snapshot", "id entry state stream received retain slots class_name held newest")

GENESIS, WRITER_CERT, RETIRE, POLICY, SNAPSHOT, EXTEND, HOLD, RELEASE, RECEIPT = range(1, 10)
PRUNE_INTENT, PRUNE_DONE, KEY_ROTATE, INCIDENT, TAGS, CERT, ACCEPT_FORK = range(14, 21)
KNOWN = frozenset(range(1, 10)) | frozenset(range(14, 21))
MAY_WRITE = {"admin": KNOWN - {RECEIPT}, "writer": {SNAPSHOT, INCIDENT, TAGS}, "vault": {HOLD, RECEIPT, PRUNE_INTENT, PRUNE_DONE, INCIDENT}}


class Chain:
    """An author's entries as far as they are sound; the first `limit` of them count."""

    def __init__(self, author, role):
        self.author, self.role = author, role
        self.entries, self.hashes, self.whole, self.limit = [], [], True, None

    def end(self, count):
        self.limit = count if self.limit is None else min(self.limit, count)

    def counting(self):
        return self.entries if self.limit is None else self.entries[:self.limit]


def retention_class(item, what):
    name, minimum, hour, day, week, month, year, hosts, labels, tags, expected = items(item, 11, what)
    need(text(name, what + " name"), f"{what}: without a name")
    for value in (minimum, hour, day, week, month, year, expected):
        integer(value, what)
    for patterns in (hosts, labels, tags):
        for pattern in items(patterns, None, what + " patterns"):
            text(pattern, what + " pattern")
    return name


def policy(payload, what):
    need(len(payload) in (6, 12), f"{what}: {len(payload)} items")
    for value in payload[:11]:
        integer(value, what)
    if len(payload) == 12:
        integer(payload[8], what + " auto prune", 0, 1)
        names = [retention_class(item, what + " class") for item in items(payload[11], None, what + " classes")]
        need(len(set(names)) == len(names), f"{what}: two classes of one name")
    return payload


def rising_ids(run, what):
    return strictly_rising(ids_of(run, what), what)


def chain_head(author, count, head, what):
    return raw(author, 16, what + " author"), integer(count, what + " count"), raw(head, 32, what + " head")


def parse_payload(kind, payload, what):
    """The payload of an entry, by type (section 11); that of tags stays sealed, that of an unknown type is passed over."""
    items(payload, None, what)
    if kind == GENESIS:
        items(payload, 0, what)
    elif kind == WRITER_CERT:
        items(payload, 2, what)
        return raw(payload[0], 32, what + " public key"), raw(payload[1], 16, what + " domain id")
    elif kind == RETIRE:
        author, count, head, reason = items(payload, 4, what)
        text(reason, what + " reason")
        return chain_head(author, count, head, what)
    elif kind == POLICY:
        return policy(payload, what)
    elif kind == SNAPSHOT:
        need(len(payload) in (5, 6), f"{what}: {len(payload)} items")
        manifest, stream, state, retain, slots = payload[:5]
        name = text(payload[5], what + " class") if len(payload) == 6 else None
        need(name != "", f"{what}: an empty class name")
        return (raw(manifest, 32, what + " manifest id"), raw(stream, 16, what + " stream"), integer(state, what + " state", 0, 1),
                integer(retain, what + " retain until"), integer(slots, what + " slots", 0, 31), name)
    elif kind == EXTEND:
        snapshots, until, reason = items(payload, 3, what)
        text(reason, what + " reason")
        return rising_ids(snapshots, what + " snapshot ids"), integer(until, what + " until")
    elif kind == HOLD:
        snapshots, reason = items(payload, 2, what)
        text(reason, what + " reason")
        return rising_ids(snapshots, what + " snapshot ids")
    elif kind == RELEASE:
        author, sequence, reason = items(payload, 3, what)
        text(reason, what + " reason")
        return raw(author, 16, what + " author"), integer(sequence, what + " sequence")
    elif kind == RECEIPT:
        receipts = []
        for item in payload:
            author, sequence, digest, retain, slots = items(item, 5, what + " receipt")
            receipts.append((raw(author, 16, what + " author"), integer(sequence, what + " sequence"), raw(digest, 32, what + " hash"),
                             integer(retain, what + " retain until"), integer(slots, what + " slots", 0, 31)))
        return receipts
    elif kind == PRUNE_INTENT:
        return [rising_ids(run, what + " ids") for run in items(payload, 3, what)]
    elif kind == PRUNE_DONE:
        author, sequence, *lists = items(payload, 5, what)
        raw(author, 16, what + " author")
        integer(sequence, what + " sequence")
        return [rising_ids(run, what + " ids") for run in lists]
    elif kind in (KEY_ROTATE, CERT):
        role, key = items(payload, 2, what)
        return integer(role, what + " role", 0, 1), raw(key, 32, what + " public key")
    elif kind == INCIDENT:
        for item in items(payload, 2, what):
            text(item, what)
    elif kind == TAGS:
        domain, sealed = items(payload, 2, what)
        return raw(domain, 16, what + " domain id"), raw(sealed, None, what + " sealed tags")
    elif kind == ACCEPT_FORK:
        heads, reason = items(payload, 2, what)
        text(reason, what + " reason")
        return [chain_head(*items(head, 3, what + " head"), what) for head in items(heads, None, what + " heads")]
    return payload


class Manifest:
    """The envelope; open() adds the body."""

    def __init__(self, data, manifest, repository):
        self.id = manifest
        self.what = what = f"snapshots/{manifest.hex()}"
        preamble(data, KIND_MANIFEST, what)
        need(len(data) >= 12, f"{what}: truncated")
        length = struct.unpack_from("<I", data, 8)[0]
        need(12 + length <= len(data), f"{what}: truncated")
        self.before, self.sealed = data[:12 + length], data[12 + length:]
        envelope = record(data[12:12 + length], 17, what)
        for item, size, name in zip(envelope, (32, 16, 16, 16, 32, 48, 32, 16),
                                    ("repository id", "writer", "domain id", "session id", "enc", "ct", "commitment", "stream")):
            raw(item, size, f"{what} {name}")
        owner, self.writer, self.domain, self.session, self.enc, self.ct, self.commitment, self.stream = envelope[:8]
        need(owner == repository, f"{what}: belongs to another repository")
        self.started, self.finished, self.claimed = (time(item, f"{what} {name}") for item, name in
                                                     zip(envelope[8:11], ("started", "finished", "claimed")))
        self.state = integer(envelope[11], what + " state", 0, 1)
        pins = items(envelope[12], None, what + " pins")
        need(pins, f"{what}: empty pins")
        self.depth = integer(pins[0], what + " pins depth", 0, PINS_DEPTH_MAX)
        items(pins, 4 if self.depth else 2, what + " pins")
        self.base = raw(pins[1], 32, what + " pins base") if self.depth else None
        lists = [strictly_rising(ids_of(run, what + " pins"), what + " pins") for run in pins[2 if self.depth else 1:]]
        self.removed, self.added = lists if self.depth else ([], lists[0])
        self.pin_count = integer(envelope[13], what + " pin count")
        self.pin_bytes = integer(envelope[14], what + " pin bytes")
        self.new_bytes = integer(envelope[15], what + " new bytes")
        self.index_ids = [raw(item, 32, what + " index id") for item in items(envelope[16], None, what + " index ids")]

    def open(self, session_key, k_name):
        what = self.what
        key = cr.hkdf(session_key, self.session, b"varve v1 manifest")
        body = record(unseal(key, b"varve v1 manifest" + cr.sha256(self.before), self.sealed, what), 10, what + " body")
        host, label, paths, tags, owner, root, problems, count, program, notes = body
        self.host, self.label = text(host, what + " host"), text(label, what + " label")
        self.paths = [raw(path, None, what + " path") for path in items(paths, None, what + " paths")]
        need(all(path.startswith(b"/") for path in self.paths), f"{what}: a path that is not absolute")
        self.tags = [text(tag, what + " tag") for tag in items(tags, None, what + " tags")]
        strictly_rising([tag.encode() for tag in self.tags], what + " tags")
        self.owner = parse_owner(owner, what + " owner")
        self.problems = [(raw(path, None, what + " problem"), text(code, what + " problem")) for path, code in
                         (items(item, 2, what + " problem") for item in items(problems, None, what + " problems"))]
        self.problem_count = integer(count, what + " problem count")
        need(len(self.problems) == min(count, 10000), f"{what}: problem count does not fit the problems")
        self.program = text(program, what + " program")
        self.notes = [(text(name, what + " note"), text(value, what + " note")) for name, value in
                      (items(item, 2, what + " note") for item in items(notes, None, what + " notes"))]
        self.root = parse_entry(root, [self.owner], what + " root", is_root=True)
        need(cr.hmac256(k_name, b"stream" + cbor.encode([self.host, self.label]))[:16] == self.stream,
             f"{what}: its stream is not that of its host and label")
        return self


# -- trees (section 9) --------------------------------------------------------------------------------------------------------

REGULAR, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK, IMAGE = range(1, 9)
KIND_NAMES = (None, "regular", "directory", "symlink", "fifo", "socket", "character", "block", "image")
ITEMS = {REGULAR: 13, IMAGE: 13, DIRECTORY: 12, SYMLINK: 11, CHARACTER: 12, BLOCK: 12, FIFO: 10, SOCKET: 10}


class Node:
    """One entry of a tree."""
    size = 0
    digest = content = page = totals = target = major = minor = None


def parse_owner(item, what):
    uid, gid, user, group = items(item, 4, what)
    integer(uid, what + " uid", 0, (1 << 32) - 1)
    integer(gid, what + " gid", 0, (1 << 32) - 1)
    for name in (user, group):
        need(name is None or isinstance(name, str), f"{what}: a name that is not text")
    return uid, gid, user, group


def check_name(name, what):
    need(name not in (b"", b".", b".."), f"{what}: name {name!r}")
    need(b"/" not in name and b"\0" not in name, f"{what}: name {name!r}")
    need(len(name) <= 255, f"{what}: name of {len(name)} bytes")


def parse_entry(item, owners, what, is_root=False):
    items(item, None, what)
    need(len(item) >= 10, f"{what}: entry of {len(item)} items")
    node = Node()
    node.name = raw(item[0], None, what + " name")
    if is_root:
        need(node.name == b"", f"{what}: has a name")
    else:
        check_name(node.name, what)
    what += f" entry {node.name!r}"
    node.kind = integer(item[1], what + " kind", 1, 8)
    need(not is_root or node.kind == DIRECTORY, f"{what}: not a directory")
    items(item, ITEMS[node.kind], what)
    node.mode = integer(item[2], what + " mode", 0, 0o7777)
    node.owner_index = integer(item[3], what + " owner", 0, len(owners) - 1)
    node.owner = owners[node.owner_index]
    node.mtime = seconds(item[4], what + " mtime"), integer(item[5], what + " mtime nanoseconds", 0, 999999999)
    if item[6] is None:
        need(integer(item[7], what + " birth time") == 0, f"{what}: birth time nanoseconds without seconds")
        node.btime = None
    else:
        node.btime = seconds(item[6], what + " birth time"), integer(item[7], what + " birth time nanoseconds", 0, 999999999)
    node.xattrs = [parse_xattr(pair, what) for pair in items(item[8], None, what + " xattrs")]
    strictly_rising([name for name, _ in node.xattrs], what + " xattrs")
    node.link = None
    if item[9] is not None:
        link, nlink = items(item[9], 2, what + " hard link")
        need(node.kind != DIRECTORY, f"{what}: a hard-linked directory")
        node.link = raw(link, 16, what + " link id"), integer(nlink, what + " nlink", 2)
    if node.kind in (REGULAR, IMAGE):
        node.size = integer(item[10], what + " size", 0, (1 << 63) - 1)
        node.digest = None if item[11] is None else raw(item[11], 32, what + " digest")
        node.content = item[12]
        check_content(node, what)
    elif node.kind == DIRECTORY:
        node.page = raw(item[10], 32, what + " page")
        node.totals = tuple(integer(value, what + " totals") for value in items(item[11], 3, what + " totals"))
    elif node.kind == SYMLINK:
        node.target = raw(item[10], None, what + " target")
        need(0 < len(node.target) <= TARGET_MAX and b"\0" not in node.target, f"{what}: impossible target")
    elif node.kind in (CHARACTER, BLOCK):
        node.major = integer(item[10], what + " major", 0, (1 << 32) - 1)
        node.minor = integer(item[11], what + " minor", 0, (1 << 32) - 1)
    return node


def parse_xattr(pair, what):
    what += " xattr"
    name, value = items(pair, 2, what)
    need(0 < len(raw(name, None, what + " name")) <= XATTR_NAME_MAX and b"\0" not in name, f"{what}: impossible name")
    if isinstance(value, bytes):
        need(len(value) <= XATTR_INLINE, f"{what}: a value above {XATTR_INLINE} bytes in the entry")
        return name, value
    length, chunk = items(value, 2, what + " value")
    return name, (integer(length, what + " length", XATTR_INLINE + 1, CHUNK_MAX), raw(chunk, 32, what + " chunk"))


def check_content(node, what):
    content = node.content
    need(node.digest is not None or isinstance(content, list), f"{what}: no digest, but no holes either")
    if content is None:
        need(node.size == 0, f"{what}: no content, but a size")
    elif isinstance(content, bytes):
        need(0 < node.size == len(content), f"{what}: content of another size")
    elif isinstance(content, list):
        depth, rows = items(content, 2, what + " content")
        integer(depth, what + " content depth", 0, CONTENT_DEPTH_MAX)
        parse_rows(raw(rows, None, what + " content rows"), node.size, depth, what)
        need(node.size > 0, f"{what}: content without a size")
    else:
        need(integer(content, what + " content") == 1, f"{what}: content {content}")
        need(1 <= node.size <= CHUNK_MAX, f"{what}: one chunk of {node.size} bytes")


def parse_rows(run, total, depth, what):
    need(run and len(run) % 40 == 0, f"{what}: rows are not of 40 bytes")
    rows = list(struct.iter_unpack("<Q32s", run))
    for length, chunk in rows:
        need(length > 0, f"{what}: a row of length 0")
        if chunk == ZERO32:
            need(depth == 0, f"{what}: a list page without an id")
        else:
            need(depth > 0 or length <= CHUNK_MAX, f"{what}: a chunk of {length} bytes")
    need(sum(length for length, _ in rows) == total, f"{what}: lengths do not add up")
    return rows


# -- the repository -----------------------------------------------------------------------------------------------------------

class Repository:
    def __init__(self, path, key_file=None, passphrase=None, use_index=True):
        self.store = Store(path)
        if not os.path.isfile(os.path.join(self.store.path, b"genesis")):
            raise NoRepository(f"{path}: no repository (there is no genesis)")
        self.genesis = Genesis(self.store.read("genesis", 64 << 10))
        self.id = self.genesis.repository
        if key_file is not None:
            self.keys = open_key_file(key_file, passphrase, self.genesis)
        else:
            self.keys = open_slots(self.store, passphrase, self.genesis)
        self.use_index = use_index
        self.warnings = []
        self._sessions, self._indexed, self._packs = {}, None, {}
        self._frames, self._frame_bytes = collections.OrderedDict(), 0

    def warn(self, message):
        if message not in self.warnings:
            self.warnings.append(message)

    # sessions (section 5)

    def session_key(self, of, what):
        """K of the session of a pack header or manifest."""
        wanted = (of.writer, of.domain, of.session, of.enc, of.ct, of.commitment)
        if wanted not in self._sessions:
            key, reason = None, None
            for private in reversed(self.keys.readers):        # it does not say which reader key it is sealed to
                try:
                    key = cr.hpke_psk_open(
                        private, of.enc, of.ct,
                        info=b"varve v1 session" + self.id + of.writer + of.domain + of.session, aad=of.commitment,
                        psk=self.keys.domain(of.domain).psk, psk_id=b"varve v1 psk" + of.domain)
                    break
                except cr.CryptoError as error:
                    reason = error
            need(key is not None, f"{what}: session key: {reason}")
            need(len(key) == 32, f"{what}: a session key of {len(key)} bytes")
            need(cr.equal(cr.hkdf(key, of.session, b"varve v1 commitment"), of.commitment),
                 f"{what}: the session key does not fit its commitment")
            self._sessions[wanted] = key
        return self._sessions[wanted]

    # packs (section 7)

    def pack_ids(self):
        """Ids of all packs in the store, and names that are none."""
        found, strange = [], []
        for prefix in self.store.names("packs"):
            for name in self.store.names("packs/" + prefix):
                if re.fullmatch("[0-9a-f]{64}", name) and name[:2] == prefix:
                    found.append(bytes.fromhex(name))
                else:
                    strange.append(f"packs/{prefix}/{name}")
        return found, strange

    def read_pack_directory(self, pack, data=None):
        """The pack by its own header, footer and directory; from the file, or from its bytes."""
        what = pack_name(pack)
        size = self.store.size(what) if data is None else len(data)
        need(256 + 40 + 128 <= size <= PACK_MAX, f"{what}: size {size}")
        get = (lambda at, length: data[at:at + length]) if data is not None else (lambda at, length: self.store.read_range(what, at, length))
        header = pack_header(get(0, 256), self.id, what)
        footer = get(size - 128, 128)
        need(footer[120:] == b"VARVEPCK", f"{what}: no footer")
        need(footer[92:120] == bytes(28), f"{what}: footer's zeros are not zero")
        need(footer[:32] == header.enc and footer[32:80] == header.ct, f"{what}: footer and header differ")
        offset, length = struct.unpack_from("<QI", footer, 80)
        need(offset >= 256 and offset + length == size - 128, f"{what}: the directory does not end at the footer")
        plain = unseal(self.keys.domain(header.domain).k_idx, b"varve v1 directory" + header.bytes, get(offset, length), what + " directory")
        frames = parse_directory(plain, header.chunk_class, offset, True, what)
        count, chunks = struct.unpack_from("<II", plain)
        return Pack(pack, size, header, frames, plain[:8 + 20 * count + 37 * chunks], "pack")

    def pack(self, pack, trust_index=True):
        if trust_index and self.use_index:
            if self._indexed is None:
                self._indexed = self._load_indexes()
            if pack in self._indexed:
                return self._indexed[pack]
        if pack not in self._packs:
            self._packs[pack] = self.read_pack_directory(pack)
        return self._packs[pack]

    def read_frame(self, pack, frame, data=None):
        """The plaintext of a frame, authenticated; chunk ids are not yet checked."""
        key = (pack.id, pack.source, frame.number)
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        what = f"{pack.name} frame {frame.number}"
        sealed = self.store.read_range(pack.name, frame.offset, frame.sealed) if data is None else data[frame.offset:frame.offset + frame.sealed]
        pack_key = cr.hkdf(self.session_key(pack.header, pack.name), pack.header.salt, b"varve v1 pack")
        aad = (b"varve v1 frame" + cr.sha256(pack.header.bytes)
               + struct.pack("<IBII", frame.number, frame.codec, frame.raw, len(frame.chunks))
               + b"".join(struct.pack("<BI", kind, length) for _, kind, length, _ in frame.chunks))
        try:
            plain = cr.chacha_open(pack_key, struct.pack("<IQ", frame.number, 0), aad, sealed)
        except cr.CryptoError as error:
            raise Damage(f"{what}: {error}") from None
        if frame.codec == 1:
            plain = decompress(plain, frame.raw, what)
        need(len(plain) == frame.raw, f"{what}: another length")
        if data is None:
            self._frames[key] = plain
            self._frame_bytes += len(plain)
            while self._frame_bytes > 64 << 20:
                self._frame_bytes -= len(self._frames.popitem(last=False)[1])
        return plain

    def chunk_of(self, pack, frame, index, plain):
        """One chunk of a frame, its id recomputed (section 6)."""
        chunk, kind, length, inside = frame.chunks[index]
        run = plain[inside:inside + length]
        need(cr.hmac256(self.keys.domain(pack.header.domain).k_id, bytes([kind]) + cr.sha256(run)) == chunk,
             f"{pack.name} frame {frame.number}: chunk {chunk.hex()} is not what its id says")
        return run

    # index objects (section 8)

    def index_ids(self):
        names = self.store.names("index")
        return ([bytes.fromhex(name) for name in names if re.fullmatch("[0-9a-f]{64}", name)],
                [f"index/{name}" for name in names if not re.fullmatch("[0-9a-f]{64}", name)])

    def read_index(self, index):
        what = f"index/{index.hex()}"
        data = self.store.read(what)
        need(cr.sha256(data) == index, f"{what}: its name is not its hash")
        preamble(data, KIND_INDEX, what)
        need(len(data) >= 88 + 40, f"{what}: truncated")
        need(data[8:40] == self.id, f"{what}: belongs to another repository")
        domain = data[56:72]
        plain = unseal(self.keys.domain(domain).k_idx, b"varve v1 index" + data[:88], data[88:], what)
        need(len(plain) >= 4, f"{what}: truncated")
        packs, at = [], 4
        for _ in range(struct.unpack_from("<I", plain)[0]):
            need(at + 296 <= len(plain), f"{what}: truncated")
            pack, size = struct.unpack_from("<32sI", plain, at)
            header = pack_header(plain[at + 36:at + 292], self.id, what)
            need(header.domain == domain, f"{what}: a pack of another domain")
            length = struct.unpack_from("<I", plain, at + 292)[0]
            at += 296
            need(at + length <= len(plain), f"{what}: truncated")
            directory = plain[at:at + length]
            at += length
            packs.append(Pack(pack, size, header, parse_directory(directory, header.chunk_class, size - 168, False,
                                                                  f"{what} {pack_name(pack)}"), directory, what))
        need(at == len(plain), f"{what}: trailing bytes")
        return packs

    def _load_indexes(self):
        found = {}
        for index in self.index_ids()[0]:
            try:
                found.update((pack.id, pack) for pack in self.read_index(index))
            except Damage as error:
                self.warn(f"index object passed over: {error}")
        return found

    # ledger (section 11)

    def ledger(self):
        """(entries that count in merged order, errors, certificates).  A chain is read up to its first bad entry."""
        errors, certificates, retired = [], collections.defaultdict(set), {}
        self.chains = {}                        # by author, in the order in which they are merged
        admins, vaults, writers = list(self.genesis.admins), [self.genesis.vault] if self.genesis.vault else [], []
        for key in admins:                      # grows: an admin's entries make others, who rank behind
            chain = self._chain(key, "admin", retired, errors)
            if chain is None:
                continue
            for at, entry in enumerate(chain.entries):
                if entry.type == KEY_ROTATE and entry.payload[0] == 0:
                    chain.end(at + 1)
                    break
            for entry in chain.counting():
                if entry.type == KEY_ROTATE and entry.payload[0] == 0 or entry.type == CERT and entry.payload[0] == 0:
                    admins.append(entry.payload[1])
                elif entry.type == CERT:
                    vaults.append(entry.payload[1])
                elif entry.type == WRITER_CERT:
                    writers.append(entry.payload[0])
                    certificates[author_id(entry.payload[0])].add(entry.payload[1])
                elif entry.type == RETIRE and entry.payload[0] not in self.chains:      # not an admin of the same or higher rank
                    author, count, head = entry.payload
                    if author not in retired or count < retired[author][0]:
                        retired[author] = count, head, entry.name
        for role, keys in (("vault", vaults), ("writer", writers)):
            for key in keys:
                self._chain(key, role, retired, errors)
        for name in self.store.names("ledger"):
            if not re.fullmatch("[0-9a-f]{32}", name) or not self.store.is_folder("ledger/" + name):
                errors.append(f"ledger/{name}: not an author's folder")
            elif bytes.fromhex(name) not in self.chains and self.store.names("ledger/" + name):
                errors.append(f"ledger/{name}: neither an admin nor the holder of a cert")
        order = [chain.counting() for chain in self.chains.values()]
        merged, heads = [], [0] * len(order)
        while True:
            ready = [(entries[at].time, number) for number, (entries, at) in enumerate(zip(order, heads)) if at < len(entries)]
            if not ready:
                return merged, errors, certificates
            number = min(ready)[1]              # of equal times the first chain
            merged.append(order[number][heads[number]])
            heads[number] += 1

    def _chain(self, key, role, retired, errors):
        """The chain of a key, or None if the key has a role already."""
        author = author_id(key)
        if author in self.chains:
            return None
        folder = f"ledger/{author.hex()}"
        present = []
        for name in self.store.names(folder):
            if re.fullmatch("[0-9]{16}", name):
                present.append(int(name))
            else:
                errors.append(f"{folder}/{name}: not an entry's name")
        self.chains[author] = chain = Chain(author, role)
        previous = ZERO32
        for sequence in range(max(present, default=-1) + 1):
            name = f"{folder}/{sequence:016d}"
            try:
                need(sequence in present, f"{name}: missing, but later entries stand")
                data = self.store.read(name, 1 << 20)
                entry = self._entry(data, name, author, sequence, key, previous, role)
            except Damage as error:
                errors.append(str(error))
                chain.whole = False
                if sequence + 1 < len(present):
                    errors.append(f"{folder}: the entries after {sequence} are not read, as the chain is broken")
                break
            previous = cr.sha256(data)
            chain.entries.append(entry)
            chain.hashes.append(previous)
        if author == author_id(self.genesis.admins[0]) and not chain.entries:
            errors.append(f"{folder}: the first admin's chain has no first entry")
        if author in retired:
            count, head, by = retired[author]
            chain.end(count)
            there = ZERO32 if count == 0 else chain.hashes[count - 1] if count <= len(chain.hashes) else None
            if chain.whole and there != head:
                errors.append(f"{folder}: is not the chain that {by} ends: entries are missing, or others")
        return chain

    def _entry(self, data, name, author, sequence, key, previous, role):
        body, signature, signed = signed_parts(data, KIND_ENTRY, 1 << 20, name)
        verify(key, b"varve v1 entry", signature, signed, name)
        repository, by, number, before, when, kind, payload = record(body, 7, name)
        need(raw(repository, 32, name + " repository id") == self.id, f"{name}: belongs to another repository")
        need(raw(by, 16, name + " author") == author, f"{name}: by another author")
        need(integer(number, name + " sequence") == sequence, f"{name}: sequence {number}")
        need(raw(before, 32, name + " previous") == previous, f"{name}: does not follow the entry before it")
        when = time(when, name + " time")
        integer(kind, name + " type", 1, 255)
        first_of_all = sequence == 0 and author == author_id(self.genesis.admins[0])
        need((kind == GENESIS) == first_of_all, f"{name}: genesis entry out of place, or not in its place")
        need(kind not in KNOWN or kind in MAY_WRITE[role], f"{name}: type {kind} by a {role}")
        payload = parse_payload(kind, payload, name + " payload")
        if kind == TAGS:
            domain, sealed = payload
            plain = unseal(self.keys.domain(domain).k_tag, b"varve v1 tags" + self.id + author + struct.pack("<Q", sequence), sealed, name)
            ids, added, removed = record(plain, 3, name + " tags")
            payload = (domain, [raw(item, 32, name + " snapshot id") for item in items(ids, None, name + " snapshot ids")],
                       [text(item, name + " tag") for item in items(added, None, name + " added")],
                       [text(item, name + " tag") for item in items(removed, None, name + " removed")])
        return Entry(author, sequence, when, kind, payload, name)

    def snapshots(self):
        """(snapshots in ledger order without those that were pruned, ledger errors)."""
        if not hasattr(self, "_ledger"):
            self._ledger = self.ledger()
        merged, errors, self.certificates = self._ledger
        receipts, extended, holds, released, promises = {}, collections.defaultdict(list), {}, set(), {}
        for entry in merged:
            if entry.type == RECEIPT:
                for author, sequence, digest, retain, _ in entry.payload:
                    chain = self.chains.get(author)
                    fits = chain is not None and sequence < len(chain.hashes) and chain.hashes[sequence] == digest
                    if fits:                    # the first one that fits counts
                        receipts.setdefault((author, sequence), (entry.time, retain))
        for entry in merged:
            if entry.type == EXTEND:
                when = receipts.get((entry.author, entry.sequence), (entry.time, 0))[0]
                for snapshot in entry.payload[0]:
                    extended[snapshot].append((when, entry.payload[1]))
            elif entry.type == HOLD:
                holds[entry.author, entry.sequence] = entry
            elif entry.type == RELEASE:
                released.add(entry.payload)
        held = collections.defaultdict(list)
        for place, entry in holds.items():
            if place not in released:
                for snapshot in entry.payload:
                    held[snapshot].append(receipts.get(place, (entry.time, 0))[0])
        found, newest = {}, {}
        for entry in merged:
            if entry.type != SNAPSHOT:
                continue
            manifest, stream, state, retain, slots, name = entry.payload
            if manifest in found:
                self.warn(f"{entry.name}: snapshot {manifest.hex()} is already in {found[manifest].entry.name}")
                continue
            received, promised = receipts.get((entry.author, entry.sequence), (entry.time, 0))
            promises[manifest] = max(retain, promised)
            kept = max([promises[manifest]] + [until for _, until in extended[manifest]])
            found[manifest] = Snapshot(manifest, entry, state, stream, received, kept, slots, name, bool(held[manifest]), False)
            if state == 0:
                newest[entry.author, stream] = manifest
        for manifest in newest.values():
            found[manifest] = found[manifest]._replace(newest=True)
        pruned = set()
        for entry in merged:
            if entry.type != PRUNE_DONE:
                continue
            for manifest in entry.payload[1]:
                snapshot = found.get(manifest)
                if snapshot is None:
                    continue
                said = receipts.get((entry.author, entry.sequence), (entry.time, 0))[0]
                kept = max([promises[manifest]] + [until for when, until in extended[manifest] if when <= said])
                if snapshot.newest or any(when <= said for when in held[manifest]) or entry.time[0] < kept:
                    self.warn(f"{entry.name}: says that snapshot {manifest.hex()} was pruned, which was to be kept; not believed")
                elif entry.time[0] >= snapshot.retain and not held[manifest] or manifest.hex() not in self.store.names("snapshots"):
                    pruned.add(manifest)        # what came later brings nothing back that is gone
        return [snapshot for snapshot in found.values() if snapshot.id not in pruned], list(errors)

    def tags(self, snapshot, manifest):
        tags = set(manifest.tags)
        for entry in self._ledger[0]:
            if entry.type == TAGS:
                domain, ids, added, removed = entry.payload
                chain = self.chains[entry.author]
                if chain.role == "writer" and domain not in self.certificates[entry.author]:
                    continue                    # a writer speaks for its own domains
                if domain == manifest.domain and snapshot.id in ids:
                    tags = (tags - set(removed)) | set(added)
        return sorted(tags)

    # manifests (section 10)

    def envelope(self, manifest):
        what = f"snapshots/{manifest.hex()}"
        data = self.store.read(what)
        need(cr.sha256(data) == manifest, f"{what}: its name is not its hash")
        return Manifest(data, manifest, self.id)

    def manifest(self, manifest):
        found = self.envelope(manifest)
        return found.open(self.session_key(found, found.what), self.keys.domain(found.domain).k_name)

    def manifest_of(self, snapshot):
        """The manifest of a ledger entry, held against that entry."""
        found = self.manifest(snapshot.id)
        need(found.writer == snapshot.entry.author, f"{found.what}: its writer is not the author of {snapshot.entry.name}")
        need(found.stream == snapshot.stream, f"{found.what}: another stream than in {snapshot.entry.name}")
        need(found.state == snapshot.state, f"{found.what}: another state than in {snapshot.entry.name}")
        domains = self.certificates.get(found.writer)
        if domains:
            need(found.domain in domains, f"{found.what}: its writer has no certificate for its domain")
        return found

    def pins(self, manifest):
        steps, at = [], manifest
        while at.depth:
            steps.append(at)
            base = self.envelope(at.base)
            need(base.depth == at.depth - 1, f"{at.what}: pins depth {at.depth} over a base of depth {base.depth}")
            need(base.domain == at.domain, f"{at.what}: pins over a base of another domain")
            at = base
        pins = set(at.added)
        need(len(pins) == at.pin_count, f"{at.what}: pin count does not match")
        for step in reversed(steps):
            removed, added = set(step.removed), set(step.added)
            need(removed <= pins, f"{step.what}: removes a pin that its base does not have")
            need(not added & pins, f"{step.what}: adds a pin that its base has")
            pins = (pins - removed) | added
            need(len(pins) == step.pin_count, f"{step.what}: pin count does not match")
        return sorted(pins)


class Reader:
    """Chunks, trees and contents of one snapshot, resolved only inside its pins (section 6)."""

    def __init__(self, repository, manifest):
        self.repository, self.manifest = repository, manifest
        self.keys = repository.keys.domain(manifest.domain)
        self.pins = repository.pins(manifest)
        self.lost = {}                  # pins that cannot be read: id -> why
        self._table(True)

    def _table(self, trust_index):
        self.trusting = trust_index and self.repository.use_index
        self.table = collections.defaultdict(list)
        for pin in self.pins:
            try:
                pack = self.repository.pack(pin, trust_index)
                need(pack.header.domain == self.manifest.domain, f"{pack.name}: of another domain than the snapshot that pins it")
            except Damage as error:
                self.lost[pin] = str(error)
                continue
            for chunk, (frame, index) in pack.chunk_table().items():
                self.table[chunk].append((pack, frame, index))

    def chunk(self, chunk, kind, length=None):
        reasons = []
        for pack, frame, index in self.table.get(chunk, ()):
            try:
                found, size = frame.chunks[index][1:3]
                need(found == kind, f"{pack.name}: chunk {chunk.hex()} has type {found} instead of {kind}")
                need(length is None or size == length, f"{pack.name}: chunk {chunk.hex()} has {size} bytes instead of {length}")
                return self.repository.chunk_of(pack, frame, index, self.repository.read_frame(pack, frame))
            except Damage as error:
                reasons.append(str(error))
        if self.trusting:               # index objects are hints: ask the packs themselves
            self._table(False)
            return self.chunk(chunk, kind, length)
        if not reasons:
            reasons = [f"chunk {chunk.hex()} is in no pack that the snapshot pins"] + list(self.lost.values())
        raise Damage("; ".join(reasons))

    # pages

    def directory(self, chunk, what):
        """The entries of a directory, from its page or pages."""
        entries = self._page(chunk, None, what)
        strictly_rising([entry.name for entry in entries], what)
        return entries

    def _page(self, chunk, level, what):
        page = record(self.chunk(chunk, TREE_PAGE), None, what)
        need(page, f"{what}: empty page")
        found = integer(page[0], what + " level", 0, LEVEL_MAX)
        need(level is None or found == level, f"{what}: a page of level {found} instead of {level}")
        if found == 0:
            _, owners, entries = items(page, 3, what + " leaf")
            owners = [parse_owner(owner, what + " owner") for owner in items(owners, None, what + " owners")]
            need(len(set(owners)) == len(owners), f"{what}: duplicate owners")
            nodes, used = [], 0
            for entry in items(entries, None, what + " entries"):
                node = parse_entry(entry, owners, what)
                need(node.owner_index <= used, f"{what}: owners are not in the order of first use")
                used = max(used, node.owner_index + 1)
                nodes.append(node)
            need(used == len(owners), f"{what}: an owner that is not used")
            need(nodes or level is None, f"{what}: an empty leaf below an inner page")
            return nodes
        rows = items(items(page, 2, what + " inner page")[1], None, what + " rows")
        need(rows, f"{what}: an inner page without rows")
        nodes = []
        for row in rows:
            first, child, count = items(row, 3, what + " row")
            raw(first, None, what + " first name")
            below = self._page(raw(child, 32, what + " row's chunk id"), found - 1, what)
            need(below[0].name == first, f"{what}: a row's first name is not its child's")
            need(len(below) == integer(count, what + " entry count"), f"{what}: a row's entry count does not add up")
            need(not nodes or nodes[-1].name < first, f"{what}: duplicates or disorder")
            nodes += below
        return nodes

    def xattr(self, value):
        if isinstance(value, bytes):
            return value
        return self.chunk(value[1], ATTRIBUTE, value[0])

    # contents

    def segments(self, node):
        """(length, chunk id or None for a hole, or the bytes themselves), in order."""
        content = node.content
        if content is None:
            return
        if isinstance(content, bytes):
            yield len(content), content
        elif content == 1:
            yield node.size, cr.hmac256(self.keys.k_id, bytes([DATA]) + node.digest)
        else:
            yield from self._rows(content[1], node.size, content[0])

    def _rows(self, run, total, depth):
        for length, chunk in parse_rows(run, total, depth, "content"):
            if depth:
                yield from self._rows(self.chunk(chunk, LIST_PAGE), length, depth - 1)
            else:
                yield length, None if chunk == ZERO32 else chunk

    def content(self, node):
        """Runs of (bytes) or hole lengths (int); the whole-file digest is checked at the end."""
        import hashlib
        digest, holes = hashlib.sha256(), 0
        zeros = bytes(1 << 20)
        inline = isinstance(node.content, bytes)
        for length, part in self.segments(node):
            if part is None:
                holes += length
                if node.digest is not None:
                    for _ in range(length >> 20):
                        digest.update(zeros)
                    digest.update(zeros[:length & (1 << 20) - 1])
                yield length
            else:
                run = part if inline else self.chunk(part, DATA, length)
                digest.update(run)
                yield run
        if node.digest is None:
            need(holes > HOLES_WITHOUT_DIGEST, "no digest, but no more than 1 GiB of holes")
        else:
            need(digest.digest() == node.digest, "the content is not what its digest says")
