"""Which snapshots there are: receipts, tags, holds, expiry and pruning (§11)."""

import struct

import payloads
import strict_cbor as cbor
from errors import Damage, need
from manifests import COMPLETE
from primitives import seal_open

NEVER = float("inf")


class Snapshot:
    """A manifest that counting snapshot entries name; `entries` in merged order, the first is listed."""

    def __init__(self, manifest_id, entries):
        self.id, self.entries = manifest_id, entries

    @property
    def entry(self):
        return self.entries[0]


class Snapshots:
    """What the ledger says about snapshots, as seen at `now`."""

    def __init__(self, ledger, now):
        self.ledger, self.now = ledger, now
        self.place = {(entry.author, entry.sequence): i for i, entry in enumerate(ledger.merged)}
        self.receipts = self._receipts()
        by_id = {}
        for entry in ledger.of_type(payloads.SNAPSHOT):
            by_id.setdefault(entry.data.manifest, []).append(entry)
        self.all = [Snapshot(manifest, entries) for manifest, entries in by_id.items()]
        self.holds = self._holds()
        self.extends = {}
        for entry in ledger.of_type(payloads.EXTEND):
            for manifest in entry.data.snapshots:
                self.extends.setdefault(manifest, []).append(entry.data.until)

    def _receipts(self):
        """For each entry (author, sequence) the first receipt that fits it: (time, retain until)."""
        result = {}
        for entry in self.ledger.of_type(payloads.RECEIPT):
            for item in entry.data:
                chain = self.ledger.chains.get(item.author, [])
                fits = item.sequence < len(chain) and chain[item.sequence].hash == item.hash
                if fits:
                    result.setdefault((item.author, item.sequence), (entry.time, item.retain))
        return result

    def unfitting_receipts(self):
        for entry in self.ledger.of_type(payloads.RECEIPT):
            for item in entry.data:
                chain = self.ledger.chains.get(item.author, [])
                if item.sequence >= len(chain) or chain[item.sequence].hash != item.hash:
                    yield entry, item

    def received(self, entry):
        """The time at which an entry counts as received."""
        receipt = self.receipts.get((entry.author, entry.sequence))
        return receipt[0] if receipt else entry.time

    def _holds(self):
        """Manifest id: the seconds from which its holds are released (NEVER for one that is not)."""
        released = {}
        for entry in self.ledger.of_type(payloads.RELEASE):
            key = (entry.data.author, entry.data.sequence)
            if key in self.place and self.place[key] < self.place[entry.author, entry.sequence]:
                since = max(entry.time[0], self.received(entry)[0])
                released.setdefault(key, since)
        result = {}
        for entry in self.ledger.of_type(payloads.HOLD):
            for manifest in entry.data.snapshots:
                result.setdefault(manifest, []).append(released.get((entry.author, entry.sequence), NEVER))
        return result

    def held(self, manifest_id, at):
        return any(released > at for released in self.holds.get(manifest_id, ()))

    def retain_until(self, snapshot):
        """Seconds: the latest of its entries', their receipts' and the extend entries' times."""
        times = [entry.data.retain for entry in snapshot.entries]
        for entry in snapshot.entries:
            receipt = self.receipts.get((entry.author, entry.sequence))
            times += [receipt[1]] if receipt else []
        return max(times + self.extends.get(snapshot.id, []))

    def _superseded(self, snapshot):
        """Until which second it is kept as the newest complete one of its writer and stream."""
        until = float("-inf")
        for entry in snapshot.entries:
            if entry.data.state != COMPLETE:
                continue
            later = [self.received(other)[0] for other in self.ledger.merged[self.place[entry.author, entry.sequence] + 1:]
                     if other.type == payloads.SNAPSHOT and other.author == entry.author
                     and other.data.stream == entry.data.stream and other.data.state == COMPLETE
                     and other.data.manifest != snapshot.id]
            until = max(until, min(later, default=NEVER))
        return until

    def expired(self, snapshot, at):
        if self.held(snapshot.id, at):
            return False
        return max(self.retain_until(snapshot), self._superseded(snapshot)) <= at

    def prunes(self):
        """Manifest id: (the prune-done entry, whether it is believed), the believed one where there is one."""
        result, by_id = {}, {snapshot.id: snapshot for snapshot in self.all}
        for entry in self.ledger.of_type(payloads.PRUNE_DONE):
            for manifest in entry.data.snapshots:
                if manifest not in by_id:
                    continue
                snapshot = by_id[manifest]
                believed = self.expired(snapshot, entry.time[0]) and self.expired(snapshot, self.now)
                if believed or manifest not in result:
                    result[manifest] = entry, believed
        return result

    def listed(self):
        """The snapshots in merged order without those pruned rightly."""
        prunes = self.prunes()
        return [snapshot for snapshot in self.all if not prunes.get(snapshot.id, (None, False))[1]]

    def tag_changes(self, keys):
        """Manifest id: [(domain, removed, added)] in merged order, and the texts of what was refused."""
        changes, errors = {}, []
        for entry in self.ledger.merged:
            if entry.type == payloads.TAGS:
                try:
                    ids, added, removed = open_tags(entry, self.ledger, keys)
                except Damage as error:
                    errors.append("%s: %s" % (entry.name, error))
                    continue
                for manifest in ids:
                    changes.setdefault(manifest, []).append((entry.data.domain, removed, added))
        return changes, errors


def open_tags(entry, ledger, keys):
    """§11, type 18: (snapshot ids, added, removed)."""
    need(ledger.may_use(entry.author, entry.data.domain), "a domain that no cert of its author names")
    aad = (b"varve v1 tags" + ledger.genesis.repository_id + entry.author + struct.pack("<Q", entry.sequence))
    plain = seal_open(keys.domain(entry.data.domain).k_tag, aad, entry.data.sealed, "tags")
    ids, added, removed = cbor.array(cbor.decode(plain), 3)
    return [cbor.octets(item, 32) for item in cbor.array(ids)], cbor.texts(added), cbor.texts(removed)


def apply_tags(tags, changes, domain):
    """`removed` is taken away before `added` is added; the tags in the order of their UTF-8 bytes."""
    result = set(tags)
    for change_domain, removed, added in changes:
        if change_domain == domain:
            result.difference_update(removed)
            result.update(added)
    return sorted(result, key=lambda tag: tag.encode())
