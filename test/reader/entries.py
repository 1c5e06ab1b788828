"""One ledger entry: what is damaged in it, and what makes it void (§11, §11.2)."""

import payloads
import strict_cbor as cbor
from errors import Damage, need
from objects import ENTRY, Signed
from primitives import author_id, sha256

ADMIN, VAULT, AUDITOR, WRITER = ROLES = ("admin", "vault", "auditor", "writer")

# Who may write an entry of a type; the genesis entry is the founder's first.
BY = {payloads.GENESIS: (ADMIN,), payloads.WRITER_CERT: (ADMIN,), payloads.RETIRE: (ADMIN,),
      payloads.POLICY: (ADMIN,), payloads.SNAPSHOT: (WRITER, ADMIN), payloads.EXTEND: (ADMIN, VAULT),
      payloads.HOLD: (ADMIN, VAULT), payloads.RELEASE: (ADMIN,), payloads.RECEIPT: (VAULT,),
      payloads.ATTEST: (ADMIN, AUDITOR), payloads.CHECK: (ADMIN, AUDITOR, VAULT), payloads.DRILL: (ADMIN, AUDITOR),
      payloads.COPY: (ADMIN, AUDITOR), payloads.PRUNE_INTENT: (ADMIN, VAULT), payloads.PRUNE_DONE: (ADMIN, VAULT),
      payloads.KEY_ROTATE: (ADMIN,), payloads.INCIDENT: ROLES, payloads.TAGS: (WRITER, ADMIN),
      payloads.CERT: (ADMIN,), payloads.ACCEPT_FORK: (ADMIN,), payloads.SLOTS: (ADMIN,),
      payloads.RETIRE_STREAM: (ADMIN,)}

FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z


class LedgerEntry:
    """A verified entry. `data` is its parsed payload; `void` says why nothing comes of it, or is None."""

    def __init__(self, author, sequence, raw, public, previous, genesis):
        signed = Signed(raw, ENTRY, b"varve v1 entry")
        signed.verify(public)
        items = cbor.array(signed.body, 7)
        need(cbor.octets(items[0], 32) == genesis.repository_id, "of another repository")
        need(cbor.octets(items[1], 16) == author, "another author than its name says")
        need(cbor.integer(items[2]) == sequence, "another sequence number than its name says")
        need(cbor.octets(items[3], 32) == previous, "previous is not the hash of the entry before")
        self.author, self.sequence, self.hash = author, sequence, sha256(raw)
        self.time = cbor.time(items[4])
        self.type = cbor.integer(items[5], 1, 255)
        cbor.array(items[6])
        self.data, self.void = None, None
        try:
            self.data = payloads.parse(self.type, items[6])
            self._check_place(author == author_id(genesis.admins[0]) and sequence == 0)
        except Damage as error:
            self.void = str(error)

    def _check_place(self, first):
        need(FIRST_SECOND <= self.time[0] <= payloads.LAST_SECOND, "its time is not in the years 1 to 9999")
        need((self.type == payloads.GENESIS) == first, "a genesis entry must be the first of the founder, only")

    def check_role(self, roles):
        """Make an entry void that none of its author's roles may write."""
        allowed = BY.get(self.type)
        if self.void is None and allowed and not any(role in allowed for role in roles):
            self.void = "none of its author's roles (%s) may write type %d" % (", ".join(sorted(roles)), self.type)

    @property
    def at(self):
        """Where it stands: author and sequence."""
        return self.author, self.sequence

    @property
    def name(self):
        return entry_name(self.author, self.sequence)


def entry_name(author, sequence):
    return "ledger/%s/%016d" % (author.hex(), sequence)
