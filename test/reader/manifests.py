"""Manifests: envelopes, pins and bodies (§10)."""

import strict_cbor as cbor
from errors import Damage, need
from objects import MANIFEST, check_preamble, prefixed
from primitives import hkdf, hmac256, seal_open, sha256
from tree import parse_root

COMPLETE, PARTIAL = 0, 1
MAX_PROBLEMS = 10_000
MAX_INDEX_IDS, MAX_PATHS, MAX_NOTES = 65_536, 262_144, 1024


class Manifest:
    """An envelope, verified by the manifest's id only; open() gives the body."""

    def __init__(self, data, repository_id):
        check_preamble(data, MANIFEST)
        envelope, self._end = prefixed(data, 8, "manifest")
        self._data, self.id = data, sha256(data)
        items = cbor.array(cbor.decode(envelope), 17)
        need(cbor.octets(items[0], 32) == repository_id, "of another repository")
        self.writer, self.domain, self.session = (cbor.octets(item, 16) for item in items[1:4])
        self.enc, self.ct = cbor.octets(items[4], 32), cbor.octets(items[5], 48)
        self.commitment = cbor.octets(items[6], 32)
        self.stream = cbor.octets(items[7], 16)
        self.started, self.finished, self.claimed = (cbor.time(item) for item in items[8:11])
        self.state = cbor.integer(items[11])
        need(self.state in (COMPLETE, PARTIAL), "unknown state")
        self._pins(items[12])
        self.pin_count, self.pin_bytes, self.new_bytes = (cbor.integer(item) for item in items[13:16])
        self.index_ids = [cbor.octets(item, 32) for item in cbor.array(items[16], most=MAX_INDEX_IDS)]
        need(self.depth or self.pin_count == len(self.added), "pin count")

    def _pins(self, value):
        need(cbor.array(value), "pins: empty")
        self.depth = cbor.integer(value[0], 0, 16)
        self.base, self.removed = None, []
        if self.depth == 0:
            self.added = cbor.joined_ids(cbor.array(value, 2)[1])
            return
        cbor.array(value, 4)
        self.base = cbor.octets(value[1], 32)
        self.removed, self.added = cbor.joined_ids(value[2]), cbor.joined_ids(value[3])

    def open(self, keys):
        """The body; everything in the envelope is authenticated by its seal."""
        session = keys.session_key(self.writer, self.domain, self.session, self.enc, self.ct, self.commitment)
        key = hkdf(session, self.session, b"varve v1 manifest")
        before = self._data[:self._end]
        body = Body(seal_open(key, b"varve v1 manifest" + sha256(before), self._data[self._end:], "manifest"))
        stream = hmac256(keys.domain(self.domain).k_name, b"stream" + cbor.encode([body.host, body.label]))
        need(stream[:16] == self.stream, "stream does not follow from host and label")
        return body


class Body:
    """§10, the sealed part."""

    def __init__(self, plain):
        items = cbor.array(cbor.decode(plain), 10)
        self.host, self.label = cbor.text(items[0]), cbor.text(items[1])
        self.paths = [cbor.octets(path) for path in cbor.array(items[2], most=MAX_PATHS)]
        need(all(path.startswith(b"/") and b"\0" not in path for path in self.paths), "path not absolute, or NUL")
        self.tags = cbor.tags(items[3])
        encoded = [tag.encode() for tag in self.tags]
        need(all(a < b for a, b in zip(encoded, encoded[1:])), "tags out of order")
        self.owner = cbor.owner(items[4])
        self.root = parse_root(items[5], self.owner)
        self.problems = []
        for item in cbor.array(items[6]):
            path, code = cbor.array(item, 2)
            self.problems.append((cbor.octets(path), cbor.text(code)))
        self.problem_count = cbor.integer(items[7])
        need(len(self.problems) == min(self.problem_count, MAX_PROBLEMS), "problem count")
        self.program = cbor.text(items[8])
        self.notes = [tuple(cbor.texts(cbor.array(item, 2))) for item in cbor.array(items[9], most=MAX_NOTES)]


class Manifests:
    """The manifests of a repository, parsed when asked for."""

    def __init__(self, store, keys):
        self.store, self.keys, self._cache = store, keys, {}

    def exists(self, manifest_id):
        return "snapshots/" + manifest_id.hex() in self.store.sizes

    def get(self, manifest_id):
        if manifest_id not in self._cache:
            self._cache[manifest_id] = self._read(manifest_id)
        result = self._cache[manifest_id]
        if isinstance(result, Damage):
            raise result
        return result

    def _read(self, manifest_id):
        name = "snapshots/" + manifest_id.hex()
        try:
            data = self.store.read_named(name)
        except Damage as error:
            return error
        try:
            return Manifest(data, self.keys.genesis.repository_id)
        except Damage as error:
            return type(error)("%s: %s" % (name, error))

    def pins(self, manifest_id):
        """The set of packs that a manifest pins (§10), the chain of its bases checked."""
        manifest = self.get(manifest_id)
        if manifest.depth == 0:
            return set(manifest.added)
        base = self.get(manifest.base)
        what = "snapshots/%s: " % manifest_id.hex()
        need(base.depth == manifest.depth - 1, what + "depth is not the base's + 1")
        need(base.domain == manifest.domain, what + "base of another domain")
        pins = self.pins(manifest.base)
        need(all(i in pins for i in manifest.removed), what + "removes a pack that the base does not pin")
        need(not any(i in pins for i in manifest.added), what + "adds a pack that the base pins")
        pins.difference_update(manifest.removed)
        pins.update(manifest.added)
        need(manifest.pin_count == len(pins), what + "pin count")
        return pins
