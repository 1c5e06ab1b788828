"""Which snapshots there are, and how long each is kept: holds, extensions, series and pruning (§11.6, §11.7)."""

import payloads
from extensions import Extensions
from manifests import COMPLETE

NEVER = float("inf")


class Snapshot:
    """A manifest that counting snapshot entries name; `entries` in merged order."""

    def __init__(self, manifest_id, entries):
        self.id, self.entries = manifest_id, entries


class Snapshots:
    """What the ledger says about snapshots, as seen at `now`; all times in whole seconds."""

    def __init__(self, ledger, now):
        self.ledger, self.now = ledger, now
        by_id = {}
        for entry in ledger.of_type(payloads.SNAPSHOT):
            by_id.setdefault(entry.data.manifest, []).append(entry)
        self.all = [Snapshot(manifest, entries) for manifest, entries in by_id.items()]
        self.holds = self._holds()
        self.extensions = Extensions(ledger, {manifest: entries[0] for manifest, entries in by_id.items()})
        self.extends = {}  # manifest id: [(until, when that was said)]
        for entry in self.extensions.counting:
            for manifest in entry.data.snapshots:
                self.extends.setdefault(manifest, []).append((entry.data.until, self._said_at(entry)))

    def _said_at(self, entry):
        """When something was said: its time received, then its place in merged order."""
        return self.ledger.received(entry)[0], self.ledger.place[entry.at]

    def _holds(self):
        """Manifest id: for each hold the release time (NEVER for none), and when it was said."""
        released = {}
        holds = {entry.at: entry for entry in self.ledger.of_type(payloads.HOLD)}
        for entry in self.ledger.of_type(payloads.RELEASE):
            hold = holds.get((entry.data.author, entry.data.sequence))
            if hold and self.ledger.stands_behind(entry, hold):
                released.setdefault(hold.at, max(entry.time[0], self.ledger.received(entry)[0]))
        result = {}
        for entry in holds.values():
            for manifest in entry.data.snapshots:
                result.setdefault(manifest, []).append((released.get(entry.at, NEVER), self._said_at(entry)))
        return result

    def promised(self, snapshot):
        times = [entry.data.retain for entry in snapshot.entries]
        receipts = filter(None, map(self.ledger.receipts.of, snapshot.entries))
        return max(times + [item.retain for _, item in receipts])

    def extended(self, snapshot, till=None):
        return max(_said(self.extends.get(snapshot.id, ()), till), default=0)

    def superseded(self, snapshot):
        """The second from which it is no longer the newest complete one of its series."""
        return max(self._superseded(entry) for entry in snapshot.entries)

    def _superseded(self, entry):
        if entry.data.state != COMPLETE:
            return 0
        behind = self.ledger.merged[self.ledger.place[entry.at] + 1:]
        return min((self.ledger.received(other)[0] for other in behind if _supersedes(other, entry)), default=NEVER)

    def released(self, snapshot, till=None):
        return max(_said(self.holds.get(snapshot.id, ()), till), default=0)

    def held(self, snapshot):
        return self.released(snapshot) > self.now

    def retain_until(self, snapshot):
        """Until when it was promised, and extended."""
        return max(self.promised(snapshot), self.extended(snapshot))

    def free(self, snapshot, till=None):
        """The second from which it is expired; with `till`, by the holds and extensions said before that only."""
        return max(self.promised(snapshot), self.extended(snapshot, till), self.superseded(snapshot),
                   self.released(snapshot, till))

    # --- pruning ---

    def _dones(self):
        """(prune-done entry, snapshot that it names)"""
        by_id = {snapshot.id: snapshot for snapshot in self.all}
        for entry in self.ledger.of_type(payloads.PRUNE_DONE):
            for manifest in entry.data.snapshots:
                if manifest in by_id:
                    yield entry, by_id[manifest]

    def _right(self, done, snapshot):
        return self.free(snapshot) <= min(done.time[0], self.now)

    def _right_till_then(self, done, snapshot):
        """Right by the holds and extensions that were said before the prune-done entry."""
        return self.free(snapshot, self._said_at(done)) <= min(done.time[0], self.now)

    def wrong_prunes(self):
        """(prune-done entry, manifest id) where the snapshot had not expired by what was said till then."""
        for done, snapshot in self._dones():
            if not self._right_till_then(done, snapshot):
                yield done, snapshot.id

    def listed(self, is_there=lambda manifest: True):
        """The snapshots in merged order, without those that were pruned and those that are gone (§11.7, Pruned)."""
        gone = set()
        for done, snapshot in self._dones():
            if self._right(done, snapshot) or (self._right_till_then(done, snapshot) and not is_there(snapshot.id)):
                gone.add(snapshot.id)
        return [snapshot for snapshot in self.all if snapshot.id not in gone]


def _supersedes(other, entry):
    """Whether an entry behind a complete snapshot's ends its time as the newest of its series."""
    if other.type == payloads.RETIRE_STREAM:
        return (other.data.author, other.data.stream) == (entry.author, entry.data.stream)
    return (other.type == payloads.SNAPSHOT and other.data.state == COMPLETE
            and (other.author, other.data.stream) == (entry.author, entry.data.stream)
            and other.data.manifest != entry.data.manifest)


def _said(items, till):
    """The values of (value, when it was said), of those before `till` if that is given."""
    return [value for value, said_at in items if till is None or said_at < till]
