"""The golden repository (test/vectors/golden): what `list` and `check` say of it. Plain asserts."""

import contextlib
import io
import json
import os
import shutil
import tempfile

from varve_reader import main
from worlds import run

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "golden")
with open(os.path.join(GOLDEN, "expected.json"), encoding="utf-8") as file:
    EXPECTED = json.load(file)


def said(command, repository):
    """The JSON objects that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([repository, "--key-file", os.path.join(GOLDEN, "key"), command]) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_golden():
    repository = os.path.join(GOLDEN, "repository")
    listed = said("list", repository)
    assert [(item["id"], item["host"], item["label"], set(item["tags"]), item["pins"]) for item in listed] == [
        (item["id"], item["host"], item["label"], set(item["tags"]), item["pins"]) for item in EXPECTED]
    assert all(item["tags"] == sorted(item["tags"], key=str.encode) for item in listed)
    assert [item["time"] for item in listed] == [[item["time"]["sec"], item["time"]["nsec"]] for item in EXPECTED]
    assert said("check", repository)[0]["errors"] == []


def test_taken_earlier():
    """Where the store took an entry more than a day before its own time, the store's time counts (§11.5)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "repository")
        shutil.copytree(os.path.join(GOLDEN, "repository"), copy)
        for at, _, files in os.walk(os.path.join(copy, "ledger")):
            for name in files:
                os.utime(os.path.join(at, name), ns=(0, 1_000_000_000 * 1000 + 7))
        assert {tuple(item["time"]) for item in said("list", copy)} == {(1000, 7)}


if __name__ == "__main__":
    run(globals())
