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
                self.extends.setdefault(manifest, []).append((entry.data.until, self._moment(entry)))

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

    def _moment(self, entry):
        """When something was said: the time of its receipt, else its own, then its place in merged order."""
        return self.received(entry), self.place[entry.author, entry.sequence]

    def _holds(self):
        """Manifest id: for each hold the second from which it is released (NEVER for none), and when it was placed."""
        released = {}
        for entry in self.ledger.of_type(payloads.RELEASE):
            key = (entry.data.author, entry.data.sequence)
            if key in self.place and self.place[key] < self.place[entry.author, entry.sequence]:
                since = max(entry.time[0], self.received(entry)[0])
                released.setdefault(key, since)
        result = {}
        for entry in self.ledger.of_type(payloads.HOLD):
            for manifest in entry.data.snapshots:
                since = released.get((entry.author, entry.sequence), NEVER)
                result.setdefault(manifest, []).append((since, self._moment(entry)))
        return result

    def held(self, manifest_id, at, till=None):
        return any(released > at for released in _said(self.holds.get(manifest_id, ()), till))

    def retain_until(self, snapshot, till=None):
        """Seconds: the latest of its entries', their receipts' and the extend entries' times; of these, those said before `till`."""
        times = [entry.data.retain for entry in snapshot.entries]
        for entry in snapshot.entries:
            receipt = self.receipts.get((entry.author, entry.sequence))
            times += [receipt[1]] if receipt else []
        return max(times + _said(self.extends.get(snapshot.id, ()), till))

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

    def expired(self, snapshot, at, till=None):
        """By all that is said, or with `till` by the holds and extensions from before that moment only."""
        if self.held(snapshot.id, at, till):
            return False
        return max(self.retain_until(snapshot, till), self._superseded(snapshot)) <= at

    def _dones(self):
        by_id = {snapshot.id: snapshot for snapshot in self.all}
        for entry in self.ledger.of_type(payloads.PRUNE_DONE):
            for manifest in entry.data.snapshots:
                if manifest in by_id:
                    yield entry, by_id[manifest]

    def _right(self, entry, snapshot, till=None):
        """Whether a snapshot had expired at a prune-done entry's time and at the reader's."""
        return all(self.expired(snapshot, at, till) for at in (entry.time[0], self.now))

    def wrong_prunes(self):
        """(prune-done entry, manifest id) where the snapshot had not expired by what was said till then."""
        for entry, snapshot in self._dones():
            if not self._right(entry, snapshot, self._moment(entry)):
                yield entry, snapshot.id

    def listed(self, is_there=lambda manifest: True):
        """
        The snapshots in merged order without those pruned rightly, and without those that only holds and extensions from
        after their pruning speak for, when the manifest is not there.
        """
        gone = set()
        for entry, snapshot in self._dones():
            if self._right(entry, snapshot):
                gone.add(snapshot.id)
            elif self._right(entry, snapshot, self._moment(entry)) and not is_there(snapshot.id):
                gone.add(snapshot.id)
        return [snapshot for snapshot in self.all if snapshot.id not in gone]

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


def _said(items, till):
    """What (value, moment) pairs say, of those before `till` if that is given."""
    return [value for value, moment in items if till is None or moment < till]


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
