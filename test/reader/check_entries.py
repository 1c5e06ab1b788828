"""Entries held against the entries that they name (§11, §14): what a full check finds of the ledger besides its chains."""

import payloads

DAY = 86_400


def check_entries(ledger, snapshots):
    """(errors, warnings)"""
    errors, warnings = [], []
    accepted = max((snapshots.place[entry.author, entry.sequence] for entry in ledger.of_type(payloads.ACCEPT_FORK)),
                   default=-1)
    for entry, item in snapshots.unfitting_receipts():
        text = "%s: a receipt for %s/%d that does not fit" % (entry.name, item.author.hex(), item.sequence)
        # What an admin accepted as lost, was.
        behind = accepted > snapshots.place[entry.author, entry.sequence]
        (warnings if behind else errors).append(text)
    for entry in ledger.of_type(payloads.INCIDENT):
        warnings.append("%s: incident %s" % (entry.name, entry.data.code))
    held = {(entry.author, entry.sequence) for entry in ledger.of_type(payloads.HOLD)}
    for entry in ledger.of_type(payloads.RELEASE):
        at = entry.data.author, entry.data.sequence
        if at not in held or snapshots.place[at] > snapshots.place[entry.author, entry.sequence]:
            warnings.append("%s: no hold stands where it says" % entry.name)
    for entry, manifest_id in snapshots.wrong_prunes():
        errors.append("%s: prunes %s, which had not expired" % (entry.name, manifest_id.hex()))
    for entry in ledger.of_type(payloads.PRUNE_DONE):
        why = _wrong_prune(ledger, entry)
        if why:
            errors.append("%s: %s" % (entry.name, why))
    return errors, warnings


def _wrong_prune(ledger, entry):
    """§11, Keeping: what a prune-done entry lacks of its intent, or None."""
    author = entry.data.author
    chain = ledger.counting(author) if author in ledger.chains else []
    intent = chain[entry.data.sequence] if entry.data.sequence < len(chain) else None
    if intent is None or intent.type != payloads.PRUNE_INTENT:
        return "no intent stands where it says"
    if entry.time[0] - intent.time[0] < DAY:
        return "its intent is not a day older"
    if not all(set(getattr(entry.data, kind)) <= set(getattr(intent.data, kind))
               for kind in ("packs", "snapshots", "indexes")):
        return "more than its intent names"
    return None
