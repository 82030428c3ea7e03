"""Postgres → S3: the rows of one table that are new since the last extract, as one object.

    firn extract public.orders --column updated_at --bucket landing --prefix shop/orders/

The watermark moves after S3 has confirmed the object.  A crash between the two sends the same rows again under another name:
nothing is lost, and the pipeline absorbs what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from ingest.extract_bounds import MARGIN, TIMES, WAYS, Bound, upper_bound, window
from ingest.extract_copy import Copied
from ingest.extract_formats import WRITERS
from ingest.extract_state import State, move_watermark, read_state, state_key
from ingest.upload import NameTaken, Refused, Sent, Upload, told

CASTS = {TIMES[0]: "timestamptz", TIMES[1]: "timestamp", "xid8": "xid8"}


@dataclass(frozen=True)
class Job:
    """What to extract and where to.

    `zone` is the wall clock of a tracking column without time zone.  `daily`: one object per whole day of the tracking column.
    """

    table: str
    column: str
    bucket: str
    prefix: str = ""
    by: str = "activity"
    format: str = "csv.gz"
    daily: bool = False
    overlap: timedelta = timedelta(hours=1)
    margin: timedelta = MARGIN
    zone: str = "UTC"
    accept_columns: bool = False

    def __post_init__(self) -> None:
        if self.by not in WAYS or self.format not in WRITERS:
            raise Refused(f"by={self.by!r}, format={self.format!r}: expected one of {', '.join(WAYS)} and one of {', '.join(WRITERS)}.")
        if self.daily and self.by != "activity":
            raise Refused("--daily goes with --by activity: a day is written once, when no open transaction can add to it.")
        if self.prefix and not self.prefix.endswith("/"):
            raise Refused(f"prefix {self.prefix!r} must end with a slash, so that it does not take in another source's files.")
        if "/" in self.table:
            raise Refused(f"table {self.table!r}: a slash in its name would put its files under another prefix.")


@dataclass(frozen=True)
class Outcome:
    """What one extract did."""

    rows: int
    objects: list[Sent]
    watermark: str | None
    held_by: str = ""
    new_columns: list[str] = field(default_factory=list)


def connect(dsn: str) -> psycopg.Connection[Any]:
    """A session that prints times in ISO form and UTC, whatever the server's settings; `dsn` "" takes libpq's own (PGHOST, …)."""
    try:
        connection = psycopg.connect(dsn, autocommit=True, client_encoding="UTF8", application_name="firn extract", connect_timeout=10)
    except psycopg.ProgrammingError:
        # Not shown, nor chained: libpq repeats what it could not read, and that may be the password.
        raise Refused(
            "Postgres was not asked: --dsn is neither an address (postgres://user@host:5432/database) nor pairs (host=… dbname=… user=…). "
            "Keep the password out of it: PGPASSWORD or ~/.pgpass. Nothing was sent."
        ) from None
    except psycopg.OperationalError as e:
        raise Refused(
            f"Postgres refused the connection: {str(e).strip()}\n"
            "Check host, user and password (--dsn, or PGHOST, PGUSER and PGPASSWORD). Nothing was sent."
        ) from e
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute("SET DateStyle TO 'ISO, YMD'")
    connection.execute("SET extra_float_digits TO 1")
    connection.execute("SET default_transaction_read_only TO on")
    return connection


def extract(connection: psycopg.Connection[Any], s3: Any, job: Job) -> Outcome:
    """Send what is new and move the watermark; run again after any failure, it goes on from where it was."""
    with spoken(job):
        columns, kind = described(connection, job)
        key = state_key(job.prefix, job.table)
        before, etag = read_state(s3, job.bucket, key)
        state = before or State(job.table, job.column, job.by)
        names, new = agreed(state, columns, job)
        bound = upper_bound(connection, job.by, kind, job.zone, job.margin)
        if job.by == "xid" and state.watermark and int(bound.value) < int(state.watermark):
            raise Refused(
                f"transaction numbers went back from {state.watermark} to {bound.value}: this is another server than last time, or one restored "
                f"from a dump. Delete s3://{job.bucket}/{key} to send {job.table} whole again."
            )
        state = replace(state, columns=tuple(names), by=job.by)
        move = daily if job.daily else once
        return replace(move(connection, s3, job, state, etag, bound, kind), held_by=bound.held_by, new_columns=new if before else [])


def once(connection: Any, s3: Any, job: Job, state: State, etag: str, bound: Bound, kind: str) -> Outcome:
    """One object with the rows from the watermark to the bound; none if there are no rows."""
    if is_reached(connection, state.watermark, bound.value, kind):
        return Outcome(0, [], state.watermark)
    overlap = job.overlap if job.by == "overlap" else None
    condition = window(job.column, CASTS[kind], state.watermark, bound.value, overlap)
    key = timed_key(job, state.last_key, datetime.now(UTC))
    rows, sent = send(connection, s3, job, state.columns, condition, key, {"from": state.watermark or "", "to": bound.value})
    state = replace(state, watermark=bound.value, last_key=key if sent else state.last_key)
    move_watermark(s3, job.bucket, state_key(job.prefix, job.table), state, etag)
    return Outcome(rows, [sent] if sent else [], state.watermark)


def daily(connection: Any, s3: Any, job: Job, state: State, etag: str, bound: Bound, kind: str) -> Outcome:
    """One object per whole day that has rows; the watermark moves after each, so an interrupted run goes on with the next day."""
    condition = window(job.column, CASTS[kind], state.watermark, bound.value)
    zone = "UTC" if kind == TIMES[0] else job.zone
    days = connection.execute(
        sql.SQL("SELECT DISTINCT {}::date FROM {} WHERE {} AND {} < {}::date ORDER BY 1").format(
            sql.Identifier(job.column), table_name(job.table), condition, sql.Identifier(job.column), sql.Literal(bound.value)
        )
    ).fetchall()
    total, objects = 0, []
    for (day,) in days:
        first, after = (midnight(one, kind) for one in (day, day + timedelta(days=1)))
        condition = window(job.column, CASTS[kind], first, after)
        key = f"{job.prefix}{day.isoformat()}{suffix(job)}"
        rows, sent = send_day(connection, s3, job, state.columns, condition, key, {"from": first, "to": after, "zone": zone})
        total, objects = total + rows, objects + ([sent] if sent else [])
        state = replace(state, watermark=after, last_key=key)
        etag = move_watermark(s3, job.bucket, state_key(job.prefix, job.table), state, etag)
    return Outcome(total, objects, state.watermark)


def send_day(connection: Any, s3: Any, job: Job, names: Any, condition: Any, key: str, facts: dict[str, str]) -> Any:
    """As `send`; a day whose object is there, written by this extract before a crash, counts as sent."""
    try:
        return send(connection, s3, job, names, condition, key, facts)
    except NameTaken:
        with told(job.bucket, key):
            there = s3.head_object(Bucket=job.bucket, Key=key).get("Metadata", {})
        if there != metadata(job, facts):
            raise
        return 0, None


def send(
    connection: Any, s3: Any, job: Job, names: Any, condition: sql.Composable, key: str, facts: dict[str, str]
) -> tuple[int, Sent | None]:
    """Stream the rows of a condition into one object; gives the count, and no object if there were none."""
    statement = copy_statement(job.table, names, condition)
    rows = Copied(connection, statement)
    with Upload(s3, job.bucket, key, metadata(job, facts)) as upload:
        WRITERS[job.format](rows, upload.write, names)
        return rows.count, upload.finish() if rows.count else None


def copy_statement(table: str, names: Any, condition: sql.Composable) -> sql.Composed:
    """
    >>> print(copy_statement("shop.orders", ["id", "Total"], sql.SQL("id < %s")).as_string(None))
    COPY (SELECT "id", "Total" FROM "shop"."orders" WHERE id < %s) TO STDOUT (FORMAT csv, HEADER)
    """
    # NULL is nothing and '' is "": the default of CSV, and what tells the two apart in every file format here.
    return sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT csv, HEADER)").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), table_name(table), condition
    )


def table_name(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split(".", 1))


def metadata(job: Job, facts: dict[str, str]) -> dict[str, str]:
    """What an object says of itself."""
    return {"firn-table": job.table, "firn-column": job.column} | {f"firn-{name}": value for name, value in facts.items() if value}


def suffix(job: Job) -> str:
    return f".{job.format}"


def timed_key(job: Job, last: str, now: datetime) -> str:
    """A name later than the last one, also when the clock was set back.

    >>> job = Job("public.orders", "updated_at", "landing", "shop/")
    >>> timed_key(job, "", datetime(2024, 3, 1, 12, tzinfo=UTC))
    'shop/orders_20240301T120000_000000Z.csv.gz'
    >>> timed_key(job, "shop/orders_20240301T120000_000000Z.csv.gz", datetime(2024, 3, 1, 11, tzinfo=UTC))
    'shop/orders_20240301T120000_000001Z.csv.gz'
    """
    start, pattern = f"{job.prefix}{job.table.split('.')[-1]}_", "%Y%m%dT%H%M%S_%fZ"
    if last.startswith(start):
        latest = datetime.strptime(last.removeprefix(start).split(".")[0], pattern).replace(tzinfo=UTC)
        now = max(now, latest + timedelta(microseconds=1))
    return f"{start}{now.strftime(pattern)}{suffix(job)}"


def midnight(day: date, kind: str) -> str:
    return f"{day.isoformat()} 00:00:00" + ("+00" if kind == TIMES[0] else "")


def is_reached(connection: Any, watermark: str | None, bound: str, kind: str) -> bool:
    cast = sql.SQL(CASTS[kind])
    question = sql.SQL("SELECT %s::{} >= %s::{}").format(cast, cast)
    return watermark is not None and connection.execute(question, (watermark, bound)).fetchone()[0]


def described(connection: Any, job: Job) -> tuple[list[str], str]:
    """The table's columns in order, and the type of the tracking column; refuses a column that cannot track."""
    name = table_name(job.table).as_string(connection)
    rows = connection.execute(
        "SELECT attname, format_type(atttypid, NULL), attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (name,),
    ).fetchall()
    if not rows:
        raise Refused(
            f"there is no table {job.table} in database {connection.info.dbname}, or user {connection.info.user} does not see it."
        )
    kinds = {column: kind for column, kind, _ in rows}
    if job.column not in kinds:
        raise Refused(
            f"table {job.table} has no column {job.column}. It has: {', '.join(kinds)}. Name the one that tells when a row changed."
        )
    kind, expected = kinds[job.column], ("xid8",) if job.by == "xid" else TIMES
    if kind not in expected:
        raise Refused(f"column {job.table}.{job.column} is {kind}; --by {job.by} needs {' or '.join(expected)}.")
    if not dict((column, is_set) for column, _, is_set in rows)[job.column]:
        empty = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NULL)").format(table_name(job.table), sql.Identifier(job.column))
        if connection.execute(empty).fetchone()[0]:
            raise Refused(
                f"{job.table} has rows whose {job.column} is NULL: they would never be sent. Fill the column and set it NOT NULL."
            )
    return list(kinds), kind


def agreed(state: State, columns: list[str], job: Job) -> tuple[list[str], list[str]]:
    """Columns of the file, known ones first in their old order, and those that are new; refuses if one that was there is gone."""
    if (state.column, state.by == "xid") != (job.column, job.by == "xid"):
        raise Refused(
            f"{job.table} was extracted by {state.column} ({state.by}) so far, and now by {job.column} ({job.by}): their watermarks cannot be "
            f"compared. Delete s3://{job.bucket}/{state_key(job.prefix, job.table)} to send the table whole again."
        )
    gone = [name for name in state.columns if name not in columns]
    if gone and not job.accept_columns:
        raise Refused(
            f"{job.table} lost the column(s) {', '.join(gone)} since the last extract; nothing was sent. "
            "If that is meant, run once with --accept-columns."
        )
    known = [name for name in state.columns if name in columns]
    new = [name for name in columns if name not in state.columns]
    return known + new, new


@contextmanager
def spoken(job: Job) -> Iterator[None]:
    """Errors of Postgres in the words of whoever has to mend them."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as e:
        raise Refused(f"Postgres: {str(e).strip()}. Grant SELECT ON {job.table} to this user. Nothing was sent.") from e
    except psycopg.Error as e:
        raise Refused(f"Postgres: {str(e).strip()}. The watermark did not move; run again.") from e
