"""A second reader of the repository format, written from its page alone: list, ls, restore, check."""

import argparse
import base64
import json
import sys

sys.dont_write_bytecode = True  # the reader leaves nothing behind beside its files

from check import Check  # noqa: E402
from errors import Damage, Usage, VarveError  # noqa: E402
from manifests import COMPLETE  # noqa: E402
from repository import Repository  # noqa: E402
from restore import Restore  # noqa: E402
from tree import IMAGE, KIND_NAMES, REGULAR  # noqa: E402


def say(text):
    print(str(text).encode("utf-8", "backslashreplace").decode(), file=sys.stderr)


def show(value):
    print(json.dumps(value))


def b64(data):
    return base64.b64encode(data).decode()


def do_list(repository):
    """§11: the snapshots in merged order."""
    repository.refuse_bad_ledger()
    for error in repository.tag_errors:  # they change nothing (§11)
        say(error)
    bad = False
    for snapshot, opened in repository.listed():
        if isinstance(opened, Damage):
            say(opened)
            bad = True
            continue
        entry, manifest, snapshots = opened.entry, opened.manifest, repository.snapshots
        show({"id": snapshot.id.hex(), "host": repository.host(opened), "label": opened.body.label,
              "tags": repository.tags(opened),
              "state": "complete" if manifest.state == COMPLETE else "partial",
              "pins": manifest.pin_count, "pins_depth": manifest.depth,
              "time": list(repository.ledger.received(entry)), "retain_until": snapshots.retain_until(snapshot),
              "class": entry.data.class_name, "held": snapshots.held(snapshot),
              "writer": entry.author.hex()})
    return Damage.status if bad else 0


def do_ls(repository, word):
    tree = repository.tree(repository.find(word))
    for event, parts, entry in tree.walk():
        if event != "entry":
            continue
        line = {"path_b64": b64(b"/" + b"/".join(parts)), "kind": KIND_NAMES[entry.kind], "mode": "%o" % entry.mode,
                "mtime": list(entry.mtime), "uid": entry.uid, "gid": entry.gid,
                "xattrs": [{"name": name.decode("utf-8", "surrogateescape"), "value_b64": b64(tree.xattr(content))}
                           for name, content in entry.xattrs]}
        if entry.kind in (REGULAR, IMAGE):
            line.update(size=entry.size, digest=entry.digest and entry.digest.hex())
        show(line)
    return 0


def do_restore(repository, word, target):
    job = Restore(repository.tree(repository.find(word)), target, say)
    job.run()
    return Damage.status if job.bad else VarveError.status if job.failed else 0


def do_check(repository):
    result = Check(repository).run()
    show(result)
    return Damage.status if result["errors"] else 0


COMMANDS = {"list": (do_list, 0), "ls": (do_ls, 1), "restore": (do_restore, 2), "check": (do_check, 0)}


def main(arguments):
    parser = argparse.ArgumentParser(prog="varve_reader.py")
    parser.add_argument("repo")
    parser.add_argument("--key-file")
    parser.add_argument("--password-file")
    parser.add_argument("--no-index", action="store_true")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs="*")
    given = parser.parse_intermixed_args(arguments)
    command, count = COMMANDS[given.command]
    try:
        if len(given.words) != count:
            raise Usage("%s takes %d arguments" % (given.command, count))
        if given.key_file is None and given.password_file is None:
            raise Usage("--key-file or --password-file is needed")
        repository = Repository(given.repo, given.key_file, given.password_file, not given.no_index, say)
        return command(repository, *given.words)
    except VarveError as error:
        say(error)
        if given.command == "check" and isinstance(error, Damage):
            show({"errors": [str(error)], "warnings": [], "counts": {}})
        return error.status
    except OSError as error:
        say(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
