"""What a full check finds among entries that name each other (§11, §14): plain asserts."""

from check_entries import DAY, check_entries
from test_ledger import ID, seen, writer_world

ONE = bytes([1]) * 32


def found(w, now=10 * DAY):
    snapshots = seen(w, now)
    return check_entries(snapshots.ledger, snapshots)


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
    assert "no intent stands" in found(w)[0][0]


def test_receipts():
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.add("V", 11, 9, [[ID["W"], 0, w.heads["W"][1], 0, 0]])
    assert found(w) == ([], [])
    w.add("V", 12, 9, [[ID["W"], 1, ONE, 0, 0]])
    assert len(found(w)[0]) == 1 and "does not fit" in found(w)[0][0]
    w.add("A", 13, 20, [[[ID["W"], 1, w.heads["W"][1]]], "as it is"])
    assert found(w)[0] == [] and len(found(w)[1]) == 1
    w.add("V", 14, 9, [[ID["W"], 1, ONE, 0, 0]])
    assert len(found(w)[0]) == 1


def test_releases():
    w = writer_world()
    w.add("V", 10, 7, [ONE, "hold"])
    w.add("A", 11, 8, [ID["V"], 0, ""])
    assert found(w) == ([], [])
    w.add("A", 12, 8, [ID["V"], 1, ""])
    assert "no hold stands" in found(w)[1][0] and not found(w)[0]


if __name__ == "__main__":
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function()
    print("all well")
