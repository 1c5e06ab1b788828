"""The ledger: chains as they stand in the store, what is refused of them, and merged order (§11.4, §11.5)."""

import payloads
from authors import Authors
from entries import ADMIN, LedgerEntry, entry_name
from errors import Damage
from primitives import author_id, ed25519_verify
from receipts import Receipts


class Ledger:
    """All chains; what is bad is in `errors`, and from the first bad entry on a chain is not used."""

    def __init__(self, store, genesis):
        self.store, self.genesis = store, genesis
        self.errors = ["%s: not the name of an entry" % name for name in store.bad_ledger]
        self._present = {}  # author: its sequence numbers
        for name in store.names("ledger/"):
            _, author, sequence = name.split("/")
            self._present.setdefault(bytes.fromhex(author), set()).add(int(sequence))
        self.authors = Authors(genesis, self._load)
        self.receipts = Receipts(self.authors, store.taken)
        self._check_retires()
        for author in self._present:
            if author not in self.authors.chains:
                self.errors.append("ledger/%s: the ledger was rolled back: no entry makes this author" % author.hex())
        founder = author_id(genesis.admins[0])
        if 0 not in self._present.get(founder, ()):
            self.errors.append("%s: the ledger was rolled back: the founder's first entry is missing"
                               % entry_name(founder, 0))
        self.merged = self._merge()
        self.place = {entry.at: i for i, entry in enumerate(self.merged)}

    def _load(self, public):
        """Read and verify the chain of a key."""
        author = author_id(public)
        chain, previous = [], bytes(32)
        for sequence in range(max(self._present.get(author, ()), default=-1) + 1):
            name = entry_name(author, sequence)
            try:
                entry = LedgerEntry(author, sequence, self.store.read(name), public, previous, self.genesis)
            except Damage as error:
                text = str(error)
                self.errors.append(text if text.startswith(name) else "%s: %s" % (name, text))
                break
            chain.append(entry)
            previous = entry.hash
        return chain

    def _check_retires(self):
        """§11.2: the heads of the counting retire entries with the least count."""
        for author, retires in self.authors.retires.items():
            count = min(entry.data.count for entry in retires)
            chain = self.authors.chains.get(author, ())
            head = bytes(32) if count == 0 else chain[count - 1].hash if count <= len(chain) else None
            for entry in retires:
                if entry.data.count == count and entry.data.head != head:
                    self.errors.append("ledger/%s: the ledger was rolled back: of the %d entries that %s names,"
                                       " entries are missing, or others" % (author.hex(), count, entry.name))

    def _merge(self):
        """§11.5: of the next entries of all chains, the one received first; then the first chain."""
        queues = [[(self.received(entry), entry) for entry in reversed(self.authors.counting(author))]
                  for author in self.authors.order]
        merged = []
        while any(queues):
            best = min((queue for queue in queues if queue), key=lambda queue: queue[-1][0])
            merged.append(best.pop()[1])
        return merged

    def received(self, entry):
        return self.receipts.time_received(entry)

    def entries(self):
        """All verified entries, in the order of authors."""
        return [entry for author in self.authors.order for entry in self.authors.chains[author]]

    def behind(self):
        """The entries at or behind the limits of their chains."""
        return [entry for author in self.authors.order for entry in self.authors.behind(author)]

    def of_type(self, kind):
        return [entry for entry in self.merged if entry.type == kind]

    def stands_behind(self, entry, other):
        """Whether both count, and `entry` stands behind `other` in merged order."""
        return entry.at in self.place and self.place.get(other.at, len(self.merged)) < self.place[entry.at]

    def reader_rotations(self):
        """(key-rotate entries of role 1 that count, and those that do not) (§11.2)."""
        counting, others = [], []
        for entry in self.of_type(payloads.KEY_ROTATE):
            if entry.data.role == 1:
                (counting if self._rotation_counts(entry.data) else others).append(entry)
        return counting, others

    def _rotation_counts(self, data):
        if self.genesis.reader_sign_key is None:
            return True
        message = b"varve v1 reader rotation\0" + self.genesis.repository_id + data.key
        return data.signature is not None and ed25519_verify(self.genesis.reader_sign_key, message, data.signature)

    def reader_keys(self):
        """The reader keys that the ledger names, oldest first (§5)."""
        return [entry.data.key for entry in self.reader_rotations()[0]]

    def certs(self, author, domain):
        """The counting writer-certs of an author for a domain."""
        return [cert for cert in self.authors.certs.get(author, ()) if cert.domain == domain]

    def may_use(self, author, domain):
        """§11.2: a writer must use a domain that one of its certs names, an admin any."""
        return self.authors.is_a(author, ADMIN) or bool(self.certs(author, domain))
