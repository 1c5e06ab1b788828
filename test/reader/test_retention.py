"""Lists, holds, extensions, series and pruning (§11.6, §11.7): plain asserts."""

from worlds import ID, STREAM, ids, run, short, writer_world

DAY = 86_400


def numbers(snapshots, *missing):
    """The numbers of the listed snapshots when those manifests are not in the store."""
    return [snapshot.id[0] for snapshot in snapshots.listed(lambda manifest: manifest[0] not in missing)]


def free(w, index=0, now=100):
    seen = w.seen(now)
    return seen.free(seen.all[index])


def two():
    """Two snapshots of one series, of which the first may be pruned from 50 on."""
    w = writer_world()
    w.snapshot("W", 10, 1, retain=50)
    w.snapshot("W", 20, 2)
    return w


def test_promised():
    w = two()
    assert free(w) == 50
    w.receipt(21, ("W", 0), retain=70)
    w.receipt(22, ("W", 0), retain=600)  # the later one does not count
    assert free(w) == 70
    w.snapshot("A", 23, 1, retain=80)    # wrong or not, it counts
    assert w.seen(100).promised(w.seen(100).all[0]) == 80


def test_superseded():
    w = writer_world()
    w.snapshot("W", 10, 1)
    assert free(w) == float("inf")
    w.snapshot("W", 11, 2, state=1)             # a partial one
    assert free(w) == float("inf") and free(w, 1) == 0
    w.snapshot("W", 12, 3, stream=b"o" * 16)    # of another stream
    w.snapshot("A", 13, 4)                      # of another writer
    w.snapshot("W", 14, 1)                      # the same one again
    assert free(w) == float("inf")
    w.snapshot("W", 30, 5)
    assert free(w) == 30
    w.receipt(40, ("W", 4))
    assert free(w) == 40                        # received only then


def test_retired_stream():
    w = writer_world()
    w.add("A", 5, 22, [ID["W"], STREAM, "before it in merged order"])
    w.snapshot("W", 10, 1)
    w.add("A", 20, 22, [ID["W"], b"o" * 16, "another stream"])
    w.add("A", 20, 22, [ID["A"], STREAM, "another writer"])
    assert free(w) == float("inf")
    w.add("A", 30, 22, [ID["W"], STREAM, "gone"])
    assert free(w) == 30
    w.snapshot("W", 40, 2)
    assert free(w) == 30 and free(w, 1) == float("inf")


def test_holds():
    w = two()
    w.add("A", 12, 8, [ID["V"], 0, "stands before its hold"])
    w.add("V", 15, 7, [ids(1), "hold"])
    assert free(w) == float("inf") and w.seen(100).held(w.seen(100).all[0])
    w.add("A", 65, 8, [ID["V"], 0, "release"])
    assert free(w) == 65 and not w.seen(100).held(w.seen(100).all[0])
    w.receipt(80, ("A", 3))
    assert free(w) == 80                        # the later of its own time and that received
    w.add("A", 90, 8, [ID["V"], 0, "the first one ended it"])
    assert free(w) == 80


def test_extended():
    w = two()
    w.add("A", 30, 6, [ids(1), 90, ""])
    w.add("A", 31, 6, [ids(1), 70, "less"])
    assert free(w) == 90


def test_vault_needs_a_policy():
    w = two()
    for policy in (None, [0] * 6, [0] * 11 + [[]]):
        if policy:
            w.add("A", 30, 4, policy)
        w.add("V", 30, 6, [ids(1), 31, ""])
    w.add("A", 31, 4, [0] * 11 + [[], 1000])
    assert free(w) == 50 and len(w.seen(100).extensions.refused) == 3
    w.add("V", 32, 6, [ids(1), 60, ""])
    assert free(w) == 60


def extending():
    """Two series, and a policy under which a vault may extend by 1,000 seconds."""
    w = two()
    w.snapshot("W", 20, 3, stream=b"o" * 16)
    w.add("A", 21, 4, [0] * 11 + [[], 1000])
    return w


def counting(w):
    return short(w.seen(100).extensions.counting)


def test_vault_series():
    for named, expected in ((ids(1, 2), "V0"), (ids(1, 3), ""), (ids(1, 9), ""), (b"", "")):
        w = extending()
        w.add("V", 30, 6, [named, 100, ""])
        assert counting(w) == expected


def test_vault_length():
    for until, expected in ((1030, "V0"), (1031, "")):
        w = extending()
        w.add("V", 30, 6, [ids(1), until, ""])
        assert counting(w) == expected
    for until, expected in ((30 + 7_776_000, "V0"), (31 + 7_776_000, "")):
        w = extending()
        w.add("A", 22, 4, [0] * 11 + [[], 10**9])
        w.add("V", 30, 6, [ids(1), until, ""])
        assert counting(w) == expected


def test_vault_one_at_a_time():
    w = extending()
    w.add("V", 30, 6, [ids(1), 100, ""])
    w.add("V", 31, 6, [ids(2), 200, "another is open"])
    w.add("V", 31, 6, [ids(1, 2), 200, "other snapshots"])
    w.add("V", 32, 6, [ids(3), 200, "of another series"])
    w.add("V", 33, 6, [ids(1), 60, "renewed, open until the later"])
    w.add("V", 99, 6, [ids(2), 200, "still open"])
    w.add("V", 100, 6, [ids(2), 200, "open no longer"])
    assert counting(w) == "V0 V3 V4 V6" and free(w) == 100
    w = extending()
    w.add("A", 22, 19, [0, w.genesis.vault])    # whose first role is admin
    w.add("V", 30, 6, [ids(1, 3), 10**9, ""])
    assert counting(w) == "V0"


def test_pruned():
    w = two()
    w.prune_done("A", 49, 1)
    assert numbers(w.seen(100)) == [1, 2]       # too early by its own time
    w.prune_done("V", 50, 1, 2)
    assert numbers(w.seen(100)) == [2]          # 2 is the newest
    assert numbers(w.seen(49)) == [1, 2]        # too early by the reader's time
    wrong = [(done.time[0], manifest[0]) for done, manifest in w.seen(100).wrong_prunes()]
    assert wrong == [(49, 1), (50, 2)]


def test_said_after_pruning():
    for kind, payload in ((6, [ids(1), 90, "longer"]), (7, [ids(1), "hold"])):
        w = two()
        w.prune_done("A", 60, 1)
        w.add("A", 70, kind, payload)
        assert numbers(w.seen(100)) == [1, 2]   # listed while it is there
        assert numbers(w.seen(100), 1) == [2]   # else gone, and no damage
        assert not list(w.seen(100).wrong_prunes())


def test_said_before_pruning():
    for kind, payload in ((6, [ids(1), 90, "longer"]), (7, [ids(1), "hold"])):
        w = two()
        w.add("A", 55, kind, payload)
        w.prune_done("A", 60, 1)
        assert numbers(w.seen(100), 1) == [1, 2]
        assert [manifest[0] for _, manifest in w.seen(100).wrong_prunes()] == [1]


def test_behind_a_limit():
    """What is promised there does not count for lists."""
    w = two()
    w.snapshot("W", 30, 1, retain=500)
    w.snapshot("W", 30, 3)
    w.add("A", 40, 3, [ID["W"], 2, w.hash("W", 1), "retired"])
    assert free(w) == 50 and numbers(w.seen(100)) == [1, 2]


def test_time_of_the_store():
    """A snapshot dated into the future supersedes when the store took it."""
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.snapshot("W", 9 * DAY, 2, taken=20)
    assert free(w) == 20


def test_two_entries():
    w = writer_world()
    w.snapshot("W", 10, 1, retain=20)
    w.snapshot("A", 12, 1, retain=40)
    seen = w.seen(100)
    assert len(seen.all) == 1 and short(seen.all[0].entries) == "W0 A2"


if __name__ == "__main__":
    run(globals())
