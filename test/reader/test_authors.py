"""Roles, the order of authors, limits, receipts' end and disowned authors (§11.2): plain asserts."""

from worlds import DOMAIN, ID, PUBLIC, World, run, short, writer_world


def test_order():
    w = World("AB", "V")
    w.add("A", 1, 2, [PUBLIC["W"], DOMAIN])
    w.add("A", 2, 19, [0, PUBLIC["Y"]])
    w.add("B", 1, 19, [0, PUBLIC["X"]])
    w.add("B", 2, 19, [2, PUBLIC["U"], "an auditor"])
    w.add("Y", 0, 19, [1, PUBLIC["Z"]])
    w.snapshot("W", 0, 1)  # before its cert, by time
    assert w.order() == "ABYXVZUW"
    assert w.merged() == "A0 Y0 W0 A1 B0 A2 B1"
    ledger = w.good()
    assert ledger.may_use(ID["W"], DOMAIN) and not ledger.may_use(ID["W"], b"e" * 16)
    assert ledger.may_use(ID["B"], b"e" * 16)


def test_roles_add_up():
    w = World("A", "V")
    w.add("A", 1, 2, [PUBLIC["V"], DOMAIN])
    w.add("A", 1, 2, [PUBLIC["U"], DOMAIN])
    w.add("A", 1, 19, [2, PUBLIC["U"]])
    w.add("A", 1, 19, [0, PUBLIC["V"]])
    w.add("V", 2, 9, [])                        # as a vault
    w.snapshot("V", 2, 1)                       # as a writer
    w.add("V", 2, 2, [PUBLIC["X"], DOMAIN])     # as an admin
    w.add("U", 2, 10, [b"", "as an auditor"])
    w.snapshot("U", 2, 2)
    assert w.order() == "AVUX" and w.void() == ""
    assert w.good().authors.roles[ID["V"]] == {"admin", "vault", "writer"}


def test_retired():
    w = writer_world()
    first = w.snapshot("W", 2, 1)
    w.snapshot("W", 3, 2)
    w.add("A", 4, 3, [ID["W"], 1, first, "lost"])
    assert w.merged() == "A0 A1 W0 A2" and short(w.good().behind()) == "W1"
    w.add("A", 5, 3, [ID["W"], 0, bytes(32), "lost earlier"])
    assert w.merged() == "A0 A1 A2 A3"
    w.add("A", 6, 3, [ID["W"], 2, b"x" * 32, "not the least, so its head is not looked at"])
    w.add("A", 7, 3, [ID["Z"], 0, bytes(32), "a stranger who never wrote"])
    w.good()
    w.add("A", 8, 3, [ID["W"], 0, first, "another head of the same count"])
    w.bad("entries are missing, or others")


def test_rolled_back():
    for who, count, head in (("W", 1, b"x" * 32), ("W", 3, b"x" * 32), ("Z", 1, b"x" * 32), ("W", 0, b"x" * 32)):
        w = writer_world()
        w.snapshot("W", 2, 1)
        w.add("A", 4, 3, [ID[who], count, head, ""])
        w.bad("entries are missing, or others")
    w = World()
    w.add("X", 1, 17, ["", ""])
    w.bad("no entry makes this author")
    w = writer_world()
    w.add("V", 1, 2, [PUBLIC["X"], DOMAIN])  # void, so nobody makes X
    w.add("X", 1, 17, ["", ""])
    w.bad("no entry makes this author")


def test_retired_admins():
    w = World("AB")
    head = w.add("B", 1, 2, [PUBLIC["W"], DOMAIN])
    w.add("B", 3, 3, [ID["A"], 0, bytes(32), "of higher rank: does not count"])
    w.add("B", 3, 3, [ID["B"], 0, bytes(32), "himself: does not count"])
    assert w.merged() == "A0 B0 B1 B2"
    w.add("A", 4, 3, [ID["B"], 1, head, ""])
    assert w.merged() == "A0 B0 A1" and w.order() == "ABW"


def test_rotated_admin():
    w = World()
    w.add("A", 1, 16, [0, PUBLIC["C"]])
    w.add("A", 2, 17, ["behind", "the end"])
    w.add("C", 3, 2, [PUBLIC["X"], DOMAIN])
    w.add("A", 9, 9, [])  # void, and behind the end
    assert w.order() == "ACX" and w.merged() == "A0 A1 C0" and w.void() == "A3"
    w.add("C", 9, 3, [ID["A"], 0, bytes(32), "of higher rank: does not count"])
    assert w.merged() == "A0 A1 C0 C1"


def test_receipts_end():
    def world():
        w = writer_world()
        for number in range(1, 5):
            w.snapshot("W", 10, number)
        head = w.receipt(20, ("W", 0))
        w.receipt(21, ("W", 1))
        w.add("A", 22, 3, [ID["V"], 1, head, "retired"])
        return w

    def received(w):
        return [w.good().received(entry)[0] for entry in w.good().authors.chains[ID["W"]]]

    w = world()
    w.receipt(23, ("W", 2))
    assert received(w) == [20, 21, 23, 10]  # without a receipt of the retire entry all count
    w = world()
    w.add("V", 22, 7, [b"", "no hold"])
    w.receipt(23, ("W", 2), ("A", 2))       # up to and including this
    w.receipt(24, ("W", 3))
    assert received(w) == [20, 21, 23, 10]
    assert w.void() == "" and "V2" not in w.merged()


def test_disowned():
    w = World("AB")
    head = w.add("B", 1, 17, ["", ""])
    w.add("B", 2, 2, [PUBLIC["W"], DOMAIN])
    w.add("B", 2, 19, [0, PUBLIC["X"]])
    w.add("B", 2, 19, [1, PUBLIC["V"]])
    w.add("X", 3, 2, [PUBLIC["Y"], DOMAIN])
    w.add("X", 3, 19, [2, PUBLIC["U"]])
    w.add("X", 3, 2, [PUBLIC["C"], DOMAIN])
    w.add("A", 4, 3, [ID["B"], 1, head, "all behind is an intruder's"])
    w.add("A", 4, 2, [PUBLIC["C"], DOMAIN])      # whom a counting entry makes, too, is not disowned
    w.snapshot("W", 3, 1)
    w.snapshot("C", 4, 2)
    w.receipt(7, ("C", 0))
    assert w.order() == "ABCXVUWY"
    assert w.merged() == "A0 B0 A1 A2 C0" and w.void() == ""
    ledger = w.good()
    assert ledger.received(ledger.authors.chains[ID["C"]][0]) == (7, 0)  # a receipt of the disowned vault
    w.add("W", 5, 17, ["", ""], signer="V")
    w.bad("signature")                           # their chains are verified
    w = World("AB")
    w.add("B", 2, 2, [PUBLIC["W"], DOMAIN])
    w.add("A", 3, 3, [ID["B"], 0, bytes(32), ""])
    w.add("A", 4, 3, [ID["W"], 1, b"x" * 32, "heads of disowned chains are looked at"])
    w.bad("entries are missing, or others")


if __name__ == "__main__":
    run(globals())
