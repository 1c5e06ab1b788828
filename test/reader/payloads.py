"""Payloads of ledger entries by type (§11)."""

from types import SimpleNamespace

import strict_cbor as cbor
from errors import need

(GENESIS, WRITER_CERT, RETIRE, POLICY, SNAPSHOT, EXTEND, HOLD, RELEASE, RECEIPT) = range(1, 10)
(PRUNE_INTENT, PRUNE_DONE, KEY_ROTATE, INCIDENT, TAGS, CERT, ACCEPT_FORK) = range(14, 21)

ALL_SLOTS = 31


def _record(value, **fields):
    """A record: an array with one item for each field, in order."""
    cbor.array(value, len(fields))
    return SimpleNamespace(**{name: check(item) for (name, check), item in zip(fields.items(), value)})


def _author(value):
    return cbor.octets(value, 16)


def _id(value):
    return cbor.octets(value, 32)


def _slots(value):
    return cbor.integer(value, 0, ALL_SLOTS)


def _bit(value):
    return cbor.integer(value, 0, 1)


def _class_name(value):
    need(cbor.text(value), "class without a name")
    return value


def _class(value):
    return _record(value, name=_class_name, minimum=cbor.integer, hour=cbor.integer, day=cbor.integer,
                   week=cbor.integer, month=cbor.integer, year=cbor.integer, hosts=cbor.texts,
                   labels=cbor.texts, tags=cbor.texts, expected=cbor.integer)


def _classes(value):
    classes = [_class(item) for item in cbor.array(value)]
    need(len({item.name for item in classes}) == len(classes), "policy: a class twice")
    return classes


def _policy(value):
    six = dict(minimum=cbor.integer, hour=cbor.integer, day=cbor.integer, week=cbor.integer,
               month=cbor.integer, year=cbor.integer)
    if len(value) == 6:
        return _record(value, **six)
    return _record(value, **six, wait=cbor.integer, longest=cbor.integer, auto_prune=_bit,
                   daily_bytes=cbor.integer, daily_snapshots=cbor.integer, classes=_classes)


def _snapshot(value):
    fields = dict(manifest=_id, stream=_author, state=_bit, retain=cbor.integer, slots=_slots)
    if len(value) == 6:
        fields["class_name"] = _class_name
    result = _record(value, **fields)
    if len(value) == 5:
        result.class_name = None
    return result


def _receipt(value):
    return [_record(item, author=_author, sequence=cbor.integer, hash=_id, retain=cbor.integer, slots=_slots)
            for item in value]


def _heads(value):
    return [_record(item, author=_author, count=cbor.integer, head=_id) for item in cbor.array(value)]


_FIELDS = {
    GENESIS: {},
    WRITER_CERT: dict(key=_id, domain=_author),
    RETIRE: dict(author=_author, count=cbor.integer, head=_id, reason=cbor.text),
    EXTEND: dict(snapshots=cbor.joined_ids, until=cbor.integer, reason=cbor.text),
    HOLD: dict(snapshots=cbor.joined_ids, reason=cbor.text),
    RELEASE: dict(author=_author, sequence=cbor.integer, reason=cbor.text),
    PRUNE_INTENT: dict(packs=cbor.joined_ids, snapshots=cbor.joined_ids, indexes=cbor.joined_ids),
    PRUNE_DONE: dict(author=_author, sequence=cbor.integer, packs=cbor.joined_ids, snapshots=cbor.joined_ids,
                     indexes=cbor.joined_ids),
    KEY_ROTATE: dict(role=_bit, key=_id),
    INCIDENT: dict(code=cbor.text, detail=cbor.text),
    TAGS: dict(domain=_author, sealed=cbor.octets),
    CERT: dict(role=_bit, key=_id),
    ACCEPT_FORK: dict(heads=_heads, reason=cbor.text),
}
_SPECIAL = {POLICY: _policy, SNAPSHOT: _snapshot, RECEIPT: _receipt}


def parse(kind, value):
    """The parsed payload; of a type that is not known, only that it is an array."""
    cbor.array(value)
    if kind in _SPECIAL:
        return _SPECIAL[kind](value)
    if kind in _FIELDS:
        return _record(value, **_FIELDS[kind])
    return None
