"""Tags entries: what they change, and what their lists may hold (§11.6)."""

import struct

import payloads
import strict_cbor as cbor
from errors import Damage, need
from primitives import seal_open

MAX_SNAPSHOTS = 16_384


def parse_change(plain):
    """(snapshot ids, added, removed)"""
    ids, added, removed = cbor.array(cbor.decode(plain), 3)
    ids = [cbor.octets(item, 32) for item in cbor.array(ids, most=MAX_SNAPSHOTS)]
    return ids, cbor.tags(added), cbor.tags(removed)


def open_change(entry, ledger, keys):
    """What a tags entry changes."""
    need(ledger.may_use(entry.author, entry.data.domain), "a domain that no cert of its author names")
    aad = (b"varve v1 tags" + ledger.genesis.repository_id + entry.author + struct.pack("<Q", entry.sequence))
    return parse_change(seal_open(keys.domain(entry.data.domain).k_tag, aad, entry.data.sealed, "tags"))


def tag_changes(ledger, keys):
    """Manifest id: [(domain, removed, added)] in merged order, and the texts of what was refused."""
    changes, errors = {}, []
    for entry in ledger.of_type(payloads.TAGS):
        try:
            ids, added, removed = open_change(entry, ledger, keys)
        except Damage as error:
            errors.append("%s: %s" % (entry.name, error))
            continue
        for manifest in ids:
            changes.setdefault(manifest, []).append((entry.data.domain, removed, added))
    return changes, errors


def apply_tags(tags, changes, domain):
    """`removed` is taken away before `added` is added; the tags in the order of their UTF-8 bytes."""
    result = set(tags)
    for change_domain, removed, added in changes:
        if change_domain != domain:
            continue
        result.difference_update(removed)
        for tag in added:
            if len(result) < cbor.MAX_TAGS:
                result.add(tag)
    return sorted(result, key=lambda tag: tag.encode())
