"""One transaction on the writing connection, with as few layers above the driver as its work needs.

Most commits append records and nothing else. SQLAlchemy's connection takes longer to make than such a commit takes, so
it is made when somebody asks for it.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine


class WriteSession:
    """A context manager that commits at its end, or takes all back when there was an exception.

    Raises:
        sqlite3.Error, sqlalchemy.exc.DBAPIError: the database cannot be written; nothing was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._borrowed = engine.raw_connection()
        driver = self._borrowed.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self.driver = driver
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The same transaction, for statements of SQLAlchemy."""
        if self._connection is None:
            self._connection = Connection(self._engine, self._borrowed)
        return self._connection

    @property
    def open(self) -> bool:
        """Whether the database is still in this transaction; SQLite can end one by itself."""
        return self.driver.in_transaction

    def __enter__(self) -> Self:
        try:
            self.driver.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None and not self.open:
                # The driver would commit nothing, and call it a success.
                raise sqlite3.OperationalError("The database ended the transaction by itself.")
            if error is None:
                self.driver.commit()
            else:
                self.driver.rollback()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        # What is not committed by now is rolled back, by SQLAlchemy or by its pool.
        (self._connection or self._borrowed).close()
