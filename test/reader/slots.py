"""What the ledger says of key slots (§11.8)."""

import payloads


class SlotList:
    """The last word about each slot id; empty without any slots entry."""

    def __init__(self, ledger):
        entries = ledger.of_type(payloads.SLOTS)
        self.kept = bool(entries)  # whether the repository has such a list
        self._last = {}  # slot id: its item, or None once removed
        for entry in entries:
            self._last.update((item.slot, item) for item in entry.data.added)
            self._last.update(dict.fromkeys(entry.data.removed))

    def listed(self):
        return [item for item in self._last.values() if item is not None]

    def removed(self, slot_id):
        return slot_id in self._last and self._last[slot_id] is None

    def unnamed(self, slot_id):
        """Whether there is a list that never named a slot."""
        return self.kept and slot_id not in self._last
