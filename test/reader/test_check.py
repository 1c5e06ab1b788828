"""What a full check finds among entries that name each other (§11, §14): plain asserts."""

from check_entries import DAY, check_entries
from worlds import ID, PUBLIC, REPO, World, ids, run, sign, writer_world

ONE = ids(1)


def found(w, now=10 * DAY):
    snapshots = w.seen(now)
    return check_entries(snapshots.ledger, snapshots)


def one_error(w, text):
    errors, _ = found(w)
    assert len(errors) == 1 and text in errors[0] and errors[0].startswith("ledger/"), errors


def one_warning(w, text):
    errors, warnings = found(w)
    assert not errors and len(warnings) == 1 and text in warnings[0], (errors, warnings)


def pruned(intent_at, done_at, named=ONE, who="A"):
    w = writer_world()
    w.snapshot("W", 10, 1, retain=50)
    w.snapshot("W", 20, 2)
    w.add("A", intent_at, 14, [b"", named, b""])
    w.add(who, done_at, 15, [ID["A"], 2, b"", ONE, b""])
    return w


def test_prunes():
    assert found(pruned(60, 60 + DAY)) == ([], [])
    assert found(pruned(60, 60 + DAY, who="V")) == ([], [])
    for world, text in ((pruned(60, 59 + DAY), "not a day older"), (pruned(60, 60 + DAY, b""), "more than its intent"),
                        (pruned(20, 40), "had not expired")):
        assert text in found(world)[0][0], found(world)
    w = writer_world()
    w.add("A", DAY, 15, [ID["A"], 7, b"", b"", b""])
    one_error(w, "no intent stands")


def test_receipts():
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.receipt(11, ("W", 0))
    assert found(w) == ([], [])
    w.add("V", 12, 9, [[ID["W"], 1, ONE, 0, 0]])
    one_error(w, "does not fit")
    w.add("A", 13, 20, [[[ID["W"], 1, w.hash("W", 0)]], "as it is"])
    one_warning(w, "does not fit")
    w.add("V", 14, 9, [[ID["W"], 1, ONE, 0, 0]])
    assert len(found(w)[0]) == 1


def test_receipts_behind_a_limit():
    """A receipt without a place in merged order goes by its time."""
    w = writer_world()
    w.add("A", 2, 3, [ID["V"], 0, bytes(32), ""])
    w.add("V", 12, 9, [[ID["W"], 1, ONE, 0, 0]])
    one_error(w, "does not fit")
    w.add("A", 13, 20, [[], "as it is"])
    one_warning(w, "does not fit")


def test_releases():
    w = writer_world()
    w.add("V", 10, 7, [ONE, "hold"])
    w.add("A", 11, 8, [ID["V"], 0, ""])
    assert found(w) == ([], [])
    w.add("A", 12, 8, [ID["V"], 1, ""])
    one_warning(w, "no hold stands")


def test_void():
    w = writer_world()
    w.add("W", 1, 7, [ONE, ""])
    one_error(w, "void: none of its author's roles (writer) may write type 7")
    w = writer_world()
    w.add("A", 1, 5, [])
    one_error(w, "void: wrong number of items")


def test_rotations():
    w = World(signer="C")
    w.add("A", 1, 16, [1, PUBLIC["Z"], sign("C", b"varve v1 reader rotation\0" + REPO + PUBLIC["Z"])])
    assert found(w) == ([], [])
    w.add("A", 1, 16, [1, PUBLIC["Z"]])
    one_error(w, "rotation of the reader key")


def test_extensions():
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.add("V", 12, 6, [ONE, 90, ""])
    one_error(w, "an extension that does not count: no policy lets a vault extend")


def test_times():
    w = writer_world()
    w.add("W", 2 * DAY + 1, 17, ["", ""], taken=DAY + 1)
    assert len(found(w)[1]) == 1                             # the incident
    w.add("W", 2 * DAY + 2, 5, [ONE, bytes(16), 0, 0, 0], taken=DAY + 1)
    assert "dated more than a day after" in found(w)[1][1]
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.receipt(DAY + 10, ("W", 0))
    assert found(w) == ([], [])
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.receipt(DAY + 11, ("W", 0))
    one_warning(w, "more than a day from its own")


if __name__ == "__main__":
    run(globals())
