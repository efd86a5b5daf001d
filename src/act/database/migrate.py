"""The schema: made and brought up to date by Alembic; a server starts only on the schema that it was written for."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DatabaseError

from act.database.engine import DatabaseUnusable


def _config(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine
    return config


def current_version(engine: Engine) -> str | None:
    """The schema's version; None for an empty file.

    Raises:
        DatabaseUnusable: the file has tables, but they are not ours.
    """
    try:
        with engine.connect() as connection:
            version = MigrationContext.configure(connection).get_current_revision()
            if version is None and inspect(connection).get_table_names():
                raise DatabaseUnusable("The database has tables that ACT did not make; give ACT a file of its own.")
    except DatabaseError as error:
        raise DatabaseUnusable(f"The file cannot be read as a SQLite database ({error.orig}).") from error
    return version


def wanted_version() -> str:
    head = ScriptDirectory(str(Path(__file__).parent / "migrations")).get_current_head()
    assert head is not None
    return head


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema up to date. Answers the versions before and after.

    Raises:
        DatabaseUnusable: the schema is newer than this version of ACT, or not ours.
    """
    before = current_version(engine)
    _refuse_newer(before)
    command.upgrade(_config(engine), "head")
    return before, wanted_version()


def ensure_current(engine: Engine, database: str) -> None:
    """Make the schema in an empty file; refuse any schema but the one wanted.

    Raises:
        DatabaseUnusable: says which command to run.
    """
    version = current_version(engine)
    if version is None:
        migrate(engine)
        return
    _refuse_newer(version)
    if version != wanted_version():
        raise DatabaseUnusable(
            f"The database has schema {version}; this version of ACT needs {wanted_version()}. "
            f"Make a copy of the file, then run: actctl migrate --database {database}"
        )


def _refuse_newer(version: str | None) -> None:
    scripts = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in scripts.walk_revisions()}
    if version is not None and version not in known:
        raise DatabaseUnusable(
            f"The database has schema {version}, which this version of ACT does not know; use a newer ACT."
        )
