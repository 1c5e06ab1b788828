"""The ledger: chains, authors, ends of chains, and merged order (§11)."""

import payloads
import strict_cbor as cbor
from errors import Damage, need
from objects import ENTRY, Signed
from primitives import author_id, sha256

ADMIN, VAULT, WRITER = "admin", "vault", "writer"

BY = {1: (ADMIN,), 2: (ADMIN,), 3: (ADMIN,), 4: (ADMIN,), 5: (ADMIN, WRITER), 6: (ADMIN,), 7: (ADMIN, VAULT),
      8: (ADMIN,), 9: (VAULT,), 14: (ADMIN, VAULT), 15: (ADMIN, VAULT), 16: (ADMIN,),
      17: (ADMIN, VAULT, WRITER), 18: (ADMIN, WRITER), 19: (ADMIN,), 20: (ADMIN,)}


class LedgerEntry:
    """A verified entry; `data` is its parsed payload."""

    def __init__(self, author, sequence, raw, public, role, previous, genesis):
        signed = Signed(raw, ENTRY, b"varve v1 entry")
        signed.verify(public)
        items = cbor.array(signed.body, 7)
        need(cbor.octets(items[0], 32) == genesis.repository_id, "of another repository")
        need(cbor.octets(items[1], 16) == author, "another author than its name says")
        need(cbor.integer(items[2]) == sequence, "another sequence number than its name says")
        need(cbor.octets(items[3], 32) == previous, "previous is not the hash of the entry before")
        self.author, self.sequence, self.public, self.hash = author, sequence, public, sha256(raw)
        self.time = cbor.time(items[4])
        self.type = cbor.integer(items[5], 1, 255)
        need(self.type not in BY or role in BY[self.type], "type %d by a %s" % (self.type, role))
        first = role == ADMIN and public == genesis.admins[0] and sequence == 0
        need((self.type == payloads.GENESIS) == first, "a genesis entry must be the first of the first admin, only")
        self.data = payloads.parse(self.type, items[6])

    @property
    def name(self):
        return entry_name(self.author, self.sequence)


def entry_name(author, sequence):
    return "ledger/%s/%016d" % (author.hex(), sequence)


class Ledger:
    """All chains; what is bad is in `errors`, and from the first bad entry on a chain is not used."""

    def __init__(self, store, genesis):
        self.store, self.genesis, self.errors = store, genesis, []
        self.chains, self.ends, self.roles, self.keys = {}, {}, {}, {}
        self.domains = {}   # author: the domains of a writer's certs
        self._retires = {}  # author: [(count, head)]
        self._present = {}  # author: its sequence numbers
        for name in store.bad_ledger:
            self.errors.append("%s: not the name of an entry" % name)
        for name in store.names("ledger/"):
            _, author, sequence = name.split("/")
            self._present.setdefault(bytes.fromhex(author), set()).add(int(sequence))
        self._learn()
        self._check_retires()
        for author in self._present:
            if author not in self.roles:
                self.errors.append("ledger/%s: entries of an unknown author" % author.hex())
        if not self.chains[author_id(genesis.admins[0])]:
            self.errors.append("%s: missing" % entry_name(author_id(genesis.admins[0]), 0))
        self.merged = self._merge()

    def _load(self, public, role):
        """Read and verify the chain of a key."""
        author = author_id(public)
        self.roles[author], self.keys[author] = role, public
        chain, previous = [], bytes(32)
        present = self._present.get(author, set())
        for sequence in range(max(present, default=-1) + 1):
            name = entry_name(author, sequence)
            try:
                raw = self.store.read(name)
                entry = LedgerEntry(author, sequence, raw, public, role, previous, self.genesis)
            except Damage as error:
                text = str(error)
                self.errors.append(text if text.startswith(name) else "%s: %s" % (name, text))
                break
            chain.append(entry)
            previous = entry.hash
        self.chains[author] = chain
        return chain

    def _end(self, author, chain, role):
        """How many entries of a chain count."""
        end = len(chain)
        if role == ADMIN:
            for entry in chain:
                if entry.type == payloads.KEY_ROTATE and entry.data.role == 0:
                    end = entry.sequence + 1
                    break
        for count, _ in self._retires.get(author, ()):
            end = min(end, count)
        self.ends[author] = end
        return end

    def _learn(self):
        """§11, Authors: the admins' chains one after another by rank, then vaults, then writers."""
        admins = list(self.genesis.admins)
        ranked = {author_id(key) for key in admins}
        vaults = [] if self.genesis.vault is None else [self.genesis.vault]
        writers, done = [], set()
        for public in admins:  # grows while it is read
            author = author_id(public)
            done.add(author)
            chain = self._load(public, ADMIN)
            for entry in chain[:self._end(author, chain, ADMIN)]:
                data = entry.data
                if entry.type in (payloads.CERT, payloads.KEY_ROTATE) and data.role == 0:
                    if author_id(data.key) not in ranked:
                        ranked.add(author_id(data.key))
                        admins.append(data.key)
                elif entry.type == payloads.CERT:
                    vaults.append(data.key)
                elif entry.type == payloads.WRITER_CERT:
                    writers.append(data.key)
                    self.domains.setdefault(author_id(data.key), set()).add(data.domain)
                elif entry.type == payloads.RETIRE and data.author not in done:
                    # About an admin of higher rank, or oneself, it does not count.
                    self._retires.setdefault(data.author, []).append((data.count, data.head))
        for role, keys in ((VAULT, vaults), (WRITER, writers)):
            for public in keys:
                author = author_id(public)
                if author not in self.roles:
                    self._end(author, self._load(public, role), role)
        self.order = list(self.chains)  # admins by rank, vaults, writers

    def _check_retires(self):
        for author, retires in self._retires.items():
            least = min(count for count, _ in retires)
            chain = self.chains.get(author, [])
            for count, head in retires:
                if count != least:
                    continue
                if len(chain) < count or head != (chain[count - 1].hash if count else bytes(32)):
                    self.errors.append("ledger/%s: of the %d entries that its retirement names, entries are missing,"
                                       " or others" % (author.hex(), count))

    def counting(self, author):
        """The entries of a chain that stand before its end."""
        return self.chains[author][:self.ends[author]]

    def _merge(self):
        """§11: of the next entries of all chains, the one with the least time; then the first chain."""
        queues = [list(reversed(self.counting(author))) for author in self.order]
        merged = []
        while any(queues):
            best = min((queue for queue in queues if queue), key=lambda queue: queue[-1].time)
            merged.append(best.pop())
        return merged

    def behind(self):
        """The entries behind the ends of their chains."""
        return [entry for author in self.order for entry in self.chains[author][self.ends[author]:]]

    def of_type(self, kind):
        return [entry for entry in self.merged if entry.type == kind]

    def reader_keys(self):
        """The reader keys that the ledger names, oldest first (§5)."""
        return [entry.data.key for entry in self.of_type(payloads.KEY_ROTATE) if entry.data.role == 1]

    def may_use(self, author, domain):
        """§11: a writer must use a domain that one of its certs names, an admin any."""
        return self.roles[author] == ADMIN or domain in self.domains.get(author, ())
