"""What can go wrong, each with the exit status of the command line (README.md)."""


class VarveError(Exception):
    status = 1


class Usage(VarveError):
    status = 2


class NoRepository(VarveError):
    status = 10


class WrongKey(VarveError):
    """A wrong key, a wrong passphrase, or a key of another role (§5, §12)."""
    status = 12


class Damage(VarveError):
    """A stored object breaks a "must" of the page."""
    status = 15


class NewerFormat(Damage):
    """A version above 1 (§2): refused like damage, with a message of its own."""


class UnknownSuite(Damage):
    """A suite other than 1 (§2)."""


def need(condition, text):
    """Refuse as damage unless the condition holds."""
    if not condition:
        raise Damage(text)
