"""Packs, their directories and frames, and index objects (§7, §8)."""

import struct

from errors import Damage, need
from objects import INDEX, LIMITS, PACK, check_preamble
from primitives import aead_open, hkdf, seal_open, sha256, zstd_decompress

HEADER, FOOTER, MIN_PACK = 256, 128, 432
MAX_CHUNK, MAX_RAW, MAX_FRAMES = 2_097_152, 4_194_304, 65_536
DATA, TREE, LIST, ATTRIBUTE = 1, 2, 3, 4


class PackHeader:
    """§7, the first 256 bytes."""

    def __init__(self, data, repository_id):
        need(len(data) == HEADER, "pack: too short")
        check_preamble(data, PACK)
        need(data[8:40] == repository_id, "pack: of another repository")
        self.writer, self.domain, self.session = data[40:56], data[56:72], data[72:88]
        self.pack_class = data[88]
        need(self.pack_class in (1, 2), "pack: unknown class")
        need(not any(data[89:96]) and not any(data[240:256]), "pack: header bytes that are not zero")
        self.enc, self.ct = data[96:128], data[128:176]
        self.commitment, self.salt = data[176:208], data[208:240]
        self.raw, self.hash = data, sha256(data)


class Frame:
    """An entry of a pack directory with its chunks [(id, type, length)]."""

    def __init__(self, number, raw):
        self.number = number
        self.offset, self.sealed, self.raw, self.count, self.codec = struct.unpack_from("<IIIIB", raw)
        need(not any(raw[17:20]), "directory: frame bytes that are not zero")
        need(0 < self.raw <= MAX_RAW, "directory: raw length")
        need(self.count > 0, "directory: frame without chunks")
        need(self.sealed > 16, "directory: sealed length")
        need(self.codec in (0, 1), "directory: unknown codec")
        need(self.codec or self.sealed == self.raw + 16, "directory: sealed length of a stored frame")
        self.chunks = []


def parse_directory(data, end, pack_class, padding):
    """§7: the frames of a directory; they must end at or before `end`."""
    need(len(data) >= 8, "directory: too short")
    frames, chunks = struct.unpack_from("<II", data)
    need(frames <= MAX_FRAMES, "directory: too many frames")
    size = 8 + 20 * frames + 37 * chunks
    need(len(data) >= size if padding else len(data) == size, "directory: length")
    need(not any(data[size:]), "directory: padding is not zero")
    result, free = [], HEADER
    for n in range(frames):
        frame = Frame(n, data[8 + 20 * n:28 + 20 * n])
        need(frame.offset >= free, "directory: frames overlap or are out of order")
        free = frame.offset + frame.sealed
        result.append(frame)
    need(free <= end or not frames, "directory: a frame beyond the end")
    need(sum(frame.count for frame in result) == chunks, "directory: chunk counts do not add up")
    at = 8 + 20 * frames
    for frame in result:
        for _ in range(frame.count):
            kind, length = struct.unpack_from("<BI", data, at + 32)
            need(1 <= kind <= 4 and (kind == DATA) == (pack_class == 1), "directory: chunk type")
            need(0 < length <= MAX_CHUNK, "directory: chunk length")
            frame.chunks.append((data[at:at + 32], kind, length))
            at += 37
        need(sum(chunk[2] for chunk in frame.chunks) == frame.raw, "directory: chunk lengths do not add up")
    return result


class Pack:
    """A pack as its own directory or an index object describes it."""

    def __init__(self, pack_id, size, header, frames, plain):
        self.id, self.size, self.header, self.frames, self.plain = pack_id, size, header, frames, plain
        self.name = pack_name(pack_id)

    def frame(self, store, keys, n):
        """The raw bytes of frame n, authenticated and decompressed (§7)."""
        frame, header = self.frames[n], self.header
        need(store.sizes.get(self.name) in (None, self.size), self.name + ": another size than the index says")
        sealed = store.read(self.name, frame.offset, frame.sealed)
        session = keys.session_key(header.writer, header.domain, header.session,
                                   header.enc, header.ct, header.commitment)
        aad = (b"varve v1 frame" + header.hash + struct.pack("<IBII", n, frame.codec, frame.raw, frame.count)
               + b"".join(struct.pack("<BI", kind, length) for _, kind, length in frame.chunks))
        plain = aead_open(hkdf(session, header.salt, b"varve v1 pack"), n.to_bytes(12, "little"), aad, sealed,
                          "%s: frame %d" % (self.name, n))
        return zstd_decompress(plain, frame.raw) if frame.codec else plain


def pack_name(pack_id):
    return "packs/%s/%s" % (pack_id.hex()[:2], pack_id.hex())


def strip_padding(plain):
    """The directory without its padding, as index objects hold it (§8)."""
    frames, chunks = struct.unpack_from("<II", plain)
    return plain[:8 + 20 * frames + 37 * chunks]


def read_pack(store, keys, pack_id, data=None):
    """A pack from its own header, footer and directory; `data` is the whole of it where that was read."""
    name = pack_name(pack_id)
    need(name in store.sizes, name + ": missing")
    size = store.sizes[name] if data is None else len(data)
    need(MIN_PACK <= size <= LIMITS[PACK], name + ": size")

    def part(offset, length):
        return store.read(name, offset, length) if data is None else data[offset:offset + length]

    try:
        header = PackHeader(part(0, HEADER), keys.genesis.repository_id)
        footer = part(size - FOOTER, FOOTER)
        need(footer[120:] == b"VARVEPCK" and not any(footer[92:120]), "footer")
        need(footer[:80] == header.enc + header.ct, "footer differs from the header")
        offset, length = struct.unpack_from("<QI", footer, 80)
        need(offset >= HEADER and offset + length == size - FOOTER, "footer: place of the directory")
        plain = seal_open(keys.domain(header.domain).k_idx, b"varve v1 directory" + header.raw,
                          part(offset, length), "directory")
        frames = parse_directory(plain, offset, header.pack_class, True)
    except Damage as error:
        raise type(error)("%s: %s" % (name, error)) from None
    return Pack(pack_id, size, header, frames, strip_padding(plain))


def read_index(store, keys, name):
    """§8: the packs that an index object lists."""
    data = store.read_named(name)
    try:
        check_preamble(data, INDEX)
        need(len(data) >= 88 and data[8:40] == keys.genesis.repository_id, "of another repository")
        domain = data[56:72]
        plain = seal_open(keys.domain(domain).k_idx, b"varve v1 index" + data[:88], data[88:], "index")
        need(len(plain) >= 4, "too short")
        count, at, packs = struct.unpack_from("<I", plain)[0], 4, []
        for _ in range(count):
            need(len(plain) >= at + 296, "too short")
            pack_id = plain[at:at + 32]
            size = struct.unpack_from("<I", plain, at + 32)[0]
            header = PackHeader(plain[at + 36:at + 292], keys.genesis.repository_id)
            need(header.domain == domain, "a pack of another domain")
            length = struct.unpack_from("<I", plain, at + 292)[0]
            at += 296
            need(length <= len(plain) - at, "too short")
            # The pack's size stands for the offset of its directory.
            need(MIN_PACK <= size <= LIMITS[PACK], "pack size")
            frames = parse_directory(plain[at:at + length], size, header.pack_class, False)
            packs.append(Pack(pack_id, size, header, frames, plain[at:at + length]))
            at += length
        need(at == len(plain), "trailing bytes")
    except Damage as error:
        raise type(error)("%s: %s" % (name, error)) from None
    return packs
