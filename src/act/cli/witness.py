"""`actctl audit witness`: keeps and cosigns the checkpoints of a log, on a machine that is not the server's."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from act.cli.files import SECRET, SHARED, new_file
from act.cli.output import say

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from act.audit.notes import Checkpoint
    from act.client.act import Act

LATEST = "latest.note"
UNPROVEN = "unproven-"
"""Begins the names of notes that the log has signed, and not yet proven to go on from what was seen."""
TRIES = 5
"""So many looks a log has to prove what it showed."""
LOG_KEY = "log.key"
OWN_KEY = "witness.key"
_NOT_THERE = "A witness needs a package that is not there ({}); run: pip install 'agent-capability-tokens[server]'"


class Unproven(Exception):
    """The log showed a checkpoint and gave no proof that it goes on from what was seen.

    Attributes:
        passing: whether a later try may have one.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class Witness:
    """A folder with every checkpoint seen, the log's verifier key, and the witness's own key.

    Whoever else can write there can have the witness forget what it saw, so nobody else may.

    Args:
        key: the log's verifier key; None takes the one that was kept, or believes the server the first time.

    Raises:
        click.ClickException: others can write in the folder or read the key; the key is none; a package is missing.
    """

    def __init__(self, folder: Path, name: str, key: str | None) -> None:
        try:
            from act.audit import notes, witness
        except ImportError as error:
            raise click.ClickException(_NOT_THERE.format(error.name)) from None
        self._notes, self._witness = notes, witness
        if key is not None:
            self._parsed(key, "--key")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o022:
            raise click.ClickException(f"Others can write in {folder}; run: chmod go-w {folder}")
        self._folder = folder
        self._most: Checkpoint | None = None
        self._name = name
        self._given = key
        self._own = self._own_key()

    @property
    def verifier_key(self) -> str:
        """By which others know what this witness has signed."""
        public_key = self._own.public_key().public_bytes_raw()
        return self._notes.verifier_key(self._name, public_key, self._notes.COSIGNATURE)

    def look(self, act: Act) -> Checkpoint | None:
        """Look at the log once. Answers the checkpoint that was signed, or None when there is nothing new.

        Raises:
            click.ClickException: the log is not what it was, or says so with another key. Nothing was signed.
            Unproven: it does not say whether it is. Nothing was signed, and what it showed was kept.
        """
        head = act.audit.checkpoint()
        known = self._known_key()
        key = known or self._given or head.verifier_key
        try:
            shown = self._notes.verify(head.note, key)
            seen, pending = self._seen(key), self._pending(key)
        except self._notes.NoteInvalid as error:
            raise click.ClickException(f"{error} {self._unsigned()}") from None
        if known is None:
            self._keep_key(key)  # which signed something
        try:
            # What it showed and did not prove must be in the log as well: it cannot be taken back.
            new = self._follows(act, seen, shown, head.note)
            for each in pending.values():
                self._follows(act, each, shown, head.note)
        except self._witness.Fork as error:
            evidence = self._keep(f"refused-{_named(shown)}", head.note)
            raise click.ClickException(f"{error} {self._unsigned()} What was shown now: {evidence}") from None
        if new:
            note = self._notes.cosign(head.note, self._name, self._own, int(time.time()))
            for name in (f"{shown.size}.note", LATEST):
                self._keep(name, note)
            self._most = shown
        for path in pending:
            path.unlink()
        return shown if new else None

    def _follows(self, act: Act, seen: Checkpoint | None, shown: Checkpoint, note: str) -> bool:
        from act.client.errors import ActError, ServerError, Unreachable

        try:
            return self._witness.follows(seen, shown, lambda first, second: _proof(act, first, second))
        except ActError as error:
            evidence = self._keep(f"{UNPROVEN}{_named(shown)}", note)
            said = f"The log signed {shown.size} records and did not prove that they go on from what was seen: {error}"
            passing = isinstance(error, Unreachable | ServerError)
            raise Unproven(f"{said} What it showed: {evidence}", passing=passing) from None

    def _pending(self, key: str) -> dict[Path, Checkpoint]:
        """What the log showed and did not prove."""
        paths = sorted(self._folder.glob(f"{UNPROVEN}*.note"))
        return {path: self._notes.verify(path.read_bytes().decode(errors="replace"), key) for path in paths}

    def _keep(self, name: str, note: str) -> Path:
        path = self._folder / name
        with new_file(path, SHARED) as out:
            out.write(note.encode())
        return path

    def _unsigned(self) -> str:
        latest = self._folder / LATEST
        return f"Nothing was signed. What was seen: {latest}" if latest.exists() else "Nothing was signed."

    def _seen(self, key: str) -> Checkpoint | None:
        """The largest checkpoint that was signed: also when the process ended before it was the latest, or when the
        latest was removed or put back to an earlier one.
        """
        if self._most is None:
            numbers = [path.stem for path in self._folder.glob("*.note") if path.stem.isascii() and path.stem.isdigit()]
            if numbers:
                self._most = self._signed(f"{max(numbers, key=lambda number: (len(number), number))}.note", key)
        found = [self._signed(LATEST, key)] if (self._folder / LATEST).exists() else []
        if self._most is not None:
            found.append(self._most)
        return max(found, key=lambda checkpoint: checkpoint.size, default=None)

    def _signed(self, name: str, key: str) -> Checkpoint:
        try:
            note = (self._folder / name).read_bytes().decode()
        except UnicodeDecodeError:
            raise self._notes.NoteInvalid(f"{name} is no note.") from None
        self._notes.cosigned_at(note, self.verifier_key)  # nobody has put another in its place
        return self._notes.verify(note, key)

    def _known_key(self) -> str | None:
        """The log's key that was kept; None the first time."""
        kept = self._folder / LOG_KEY
        if not kept.exists():
            return None
        known = kept.read_text(errors="replace").strip()
        self._parsed(known, str(kept))
        if self._given is not None and self._given != known:
            raise click.ClickException(f"--key is another key than the one in {kept}.")
        return known

    def _keep_key(self, key: str) -> None:
        if self._given is None:
            say("Warning: no --key was given, so the server was believed about its own key, this once.")
        self._keep(LOG_KEY, f"{key}\n")

    def _parsed(self, key: str, where: str) -> None:
        try:
            self._notes.parsed_key(key)
        except self._notes.NoteInvalid as error:
            raise click.ClickException(f"{where} is no key of a log: {error}") from None

    def _own_key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        at = self._folder / OWN_KEY
        if not at.exists():
            with new_file(at, SECRET) as out:
                out.write(os.urandom(32))
        with at.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise click.ClickException(f"The key {at} can be read by others; run: chmod 600 {at}")
            secret = file.read()
        if len(secret) != 32:
            raise click.ClickException(f"{at} is not the key of a witness.")
        return Ed25519PrivateKey.from_private_bytes(secret)


def _named(shown: Checkpoint) -> str:
    return f"{shown.size}-{shown.root.hex()[:16]}.note"


def _proof(act: Act, first: int, second: int) -> list[bytes]:
    try:
        return [bytes.fromhex(each) for each in act.audit.consistency(first, second).hashes]
    except ValueError:
        return []  # which proves nothing


def watch(act: Act, witness: Witness, every: float | None) -> None:
    """Look once, or every so many seconds until Ctrl-C. A server that is away is looked for again.

    Raises:
        click.ClickException: the log is not what it was, or did not prove what it showed in `TRIES` looks.
    """
    from act.client.errors import ServerError, Unreachable

    unproven = 0
    while True:
        try:
            found = witness.look(act)
        except Unproven as error:
            unproven += 1
            if every is None or not error.passing or unproven >= TRIES:
                raise click.ClickException(str(error)) from None
            say(f"{error} Trying again.")
        except (Unreachable, ServerError) as error:
            if every is None:
                raise
            say(f"{error} Trying again.")
        else:
            unproven = 0
            if found is not None:
                say(f"Signed {found.size} records of {found.origin}.")
            elif every is None:
                say("Nothing new.")
        if every is None:
            return
        time.sleep(every)
