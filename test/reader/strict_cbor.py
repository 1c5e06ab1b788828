"""CBOR as the format page means it (section 2): RFC 8949 core deterministic encoding, restricted to integers of at most
64 bits, byte strings, UTF-8 text, definite arrays and null.  Everything else is refused."""


class CborError(ValueError):
    pass


MAX_DEPTH = 32          # no record of the format nests deeper than 8


def decode(data):
    """The one item that data holds; refuses trailing bytes."""
    item, end = _item(data, 0, 0)
    if end != len(data):
        raise CborError(f"{len(data) - end} trailing bytes")
    return item


def _argument(data, at):
    """The head at `at`: (major type, argument, offset after the head)."""
    if at >= len(data):
        raise CborError("truncated")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info < 24:
        return major, info, at
    if info > 27:
        raise CborError("indefinite length or reserved head")
    if major == 7:
        raise CborError("float or simple value that the format does not use")
    size = 1 << (info - 24)
    if at + size > len(data):
        raise CborError("truncated")
    value = int.from_bytes(data[at:at + size], "big")
    if value < 24 or (size > 1 and value < 1 << (4 * size)):
        raise CborError("not in its shortest form")
    return major, value, at + size


def _item(data, at, depth):
    major, value, at = _argument(data, at)
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        if value > len(data) - at:
            raise CborError("truncated")
        run = bytes(data[at:at + value])
        if major == 2:
            return run, at + value
        try:
            return run.decode("utf-8", "strict"), at + value
        except UnicodeDecodeError:
            raise CborError("text that is not UTF-8") from None
    if major == 4:
        if depth >= MAX_DEPTH:
            raise CborError("nested too deep")
        if value > len(data) - at:
            raise CborError("truncated")
        items = []
        for _ in range(value):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        raise CborError("a map")
    if major == 6:
        raise CborError("a tag")
    if value == 22:
        return None, at
    raise CborError(f"simple value {value}")


def encode(item):
    """Needed to recompute stream ids (section 10)."""
    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return _head(0, item) if item >= 0 else _head(1, -1 - item)
    if isinstance(item, bytes):
        return _head(2, len(item)) + item
    if isinstance(item, str):
        run = item.encode("utf-8")
        return _head(3, len(run)) + run
    if isinstance(item, (list, tuple)):
        return _head(4, len(item)) + b"".join(encode(part) for part in item)
    raise TypeError(type(item))


def _head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * size):
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError("integer of more than 64 bits")
