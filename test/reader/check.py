"""The full check: everything there is, all data too (§14)."""

import payloads
from check_entries import check_entries
from check_slots import check_slots
from errors import Damage, need
from packs import pack_name, read_index, read_pack
from primitives import hmac256, sha256
from repository import Open, fits
from tree import IMAGE, REGULAR


class Check:
    def __init__(self, repository):
        self.repository, self.store, self.keys = repository, repository.store, repository.keys
        self.ledger, self.snapshots = repository.ledger, repository.snapshots
        self.errors, self.warnings = [], []
        self.packs = {}      # id: Pack, of those whose directory is sound
        self.indexed = set()  # ids of the packs that sound index objects list
        self.index_packs = {}  # index id: ids of the packs it lists
        self.pinned = set()
        self.counts = {}

    def _try(self, what, function, *args):
        """Run one part; damage becomes an error text, and the answer None."""
        try:
            return function(*args)
        except Damage as error:
            text = str(error)
            self.errors.append(text if text.startswith(what) else "%s: %s" % (what, text))
            return None

    def _warn(self, text):
        if text not in self.warnings:
            self.warnings.append(text)

    def _report(self, errors, warnings):
        self.errors += errors
        for text in warnings:
            self._warn(text)

    def run(self):
        self.errors += self.ledger.errors + self.repository.tag_errors
        for name in self.store.others:
            self._warn("%s: the name of no object" % name)
        for name in self.store.names("packs/"):
            self._try(name, self._pack, name)
        if self.repository.use_index:
            for name in self.store.names("index/"):
                self._try(name, self._index, name)
        self._report(*check_entries(self.ledger, self.snapshots))
        self._report(*check_slots(self.store, self.repository.slots))
        self._snapshots()
        self._orphans()
        self.counts.update(
            entries=len(self.ledger.entries()), packs=len(self.store.names("packs/")),
            indexes=len(self.store.names("index/")), manifests=len(self.store.names("snapshots/")))
        return {"errors": list(dict.fromkeys(self.errors)), "warnings": self.warnings, "counts": self.counts}

    # --- packs and index objects ---

    def _pack(self, name):
        """A whole pack: its SHA-256, its directory, every frame and every chunk (§3, §6, §7)."""
        data = self.store.read_named(name)
        pack_id = bytes.fromhex(name[-64:])
        pack = read_pack(self.store, self.keys, pack_id, data)
        self.packs[pack_id] = pack
        k_id = self.keys.domain(pack.header.domain).k_id
        for frame in pack.frames:
            raw, at = pack.frame(self.store, self.keys, frame.number), 0
            need(len(raw) == frame.raw, "frame %d: length" % frame.number)
            for chunk_id, kind, length in frame.chunks:
                need(hmac256(k_id, bytes([kind]) + sha256(raw[at:at + length])) == chunk_id,
                     "frame %d: a chunk of another id" % frame.number)
                at += length
                self.counts["chunks"] = self.counts.get("chunks", 0) + 1

    def _index(self, name):
        """An index object against the packs' own directories (§8)."""
        packs = read_index(self.store, self.keys, name)
        self.index_packs[name] = [pack.id for pack in packs]
        for pack in packs:
            self.indexed.add(pack.id)
            own = self.packs.get(pack.id)
            if own is not None:
                need((own.size, own.header.raw, own.plain) == (pack.size, pack.header.raw, pack.plain),
                     "contradicts %s" % pack.name)

    # --- snapshots ---

    def _snapshots(self):
        listed = self.repository.listed()
        for snapshot, opened in listed:
            what = "snapshots/%s" % snapshot.id.hex()
            for entry in snapshot.entries:
                if isinstance(opened, Damage) or entry is opened.entry:
                    continue
                if fits(entry, opened.manifest):
                    self._warn("%s: names %s once more" % (entry.name, what))
                else:
                    self.errors.append("%s: is not about its manifest, %s" % (entry.name, what))
            if isinstance(opened, Damage):
                self.errors.append(str(opened))
            else:
                self._try(what, self._snapshot, opened)
        self.counts["snapshots"] = len(listed)
        self.named = {snapshot.id for snapshot, _ in listed}
        for entry in self.ledger.behind():
            if entry.type == payloads.SNAPSHOT and entry.data.manifest not in self.named:
                self._behind(entry.data.manifest)
        for name in self.store.names("snapshots/"):
            manifest_id = bytes.fromhex(name[-64:])
            if manifest_id not in self.named:
                self._try(name, self._unlisted, manifest_id)

    def _behind(self, manifest_id):
        """At or behind the limit of a chain: not listed, but what it pins is kept."""
        self.named.add(manifest_id)
        try:
            self.pinned |= self.repository.manifests.pins(manifest_id)
        except Damage as error:
            self._warn(str(error))

    def _unlisted(self, manifest_id):
        """A manifest that no list shows: its bytes, its seal and its chain of bases."""
        manifest = self.repository.manifests.get(manifest_id)
        self._try("snapshots/%s" % manifest_id.hex(), manifest.open, self.keys)

    def _snapshot(self, opened: Open):
        """Pins and the whole tree with all content of one snapshot."""
        what, manifest, body = "snapshots/%s: " % opened.id.hex(), opened.manifest, opened.body
        if not self.repository.scopes.certified(opened.entry.author, manifest.domain, body.host, body.label):
            self._warn(what + "its writer is not certified for its host")
        pins = self.repository.manifests.pins(opened.id)
        self.pinned |= pins
        missing = [pack_id for pack_id in sorted(pins) if pack_name(pack_id) not in self.store.sizes]
        for pack_id in missing:
            self.errors.append(what + "%s: missing" % pack_name(pack_id))
        if not missing:
            total = sum(self.store.sizes[pack_name(pack_id)] for pack_id in pins)
            need(total == manifest.pin_bytes, what + "pin bytes")
        for pack_id in pins:
            if pack_id in self.packs:
                need(self.packs[pack_id].header.domain == manifest.domain, what + "pins a pack of another domain")
        for index_id in manifest.index_ids:
            if self.repository.use_index and "index/" + index_id.hex() not in self.store.sizes:
                self._warn("index/%s: missing (a hint)" % index_id.hex())
        tree = self.repository.tree(opened, lambda text: self.errors.append(what + text))
        self._xattrs(tree, body.root)
        for event, parts, entry in tree.walk():
            if event != "entry":
                continue
            self.counts["files"] = self.counts.get("files", 0) + 1
            path = what + ascii(b"/" + b"/".join(parts))
            self._try(path, self._xattrs, tree, entry)
            if entry.kind in (REGULAR, IMAGE):
                self._try(path, self._content, tree, entry)

    @staticmethod
    def _xattrs(tree, entry):
        for _, content in entry.xattrs:
            tree.xattr(content)

    @staticmethod
    def _content(tree, entry):
        for _ in tree.content(entry):
            pass

    # --- what nobody needs ---

    def _orphans(self):
        bases = {manifest.base for manifest in self._present_manifests()}
        for name in self.store.names("snapshots/"):
            manifest_id = bytes.fromhex(name[-64:])
            if manifest_id not in self.named and manifest_id not in bases:
                self._warn("%s: an orphan" % name)
        for name in self.store.names("packs/"):
            pack_id = bytes.fromhex(name[-64:])
            if pack_id not in self.pinned:
                self._warn("%s: an orphan" % name)
            elif self.repository.use_index and pack_id not in self.indexed:
                self._warn("%s: no index object lists it (a hint)" % name)
        for name, packs in self.index_packs.items():
            if not any(pack_id in self.pinned for pack_id in packs):
                self._warn("%s: an orphan" % name)

    def _present_manifests(self):
        for name in self.store.names("snapshots/"):
            try:
                yield self.repository.manifests.get(bytes.fromhex(name[-64:]))
            except Damage:
                continue
