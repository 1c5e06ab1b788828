"""Payloads of ledger entries by type (§11.1, §11.3)."""

from types import SimpleNamespace

import strict_cbor as cbor
from errors import need

(GENESIS, WRITER_CERT, RETIRE, POLICY, SNAPSHOT, EXTEND, HOLD, RELEASE, RECEIPT, ATTEST, CHECK, DRILL, COPY,
 PRUNE_INTENT, PRUNE_DONE, KEY_ROTATE, INCIDENT, TAGS, CERT, ACCEPT_FORK, SLOTS, RETIRE_STREAM) = range(1, 23)

ALL_SLOTS = 31
LAST_SECOND = 253_402_300_799  # the end of the year 9999
DEFAULT_WAIT = 259_200
NAMED_BAD = 16


def _record(value, **fields):
    """A record: an array with one item for each field, in order."""
    cbor.array(value, len(fields))
    return SimpleNamespace(**{name: check(item) for (name, check), item in zip(fields.items(), value)})


def _with_optional(value, fields, **optional):
    """A record of `fields`, or of those and all of `optional`; what is left out is None."""
    if len(value) > len(fields):
        return _record(value, **fields, **optional)
    return SimpleNamespace(**vars(_record(value, **fields)), **dict.fromkeys(optional))


def _author(value):
    return cbor.octets(value, 16)


def _id(value):
    return cbor.octets(value, 32)


def _slot_id(value):
    return cbor.octets(value, 8)


def _signature(value):
    return cbor.octets(value, 64)


def _seconds(value):
    return cbor.integer(value, 0, LAST_SECOND)


def _extension(value):
    return cbor.integer(value, 1, LAST_SECOND)


def _slots(value):
    return cbor.integer(value, 0, ALL_SLOTS)


def _bit(value):
    return cbor.integer(value, 0, 1)


def _one_of_three(value):
    return cbor.integer(value, 0, 2)


def _level(value):
    return cbor.integer(value, 0, 3)


# --- policies (§11.3) ---

_DURATIONS = dict.fromkeys(("minimum", "hour", "day", "week", "month", "year"), _seconds)


def _class_name(value):
    need(cbor.text(value), "class without a name")
    return value


def _class(value):
    return _record(value, name=_class_name, **_DURATIONS, hosts=cbor.texts, labels=cbor.texts, tags=cbor.texts,
                   expected=_seconds)


def _classes(value):
    classes = [_class(item) for item in cbor.array(value)]
    need(len({item.name for item in classes}) == len(classes), "policy: a class twice")
    return classes


def _policy(value):
    if len(value) == 6:
        return SimpleNamespace(**vars(_record(value, **_DURATIONS)), wait=DEFAULT_WAIT, extension=None)
    return _with_optional(value, dict(**_DURATIONS, wait=_seconds, longest=_seconds, auto_prune=_bit,
                                      daily_bytes=cbor.integer, daily_snapshots=cbor.integer, classes=_classes),
                          extension=_extension)


# --- the other types (§11.1) ---

def _writer_cert(value):
    return _with_optional(value, dict(key=_id, domain=_author), name=cbor.text, scope=cbor.octets)


def _cert(value):
    return _with_optional(value, dict(role=_one_of_three, key=_id), name=cbor.text)


def _key_rotate(value):
    return _with_optional(value, dict(role=_bit, key=_id), signature=_signature)


def _snapshot(value):
    return _with_optional(value, dict(manifest=_id, stream=_author, state=_bit, retain=_seconds, slots=_slots),
                          class_name=_class_name)


def _receipt(value):
    return [_record(item, author=_author, sequence=cbor.integer, hash=_id, retain=_seconds, slots=_slots)
            for item in value]


def _check(value):
    data = _record(value, level=_level, first=_id, last=_id, covers=_seconds, heads=_id, started=_seconds,
                   packs=cbor.integer, bytes=cbor.integer, bad_count=cbor.integer, bad=cbor.joined_ids)
    need(data.first <= data.last, "check: first is above last")
    need(data.bad_count <= data.packs, "check: more bad packs than packs")
    need(len(data.bad) == min(data.bad_count, NAMED_BAD), "check: another number of bad packs than it counts")
    return data


def _drill(value):
    fields = dict(ended=_bit, drill=_author, snapshots=cbor.joined_ids)
    need(value, "drill: empty")
    if value[0] == 1:
        fields.update(verdict=_one_of_three, record=_id)
    return _record(value, **fields)


def _heads(value):
    return [_record(item, author=_author, count=cbor.integer, head=_id) for item in cbor.array(value)]


def _slot_list(value):
    data = _record(
        value, added=lambda items: [_record(item, slot=_slot_id, label=cbor.text, digest=_id)
                                    for item in cbor.array(items)],
        removed=lambda items: [_slot_id(item) for item in cbor.array(items)])
    named = [item.slot for item in data.added] + data.removed
    need(len(set(named)) == len(named), "slots: a slot twice")
    return data


_THREE_LISTS = dict(packs=cbor.joined_ids, snapshots=cbor.joined_ids, indexes=cbor.joined_ids)

_FIELDS = {
    GENESIS: {},
    RETIRE: dict(author=_author, count=cbor.integer, head=_id, reason=cbor.text),
    EXTEND: dict(snapshots=cbor.joined_ids, until=_seconds, reason=cbor.text),
    HOLD: dict(snapshots=cbor.joined_ids, reason=cbor.text),
    RELEASE: dict(author=_author, sequence=cbor.integer, reason=cbor.text),
    ATTEST: dict(snapshots=cbor.joined_ids, statement=cbor.text),
    COPY: dict(direction=_bit, other=_id, snapshots=cbor.joined_ids, heads=_id, bytes=cbor.integer, level=_level),
    PRUNE_INTENT: _THREE_LISTS,
    PRUNE_DONE: dict(author=_author, sequence=cbor.integer, **_THREE_LISTS),
    INCIDENT: dict(code=cbor.text, detail=cbor.text),
    TAGS: dict(domain=_author, sealed=cbor.octets),
    ACCEPT_FORK: dict(heads=_heads, reason=cbor.text),
    RETIRE_STREAM: dict(author=_author, stream=_author, reason=cbor.text),
}
_SPECIAL = {WRITER_CERT: _writer_cert, POLICY: _policy, SNAPSHOT: _snapshot, RECEIPT: _receipt, CHECK: _check,
            DRILL: _drill, KEY_ROTATE: _key_rotate, CERT: _cert, SLOTS: _slot_list}


def parse(kind, value):
    """The parsed payload; of a type that is not in the table, None."""
    if kind in _SPECIAL:
        return _SPECIAL[kind](value)
    if kind in _FIELDS:
        return _record(value, **_FIELDS[kind])
    return None
