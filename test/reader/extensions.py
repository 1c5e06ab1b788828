"""Which extend entries count (§11.7, Extensions by a vault)."""

import payloads
from entries import ADMIN, VAULT

LONGEST = 7_776_000


class Extensions:
    """`counting` in merged order; `refused` has (entry, why it does not count)."""

    def __init__(self, ledger, first_entries):
        self.ledger, self.first_entries = ledger, first_entries  # manifest id: the first snapshot entry about it
        self.counting, self.refused = [], []
        self._earlier = {}  # (vault, series): [extend entry]
        self._longest = None
        for entry in ledger.merged:
            if entry.type == payloads.POLICY:
                self._longest = entry.data.extension
            elif entry.type == payloads.EXTEND:
                why = self._why_not(entry) if self._by_vault(entry) else None
                if why:
                    self.refused.append((entry, why))
                else:
                    self.counting.append(entry)

    def _by_vault(self, entry):
        authors = self.ledger.authors
        return authors.is_a(entry.author, VAULT) and not authors.is_a(entry.author, ADMIN)

    def _series(self, entry):
        """The one series of the snapshots that an entry names, or None."""
        if not all(manifest in self.first_entries for manifest in entry.data.snapshots):
            return None
        firsts = [self.first_entries[manifest] for manifest in entry.data.snapshots]
        series = {(first.author, first.data.stream) for first in firsts}
        return series.pop() if len(series) == 1 else None

    def _why_not(self, entry):
        """Why an extension by a vault does not count; one that does is remembered."""
        series, received = self._series(entry), self.ledger.received(entry)[0]
        if series is None:
            return "names snapshots that are not known, or not of one series"
        if self._longest is None:
            return "no policy lets a vault extend"
        if entry.data.until > received + min(self._longest, LONGEST):
            return "extends for longer than the policy lets a vault"
        earlier = self._earlier.setdefault((entry.author, series), [])
        if any(other.data.until > received and other.data.snapshots != entry.data.snapshots for other in earlier):
            return "an earlier extension of the same series is open"
        earlier.append(entry)
        return None
