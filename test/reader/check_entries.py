"""Entries held against what they name (§11, §14): what a full check finds of the ledger besides its chains."""

import payloads
from receipts import DAY, more_than_a_day


def check_entries(ledger, snapshots):
    """(errors, warnings)"""
    errors = ["%s: void: %s" % (entry.name, entry.void) for entry in ledger.entries() if entry.void is not None]
    warnings = []
    for entry, item in ledger.receipts.unfitting:
        text = "%s: a receipt for %s/%d that does not fit" % (entry.name, item.author.hex(), item.sequence)
        (warnings if _accepted(ledger, entry) else errors).append(text)
    errors += ["%s: a rotation of the reader key that the genesis's key did not sign" % entry.name
               for entry in ledger.reader_rotations()[1]]
    errors += ["%s: an extension that does not count: %s" % (entry.name, why)
               for entry, why in snapshots.extensions.refused]
    for entry, manifest_id in snapshots.wrong_prunes():
        errors.append("%s: prunes %s, which had not expired" % (entry.name, manifest_id.hex()))
    for entry in ledger.of_type(payloads.PRUNE_DONE):
        why = _wrong_prune(ledger, entry)
        if why:
            errors.append("%s: %s" % (entry.name, why))
    warnings += ["%s: incident %s" % (entry.name, entry.data.code) for entry in ledger.of_type(payloads.INCIDENT)]
    warnings += list(_lost_holds(ledger)) + list(_odd_times(ledger))
    return errors, warnings


def _accepted(ledger, receipt):
    """Whether an accept-fork entry stands behind a receipt; one behind a limit has no place, only its time."""
    for entry in ledger.of_type(payloads.ACCEPT_FORK):
        if receipt.at in ledger.place:
            if ledger.stands_behind(entry, receipt):
                return True
        elif ledger.received(entry) >= ledger.received(receipt):
            return True
    return False


def _wrong_prune(ledger, entry):
    """§11.7: what a prune-done entry lacks of its intent, or None."""
    at = entry.data.author, entry.data.sequence
    intent = next((other for other in ledger.of_type(payloads.PRUNE_INTENT) if other.at == at), None)
    if intent is None:
        return "no intent stands where it says"
    if entry.time[0] - intent.time[0] < DAY:
        return "its intent is not a day older"
    if not all(set(getattr(entry.data, kind)) <= set(getattr(intent.data, kind))
               for kind in ("packs", "snapshots", "indexes")):
        return "more than its intent names"
    return None


def _lost_holds(ledger):
    holds = {entry.at: entry for entry in ledger.of_type(payloads.HOLD)}
    for entry in ledger.of_type(payloads.RELEASE):
        hold = holds.get((entry.data.author, entry.data.sequence))
        if hold is None or not ledger.stands_behind(entry, hold):
            yield "%s: no hold stands where it says" % entry.name


def _odd_times(ledger):
    """§14: clocks that were more than a day off."""
    for entry in ledger.entries():
        receipt = ledger.receipts.of(entry)
        if receipt:
            times = sorted((entry.time, receipt[0].time))
            if more_than_a_day(*times):
                yield "%s: its receipt in %s is of a time more than a day from its own" % (entry.name, receipt[0].name)
            continue
        taken = ledger.store.taken(entry.name)
        if taken is not None and more_than_a_day(taken, entry.time):
            yield "%s: dated more than a day after the store took it" % entry.name
