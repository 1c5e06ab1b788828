"""Scopes of writer-certs: which hosts are certified, and under which a snapshot is shown (§11.2)."""

import re

import strict_cbor as cbor
from entries import ADMIN
from errors import Damage
from primitives import author_id, seal_open


def matches(pattern, text):
    """Whether a text is of a pattern, in which `*` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def parse_scope(plain):
    """(host patterns, label patterns)"""
    hosts, labels = cbor.array(cbor.decode(plain), 2)
    return cbor.texts(hosts), cbor.texts(labels)


class Scopes:
    """The scopes of a repository's writers, opened with the keys at hand."""

    def __init__(self, ledger, keys):
        self.ledger, self.keys = ledger, keys

    def _open(self, cert):
        """(host patterns, label patterns); a scope that does not open has no host."""
        aad = b"varve v1 scope" + self.ledger.genesis.repository_id + author_id(cert.key) + cert.domain
        try:
            return parse_scope(seal_open(self.keys.domain(cert.domain).k_scope, aad, cert.scope, "scope"))
        except Damage:
            return [], []

    def certified(self, writer, domain, host, label):
        if self.ledger.authors.is_a(writer, ADMIN):
            return True
        for cert in self.ledger.certs(writer, domain):
            if cert.scope is None:
                return True
            hosts, labels = self._open(cert)
            if (any(matches(pattern, host) for pattern in hosts)
                    and (not labels or any(matches(pattern, label) for pattern in labels))):
                return True
        return False

    def shown(self, writer, domain, host, label):
        """The host under which a reader shows a snapshot."""
        if self.certified(writer, domain, host, label):
            return host
        certs = self.ledger.certs(writer, domain)
        for cert in certs:
            for pattern in self._open(cert)[0] if cert.scope is not None else ():
                if "*" not in pattern:
                    return pattern
        return next((cert.name for cert in certs if cert.name), "writer-" + writer.hex()[:8])
