"""Arguments that are gone: erased, as the log says, or taken away by hand (docs/audit.md, "Erasing")."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from act.audit.gone import Gone
from act.audit.lines import begin_line
from act.audit.merkle import frontier_of
from act.cli.app import actctl
from act.cli.backup import logs
from act.cli.verify import Result, all_verified
from tests.attacks.log import export, keep
from tests.in_process import InProcess

RUNS = 4


class Scene:
    """A log with a few decisions whose arguments were kept."""

    def __init__(self, folder: Path) -> None:
        self.node = InProcess(folder)
        self.api, self.database = self.node.api, folder / "act.db"
        self.api.policy(["run"])
        token = self.api.token(self.api.agent())
        self.indexes = [
            int(self.api.enforce(token, "run", "x", arguments={"n": number})["audit"]["index"])
            for number in range(RUNS)
        ]

    def erase(self, index: int) -> None:
        assert self.api.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=200)["erased"] == 1

    def take_away(self, index: int) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("UPDATE audit_records SET arguments = NULL, salt = NULL WHERE idx = ?", (index,))
            connection.commit()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.node.close()


def judged(*texts: bytes, archives: tuple[str, ...] = ()) -> Result:
    return all_verified({str(number): io.BytesIO(text) for number, text in enumerate(texts)}, {}, None, archives)


def without(text: bytes, *indexes: int) -> bytes:
    """The export after somebody edited it."""
    lines = [json.loads(line) for line in text.splitlines()]
    for index in indexes:
        line = next(one for one in lines if one.get("index") == index)
        del line["arguments"], line["salt"]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def parts(scene: Scene, begin: int, first: bytes) -> tuple[bytes, bytes]:
    """An earlier export as a file, and what came since as another."""
    lines = export(scene.api).splitlines(keepends=True)
    before = frontier_of(bytes.fromhex(json.loads(line)["leafHash"]) for line in lines[:begin])
    return first, begin_line(before) + b"\n" + b"".join(lines[begin:])


def test_what_the_log_says_was_erased_is_no_fault(scene: Scene) -> None:
    scene.erase(scene.indexes[1])
    found = judged(export(scene.api))
    assert (found.ok, found.erased, found.unnamed) == (True, 1, 0)
    [log] = logs(scene.database)
    assert (log.finding.ok, log.finding.erased) == (True, 1)


def test_what_is_taken_out_of_the_database_is_named(scene: Scene) -> None:
    one, two, three, _ = scene.indexes
    scene.erase(one)
    for index in (two, three):
        scene.take_away(index)
    found = judged(export(scene.api))
    assert (found.ok, found.bad_index, found.erased, found.unnamed) == (False, two, 1, 2)
    assert f"The arguments of record {two} are gone, and no record says that they were erased." in found.message
    assert "So are those of 1 more." in found.message
    [log] = logs(scene.database)
    assert (log.finding.ok, log.finding.bad_index, log.finding.unnamed) == (False, two, 2)
    assert f"The arguments of record {two} are gone" in log.finding.message


def test_what_is_taken_out_of_an_export_is_named(scene: Scene) -> None:
    text, last = export(scene.api), scene.indexes[-1]
    assert judged(text).ok
    found = judged(without(text, last))
    assert (found.ok, found.bad_index, found.unnamed) == (False, last, 1)


@pytest.mark.parametrize("indexes", [[1], ["2"], [2.0], [True], None, {"2": 2}], ids=repr)
def test_what_does_not_name_it_does_not_excuse_it(indexes: object) -> None:
    gone = Gone()
    gone.see({"kind": "arguments.erased", "indexes": [0, 2]}, 0, there=False)
    gone.see({"kind": "decision", "argumentsKept": "full"}, 2, there=False)
    said = {"kind": "arguments.erased", "indexes": indexes} if indexes != [1] else {"kind": "decision", "indexes": [2]}
    gone.see(said, 3, there=False)
    assert (gone.unnamed, gone.erased) == ([2], 0), "named too early, by another kind of record, or by no index"
    gone.see({"kind": "arguments.erased", "indexes": [2, 2]}, 4, there=False)
    assert (gone.unnamed, gone.erased) == ([], 1)


def test_the_record_that_says_so_may_be_in_a_later_file(scene: Scene) -> None:
    early, size = export(scene.api), keep(scene.api).size
    scene.erase(scene.indexes[0])
    cut = without(early, scene.indexes[0])
    assert judged(cut).bad_index == scene.indexes[0], "alone it does not say so"
    found = judged(*parts(scene, size, cut))
    assert (found.ok, found.erased, found.unnamed) == (True, 1, 0)


def test_an_archive_may_be_rewritten_without_them_and_it_is_said(scene: Scene) -> None:
    early, size = export(scene.api), keep(scene.api).size
    scene.api.agent()
    archive, rest = parts(scene, size, without(early, *scene.indexes[:2]))
    found = judged(archive, rest, archives=("0",))
    assert (found.ok, found.unnamed, found.rewritten) == (True, 2, 2)
    assert "Of 2 in archives they are gone, and no record in these files says" in found.message
    # In what comes after the archives it is a fault as before.
    assert not judged(archive, rest, archives=("1",)).ok


def test_archives_that_end_before_a_checkpoint_need_the_later_files(scene: Scene) -> None:
    early = export(scene.api)
    scene.api.agent()
    kept = keep(scene.api)
    found = all_verified({"a.gz": io.BytesIO(early)}, {"kept": kept.note}, kept.key, {"a.gz"})
    assert not found.ok
    assert "give the later files too" in found.message
    whole = all_verified({"the export": io.BytesIO(early)}, {"kept": kept.note}, kept.key)
    assert (whole.ok, "its tail is missing" in whole.message) == (False, True)


def test_a_backup_is_made_all_the_same_and_says_so(scene: Scene, tmp_path: Path) -> None:
    """Otherwise none could ever be made again."""
    scene.take_away(scene.indexes[0])
    made = CliRunner().invoke(actctl, ["backup", str(tmp_path / "saved"), "--database", f"sqlite:///{scene.database}"])
    assert made.exit_code == 0, made.output
    assert f"The arguments of record {scene.indexes[0]} are gone" in made.stderr
