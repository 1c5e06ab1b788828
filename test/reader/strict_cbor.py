"""CBOR as §2 restricts it, and the checks of single items of records."""

from errors import Damage, need

MAX_INT = 2**53 - 1
MAX_DEPTH = 32
MAX_TAGS, MAX_TAG_BYTES = 1024, 1024


def _head(data, at):
    """(major type, argument, next offset), in the shortest form only."""
    need(at < len(data), "CBOR: ends early")
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low < 24:
        return major, low, at
    need(low <= 27, "CBOR: indefinite or reserved length")
    need(major != 7, "CBOR: simple value or float")
    size = 1 << (low - 24)
    need(at + size <= len(data), "CBOR: ends early")
    value = int.from_bytes(data[at:at + size], "big")
    least = (24, 1 << 8, 1 << 16, 1 << 32)[low - 24]
    need(value >= least, "CBOR: not the shortest form")
    return major, value, at + size


def _item(data, at, depth):
    major, value, at = _head(data, at)
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        need(value <= len(data) - at, "CBOR: ends early")
        raw = bytes(data[at:at + value])
        at += value
        if major == 2:
            return raw, at
        try:
            return raw.decode("utf-8", "strict"), at
        except UnicodeDecodeError:
            raise Damage("CBOR: text is not UTF-8") from None
    if major == 4:
        need(depth < MAX_DEPTH, "CBOR: nested too deep")
        need(value <= len(data) - at, "CBOR: ends early")
        items = []
        for _ in range(value):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    need(major == 7 and value == 22, "CBOR: map, tag or simple value")
    return None, at


def decode(data):
    """The one value that the bytes encode."""
    value, at = _item(data, 0, 0)
    need(at == len(data), "CBOR: trailing bytes")
    return value


def _encode_head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * size):
            return bytes([major << 5 | low]) + value.to_bytes(size, "big")
    raise ValueError("too large")


def encode(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return _encode_head(0, value) if value >= 0 else _encode_head(1, -1 - value)
    if isinstance(value, bytes):
        return _encode_head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return _encode_head(3, len(raw)) + raw
    return _encode_head(4, len(value)) + b"".join(encode(item) for item in value)


# --- items of records (§2) ---

def array(value, count=None, most=None):
    need(isinstance(value, list), "not an array")
    need(count is None or len(value) == count, "wrong number of items")
    need(most is None or len(value) <= most, "too many items")
    return value


def integer(value, low=0, high=MAX_INT):
    need(isinstance(value, int), "not an integer")
    need(low <= value <= high, "integer out of range")
    return value


def seconds(value):
    """Seconds of a time: they may be negative."""
    return integer(value, -MAX_INT, MAX_INT)


def octets(value, length=None):
    need(isinstance(value, bytes), "not a byte string")
    need(length is None or len(value) == length, "byte string of a wrong length")
    return value


def text(value):
    need(isinstance(value, str), "not text")
    return value


def text_or_null(value):
    return None if value is None else text(value)


def octets_or_null(value, length):
    return None if value is None else octets(value, length)


def time(value):
    """Time of §2 as (seconds, nanoseconds)."""
    array(value, 2)
    return seconds(value[0]), integer(value[1], 0, 999_999_999)


def texts(value):
    return [text(item) for item in array(value)]


def tags(value):
    """A list of tags, in the bounds of §10 and §11.6."""
    result = [text(item) for item in array(value, most=MAX_TAGS)]
    need(all(len(tag.encode()) <= MAX_TAG_BYTES for tag in result), "a tag too long")
    return result


def joined_ids(value):
    """Joined 32-byte ids, strictly rising (§10, §11), as a list."""
    octets(value)
    need(len(value) % 32 == 0, "ids: not a multiple of 32 bytes")
    ids = [value[i:i + 32] for i in range(0, len(value), 32)]
    need(all(a < b for a, b in zip(ids, ids[1:])), "ids: not strictly rising")
    return ids


def owner(value):
    """[uid, gid, user, group] of §9 and §10."""
    array(value, 4)
    return (integer(value[0], 0, 2**32 - 1), integer(value[1], 0, 2**32 - 1),
            text_or_null(value[2]), text_or_null(value[3]))
