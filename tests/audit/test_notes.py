"""Checkpoints as signed notes: good ones are read, and no other (C2SP signed-note, tlog-checkpoint)."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from act.audit.notes import Checkpoint, NoteInvalid, key_id, sign, verifier_key, verify

ORIGIN = "urn:act:0198/audit/default-tenant"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
VERIFIER = verifier_key(ORIGIN, PUBLIC)
CHECKPOINT = Checkpoint(ORIGIN, 42, bytes(range(32)))
NOTE = sign(CHECKPOINT, KEY)


def test_the_form_of_a_note() -> None:
    body, _, signatures = NOTE.partition("\n\n")
    assert body == f"{ORIGIN}\n42\n{base64.b64encode(bytes(range(32))).decode()}"
    dash, name, encoded = signatures.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", ORIGIN)
    signature = base64.b64decode(encoded, validate=True)
    assert signature[:4] == key_id(ORIGIN, PUBLIC)
    assert len(signature) == 4 + 64
    KEY.public_key().verify(signature[4:], f"{body}\n".encode())


def test_a_known_verifier_key() -> None:
    """The example of the documentation of Go's package `sumdb/note`."""
    encoded = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    public = base64.b64decode(encoded)[1:]
    assert verifier_key("PeterNeumann", public) == f"PeterNeumann+c74f20a3+{encoded}"


def test_base64_may_hold_the_sign_that_parts_a_verifier_key() -> None:
    assert VERIFIER.count("+") > 2
    assert verify(NOTE, VERIFIER) == CHECKPOINT


@given(st.integers(0, 2**53), st.binary(min_size=32, max_size=32))
def test_what_was_signed_is_read_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert verify(sign(checkpoint, KEY), VERIFIER) == checkpoint


def test_more_signatures_and_more_lines_do_no_harm() -> None:
    other = sign(CHECKPOINT, Ed25519PrivateKey.from_private_bytes(b"w" * 32)).splitlines()[-1]
    assert verify(NOTE + other.replace(ORIGIN, "witness.example") + "\n", VERIFIER) == CHECKPOINT
    body, _, ours = NOTE.partition("\n\n")
    assert verify(f"{body}\n\n{other}\n{ours}", VERIFIER) == CHECKPOINT


@pytest.mark.parametrize("other", [b"w" * 32, b"K" * 32])
def test_the_signature_of_another_key(other: bytes) -> None:
    note = sign(CHECKPOINT, Ed25519PrivateKey.from_private_bytes(other))
    with pytest.raises(NoteInvalid, match="No valid signature"):
        verify(note, VERIFIER)


def test_the_right_key_id_on_a_foreign_signature() -> None:
    """The key id is only a hint; it must not stand for the signature."""
    forged = key_id(ORIGIN, PUBLIC) + Ed25519PrivateKey.from_private_bytes(b"w" * 32).sign(CHECKPOINT.body().encode())
    note = f"{CHECKPOINT.body()}\n\u2014 {ORIGIN} {base64.b64encode(forged).decode()}\n"
    with pytest.raises(NoteInvalid, match="No valid signature"):
        verify(note, VERIFIER)


def test_a_signature_under_another_name() -> None:
    elsewhere = Checkpoint("urn:act:other", 42, bytes(32))
    with pytest.raises(NoteInvalid, match="No valid signature"):
        verify(sign(elsewhere, KEY), VERIFIER)


@given(st.integers(0, len(NOTE.partition("\n\n")[0]) - 1), st.sampled_from("0A+/\n x"))
def test_no_character_of_the_body_can_be_changed(at: int, character: str) -> None:
    changed = NOTE[:at] + character + NOTE[at + 1 :]
    if changed == NOTE:
        return
    with pytest.raises(NoteInvalid):
        verify(changed, VERIFIER)


@pytest.mark.parametrize(
    "altered",
    [
        NOTE.replace("\n42\n", "\n41\n"),
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n+42\n"),
        NOTE.replace("\n42\n", "\n 42\n"),
        NOTE.replace("\n42\n", "\n-42\n"),
        NOTE.replace("\n42\n", "\n\u0664\u0662\n"),
        NOTE.replace("\n42\n", "\n4_2\n"),
        NOTE.replace("\n42\n", "\n\n"),
        NOTE.replace("AAEC", "AAED"),
        NOTE.replace("\n\n", "\nmore\n\n"),
        NOTE.partition("\n\n")[0],
        NOTE.partition("\n\n")[0] + "\n\n",
        NOTE.replace("\u2014", "-"),
        "",
        "\n\n",
        f"{ORIGIN}\n\n",
        NOTE.replace(ORIGIN, ""),
    ],
)
def test_malformed_and_altered_notes(altered: str) -> None:
    assert altered != NOTE
    with pytest.raises(NoteInvalid):
        verify(altered, VERIFIER)


def signed(body: str, name: str = ORIGIN, identity: bytes | None = None) -> str:
    """Any text, with a signature that holds."""
    signature = (identity or key_id(name, PUBLIC)) + KEY.sign(body.encode())
    return f"{body}\n\u2014 {name} {base64.b64encode(signature).decode()}\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n42\n",
        f"\n42\n{base64.b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n042\n{base64.b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n-1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n\u0664\n{base64.b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n42\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n42\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n42\n{bytes(32).hex()}\n",
    ],
)
def test_a_signature_makes_no_checkpoint_of_what_is_none(body: str) -> None:
    with pytest.raises(NoteInvalid):
        verify(signed(body), VERIFIER)


def test_the_key_id_is_a_part_of_the_signature() -> None:
    assert verify(signed(CHECKPOINT.body()), VERIFIER) == CHECKPOINT
    with pytest.raises(NoteInvalid, match="No valid signature"):
        verify(signed(CHECKPOINT.body(), identity=b"\x00\x00\x00\x00"), VERIFIER)


@pytest.mark.parametrize(
    "verifier",
    [
        "",
        ORIGIN,
        f"{ORIGIN}+00000000+{VERIFIER.rsplit('+', 1)[1]}",
        VERIFIER[:-4],
        VERIFIER + "AAAA",
        verifier_key("urn:act:other", PUBLIC),
        VERIFIER.replace("+AW", "+Ag") if "+AW" in VERIFIER else VERIFIER.replace("+A", "+B"),
        VERIFIER.replace("urn:act", "urn:ACT"),
    ],
)
def test_a_verifier_key_that_is_none_or_another(verifier: str) -> None:
    assert verifier != VERIFIER
    with pytest.raises(NoteInvalid):
        verify(NOTE, verifier)
