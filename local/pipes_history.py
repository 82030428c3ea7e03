"""What was loaded: one row per file and pipe (or COPY and table), in the same DuckDB database and transaction as the rows themselves.

So a killed account neither loads a file twice nor believes it loaded one it did not.
docs.snowflake.com/en/sql-reference/functions/copy_history, …/validate_pipe_load, user-guide/data-load-considerations-load (load metadata).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.answer import Answer, table
from local.errors import refused, syntax
from local.files import Rejected
from local.pipes_copy import quoted
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

PIPE_DAYS, COPY_DAYS = 14, 64
KEPT_ERRORS = 1000  # of one file; the count is exact
LOADED, PARTLY, FAILED, RUNNING = "Loaded", "Partially loaded", "Load failed", "Load in progress"
SCHEMA = "_fs_information_schema"  # the one that fakesnow keeps in every database and hides
TABLE_SQL = """
CREATE TABLE IF NOT EXISTS {database}.{schema}._firn_load_history (
    loader VARCHAR, loader_id VARCHAR, table_schema VARCHAR, table_name VARCHAR, path VARCHAR, stage_location VARCHAR, etag VARCHAR,
    file_size BIGINT, status VARCHAR, row_count BIGINT, row_parsed BIGINT, row_done BIGINT, error_count BIGINT, errors JSON,
    received_at TIMESTAMP, loaded_at TIMESTAMP
)
"""


@dataclass(frozen=True)
class Load:
    """What came of one file. `loader_id` is the pipe's identity (CREATE OR REPLACE gives a new one) or '' for COPY."""

    loader: str
    loader_id: str
    table: tuple[str, str, str]
    path: str
    stage_location: str
    etag: str
    size: int
    status: str
    row_count: int = 0
    row_parsed: int = 0
    row_done: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    received_at: dt.datetime | None = None
    loaded_at: dt.datetime | None = None
    error_count: int = 0

    @property
    def first_error(self) -> Rejected | None:
        return self.rejected[0] if self.rejected else None


def place(database: str) -> str:
    return f"{quoted(database)}.{SCHEMA}._firn_load_history"


def prepare(cursor: Any, database: str) -> None:
    """Make the history's table where it is missing. DDL, so before the transaction of the load."""
    exists = "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = '_firn_load_history'"
    if not cursor.execute(exists, [database, SCHEMA]).fetchone():
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database)}.{SCHEMA}")
        cursor.execute(TABLE_SQL.format(database=quoted(database), schema=SCHEMA))


def record(cursor: Any, loads: Sequence[Load]) -> None:
    """Replace what was known of these files, which one pipe (or COPY) loads into one table, by this."""
    first = loads[0]
    cursor.execute(
        f"DELETE FROM {place(first.table[0])} WHERE loader = ? AND loader_id = ? AND table_schema = ? AND table_name = ?"
        " AND path IN (SELECT unnest(?::VARCHAR[]))",
        [first.loader, first.loader_id, *first.table[1:], [load.path for load in loads]],
    )
    one = f"({', '.join('?' * 16)})"
    cursor.execute(f"INSERT INTO {place(first.table[0])} VALUES {', '.join([one] * len(loads))}", [value for load in loads for value in told(load)])


def told(load: Load) -> list[Any]:
    errors = json.dumps([vars(error) for error in load.rejected[:KEPT_ERRORS]])
    return [load.loader, load.loader_id, *load.table[1:], load.path, load.stage_location, load.etag, load.size, load.status, load.row_count,
            load.row_parsed, load.row_done, load.error_count or len(load.rejected), errors, load.received_at, load.loaded_at]  # fmt: skip


def known(cursor: Any, table: tuple[str, str, str], loader: str, loader_id: str, since: dt.datetime) -> dict[str, tuple[str, str, int, int]]:
    """path → (status, etag, rows done, rows loaded) of everything this pipe, or COPY into this table, remembers."""
    prepare(cursor, table[0])
    rows = cursor.execute(
        f"SELECT path, status, etag, row_done, row_count FROM {place(table[0])} WHERE loader = ? AND loader_id = ?"
        " AND table_schema = ? AND table_name = ? AND loaded_at >= ?",
        [loader, loader_id, *table[1:], since],
    ).fetchall()
    return {path: (status, etag, done, loaded) for path, status, etag, done, loaded in rows}


def known_files(
    cursor: Any, table: tuple[str, str, str], loader: str, loader_id: str, paths: Sequence[str], since: dt.datetime
) -> dict[str, tuple[str, str, int, int]]:
    """As `known`, of these paths only."""
    rows = cursor.execute(
        f"SELECT path, status, etag, row_done, row_count FROM {place(table[0])} WHERE loader = ? AND loader_id = ?"
        " AND table_schema = ? AND table_name = ? AND path IN (SELECT unnest(?::VARCHAR[])) AND loaded_at >= ?",
        [loader, loader_id, *table[1:], list(paths), since],
    ).fetchall()
    return {path: (status, etag, done, loaded) for path, status, etag, done, loaded in rows}


def forget_loader(account: Account, database: str, loader: str) -> None:
    """CREATE OR REPLACE PIPE and DROP PIPE forget what the pipe loaded."""
    with account.duck.duck_conn.cursor() as cursor:
        prepare(cursor, database)
        cursor.execute(f"DELETE FROM {place(database)} WHERE loader = ?", [loader])


def forget_table(account: Account, database: str, schema: str, name: str) -> None:
    """A table that is dropped, made anew or truncated loses its COPY history; pipes keep theirs."""
    with account.duck.duck_conn.cursor() as cursor:
        prepare(cursor, database)
        cursor.execute(f"DELETE FROM {place(database)} WHERE loader = '' AND table_schema = ? AND table_name = ?", [schema, name])


def latest(account: Account, database: str, loader: str) -> tuple[str, dt.datetime] | None:
    """The file this pipe loaded last, and when."""
    with account.duck.duck_conn.cursor() as cursor:
        prepare(cursor, database)
        sql = f"SELECT path, loaded_at FROM {place(database)} WHERE loader = ? AND status IN (?, ?) ORDER BY loaded_at DESC LIMIT 1"
        return cursor.execute(sql, [loader, LOADED, PARTLY]).fetchone()


# --- what users see of it

COPY_HISTORY_COLUMNS = (
    "FILE_NAME STAGE_LOCATION LAST_LOAD_TIME:timestamp_ltz ROW_COUNT:fixed ROW_PARSED:fixed FILE_SIZE:fixed FIRST_ERROR_MESSAGE"
    " FIRST_ERROR_LINE_NUMBER:fixed FIRST_ERROR_CHARACTER_POS:fixed FIRST_ERROR_COLUMN_NAME ERROR_COUNT:fixed ERROR_LIMIT:fixed STATUS"
    " TABLE_CATALOG_NAME TABLE_SCHEMA_NAME TABLE_NAME PIPE_CATALOG_NAME PIPE_SCHEMA_NAME PIPE_NAME PIPE_RECEIVED_TIME:timestamp_ltz"
    " BYTES_BILLED:fixed"
)


def moment(value: Any, default: dt.datetime) -> dt.datetime:
    """A timestamp argument of a table function, in UTC without a zone."""
    if value is None:
        return default
    if not isinstance(value, dt.datetime):
        try:
            value = dt.datetime.fromisoformat(str(value))
        except ValueError:
            raise syntax(f"Timestamp '{value}' is not recognized") from None
    return value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value


def copy_history(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    """COPY_HISTORY(TABLE_NAME =>, START_TIME => [, END_TIME =>] [, PIPE_NAME =>]): files that pipes and COPY loaded into a table."""
    for required in ("TABLE_NAME", "START_TIME"):
        if arguments.get(required) is None:
            raise syntax(f"COPY_HISTORY: missing argument {required}")
    database, schema, name = session.resolve(Reader(str(arguments["TABLE_NAME"])).name())
    start, end = moment(arguments["START_TIME"], account.clock()), moment(arguments.get("END_TIME"), account.clock())
    with account.duck.duck_conn.cursor() as cursor:
        prepare(cursor, database)
        rows = cursor.execute(
            "SELECT path, stage_location, loaded_at, row_count, row_parsed, file_size, errors, error_count, status, loader, received_at"
            f" FROM {place(database)} WHERE table_schema = ? AND table_name = ? AND loaded_at BETWEEN ? AND ? ORDER BY loaded_at, path",
            [schema, name, start, end],
        ).fetchall()
    if arguments.get("PIPE_NAME"):
        pipe = ".".join(session.resolve(Reader(str(arguments["PIPE_NAME"])).name()))
        rows = [row for row in rows if row[9] == pipe]
    return table(COPY_HISTORY_COLUMNS, [shown_load(row, (database, schema, name)) for row in rows])


def shown_load(row: tuple[Any, ...], target: tuple[str, str, str]) -> tuple[Any, ...]:
    path, location, loaded_at, row_count, parsed, size, errors, error_count, status, loader, received_at = row
    first = next(iter(json.loads(errors or "[]")), {})
    pipe = loader.split(".", 2) if loader else [None, None, None]
    return (
        path, location, loaded_at, row_count, parsed, size, first.get("reason"), first.get("line"), first.get("character"), first.get("column"),
        error_count, 1 if status == FAILED else None, status, *target, *pipe, received_at, size if loader else None,
    )  # fmt: skip


def validate_pipe_load(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    """VALIDATE_PIPE_LOAD(PIPE_NAME =>, START_TIME => [, END_TIME =>]): the records a pipe rejected (the first 1000 of a file)."""
    for required in ("PIPE_NAME", "START_TIME"):
        if arguments.get(required) is None:
            raise syntax(f"VALIDATE_PIPE_LOAD: missing argument {required}")
    from local.pipes import pipe_named

    pipe = pipe_named(account, session, Reader(str(arguments["PIPE_NAME"])).name())
    if pipe["copy"]["select"] is not None:
        raise refused("VALIDATE_PIPE_LOAD does not support COPY statements that transform data during a load.")
    start, end = moment(arguments["START_TIME"], account.clock()), moment(arguments.get("END_TIME"), account.clock())
    database = pipe["copy"]["table"][0]
    with account.duck.duck_conn.cursor() as cursor:
        prepare(cursor, database)
        loads = cursor.execute(
            f"SELECT path, errors FROM {place(database)} WHERE loader = ? AND loaded_at BETWEEN ? AND ? ORDER BY loaded_at, path",
            [pipe.full_name, start, end],
        ).fetchall()
    rows = [
        (e["reason"], path, e["line"], e["character"], None, "parsing", 100_016, 22_000, e["column"], e["row_number"], e["line"], e["record"])
        for path, errors in loads
        for e in json.loads(errors or "[]")
    ]
    columns = (
        "ERROR FILE LINE:fixed CHARACTER:fixed BYTE_OFFSET:fixed CATEGORY CODE:fixed SQL_STATE:fixed COLUMN_NAME ROW_NUMBER:fixed"
        " ROW_START_LINE:fixed REJECTED_RECORD"
    )
    return table(columns, rows)
