"""Receipts, and the time at which an entry counts as received (§11.2, §11.5)."""

import payloads
from entries import VAULT

DAY = 86_400


def nanoseconds(time):
    return time[0] * 10**9 + time[1]


def more_than_a_day(earlier, later):
    return nanoseconds(later) - nanoseconds(earlier) > DAY * 10**9


class Receipts:
    """What vaults say they received."""

    def __init__(self, authors, taken):
        self.authors, self.taken = authors, taken  # taken(name): the store's time of an object, or None
        self.counting = [entry for author in authors.order if authors.was_vault(author)
                         for entry in self._of(author)]
        self.unfitting = []  # (receipt entry, item)
        self._first = {}  # (author, sequence): the fitting receipt of the least time, (its entry, item)
        for entry in sorted(self.counting, key=lambda entry: entry.time):
            for item in entry.data:
                if self.fits(item):
                    self._first.setdefault((item.author, item.sequence), (entry, item))
                else:
                    self.unfitting.append((entry, item))

    def _of(self, author):
        """The receipt entries of a vault that count, with those at or behind its limit (§11.2, Receipts end)."""
        result = [entry for entry in self.authors.counting(author) if entry.type == payloads.RECEIPT]
        retires = {entry.at: entry.hash for entry in self.authors.retires.get(author, ())}
        for entry in self.authors.behind(author):
            if entry.type == payloads.RECEIPT:
                result.append(entry)
                if any(retires.get((item.author, item.sequence)) == item.hash for item in entry.data):
                    break
        return result

    def fits(self, item):
        chain = self.authors.chains.get(item.author, ())
        return item.sequence < len(chain) and chain[item.sequence].hash == item.hash

    def of(self, entry):
        """(receipt entry, item) of the receipt that counts for an entry, or None."""
        return self._first.get(entry.at)

    def time_received(self, entry):
        receipt = self.of(entry)
        if receipt:
            return receipt[0].time
        if not self.authors.is_a(entry.author, VAULT):
            taken = self.taken(entry.name)
            if taken is not None and more_than_a_day(taken, entry.time):
                return taken
        return entry.time
