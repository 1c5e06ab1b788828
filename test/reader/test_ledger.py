"""Chains, what is void, times received and merged order (§11.1 – §11.5) on ledgers made here: plain asserts."""

import payloads
from entries import entry_name
from worlds import DOMAIN, ID, PUBLIC, REPO, STREAM, World, ids, refused, run, sign, writer_world

CERT = [PUBLIC["W"], DOMAIN]


def test_damage():
    """What breaks a chain: the form of the entry, its place, its signature."""
    for change in (dict(repo=b"x" * 32), dict(author=ID["B"]), dict(sequence=7), dict(previous=b"p" * 32),
                   dict(type=0), dict(type=256), dict(time=[0, 10**9]), dict(signer="B"), dict(payload=None),
                   dict(payload=1)):
        w = World()
        w.add("A", 1, 2, CERT, **change)
        w.add("A", 1, 17, ["behind", "it"])
        w.bad(entry_name(ID["A"], 1))
        assert len(w.ledger().entries()) == 1
    w = World()
    w.add("A", 1, 99, 1)  # not an array, though nobody knows the type
    w.bad("not an array")
    w = World()
    w.add("A", 1, 17, ["c", "d"])
    w.add("A", 1, 17, ["c", "d"])
    del w.objects[entry_name(ID["A"], 1)]
    w.bad("missing")
    w.bad_ledger = ["ledger/x"]
    w.bad("ledger/x")


def test_forged():
    w = World()
    w.add("A", 1, 17, ["c", "d"])
    name = entry_name(ID["A"], 1)
    data = w.objects[name]
    w.objects[name] = data[:20] + bytes([data[20] ^ 1]) + data[21:]
    w.bad(name)
    w.objects[name] = data[:-1] + bytes([data[-1] ^ 1])
    w.bad("signature")
    w.objects[name] = data + b"\0"
    w.bad(name)


def test_void_payloads_and_times():
    """A void entry keeps its place: the chain goes on."""
    for change in (dict(payload=[PUBLIC["W"]]), dict(payload=CERT + ["name"]), dict(time=[253_402_300_800, 0]),
                   dict(time=[-62_135_596_801, 0])):
        w = World()
        w.add("A", 1, 2, CERT, **change)
        w.add("A", 2, 17, ["c", "d"])
        assert w.void() == "A1" and w.order() == "A" and w.merged() == "A0 A2"
    w = World()
    w.add("A", 1, 17, ["c", "d"], time=[-62_135_596_800, 0])
    w.add("A", 1, 17, ["c", "d"], time=[253_402_300_799, 999_999_999])
    assert w.void() == ""


def test_void_genesis():
    w = World("AB")
    w.add("A", 1, 1, [])
    w.add("B", 1, 1, [])
    assert w.void() == "A1 B0"
    w = World("BA")
    w.add("B", 0, 17, ["not", "genesis"])
    assert w.void() == "A0 B0" or w.void() == "B0 A0"
    w = World("B")
    w.bad("the founder's first entry is missing")


def test_void_roles():
    """Each type by each role: who may not write it, writes in vain."""
    other, nothing = b"o" * 32, bytes(32)
    payload = {2: CERT, 3: [ID["Z"], 0, nothing, ""], 4: [0] * 6, 5: [other, STREAM, 0, 0, 0], 6: [ids(1), 1, ""],
               7: [ids(1), ""], 8: [ID["A"], 0, ""], 9: [], 10: [b"", ""],
               11: [0, nothing, nothing, 0, nothing, 0, 0, 0, 0, b""], 12: [0, b"d" * 16, b""],
               13: [0, other, b"", nothing, 0, 0], 14: [b"", b"", b""], 15: [ID["A"], 0, b"", b"", b""],
               16: [1, other], 17: ["", ""], 18: [DOMAIN, b""], 19: [1, PUBLIC["V"]], 20: [[], ""], 21: [[], []],
               22: [ID["W"], STREAM, ""]}
    may = {"A": set(payload) - {9}, "V": {6, 7, 9, 11, 14, 15, 17}, "U": {10, 11, 12, 13, 17}, "W": {5, 17, 18}}
    for who in may:
        for kind in payload:
            w = writer_world()
            w.add("A", 1, 19, [2, PUBLIC["U"]])
            at = w.heads.get(who, (0,))[0]
            w.add(who, 2, kind, payload[kind])
            assert w.void() == ("" if kind in may[who] else "%s%d" % (who, at)), (who, kind)


def test_unknown_types():
    w = World()
    w.add("A", 1, 99, [1, [2]])
    w.add("A", 2, 23, [])
    assert w.void() == "" and w.merged() == "A0 A1 A2"


def test_payloads():
    """The bounds of §11.1 and §11.3."""
    many, eleven = ids(*range(1, 18)), [2, ids(1), ids(2), 1, ids(3), 1]
    late = payloads.LAST_SECOND
    classes = [["name", 0, 0, 0, 0, 0, 0, ["h*"], [], [], 0]]
    twelve = [0] * 6 + [0, 0, 1, 2**53 - 1, 0]
    good = {2: [CERT, CERT + ["", b""]], 4: [[late] * 6, twelve + [[]], twelve + [classes, 1]],
            5: [[ids(1), STREAM, 1, late, 31], [ids(1), STREAM, 0, 0, 0, "class"]], 6: [[b"", late, ""]],
            9: [[], [[ID["A"], 0, ids(1), late, 31]]], 10: [[b"", ""]],
            11: [eleven + [5, 1, 0, b""], eleven + [17, 1, 17, ids(*range(1, 17))], eleven + [5, 1, 1, ids(1)]],
            12: [[0, STREAM, ids(1)], [1, STREAM, b"", 2, bytes(32)]], 13: [[1, ids(1), b"", ids(2), 0, 3]],
            16: [[0, ids(1)], [1, ids(1), bytes(64)]], 19: [[2, ids(1)], [1, ids(1), "name"]],
            21: [[[[b"i" * 8, "", ids(1)]], [b"j" * 8]]], 22: [[ID["W"], STREAM, ""]]}
    bad = {2: [CERT + [""], CERT + ["", ""], CERT + ["", b"", 0]],
           4: [[late + 1] + [0] * 5, [-1] + [0] * 5, twelve, twelve + [[], 0], twelve + [[], late + 1],
               twelve[:8] + [2] + twelve[9:] + [[]], twelve + [classes * 2], twelve + [[[""] + classes[0][1:]]],
               twelve + [[classes[0][:-1]]], twelve + [[], 1, 1]],
           5: [[ids(1), STREAM, 2, 0, 0], [ids(1), STREAM, 0, late + 1, 0], [ids(1), STREAM, 0, 0, 32],
               [ids(1), STREAM, 0, 0, 0, ""]], 6: [[b"", late + 1, ""], [ids(2, 1), 0, ""]],
           9: [[[ID["A"], 0, ids(1), late + 1, 0]], [[ID["A"], 0, ids(1), 0]]], 10: [[b"x", ""], [b""]],
           11: [eleven + [5, 1, 6, ids(1)], eleven + [17, 1, 17, many], eleven + [5, 1, 1, b""], eleven,
                [4] + eleven[1:] + [5, 1, 0, b""], [2, ids(2), ids(1)] + eleven[3:] + [5, 1, 0, b""]],
           12: [[], [2, STREAM, b""], [0, STREAM, b"", 0, bytes(32)], [1, STREAM, b""], [1, STREAM, b"", 3, bytes(32)]],
           13: [[2, ids(1), b"", ids(2), 0, 3], [1, ids(1), b"", ids(2), 0, 4]],
           16: [[2, ids(1)], [1, ids(1), bytes(63)]], 19: [[3, ids(1)], [0, ids(1), b""]],
           21: [[[[b"i" * 8, "", ids(1)]], [b"i" * 8]], [[], [b"i" * 8] * 2], [[], [b"i"]]], 22: [[ID["W"], b"", ""]]}
    for kind, values in good.items():
        for value in values:
            payloads.parse(kind, value)
    for kind, values in bad.items():
        for value in values:
            refused(payloads.parse, kind, value)
    assert payloads.parse(4, [0] * 6).wait == 259_200 and payloads.parse(4, twelve + [[], 9]).extension == 9


def test_time_received():
    w = writer_world()
    day = 86_400
    w.add("W", 3 * day, 17, ["", ""])                            # no word of the store
    w.add("W", 3 * day, 17, ["", ""], taken=2 * day)             # a day is not more than a day
    w.add("W", 3 * day + 1, 17, ["", ""], taken=2 * day)
    w.add("W", 9 * day, 17, ["", ""], taken=5)
    w.add("W", 1, 17, ["", ""], taken=3 * day)                   # late, as after copying
    w.receipt(70, ("W", 3))
    w.add("V", 9 * day, 17, ["", ""], taken=5)                   # a vault's clock counts
    ledger = w.good()
    times = [ledger.received(entry)[0] for entry in ledger.authors.chains[ID["W"]]]
    assert times == [3 * day, 3 * day, 2 * day, 70, 1]
    assert ledger.received(ledger.authors.chains[ID["V"]][1])[0] == 9 * day


def test_receipts():
    """The fitting receipt of the least time counts, and its time orders entries."""
    w = writer_world()
    w.snapshot("W", 10, 1)
    w.add("V", 50, 9, [[ID["W"], 0, b"x" * 32, 500, 0]])
    assert w.good().received(w.good().authors.chains[ID["W"]][0]) == (10, 0)
    w.receipt(92, ("W", 0))
    w.receipt(91, ("W", 0))
    assert w.good().received(w.good().authors.chains[ID["W"]][0]) == (91, 0)
    assert w.merged() == "A0 A1 V0 W0 V1 V2"


def test_merged_order():
    w = World("AB", "V")
    w.add("A", 5, 2, CERT)
    w.add("B", 5, 17, ["", ""])
    w.add("B", 0, 17, ["", ""])   # behind the one before, whatever its clock says
    w.add("V", 5, 17, ["", ""])
    w.add("W", 4, 17, ["", ""], time=[4, 2])
    w.add("W", 5, 17, ["", ""])
    w.add("V", 9, 5, [])          # void: no place
    assert w.merged() == "A0 W0 A1 B0 B1 V0 W1"


def test_reader_rotations():
    message = b"varve v1 reader rotation\0" + REPO
    one, two, three = b"1" * 32, b"2" * 32, b"3" * 32
    for signer, expected in ((None, [one, two, three]), ("C", [one])):
        w = World(signer=signer)
        w.add("A", 1, 16, [1, one, sign("C", message + one)])
        w.add("A", 2, 16, [1, two])
        w.add("A", 3, 16, [1, three, sign("C", message + one)])
        assert w.good().reader_keys() == expected


if __name__ == "__main__":
    run(globals())
