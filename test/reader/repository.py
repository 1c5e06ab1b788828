"""A repository opened with a key: snapshots, pack directories and chunks."""

import time
from collections import OrderedDict

import keys as keyring
from errors import Damage, Usage, need
from ledger import Ledger
from manifests import COMPLETE, Manifests
from objects import Store, read_genesis
from packs import DATA, pack_name, read_index, read_pack
from primitives import hmac256, sha256
from retention import Snapshots
from scopes import Scopes
from slots import SlotList
from tags import apply_tags, tag_changes
from tree import Tree

CACHED_FRAMES = 16


class Open:
    """A snapshot whose manifest fits one of its entries."""

    def __init__(self, snapshot, entry, manifest, body):
        self.snapshot, self.entry, self.manifest, self.body, self.id = snapshot, entry, manifest, body, snapshot.id


def fits(entry, manifest):
    """§11, Lists: whether a snapshot entry is right about its manifest."""
    return ((entry.author, entry.data.stream, entry.data.state)
            == (manifest.writer, manifest.stream, manifest.state))


def listed_entry(snapshot, opened):
    """The entry by which a snapshot is listed: the first right one, or of a damaged one the first."""
    return snapshot.entries[0] if isinstance(opened, Damage) else opened.entry


class Repository:
    def __init__(self, path, key_path, password_path, use_index, say):
        self.say, self.use_index = say, use_index
        self.store = Store(path)
        self.genesis = read_genesis(self.store)
        self.ledger = Ledger(self.store, self.genesis)
        self.slots = SlotList(self.ledger)
        self.keys = keyring.load_keys(self.store, self.genesis, self.slots, key_path, password_path, say)
        self.keys.lacks_reader_key = not set(self.ledger.reader_keys()) <= set(self.keys.publics)
        self.manifests = Manifests(self.store, self.keys)
        self.snapshots = Snapshots(self.ledger, int(time.time()))
        self.scopes = Scopes(self.ledger, self.keys)
        self.tag_changes, self.tag_errors = tag_changes(self.ledger, self.keys)
        self._packs, self._own, self._frames, self._indexed = {}, {}, OrderedDict(), None

    def refuse_bad_ledger(self):
        """§11, Verifying: this reader refuses the whole ledger when an entry of it is bad."""
        for error in self.ledger.errors:
            self.say(error)
        if self.ledger.errors:
            raise Damage("the ledger is refused")

    # --- snapshots ---

    def open_snapshot(self, snapshot):
        """§10: the manifest must be that of its entry's author, stream and state."""
        manifest = self.manifests.get(snapshot.id)
        what = "snapshots/%s: " % snapshot.id.hex()
        fitting = [entry for entry in snapshot.entries if fits(entry, manifest)]
        need(fitting, what + "writer, stream or state are not those of its ledger entry")
        entry = fitting[0]
        need(self.ledger.may_use(entry.author, manifest.domain), what + "a domain that no cert of its writer names")
        try:
            body = manifest.open(self.keys)
        except Damage as error:
            raise type(error)(what + str(error)) from None
        return Open(snapshot, entry, manifest, body)

    def listed(self):
        """[(snapshot, Open or the Damage)] in merged order (§11)."""
        result = []
        for snapshot in self.snapshots.listed(self.manifests.exists):
            try:
                opened = self.open_snapshot(snapshot)
            except Damage as error:
                opened = error
            result.append((self.ledger.place[listed_entry(snapshot, opened).at], snapshot, opened))
        return [(snapshot, opened) for _, snapshot, opened in sorted(result, key=lambda item: item[0])]

    def find(self, word):
        """An id in hex, the beginning of one, or `latest` (README.md)."""
        self.refuse_bad_ledger()
        listed = self.listed()
        if word == "latest":
            found = [item for item in listed if listed_entry(*item).data.state == COMPLETE][-1:]
        else:
            found = [item for item in listed if item[0].id.hex().startswith(word.lower())]
        if len(found) != 1 or not word:
            raise Usage("no such snapshot" if not found else "several snapshots begin so")
        if isinstance(found[0][1], Damage):
            raise found[0][1]
        return found[0][1]

    def host(self, opened):
        """The host under which a snapshot is shown (§11.2, Scope)."""
        return self.scopes.shown(opened.entry.author, opened.manifest.domain, opened.body.host, opened.body.label)

    def tags(self, opened):
        return apply_tags(opened.body.tags, self.tag_changes.get(opened.id, ()), opened.manifest.domain)

    # --- packs and chunks ---

    def indexed(self):
        """Packs by the index objects; a bad object is only a hint that is missing (§8)."""
        if self._indexed is None:
            self._indexed, unsure = {}, set()
            for name in self.store.names("index/") if self.use_index else ():
                try:
                    packs = read_index(self.store, self.keys, name)
                except Damage as error:
                    self.say(str(error))
                    continue
                for pack in packs:
                    other = self._indexed.setdefault(pack.id, pack)
                    if (other.size, other.header.raw, other.plain) != (pack.size, pack.header.raw, pack.plain):
                        self.say("index objects contradict each other about %s" % pack.name)
                        unsure.add(pack.id)
            for pack_id in unsure:
                del self._indexed[pack_id]
        return self._indexed

    def pack(self, pack_id):
        if pack_id not in self._packs:
            pack = self.indexed().get(pack_id)
            if pack is None:
                pack = self.own_pack(pack_id)
            need(pack.name in self.store.sizes, pack.name + ": missing")
            self._packs[pack_id] = pack
        return self._packs[pack_id]

    def own_pack(self, pack_id):
        """A pack by its own directory, whatever an index object says."""
        if pack_id not in self._own:
            self._own[pack_id] = read_pack(self.store, self.keys, pack_id)
        return self._own[pack_id]

    def frame(self, pack, number):
        key = pack, number
        if key not in self._frames:
            self._frames[key] = pack.frame(self.store, self.keys, number)
            if len(self._frames) > CACHED_FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(key)
        return self._frames[key]

    def tree(self, opened, say=None):
        """The tree of a snapshot, its chunks resolved inside its pinned packs only (§6)."""
        domain = self.keys.domain(opened.manifest.domain)
        source = Chunks(self, self.manifests.pins(opened.id), opened.manifest.domain, domain, say or self.say)
        return Tree(opened.body.root, source.get, lambda digest: hmac256(domain.k_id, bytes([DATA]) + digest))


class Chunks:
    """The chunks of a set of pinned packs: as index objects describe them and, where that fails, as the packs do."""

    def __init__(self, repository, pins, domain_id, domain, say):
        self.repository, self.pins, self.domain_id, self.domain, self.say = repository, pins, domain_id, domain, say
        self.places, self._own = self._read(repository.pack), None

    def _read(self, open_pack):
        """(chunk id, type): [(pack, frame, start, length)]."""
        places = {}
        for pack_id in sorted(self.pins):
            try:
                pack = open_pack(pack_id)
                need(pack.header.domain == self.domain_id, pack_name(pack_id) + ": pinned, but of another domain")
            except Damage as error:
                self.say(str(error))
                continue
            for frame in pack.frames:
                start = 0
                for chunk_id, kind, length in frame.chunks:
                    places.setdefault((chunk_id, kind), []).append((pack, frame.number, start, length))
                    start += length
        return places

    def get(self, chunk_id, kind, length):
        """The plaintext, its id recomputed; when one copy is bad, another is used (§6, §8)."""
        try:
            return self._get(self.places, chunk_id, kind, length)
        except Damage as error:
            if not self.repository.use_index:
                raise
            if self._own is None:
                self.say("chunk %s: %s; the packs themselves are asked" % (chunk_id.hex(), error))
                self._own = self._read(self.repository.own_pack)
            return self._get(self._own, chunk_id, kind, length)

    def _get(self, places, chunk_id, kind, length):
        failure = "not in a pinned pack"
        for pack, number, start, size in places.get((chunk_id, kind), ()):
            try:
                need(length is None or length == size, "another length than its reference says")
                data = self.repository.frame(pack, number)[start:start + size]
                need(len(data) == size, "beyond the end of its frame")
                need(hmac256(self.domain.k_id, bytes([kind]) + sha256(data)) == chunk_id, "another id")
                return data
            except Damage as error:
                failure = str(error)
                self.say("chunk %s in %s: %s" % (chunk_id.hex(), pack.name, failure))
        raise Damage("chunk %s: %s" % (chunk_id.hex(), failure))
