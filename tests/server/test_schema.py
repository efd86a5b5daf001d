"""What the migrations make is what the tables say, and a server starts on nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from act.database import migrate
from act.database.engine import DatabaseUnusable, writing_engine
from act.database.tables import metadata
from act.server.app import Node
from act.server.settings import Settings
from tests.support import STARTING, actctl, environment


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = writing_engine(tmp_path / "act.db")
    yield engine
    engine.dispose()


def described(connection: Connection) -> dict[str, Any]:
    """Everything that a schema says, without what it does not say: spelling and order."""
    found: dict[str, Any] = {}
    inspector = inspect(connection)
    for table in inspector.get_table_names():
        if table == "alembic_version":
            continue
        # table_xinfo: (cid, name, type, notnull, default, place in the primary key, hidden or generated)
        rows = connection.execute(text(f"PRAGMA table_xinfo({table})")).all()
        computed = {column["name"]: column.get("computed") for column in inspector.get_columns(table)}
        indexes = connection.execute(text(f"SELECT name, sql FROM sqlite_master WHERE tbl_name = '{table}'")).all()
        found[table] = {
            "columns": {row[1]: (*row[2:], computed.get(row[1])) for row in rows},
            "unique": {tuple(unique["column_names"]) for unique in inspector.get_unique_constraints(table)},
            "references": {
                (tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"]))
                for key in inspector.get_foreign_keys(table)
            },
            "indexes": {
                name: " ".join(sql.split())
                for name, sql in indexes
                if sql and sql.startswith("CREATE") and name != table
            },
        }
    return found


def test_the_migrations_make_exactly_the_tables(engine: Engine) -> None:
    migrate.migrate(engine)
    wanted = create_engine("sqlite://")
    metadata.create_all(wanted)
    with engine.connect() as migrated, wanted.connect() as made:
        assert described(migrated) == described(made)


def test_the_comparison_sees_what_differs() -> None:
    """A comparison that finds everything equal is worth nothing."""
    base = "CREATE TABLE t (a INTEGER NOT NULL, b TEXT GENERATED ALWAYS AS (a) VIRTUAL, UNIQUE (a));"
    base += "CREATE INDEX i ON t (a);"
    changes = {
        "INTEGER NOT NULL": "INTEGER",
        "a INTEGER": "a TEXT",
        "AS (a)": "AS (a + 1)",
        "VIRTUAL": "STORED",
        ", UNIQUE (a)": "",
        "ON t (a)": "ON t (a) WHERE a > 1",
        "CREATE INDEX": "CREATE UNIQUE INDEX",
        "b TEXT GENERATED ALWAYS AS (a) VIRTUAL": "c TEXT",
    }
    descriptions = []
    for script in (base, *(base.replace(old, new) for old, new in changes.items())):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            for statement in script.split(";")[:-1]:
                connection.execute(text(statement))
            descriptions.append(described(connection))
    assert all(other != descriptions[0] for other in descriptions[1:])


def test_generated_columns_are_read_out_of_the_record(engine: Engine) -> None:
    migrate.migrate(engine)
    with engine.connect() as connection:
        columns = described(connection)["audit_records"]["columns"]
    generated = {name: described_as[-1]["sqltext"] for name, described_as in columns.items() if described_as[-1]}
    assert generated["decision_id"] == "json_extract(record, '$.decisionId')"
    assert {"kind", "at", "request_id", "agent_id", "action", "resource_id", "reason_code"} <= generated.keys()


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    assert migrate.migrate(engine) == (None, migrate.wanted_version())
    assert migrate.migrate(engine) == (migrate.wanted_version(), migrate.wanted_version())


def test_an_empty_file_is_made_ready(engine: Engine) -> None:
    migrate.ensure_current(engine, "sqlite:///act.db")
    assert migrate.current_version(engine) == migrate.wanted_version()
    migrate.ensure_current(engine, "sqlite:///act.db")


def test_an_older_schema_is_refused_with_the_command_that_helps(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(engine)
    before = migrate.wanted_version()
    tomorrow = tmp_path / "database"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", tomorrow / "migrations")
    (tomorrow / "migrations" / "versions" / "v9000_tomorrow.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision, down_revision = '9000', '{before}'\n"
        "def upgrade():\n    op.create_table('tomorrow', sa.Column('id', sa.String(), primary_key=True))\n"
    )
    monkeypatch.setattr(migrate, "__file__", str(tomorrow / "migrate.py"))

    with pytest.raises(DatabaseUnusable, match=r"actctl migrate --database sqlite:///act\.db"):
        migrate.ensure_current(engine, "sqlite:///act.db")
    assert migrate.migrate(engine) == (before, "9000")
    migrate.ensure_current(engine, "sqlite:///act.db")
    with engine.connect() as connection:
        assert "tomorrow" in inspect(connection).get_table_names()


def _run(command: str, database: Path) -> tuple[int, str]:
    ended = subprocess.run(
        [actctl(), command, "--database", f"sqlite:///{database}", *(["--port", "0"] if command == "serve" else [])],
        capture_output=True,
        text=True,
        timeout=STARTING,
        env=environment(),
        check=False,
    )
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_schema_of_the_future_is_refused(command: str, engine: Engine, tmp_path: Path) -> None:
    migrate.migrate(engine)
    engine.dispose()
    with sqlite3.connect(tmp_path / "act.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    code, said = _run(command, tmp_path / "act.db")
    assert code == 1
    assert "schema 9999, which this version of ACT does not know; use a newer ACT" in said


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(DatabaseUnusable, match="tables that ACT did not make; give ACT a file of its own"):
        Node(Settings(f"sqlite:///{file}"))
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("recipes",)]


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Dear diary, this is not a database. " * 100)
    with pytest.raises(DatabaseUnusable):
        Node(Settings(f"sqlite:///{file}"))
    assert file.read_text().startswith("Dear diary")
