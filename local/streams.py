"""Append-only streams: the rows inserted into a table since the offset, which moves when a transaction consumes them.

docs.snowflake.com/en/user-guide/streams-intro, …/sql-reference/sql/create-stream, …/functions/system_stream_has_data.
DuckDB keeps no history of a table, so each transaction that inserts into a tracked table also copies its new rows into a hidden
table beside it, with a number that grows in the order of commits.  An offset is such a number.  It is written in the transaction
of the DML that consumed the stream, so that a killed account has moved it exactly when it has the rows.

Differs: what a stream shows is fixed by the transaction's first statement, not by its BEGIN; an UPDATE of a list or variant may show as
an insert.  Refused: standard streams, streams on anything but tables, AT and BEFORE, SHOW_INITIAL_ROWS, CREATE TABLE AS from a stream.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import uuid
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from local import grants
from local.answer import Answer, status, table
from local.dialect import parse
from local.errors import exists, failed, missing, refused
from local.pipes_access import created, shown
from local.pipes_copy import quoted
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

Name = tuple[str, str, str]
SCHEMA = "_fs_information_schema"  # hidden in every database
OWN_ROWS = 36028797018960000  # DuckDB numbers the rows a transaction has inserted from here on, until it commits
RETENTION_DAYS, EXTENSION_DAYS = 1, 14  # Snowflake's defaults
COMMITTING = threading.RLock()  # numbers are given and committed one after the other


def name_of(thing: Thing) -> Name:
    return thing.database, thing.schema, thing.name


def sql_name(name: Name) -> str:
    return ".".join(map(quoted, name))


def changes(tracked: Thing) -> str:
    return f"{quoted(tracked.database)}.{SCHEMA}.{quoted('_firn_changes_' + tracked['identity'])}"


def offsets(database: str) -> str:
    return f"{quoted(database)}.{SCHEMA}._firn_stream_offsets"


def tracked_at(account: Account, name: Name) -> Thing | None:
    return account.catalog.get("tracked", name[2], database=name[0], schema=name[1])


def stream_at(account: Account, name: Name) -> Thing | None:
    return account.catalog.get("stream", name[2], database=name[0], schema=name[1])


# --- statements


def create_stream(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("STREAM")
    lenient = reader.words("IF", "NOT", "EXISTS")
    name = session.resolve(reader.name())
    before = stream_at(account, name)
    if before and lenient:
        return status(f"{name[2]} already exists, statement succeeded.")
    if before and not replace:
        raise exists(".".join(name))
    reader.expect("ON")
    if not reader.words("TABLE"):
        raise refused("The local account has streams on tables only.")
    on = session.resolve(reader.name())
    options = reader.options("AT", "BEFORE")
    if not reader.done or options.get("SHOW_INITIAL_ROWS") or set(options) - {"APPEND_ONLY", "SHOW_INITIAL_ROWS", "COMMENT"}:
        raise refused("The local account knows CREATE STREAM … ON TABLE … APPEND_ONLY = TRUE [COMMENT = '…'] and nothing else.")
    if options.get("APPEND_ONLY") is not True:
        raise refused("The local account has append-only streams: APPEND_ONLY = TRUE.")
    grants.check(account, session, "SELECT", on)
    with COMMITTING, account.duck.duck_conn.cursor() as cursor:
        tracked = tracked_at(account, on) or track(account, cursor, on)
        account.catalog.put(
            "stream", name[2], database=name[0], schema=name[1], id=uuid.uuid4().hex, on=list(on), identity=tracked["identity"], base=tracked["number"],
            consumers=[], consumed_at=account.clock().isoformat(), comment=options.get("COMMENT", ""), owner=session.role,
        )  # fmt: skip
    if before:
        forget_grants(account, name)
    account.duck.forget_plans()
    return status(f"Stream {name[2]} successfully created.")


def track(account: Account, cursor: Any, on: Name) -> Thing:
    tracked = account.catalog.put("tracked", on[2], database=on[0], schema=on[1], identity=uuid.uuid4().hex, number=0)
    try:
        cursor.execute(f"CREATE TABLE {changes(tracked)} AS SELECT 0::BIGINT AS _firn_number, ''::VARCHAR AS _firn_row, * FROM {sql_name(on)} WHERE FALSE")
    except duckdb.Error:
        account.catalog.drop("tracked", on[2], database=on[0], schema=on[1])
        raise missing("Table", ".".join(on)) from None
    return tracked


def forget_grants(account: Account, name: Name) -> None:
    """CREATE OR REPLACE makes another object: what was granted on the old one is gone."""
    for grant in list(account.catalog.find("grant")):
        if tuple(grant["on"]) == name and not grant["every"]:
            account.catalog.drop("grant", grant.name)


def drop_stream(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "STREAM")
    lenient = reader.words("IF", "EXISTS")
    name = session.resolve(reader.name())
    stream = stream_at(account, name)
    if stream is None and not lenient:
        raise missing("Stream", ".".join(name))
    if stream is not None:
        account.catalog.drop("stream", name[2], database=name[0], schema=name[1])
        if (tracked := tracked_at(account, tuple(stream["on"]))) and not streams_on(account, name_of(tracked)):
            untrack(account, tracked)
    return status(f"{name[2]} successfully dropped.")


def streams_on(account: Account, table_name: Name) -> list[Thing]:
    return [stream for stream in account.catalog.find("stream") if tuple(stream["on"]) == table_name]


def untrack(account: Account, tracked: Thing) -> None:
    with COMMITTING, account.duck.duck_conn.cursor() as cursor:
        account.catalog.drop("tracked", tracked.name, database=tracked.database, schema=tracked.schema)
        if account.duck.has_database(tracked.database):
            cursor.execute(f"DROP TABLE IF EXISTS {changes(tracked)}")


def table_changed(account: Account, name: Name, sql: str) -> None:
    """A table that was dropped or replaced takes its history with it; retention says when its streams go stale."""
    words = sql.upper().split()
    if words[0] == "DROP" or (words[0] == "CREATE" and "REPLACE" in words[:3]):
        if tracked := tracked_at(account, name):
            untrack(account, tracked)
    days = {key.lower(): int(value) for key, value in re.findall(r"\b(DATA_RETENTION_TIME_IN_DAYS|MAX_DATA_EXTENSION_TIME_IN_DAYS)\s*=\s*(\d+)", sql.upper())}
    if days:
        before = account.catalog.get("table_retention", name[2], database=name[0], schema=name[1])
        account.catalog.put("table_retention", name[2], database=name[0], schema=name[1], **{**(before.properties if before else {}), **days})


def stale_after(account: Account, stream: Thing) -> dt.datetime:
    database, schema, name = stream["on"]
    kept = account.catalog.get("table_retention", name, database=database, schema=schema)
    said = kept.properties if kept else {}
    days = max(said.get("data_retention_time_in_days", RETENTION_DAYS), said.get("max_data_extension_time_in_days", EXTENSION_DAYS))
    return dt.datetime.fromisoformat(stream["consumed_at"]) + dt.timedelta(days=days)


def is_stale(account: Account, stream: Thing) -> bool:
    tracked = tracked_at(account, tuple(stream["on"]))
    return tracked is None or tracked["identity"] != stream["identity"] or account.clock() > stale_after(account, stream)


COLUMNS = (
    "created_on:timestamp_ltz name database_name schema_name owner comment table_name source_type base_tables type stale mode"
    " stale_after:timestamp_ltz invalid_reason owner_role_type"
)


def described(account: Account, stream: Thing) -> tuple[Any, ...]:
    on = ".".join(stream["on"])
    stale = "true" if is_stale(account, stream) else "false"
    return (
        created(stream), stream.name, stream.database, stream.schema, stream["owner"], stream["comment"], on, "Table", on, "DELTA", stale,
        "APPEND_ONLY", stale_after(account, stream).replace(tzinfo=dt.UTC), "N/A", "ROLE",
    )  # fmt: skip


def show_streams(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "STREAMS")
    return table(COLUMNS, [described(account, stream) for _, stream in shown(account, session, reader, "stream")])


def describe_stream(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("STREAM")
    return table(COLUMNS, [described(account, stream_named(account, session, reader.name()))])


def stream_named(account: Account, session: Session, parts: tuple[str, ...]) -> Thing:
    name = session.resolve(parts)
    stream = stream_at(account, name)
    if stream is None:
        raise missing("Stream", ".".join(name))
    return stream


def has_data(account: Account, session: Session, name: str) -> bool:
    """SYSTEM$STREAM_HAS_DATA; asking an empty stream keeps it from going stale."""
    stream = stream_named(account, session, Reader(name).name())
    grants.check(account, session, "SELECT", name_of(stream), "Stream")
    with account.duck.duck_conn.cursor() as cursor:
        tracked = readable(account, stream)
        found = cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {changes(tracked)} WHERE _firn_number > ?)", [offset(account, cursor, stream)]).fetchone()
    if not found[0]:
        account.catalog.change(stream, consumed_at=account.clock().isoformat())
    return bool(found[0])


def readable(account: Account, stream: Thing) -> Thing:
    tracked = tracked_at(account, tuple(stream["on"]))
    if tracked is None or is_stale(account, stream):
        raise failed(
            f"Stream '{stream.full_name}' is stale: its offset lies before what is kept of {'.'.join(stream['on'])}. "
            "It cannot be read any more; make it anew with CREATE OR REPLACE STREAM."
        )
    return tracked


# --- reading


def offset(account: Account, cursor: Any, stream: Thing) -> int:
    """Where a stream stands, as this transaction sees it."""
    numbers = [stream["base"]]
    for database in stream["consumers"]:
        if account.duck.has_database(database):
            numbers += [n for (n,) in cursor.execute(f"SELECT number FROM {offsets(database)} WHERE stream = ?", [stream["id"]]).fetchall()]
    return max(numbers)


def read_by(account: Account, session: Session, sql: str) -> list[Thing]:
    """The streams that a statement reads."""
    found = {}
    for use in grants.uses(sql):
        if use.privilege == "SELECT" and (len(use.parts) == 3 or (session.database and session.schema) or (len(use.parts) == 2)):
            stream = stream_at(account, session.resolve(use.parts))
            if stream is not None:
                found[stream.full_name] = stream
    return list(found.values())


def expanded(account: Account, session: Session, sql: str, read: list[Thing]) -> str:
    """The statement with the rows of the streams in their places."""
    if not read:
        return sql
    tree = parse(sql)
    if isinstance(tree, exp.Create):
        raise refused("The local account consumes streams by INSERT, UPDATE, DELETE and MERGE, not by CREATE … AS SELECT.")
    cursor = session.connection._duck_conn
    rows = {name_of(stream): contents(account, cursor, stream) for stream in read}
    shadowed = {cte.alias_or_name.upper() for cte in tree.find_all(exp.CTE)}
    for node in list(tree.find_all(exp.Table)):
        parts = grants.parts_of(node)
        if not parts or (len(parts) == 1 and parts[0] in shadowed):
            continue
        if (inner := rows.get(session.resolve(parts))) is not None:
            alias = node.args.get("alias")
            named = alias.copy() if alias else exp.TableAlias(this=exp.to_identifier(node.name, quoted=bool(node.this.quoted)))
            node.replace(exp.Subquery(this=parse(inner), alias=named))
    return tree.sql(dialect="snowflake")


def contents(account: Account, cursor: Any, stream: Thing) -> str:
    tracked = readable(account, stream)
    columns = [f'"{name}"' for name in column_names(cursor, tracked) if not name.startswith("_firn_")]
    return (
        f"SELECT {', '.join(columns)}, 'INSERT' AS \"METADATA$ACTION\", FALSE AS \"METADATA$ISUPDATE\", \"_firn_row\" AS \"METADATA$ROW_ID\" "
        f"FROM {changes(tracked).replace(SCHEMA, quoted(SCHEMA))} WHERE \"_firn_number\" > {offset(account, cursor, stream)}"
    )


def column_names(cursor: Any, tracked: Thing) -> list[str]:
    return [row[0] for row in cursor.execute(f"DESCRIBE {changes(tracked)}").fetchall()]


# --- transactions


def note(account: Account, session: Session, sql: str, read: list[Thing]) -> None:
    """After a DML statement: what its transaction has appended to, and which streams it consumes."""
    for use in grants.written(sql):
        target = session.resolve(use.parts)
        if use.privilege == "INSERT":
            session.appended.add(target)
        for stream in read:
            session.consumed[stream.full_name] = (name_of(stream), target[0])


def concerns(account: Account, session: Session, sql: str, read: list[Thing]) -> bool:
    """Whether a statement must be in a transaction of its own for the sake of streams."""
    written = grants.written(sql)
    return bool(written) and (bool(read) or any(tracked_at(account, session.resolve(use.parts)) for use in written if use.privilege == "INSERT"))


def before_commit(account: Account, session: Session) -> dict[Name, int]:
    """In the transaction, last of all: move the offsets, copy what was appended.  Gives the new offsets."""
    cursor, moved = session.connection._duck_conn, {}
    for name, database in session.consumed.values():
        stream = stream_at(account, name)
        tracked = tracked_at(account, tuple(stream["on"])) if stream else None
        if stream is None or tracked is None:
            continue
        (upto,) = cursor.execute(f"SELECT coalesce(max(_firn_number), 0) FROM {changes(tracked)}").fetchone()
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {offsets(database)} (stream VARCHAR PRIMARY KEY, number BIGINT)")
        cursor.execute(f"INSERT INTO {offsets(database)} VALUES (?, ?) ON CONFLICT DO UPDATE SET number = greatest(number, excluded.number)", [stream["id"], upto])
        if database not in stream["consumers"]:
            account.catalog.change(stream, consumers=[*stream["consumers"], database])
        moved[name] = upto
    for target in session.appended:
        capture(account, cursor, target)
    return moved


def after_commit(account: Account, moved: dict[Name, int]) -> None:
    for name, upto in moved.items():
        if stream := stream_at(account, name):
            account.catalog.change(stream, base=max(upto, stream["base"]), consumed_at=account.clock().isoformat())
            prune(account, tuple(stream["on"]))


def capture(account: Account, cursor: Any, target: Name) -> None:
    """Copy the rows that this transaction has inserted, if a stream tracks the table."""
    tracked = tracked_at(account, target)
    if tracked is None:
        return
    known = {name.upper() for name in column_names(cursor, tracked)}
    for name, kind, *_ in cursor.execute(f"DESCRIBE {sql_name(target)}").fetchall():
        if name.upper() not in known:
            cursor.execute(f"ALTER TABLE {changes(tracked)} ADD COLUMN {quoted(name)} {kind}")
    number = account.catalog.change(tracked, number=tracked["number"] + 1)["number"]
    cursor.execute(
        f"INSERT INTO {changes(tracked)} BY NAME SELECT {number} AS _firn_number, uuid()::VARCHAR AS _firn_row, * FROM {sql_name(target)} WHERE rowid >= {OWN_ROWS}"
    )


def prune(account: Account, table_name: Name) -> None:
    """What every stream of a table has consumed, or can read no more, need not be kept."""
    tracked = tracked_at(account, table_name)
    reading = [stream["base"] for stream in streams_on(account, table_name) if not is_stale(account, stream)]
    if tracked is None:
        return
    with COMMITTING, account.duck.duck_conn.cursor() as cursor:
        try:
            cursor.execute(f"DELETE FROM {changes(tracked)} WHERE _firn_number <= ?", [min(reading, default=tracked["number"])])
        except duckdb.TransactionException:
            return  # somebody is at it; the next one will do


STATEMENTS = {
    ("CREATE", "STREAM"): create_stream,
    ("DROP", "STREAM"): drop_stream,
    ("SHOW", "STREAMS"): show_streams,
    ("DESCRIBE", "STREAM"): describe_stream,
}
FUNCTIONS = {"SYSTEM$STREAM_HAS_DATA": has_data}
