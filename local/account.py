"""The account: one folder with databases, objects, stages and task history, and the way a statement goes through it."""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot
from snowflake.connector.errors import Error

from local import (
    alerts,
    directories,
    functions_python,
    grants,
    notifications,
    outbox,
    rights,
    routines,
    stages,
    statements,
    streams,
    usage,
    wire,
)
from local.answer import Answer
from local.catalog import Catalog
from local.duck import Duck
from local.errors import failed
from local.reader import Reader
from local.s3 import S3
from local.session import Locks, Session

log = logging.getLogger("firn.account")
MEMORY = "2GB"  # what DuckDB may use; FIRN_MEMORY says otherwise
SYSTEM_ROLES = ("ACCOUNTADMIN", "SYSADMIN", "SECURITYADMIN", "USERADMIN", "ORGADMIN", "PUBLIC")


class Account:
    """An emulated Snowflake account in a folder. `address` is where its own procedures connect back to."""

    def __init__(self, folder: Path, s3: S3 | None = None, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = address
        self.catalog = Catalog(folder / "account.sqlite3")
        self.duck = Duck(folder / "databases", memory_limit=os.environ.get("FIRN_MEMORY", MEMORY))
        self.s3 = s3
        self.locks = Locks()
        self.sessions: dict[str, Session] = {}
        self.workers = routines.Workers(self)
        self.views = 0
        self.counted = {"run": 0, "described": 0}  # statements since the start, for those who count round trips
        self.watch: Callable[[Session, str, Callable[[], dict[str, Any]]], dict[str, Any]] | None = None  # see failpoints
        self.outbox = outbox.Outbox(folder / "outbox.sqlite3")
        self.usage = usage.Usage(self.duck, folder / "usage.db")
        self.alert_history = alerts.History(folder / "alert_history.sqlite3")
        alerts.forget_recorded(self)
        self.duck.resolve_function = self._function_name  # type: ignore[attr-defined]
        routines.register_functions(self)

    def clock(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None)

    # --- sessions

    def session(self, database: str | None = None, schema: str | None = None, role: str = "ACCOUNTADMIN", **rights: Any) -> Session:
        session = Session(self, self.duck.session(database, schema), role=role.upper(), **rights)
        session.connection.account_session, session.connection.app = session, session.app
        self.sessions[session.token] = session
        return session

    def forget(self, session: Session) -> None:
        self.sessions.pop(session.token, None)
        session.close()

    def role_exists(self, name: str) -> bool:
        return name in SYSTEM_ROLES or self.catalog.get("role", name) is not None

    def _function_name(self, connection: Any, parts: tuple[str, ...]) -> str | None:
        if parts[:2] == ("SNOWFLAKE", "NOTIFICATION"):
            return notifications.HELPERS.get(parts[-1])
        return functions_python.resolve_function(self, connection.app, connection.database, connection.schema, parts)

    # --- statements

    def execute_batch(self, session: Session, sql: str, rows: list[Any]) -> dict[str, Any]:
        """One INSERT for many rows of parameters (the connector's executemany); other statements row by row."""
        return self._recorded(session, sql, lambda: self._watched(session, sql, lambda: self._execute_batch(session, sql, rows)))

    def execute(self, session: Session, sql: str, params: Any = None, *, describe: bool = False) -> dict[str, Any]:
        """Carry out one statement. Gives the `data` of the answer on the wire. Raises Snowflake's ProgrammingError."""
        if describe:
            return self._execute(session, sql, params, describe=True)
        return self._recorded(session, sql, lambda: self._watched(session, sql, lambda: self._execute(session, sql, params, describe=False)))

    def _recorded(self, session: Session, sql: str, carry_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Into QUERY_HISTORY, whatever comes of it."""
        started = time.time()
        answer, raised = None, None
        try:
            answer = carry_out()
            return answer
        except Exception as e:
            raised = e
            raise
        finally:
            self.usage.statement(session, sql, started, time.time(), answer, raised)

    def _watched(self, session: Session, sql: str, carry_out: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        watch = self.watch
        return watch(session, sql, carry_out) if watch is not None and session.app else carry_out()

    def _execute_batch(self, session: Session, sql: str, rows: list[Any]) -> dict[str, Any]:
        with session.busy:
            grants.check_statement(self, session, sql)
            alone = not session.in_transaction and streams.concerns(self, session, sql, [])
            if alone:
                session.begin()
            session.enter_statement()
            cursor = session.connection.cursor()
            try:
                cursor.execute_batch(sql, rows)
                if session.in_transaction:
                    streams.note(self, session, sql, [])
                if alone:
                    session.commit()
            except BaseException:
                if alone:
                    session.rollback()
                raise
            return {**cursor.payload(), "rowset": [[str(cursor.rowcount or 0)]]}

    def _execute(self, session: Session, sql: str, params: Any, *, describe: bool) -> dict[str, Any]:
        with session.busy:
            self.counted["described" if describe else "run"] += 1
            self.usage.before(sql)
            reader = Reader(sql)
            words = statements.head(reader)
            rights.check(self, session, words, sql)
            if words[:1] in (("PUT",), ("GET",)):
                transfer = stages.put_data if words[0] == "PUT" else stages.get_data
                return transfer(self, session, Reader(statements.with_values(sql, params)))
            handler = statements.handler_of(words)
            if words[:1] in (("CREATE",), ("ALTER",), ("DROP",), ("GRANT",), ("REVOKE",)) and not describe:
                session.commit()  # DDL commits what is open: docs.snowflake.com/en/sql-reference/transactions
            if handler is not None:
                if words[0] not in ("CALL", "EXECUTE") and params and not describe:
                    reader = Reader(statements.with_values(sql, params))
                data = self._ours(session, handler, reader, words, params, describe)
                if not describe:
                    rights.owned(self, session, words, sql)
                return data
            statements.check_known(words, sql)
            if "SYSTEM$" in sql.upper() or any(name in sql.upper() for name in statements.TABLE_FUNCTIONS):
                sql = statements.expand_functions(self, session, sql)
            if "DIRECTORY" in sql.upper() and "@" in sql:
                sql = directories.expanded(self, session, sql)
            answer = self._duck(session, sql, params, describe)
            if words[1:2] == ("TABLE",) and not describe:
                statements.after_table_change(self, session, words, sql)
            elif words[:2] == ("CREATE", "VIEW") and not describe:
                statements.after_view(self, session, sql)
            if not describe:
                rights.owned(self, session, words, sql)
            return answer

    def answer(self, session: Session, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a statement, for the account's own use (setup scripts, tasks)."""
        with session.busy:
            reader = Reader(sql)
            words = statements.head(reader)
            handler = statements.handler_of(words)
            if handler is not None:
                rows: list[tuple[Any, ...]] = []

                def carry_out() -> dict[str, Any]:
                    rows.extend(self._call(handler, session, reader, words, params).rows)
                    return {"total": len(rows)}

                self._recorded(session, sql, carry_out)
                return rows
            self.execute(session, sql, params)
            return []

    def _call(self, handler: Any, session: Session, reader: Reader, words: tuple[str, ...], params: Any) -> Answer:
        if words[0] in ("CALL", "EXECUTE"):
            return handler(self, session, reader, params)
        if words[0] == "COPY":
            session.connection.cursor().set_variables()  # a default of the table may ask for the time
        return handler(self, session, reader)

    def _ours(self, session: Session, handler: Any, reader: Reader, words: tuple[str, ...], params: Any, describe: bool) -> dict[str, Any]:
        if describe and words[0] not in ("SHOW", "DESCRIBE", "LIST"):
            columns = routines.described(self, session, reader) if words[0] == "CALL" else [("status", "text")]
            answer = Answer(columns)
        else:
            answer = self._call(handler, session, reader, words, params)
        table, columns = wire.rows_table(answer.columns, answer.rows)
        query_id = str(uuid.uuid4())
        session.connection.remember(query_id, table.rename_columns([c["name"] for c in columns]))
        return {**wire.payload(table, columns), "queryId": query_id}

    def _duck(self, session: Session, sql: str, params: Any, describe: bool) -> dict[str, Any]:
        cursor = session.connection.cursor()
        grants.check_statement(self, session, sql)
        read = streams.read_by(self, session, sql)
        if describe:
            return cursor.describe_only(streams.expanded(self, session, sql, read))
        if not session.in_transaction and streams.concerns(self, session, sql, read):
            return self._alone(session, sql, params)
        for table in grants.written(sql):
            if table.locks:
                self.locks.take(session, session.resolve(table.parts))
        try:
            session.enter_statement()
            cursor.execute(streams.expanded(self, session, sql, read), binding_params=params, server=True)
            if session.in_transaction:
                streams.note(self, session, sql, read)
        finally:
            if not session.in_transaction:
                self.locks.release(session)
        return cursor.payload()

    def _alone(self, session: Session, sql: str, params: Any) -> dict[str, Any]:
        """One statement as a transaction: what streams must know is committed with it."""
        session.begin()
        try:
            data = self._duck(session, sql, params, False)
            session.commit()
        except BaseException:
            session.rollback()
            raise
        return data

    def register(self, session: Session, answer: Answer) -> str:
        """Make an answer's rows readable by a SELECT of this session; gives the name to select from."""
        self.views += 1
        name = f"firn_rows_{self.views}"
        columns = {column: [row[i] for row in answer.rows] for i, (column, _) in enumerate(answer.columns)}
        types = {"fixed": pa.int64(), "boolean": pa.bool_(), "timestamp_ltz": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us")}
        arrays = [pa.array(columns[c], types.get(kind, pa.string())) for c, kind in answer.columns]
        session.connection._duck_conn.register(name, pa.table(arrays, names=[c.upper() for c, _ in answer.columns]))
        return name

    def close(self) -> None:
        self.alert_history.close()
        self.workers.close()
        for session in list(self.sessions.values()):
            try:
                self.forget(session)
            except Exception as e:  # closing goes on: the other sessions must be let go too
                log.warning("closing a session: %s", e)
        self.duck.close()
        self.catalog.close()
        self.outbox.close()


def as_snowflake_error(error: Exception) -> Error:
    """Every exception becomes an error with Snowflake's code: the client must never see an HTTP 500, on which it retries for minutes."""
    if isinstance(error, Error):
        return error
    if isinstance(error, sqlglot.errors.SqlglotError):
        from local.errors import syntax

        return syntax(str(error).split("\n")[0])
    log.exception("internal error")
    return failed(f"SQL execution internal error:\nProcessing aborted by {type(error).__name__}: {error}")
