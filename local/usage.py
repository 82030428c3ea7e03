"""What the account remembers of its own work, as the database SNOWFLAKE shows it: statements, and what handlers logged.

docs.snowflake.com/en/sql-reference/functions/query_history, …/account-usage/query_history, …/developer-guide/logging-tracing/event-table-columns.
Differs: statements of the last 7 days, the newest 100,000 at least when the account ran as `firn up` starts it; describes are not among them;
nothing costs credits, so QUERY_ATTRIBUTION_HISTORY and SERVERLESS_TASK_HISTORY are there and empty.
"""

from __future__ import annotations

import collections
import datetime as dt
import json
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from local.answer import Answer, table

if TYPE_CHECKING:
    from local.account import Account
    from local.duck import Duck
    from local.session import Session

KEPT, KEPT_DAYS = 100_000, 7
OURS = ("CALL SYSTEM$ENTER_CALL", "CALL SYSTEM$LEAVE_CALL")  # between the account and its sandboxes

QUERY_COLUMNS = {
    "QUERY_ID": "VARCHAR", "QUERY_TEXT": "VARCHAR", "DATABASE_NAME": "VARCHAR", "SCHEMA_NAME": "VARCHAR", "QUERY_TYPE": "VARCHAR",
    "SESSION_ID": "BIGINT", "USER_NAME": "VARCHAR", "ROLE_NAME": "VARCHAR", "WAREHOUSE_NAME": "VARCHAR", "QUERY_TAG": "VARCHAR",
    "EXECUTION_STATUS": "VARCHAR", "ERROR_CODE": "VARCHAR", "ERROR_MESSAGE": "VARCHAR", "START_TIME": "TIMESTAMPTZ", "END_TIME": "TIMESTAMPTZ",
    "TOTAL_ELAPSED_TIME": "BIGINT", "EXECUTION_TIME": "BIGINT", "ROWS_PRODUCED": "BIGINT", "BYTES_SCANNED": "BIGINT",
    "CREDITS_USED_CLOUD_SERVICES": "DOUBLE",
}  # fmt: skip
EVENT_COLUMNS = {
    "TIMESTAMP": "TIMESTAMP", "START_TIMESTAMP": "TIMESTAMP", "OBSERVED_TIMESTAMP": "TIMESTAMP", "TRACE": "JSON", "RESOURCE": "JSON",
    "RESOURCE_ATTRIBUTES": "JSON", "SCOPE": "JSON", "SCOPE_ATTRIBUTES": "JSON", "RECORD_TYPE": "VARCHAR", "RECORD": "JSON",
    "RECORD_ATTRIBUTES": "JSON", "VALUE": "JSON", "EXEMPLARS": "JSON",
}  # fmt: skip
TABLES: dict[str, dict[str, str]] = {
    "ACCOUNT_USAGE.QUERY_HISTORY": QUERY_COLUMNS,
    "ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY": {
        "QUERY_ID": "VARCHAR", "PARENT_QUERY_ID": "VARCHAR", "ROOT_QUERY_ID": "VARCHAR", "WAREHOUSE_NAME": "VARCHAR", "QUERY_TAG": "VARCHAR",
        "USER_NAME": "VARCHAR", "START_TIME": "TIMESTAMPTZ", "END_TIME": "TIMESTAMPTZ", "CREDITS_ATTRIBUTED_COMPUTE": "DOUBLE",
        "CREDITS_USED_QUERY_ACCELERATION": "DOUBLE",
    },
    "ACCOUNT_USAGE.SERVERLESS_TASK_HISTORY": {
        "START_TIME": "TIMESTAMPTZ", "END_TIME": "TIMESTAMPTZ", "CREDITS_USED": "VARCHAR", "TASK_NAME": "VARCHAR", "SCHEMA_NAME": "VARCHAR",
        "DATABASE_NAME": "VARCHAR",
    },
    "TELEMETRY.EVENTS": EVENT_COLUMNS,
}  # fmt: skip
READERS = {  # database roles of SNOWFLAKE, and what they read: docs.snowflake.com/en/sql-reference/snowflake-db-roles
    "GOVERNANCE_VIEWER": ("QUERY_HISTORY", "QUERY_ATTRIBUTION_HISTORY"),
    "USAGE_VIEWER": ("QUERY_ATTRIBUTION_HISTORY", "SERVERLESS_TASK_HISTORY"),
    "EVENTS_VIEWER": ("EVENTS",),
}
READING = ("QUERY_HISTORY", "QUERY_ATTRIBUTION_HISTORY", "SERVERLESS_TASK_HISTORY", "TELEMETRY")


class Usage:
    """Rows wait in memory and are laid down in a DuckDB file of their own, all at once: when somebody reads, and now and then."""

    def __init__(self, duck: Duck, path: Path) -> None:
        self.duck, self.path = duck, path
        self.guard = threading.RLock()
        self.queries: collections.deque[tuple[Any, ...]] = collections.deque(maxlen=KEPT)
        self.events: collections.deque[tuple[Any, ...]] = collections.deque(maxlen=KEPT)
        self.is_there = False
        if path.exists():
            self.attach()

    def attach(self) -> None:
        if self.is_there:
            return
        with self.duck.duck_conn.cursor() as cursor:
            cursor.execute(f"ATTACH '{self.path}' AS SNOWFLAKE")
            for schema in ("ACCOUNT_USAGE", "TELEMETRY"):
                cursor.execute(f"CREATE SCHEMA IF NOT EXISTS SNOWFLAKE.{schema}")
            for name, columns in TABLES.items():
                cursor.execute(f"CREATE TABLE IF NOT EXISTS SNOWFLAKE.{name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})")
            cursor.execute(f"DELETE FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY WHERE end_time < now() - INTERVAL {KEPT_DAYS} DAY")
            cursor.execute(f"DELETE FROM SNOWFLAKE.TELEMETRY.EVENTS WHERE timestamp < now()::TIMESTAMP - INTERVAL {KEPT_DAYS} DAY")
        self.is_there = True

    def statement(self, session: Session, sql: str, started: float, ended: float, answer: dict[str, Any] | None, error: Exception | None) -> None:
        """One statement that was carried out; times in seconds since 1970."""
        if sql.startswith(OURS):
            return
        tag = session.query_tag if session.statement_tag is None else session.statement_tag
        query_id = (answer or {}).get("queryId") or getattr(error, "sfqid", None) or str(uuid.uuid4())
        where = (session.database, session.schema, session.connection.session_id, session.role, session.warehouse)
        self.queries.append((query_id, *where, tag, sql, started, ended, produced(answer), error))

    def flush(self) -> None:
        """Lay down what waits."""
        with self.guard:
            self.attach()
            queries = [query_row(*self.queries.popleft()) for _ in range(len(self.queries))]
            events = [self.events.popleft() for _ in range(len(self.events))]
            for name, columns, rows in (("ACCOUNT_USAGE.QUERY_HISTORY", QUERY_COLUMNS, queries), ("TELEMETRY.EVENTS", EVENT_COLUMNS, events)):
                if rows:
                    self.lay_down(name, columns, rows)

    def lay_down(self, name: str, columns: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
        kinds = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMPTZ": pa.timestamp("us", "UTC"), "TIMESTAMP": pa.timestamp("us")}
        arrays = [pa.array(list(values), kinds.get(kind, pa.string())) for values, kind in zip(zip(*rows, strict=True), columns.values(), strict=True)]
        with self.duck.duck_conn.cursor() as cursor:
            cursor.register("firn_usage_rows", pa.table(arrays, names=list(columns)))
            cursor.execute(f"INSERT INTO SNOWFLAKE.{name} SELECT * FROM firn_usage_rows")
            cursor.unregister("firn_usage_rows")

    def before(self, sql: str) -> None:
        """Whoever reads sees everything up to now."""
        if any(name in sql.upper() for name in READING):
            self.flush()


def query_row(
    query_id: str, database: str | None, schema: str | None, session_id: str, role: str, warehouse: str | None, tag: str, sql: str,
    started: float, ended: float, rows: int | None, error: Any,
) -> tuple[Any, ...]:  # fmt: skip
    elapsed = round((ended - started) * 1000)
    code, message = (str(getattr(error, "errno", "")), str(getattr(error, "msg", error))[:4000]) if error is not None else (None, None)
    status = "SUCCESS" if error is None else "FAIL"
    return (
        query_id, sql, database, schema, sql.split(None, 1)[0].upper().rstrip(";") if sql.strip() else "UNKNOWN", int(session_id), "LOCAL", role,
        warehouse, tag, status, code, message, moment(started), moment(ended), elapsed, elapsed, rows, None, None,
    )  # fmt: skip


def produced(answer: dict[str, Any] | None) -> int | None:
    """Rows of a query, or rows that a DML changed."""
    if not answer:
        return None
    columns, rows = answer.get("rowtype") or [], answer.get("rowset")
    if rows and all(str(column["name"]).lower().startswith("number of ") for column in columns):
        return sum(int(value) for value in rows[0] if value is not None)
    return answer.get("total")


def moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def query_history(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    """The newest statements of the last 7 days, the limit before any WHERE, as on Snowflake; not for procedures and functions."""
    account.usage.flush()
    limit = int(arguments.get("RESULT_LIMIT") or 100)
    with account.duck.duck_conn.cursor() as cursor:
        rows = cursor.execute(
            f"SELECT {', '.join(QUERY_COLUMNS)} FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY "
            "WHERE (?::TIMESTAMPTZ IS NULL OR end_time >= ?::TIMESTAMPTZ) AND (?::TIMESTAMPTZ IS NULL OR end_time <= ?::TIMESTAMPTZ) "
            "ORDER BY end_time DESC LIMIT ?",
            [*[arguments.get("END_TIME_RANGE_START")] * 2, *[arguments.get("END_TIME_RANGE_END")] * 2, limit],
        ).fetchall()
    kinds = {"BIGINT": ":fixed", "TIMESTAMPTZ": ":timestamp_ltz", "DOUBLE": ":real"}
    return table(" ".join(name.lower() + kinds.get(kind, "") for name, kind in QUERY_COLUMNS.items()), rows)


def event(app: str, procedure: str, said: dict[str, Any]) -> tuple[Any, ...]:
    """A log record of a handler as the event table has it."""
    at = dt.datetime.fromtimestamp(said["at"], dt.UTC).replace(tzinfo=None)
    attributes = {"code.filepath": said["file"], "code.function": said["function"], "code.lineno": said["line"], **said["extra"]}
    resource = {"snow.application.name": app, "snow.executable.name": procedure, "snow.executable.type": "PROCEDURE"}
    return (
        at, None, at, "{}", None, json.dumps(resource), json.dumps({"name": said["logger"]}), None, "LOG", json.dumps({"severity_text": said["level"]}),
        json.dumps(attributes, default=str), json.dumps(said["message"]), None,
    )  # fmt: skip


def escaped(app: str, procedure: str, answer: dict[str, Any]) -> tuple[Any, ...]:
    """The record that Snowflake makes by itself of an exception that leaves a handler.

    docs.snowflake.com/en/developer-guide/logging-tracing/unhandled-exception-messages
    """
    extra = {
        "exception.type": answer.get("error_type", "Error"), "exception.message": answer["error"], "exception.stacktrace": answer["traceback"],
        "exception.escaped": True,
    }  # fmt: skip
    said = {"at": dt.datetime.now(dt.UTC).timestamp(), "level": "FATAL", "logger": "", "message": "exception", "file": "", "function": "", "line": 0}
    return event(app, procedure, {**said, "extra": extra})


TABLE_FUNCTIONS = {"QUERY_HISTORY": query_history}
