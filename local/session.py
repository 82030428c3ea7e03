"""One client's session: where it stands, as whom, and what its transaction holds."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from local import streams
from local.dialect_errors import translated
from local.errors import lock_timeout, syntax

if TYPE_CHECKING:
    from local.account import Account

LOCK_TIMEOUT_SECONDS = 60


@dataclass
class Session:
    """`app` is set where statements run with an application's rights: its procedures, tasks and setup script.

    `setup` is set only while a setup script runs, where Snowflake refuses more.
    `task` is the task run on whose behalf the session works, for SYSTEM$TASK_RUNTIME_INFO and return values.
    """

    account: Account
    connection: Any
    role: str = "ACCOUNTADMIN"
    warehouse: str | None = "COMPUTE_WH"
    app: str | None = None
    setup: bool = False
    task: Any = None
    query_tag: str = ""
    statement_tag: str | None = None  # of the statement under way, in the place of the session's
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    in_transaction: bool = False
    begun: bool = False
    locks: set[tuple[str, str, str]] = field(default_factory=set)
    appended: set[tuple[str, str, str]] = field(default_factory=set)  # tables the transaction has inserted into
    consumed: dict[str, tuple[tuple[str, str, str], str]] = field(default_factory=dict)  # streams, and the database written to
    lock_timeout: float = LOCK_TIMEOUT_SECONDS
    busy: threading.RLock = field(default_factory=threading.RLock)

    @property
    def database(self) -> str | None:
        return self.connection.database if self.connection.database_set else None

    @property
    def schema(self) -> str | None:
        return self.connection.schema if self.connection.schema_set else None

    def resolve(self, parts: tuple[str, ...]) -> tuple[str, str, str]:
        """A name with the session's database and schema filled in; inside an app a two-part name is the app's own."""
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
        database = self.app if self.app and len(parts) == 2 and not self.database else self.database
        if database is None:
            raise syntax(f"Cannot perform the operation on '{'.'.join(parts)}'. This session does not have a current database.")
        if len(parts) == 2:
            return database, parts[0], parts[1]
        if self.setup:
            raise syntax(f"'{parts[0]}': in a setup script every object must be named with its schema")
        if self.schema is None:
            raise syntax(f"Cannot perform the operation on '{parts[0]}'. This session does not have a current schema.")
        return database, self.schema, parts[0]

    def resolve_schema(self, parts: tuple[str, ...]) -> tuple[str, str]:
        if len(parts) == 2:
            return parts[0], parts[1]
        if not self.database:
            raise syntax(f"Cannot find schema '{parts[0]}'. This session does not have a current database.")
        return self.database, parts[0]

    # --- transactions

    def begin(self) -> None:
        """Snowflake's BEGIN inside a transaction is a no-op. DuckDB's own BEGIN waits for the first statement:
        its snapshot must be taken after that statement got its lock, or a queued writer would not see what it waited for."""
        self.in_transaction = True

    def enter_statement(self) -> None:
        if self.in_transaction and not self.begun:
            self.connection.cursor().execute("BEGIN")
            self.begun = True

    def commit(self) -> None:
        if not (self.begun and (self.appended or self.consumed)) or self.connection.aborted:
            return self._end("COMMIT")
        with streams.COMMITTING:
            try:
                moved = streams.before_commit(self.account, self)
            except duckdb.Error as e:
                self.rollback()
                raise translated(e, "COMMIT") from e
            except BaseException:
                self.rollback()
                raise
            self._end("COMMIT")
        streams.after_commit(self.account, moved)

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        try:
            if self.begun:
                self.connection.cursor().execute(how)
        finally:
            self.in_transaction = self.begun = False
            self.appended.clear()
            self.consumed.clear()
            self.account.locks.release(self)

    def close(self) -> None:
        try:
            self.rollback()
        finally:
            self.connection.close()


class Locks:
    """One writer per table, as Snowflake's UPDATE, DELETE and MERGE behave; INSERT and COPY do not wait.

    docs.snowflake.com/en/sql-reference/transactions (resource locking). Differs: Snowflake locks micro-partitions
    of a standard table, here the whole table is locked.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._held: dict[tuple[str, str, str], Session] = {}

    def take(self, session: Session, table: tuple[str, str, str]) -> None:
        with self._free:
            mine = self._free.wait_for(
                lambda: self._held.get(table) in (None, session), timeout=session.lock_timeout
            )
            if not mine:
                raise lock_timeout(
                    f"Statement was aborted because it waited longer than LOCK_TIMEOUT ({session.lock_timeout:.0f} s) "
                    f"for table {'.'.join(table)}, which another transaction has changed and not yet committed."
                )
            self._held[table] = session
            session.locks.add(table)

    def release(self, session: Session) -> None:
        with self._free:
            for table in session.locks:
                self._held.pop(table, None)
            session.locks.clear()
            self._free.notify_all()
