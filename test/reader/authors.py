"""Authors: roles, their order, limits of chains, disowned authors (§11.2)."""

import payloads
from entries import ADMIN, AUDITOR, ROLES, VAULT, WRITER
from primitives import author_id

CERT_ROLES = (ADMIN, VAULT, AUDITOR)


def made_by(entry):
    """(role, public key) that an admin's entry makes, or None."""
    if entry.type == payloads.WRITER_CERT:
        return WRITER, entry.data.key
    if entry.type == payloads.CERT:
        return CERT_ROLES[entry.data.role], entry.data.key
    if entry.type == payloads.KEY_ROTATE and entry.data.role == 0:
        return ADMIN, entry.data.key
    return None


class _Found:
    """Keys by role, in the order in which they are found; those in `known` are left out."""

    def __init__(self, known=()):
        self.known = known
        self.keys = {role: {} for role in ROLES}  # role: {author: public key}, in order
        self.admins = []  # grows while it is read

    def add(self, role, public):
        author = author_id(public)
        if author in self.known or author in self.keys[role]:
            return
        self.keys[role][author] = public
        if role == ADMIN:
            self.admins.append(public)

    def roles(self):
        """Author: its roles; authors in the order of §11.2."""
        result = {}
        for role in ROLES:
            for author in self.keys[role]:
                result.setdefault(author, set()).add(role)
        return result


class Authors:
    """Who is who, learnt by reading chains; `load(public key)` gives a key's verified chain."""

    def __init__(self, genesis, load):
        self._load = load
        self.chains = {}   # author: its entries, void ones too
        self.limits = {}   # author: how many of its entries count
        self.certs = {}    # author: the counting writer-certs about it
        self.retires = {}  # author: the counting retire entries about it
        self.roles = self._learn(genesis)
        self.disowned = self._learn_disowned()  # author: what it would be
        self.order = list(self.roles) + list(self.disowned)
        for author in self.order:
            for entry in self.chains[author]:
                entry.check_role(self.roles.get(author) or self.disowned[author])

    def _learn(self, genesis):
        """Read the admins' chains one after another by rank, then those of the others."""
        found = _Found()
        for public in genesis.admins:
            found.add(ADMIN, public)
        if genesis.vault is not None:
            found.add(VAULT, genesis.vault)
        ranked = set()
        for public in found.admins:
            author = author_id(public)
            ranked.add(author)
            chain = self.chains[author] = self._load(public)
            self.limits[author] = min(self._rotated(chain), self._retired(author, chain))
            for entry in chain[:self.limits[author]]:
                self._take(entry, found, ranked)
        self._admins = found.admins
        roles = found.roles()
        for role in (VAULT, AUDITOR, WRITER):
            for author, public in found.keys[role].items():
                if author not in self.chains:
                    self.chains[author] = self._load(public)
                    self.limits[author] = self._retired(author, self.chains[author])
        return roles

    def _take(self, entry, found, ranked):
        """What an admin's counting entry says of authors."""
        if entry.void is not None:
            return
        made = made_by(entry)
        if made:
            found.add(*made)
        if entry.type == payloads.WRITER_CERT:
            self.certs.setdefault(author_id(entry.data.key), []).append(entry.data)
        elif entry.type == payloads.RETIRE and entry.data.author not in ranked:
            # About oneself or an admin of higher rank, it does not count.
            self.retires.setdefault(entry.data.author, []).append(entry)

    @staticmethod
    def _rotated(chain):
        """The limit that an admin's own first key-rotate entry of role 0 sets."""
        for entry in chain:
            if entry.void is None and entry.type == payloads.KEY_ROTATE and entry.data.role == 0:
                return entry.sequence + 1
        return len(chain)

    def _retired(self, author, chain):
        """The limit that retire entries set."""
        return min([len(chain)] + [entry.data.count for entry in self.retires.get(author, ())])

    def _learn_disowned(self):
        """Keys that are made only at or behind the limits of admins' chains, or by such keys."""
        found = _Found(known=self.roles)
        for public in self._admins:
            author = author_id(public)
            self._disown(self.chains[author][self.limits[author]:], found)
        for public in found.admins:
            self._disown(self._load_disowned(public), found)
        for role in (VAULT, AUDITOR, WRITER):
            for public in found.keys[role].values():
                self._load_disowned(public)
        return found.roles()

    @staticmethod
    def _disown(entries, found):
        for entry in entries:
            made = made_by(entry) if entry.void is None else None
            if made:
                found.add(*made)

    def _load_disowned(self, public):
        author = author_id(public)
        if author not in self.chains:
            self.chains[author], self.limits[author] = self._load(public), 0
        return self.chains[author]

    def is_a(self, author, role):
        return role in self.roles.get(author, ())

    def was_vault(self, author):
        """Whether receipts of an author are a vault's: disowned ones are, too (§11.2)."""
        return VAULT in (self.roles.get(author) or self.disowned.get(author, ()))

    def counting(self, author):
        """The entries of a chain that count: before its limit, and not void."""
        return [entry for entry in self.chains.get(author, ())[:self.limits.get(author, 0)] if entry.void is None]

    def behind(self, author):
        """The entries at or behind the limit of a chain that are not void."""
        return [entry for entry in self.chains[author][self.limits[author]:] if entry.void is None]
