"""Key slots against the ledger (§11.8)."""

from errors import Damage, need
from keys import read_slot
from primitives import sha256


def check_slots(store, slot_list):
    """(errors, warnings)"""
    errors, warnings = [], []
    for name in store.names("keys/"):
        try:
            read_slot(store, name)
        except Damage as error:
            errors.append("%s: %s" % (name, error))
        if slot_list.unnamed(bytes.fromhex(name[-16:])):
            warnings.append("%s: a key slot that the ledger does not name" % name)
    for item in slot_list.listed():
        name = "keys/" + item.slot.hex()
        try:
            need(sha256(store.read(name)) == item.digest, name + ": another digest than the ledger says")
        except Damage as error:
            errors.append(str(error))
    return errors, warnings
