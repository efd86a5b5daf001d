"""Reading the log, taking it away, and proving it offline."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from act.audit import notes
from act.audit.merkle import frontier_of, leaf_hash
from act.audit.record import encode
from tests.support import ADMIN_KEY, actctl

from .conftest import SECONDS, Ctl, Run

Edit = Callable[[list[dict[str, Any]]], None]


@dataclass(frozen=True)
class Log:
    """An export, an earlier and a later one, and the checkpoint of the later one, as an auditor keeps them."""

    early: Path
    late: Path
    note: Path
    key: str


@pytest.fixture(scope="module")
def log(ctl: Ctl) -> Log:
    ctl("agents", "create", "Planner", "--role", "planner").ok()
    ctl("policies", "create", "--name", "planner", "--action", "plan", "--resource", "*").ok()
    token = ctl("tokens", "issue", "Planner").ok().out.strip()
    assert ctl("enforce", "plan", "api://a", ACT_TOKEN=token).code == 0
    early = ctl("audit", "export", "--file", "early.jsonl").ok()
    assert "records to early.jsonl" in early.err
    assert early.out == ""
    assert ctl("enforce", "fly", "api://b", ACT_TOKEN=token).code == 3
    late = ctl("audit", "export").ok()
    (ctl.folder / "late.jsonl").write_text(late.out)
    head = ctl.json("audit", "checkpoint", "--save", "late.note")
    return Log(ctl.folder / "early.jsonl", ctl.folder / "late.jsonl", ctl.folder / "late.note", head["verifierKey"])


def test_the_verifier_key_stands_alone_on_stdout(ctl: Ctl) -> None:
    expected = ctl.json("audit", "checkpoint")["verifierKey"]
    assert ctl("audit", "key").ok().out == f"{expected}\n"
    assert ctl.json("audit", "key") == {"verifierKey": expected}


def offline(ctl: Ctl, *arguments: object, **more: Any) -> Run:
    """Verify without any server or key."""
    return ctl("audit", "verify", *arguments, ACT_BASE_URL="http://127.0.0.1:9", ACT_API_KEY="", **more)


def edited(log: Log, tmp_path: Path, edit: Edit) -> Path:
    lines = [json.loads(line) for line in log.late.read_text().splitlines()]
    edit(lines)
    file = tmp_path / "edited.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return file


def rehash(lines: list[dict[str, Any]], key: Ed25519PrivateKey | None = None) -> None:
    """What a forger does after editing: make the hashes fit, and sign the result with another key."""
    hashes = []
    for line in lines[:-1]:
        hashes.append(leaf_hash(encode(line["record"])))
        line["leafHash"] = hashes[-1].hex()
    if key is None:
        return
    head, root = lines[-1]["checkpoint"], frontier_of(hashes).root()
    origin = head["note"].split("\n")[0]
    head["rootHash"] = root.hex()
    head["note"] = notes.sign(notes.Checkpoint(origin, len(hashes), root), key)
    head["verifierKey"] = notes.verifier_key(origin, key.public_key().public_bytes_raw())


def decided(lines: list[dict[str, Any]]) -> int:
    return next(line["index"] for line in lines if line["record"].get("reasonCode") == "no_matching_policy")


def turn_into_allowed(lines: list[dict[str, Any]]) -> None:
    lines[decided(lines)]["record"] |= {"decision": "allowed", "reasonCode": "allowed"}


def finding(run: Run) -> Any:
    """What was found, of a run that must have failed with words and not with an accident."""
    assert run.code == 1, run.err
    found = run.json()
    assert found["ok"] is False
    assert found["message"] in run.err
    return found


# --- good ones ---


def test_a_good_export_verifies_offline_with_everything_kept(ctl: Ctl, log: Log) -> None:
    run = offline(ctl, log.late, "--checkpoint", log.note, "--key", log.key, "-o", "json").ok()
    found = run.json()
    size = len(log.late.read_text().splitlines()) - 1
    assert (found["ok"], found["size"], found["checkpoints"]) == (True, size, 1)
    assert found["rootHash"] == json.loads(log.late.read_text().splitlines()[-1])["checkpoint"]["rootHash"]
    assert run.err == f"{size} records verified.\n"


def test_without_a_kept_key_it_says_plainly_what_that_is_worth(ctl: Ctl, log: Log) -> None:
    run = offline(ctl, log.late).ok()
    assert "no --key was given" in run.err
    assert "proves nothing" in run.err
    assert offline(ctl, "-", stdin=log.late.read_text()).ok().out == run.out


def test_without_a_file_the_servers_log_is_verified(ctl: Ctl, log: Log) -> None:
    found = ctl.json("audit", "verify", "--checkpoint", log.note, "--key", log.key)
    assert found["ok"] is True
    assert found["size"] >= len(log.late.read_text().splitlines()) - 1


# --- bad ones ---


def test_an_edited_record_is_named(ctl: Ctl, log: Log, tmp_path: Path) -> None:
    where: list[int] = []

    def edit(lines: list[dict[str, Any]]) -> None:
        where.append(decided(lines))
        turn_into_allowed(lines)

    found = finding(offline(ctl, edited(log, tmp_path, edit), "--key", log.key, "-o", "json"))
    assert found["badIndex"] == where[0]
    assert "was changed" in found["message"]


def test_an_edited_record_with_a_fitting_hash_does_not_fit_the_checkpoint(ctl: Ctl, log: Log, tmp_path: Path) -> None:
    def edit(lines: list[dict[str, Any]]) -> None:
        turn_into_allowed(lines)
        rehash(lines)

    found = finding(offline(ctl, edited(log, tmp_path, edit), "-o", "json"))
    assert "not those that the checkpoint" in found["message"]


def test_a_log_rewritten_and_signed_anew_is_seen_by_who_kept_something(ctl: Ctl, log: Log, tmp_path: Path) -> None:
    def edit(lines: list[dict[str, Any]]) -> None:
        turn_into_allowed(lines)
        rehash(lines, Ed25519PrivateKey.from_private_bytes(bytes(32)))

    file = edited(log, tmp_path, edit)
    # This is why the words of the next line are printed.
    blind = offline(ctl, file).ok()
    assert "proves nothing" in blind.err
    assert "does not hold" in finding(offline(ctl, file, "--key", log.key, "-o", "json"))["message"]
    assert "does not hold" in finding(offline(ctl, file, "--checkpoint", log.note, "-o", "json"))["message"]


def test_a_removed_record_is_named(ctl: Ctl, log: Log, tmp_path: Path) -> None:
    def edit(lines: list[dict[str, Any]]) -> None:
        del lines[3]

    found = finding(offline(ctl, edited(log, tmp_path, edit), "--key", log.key, "-o", "json"))
    assert found["badIndex"] == 3
    assert "missing" in found["message"]


@pytest.mark.parametrize("cut", ["at a line", "in a line", "in the checkpoint", "to nothing"])
def test_a_cut_off_export_is_not_ok(ctl: Ctl, log: Log, tmp_path: Path, cut: str) -> None:
    text, file = log.late.read_text(), tmp_path / "cut.jsonl"
    lines = text.splitlines(keepends=True)
    file.write_text(
        {
            "at a line": "".join(lines[:4]),
            "in a line": "".join(lines[:4]) + lines[4][:60],
            "in the checkpoint": text[:-80],
            "to nothing": "",
        }[cut]
    )
    found = finding(offline(ctl, file, "-o", "json"))
    assert "cut off" in found["message"]
    whole = {"at a line": 4, "in a line": 4, "in the checkpoint": len(lines) - 1, "to nothing": 0}[cut]
    assert found["badIndex"] == whole


def test_a_shortened_log_is_seen_by_who_kept_a_later_checkpoint(ctl: Ctl, log: Log) -> None:
    """The earlier export is signed, whole, and good: exactly what a server that hides its newest records would give."""
    offline(ctl, log.early, "--key", log.key).ok()
    found = finding(offline(ctl, log.early, "--checkpoint", log.note, "--key", log.key, "-o", "json"))
    assert "its tail is missing" in found["message"]
    assert found["badIndex"] == len(log.early.read_text().splitlines()) - 1


def test_two_checkpoints_of_one_size_that_differ_are_seen_whatever_their_order(
    ctl: Ctl, log: Log, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))

    def edit(lines: list[dict[str, Any]]) -> None:
        rehash(lines, key)
        kept = lines[-1]["checkpoint"]["note"]
        (tmp_path / "kept.note").write_text(kept)
        turn_into_allowed(lines)
        rehash(lines, key)

    found = finding(offline(ctl, edited(log, tmp_path, edit), "--checkpoint", tmp_path / "kept.note", "-o", "json"))
    assert "the log was rewritten" in found["message"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"index":1,', '"index":1,"note":"fine",', "has not the members"),
        ('"record":{', '"record":{"kind":"decision",', "cannot be read"),
        ('{"index":2,', '{"index":"2",', "wrong type"),
    ],
)
def test_what_a_person_could_read_differently_is_refused(
    ctl: Ctl, log: Log, tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = log.late.read_text()
    assert old in text
    file = tmp_path / "strange.jsonl"
    file.write_text(text.replace(old, new, 1))
    assert said in finding(offline(ctl, file, "--key", log.key, "-o", "json"))["message"]


def test_lines_after_the_end_and_other_words_at_the_end_are_refused(ctl: Ctl, log: Log, tmp_path: Path) -> None:
    lines = log.late.read_text().splitlines(keepends=True)
    file = tmp_path / "strange.jsonl"
    file.write_text("".join([*lines, lines[-1]]))
    assert "after the checkpoint" in finding(offline(ctl, file, "-o", "json"))["message"]

    head = json.loads(lines[-1])["checkpoint"]
    for changed, said in (
        ({"size": head["size"] - 1}, "something else"),
        ({"rootHash": "00" * 32}, "something else"),
        ({"tenantId": "other"}, "not of the tenant"),
        ({"note": head["note"].replace("\n", "\n\n", 1)}, "does not hold"),
        ({"size": "1"}, "wrong type"),
    ):
        file.write_text("".join([*lines[:-1], json.dumps({"checkpoint": head | changed}) + "\n"]))
        assert said in finding(offline(ctl, file, "-o", "json"))["message"]


# --- reading ---


def test_records_are_found_by_agent_and_reason(ctl: Ctl, log: Log) -> None:
    found = ctl.json("audit", "list", "--agent", "Planner", "--reason-code", "no_matching_policy")
    assert [line["record"]["action"] for line in found] == ["fly"]
    index = found[0]["index"]
    assert ctl.json("audit", "show", index) == found[0]
    shown = dict(line.split(maxsplit=1) for line in ctl("audit", "show", index).ok().out.splitlines())
    assert shown["leafHash"] == found[0]["leafHash"]
    assert shown["reasonCode"] == "no_matching_policy"
    first, *_ = ctl.json("audit", "list", "--order", "asc", "--limit", "2")
    assert first["index"] == 0
    assert len(ctl.json("audit", "list", "--limit", "2")) == 2
    assert len(ctl.json("audit", "list", "--all", "--until", found[0]["record"]["at"])) == index
    wrong = ctl("audit", "list", "--since", "yesterday")
    assert wrong.code == 1
    assert "since" in wrong.err


def test_tail_shows_new_records_as_they_come_and_ends_quietly(ctl: Ctl, log: Log) -> None:
    process = subprocess.Popen(
        [actctl(), "audit", "tail", "--kind", "agent.created", "-n", "1", "--interval", "0.2", "-o", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ctl.environment,
    )
    try:
        lines: Queue[str] = Queue()
        assert process.stdout is not None
        threading.Thread(target=lambda: [lines.put(line) for line in process.stdout or ()], daemon=True).start()
        before = json.loads(lines.get(timeout=SECONDS))
        for name in ("First of two", "Second of two"):
            ctl("agents", "create", name).ok()
        names = [json.loads(lines.get(timeout=SECONDS))["record"]["agentName"] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stderr is not None
        assert process.stderr.read().strip() == ""
    finally:
        process.kill()
    assert before["record"]["kind"] == "agent.created"
    assert names == ["First of two", "Second of two"]


def test_an_export_that_fails_leaves_the_former_file_alone(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("the former one")
    run = ctl("audit", "export", "--file", file, ACT_API_KEY="wrong")
    assert run.code == 1
    assert file.read_text() == "the former one"
    assert list(tmp_path.iterdir()) == [file]
    assert ADMIN_KEY not in run.err


# --- erasing ---


def test_what_was_kept_is_erased_and_the_log_verifies(ctl: Ctl, log: Log) -> None:
    agent = ctl.json("agents", "create", "Eraser")["id"]
    ctl("policies", "create", "--name", "eraser", "--action", "write", "--resource", "*", "--agent", agent).ok()
    token = ctl("tokens", "issue", "Eraser").ok().out.strip()
    for number in (1, 2, 3):
        sent = json.dumps({"n": number, "password": "hunter2"})
        assert ctl("enforce", "write", "api://c", "--arguments", sent, ACT_TOKEN=token).code == 0
    third, second, first = ctl.json("audit", "list", "--agent", "Eraser", "--kind", "decision")
    assert first["arguments"] == {"n": 1, "password": "[redacted]"}
    assert '{"n": 1, "password": "[redacted]"}' in ctl("audit", "show", first["index"]).ok().out
    one = ctl.json("audit", "erase", first["index"], "--reason", "case 7", "--yes")
    assert (one["erased"], one["approvals"], one["overwritten"], len(one["records"])) == (1, 0, True, 1)
    rest = ctl("audit", "erase", "--agent", "Eraser", "--reason", "case 8", "--yes").ok()
    assert "erased       2\n" in rest.out
    for line in (first, second, third):
        assert ctl.json("audit", "show", line["index"])["arguments"] is None
    found = ctl.json("audit", "verify", "--checkpoint", log.note, "--key", log.key)
    assert (found["ok"], found["erased"]) == (True, 3)


def test_an_erasure_says_whose_and_why(ctl: Ctl) -> None:
    for arguments in (("1",), ("--reason", "r"), ("1", "--agent", "x", "--reason", "r"), ("1", "--reason", "r")):
        run = ctl("audit", "erase", *arguments)
        assert run.code == 2, "the last one has no terminal to ask at"
    assert ctl("audit", "erase", "999999", "--reason", "r", "--yes").code == 1
