"""Loads one staged file into its table: read, mapped to columns, appended together with the note that it was loaded."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from local import files, stages, streams
from local.errors import failed
from local.files import Contents, Rejected
from local.pipes_copy import Column, Copy, columns_of, columns_used, quoted, transformed
from local.pipes_history import FAILED, LOADED, PARTLY, RUNNING, Load, known_file, prepare, record

if TYPE_CHECKING:
    from local.account import Account
    from local.stages import Location

MOST_NEW_COLUMNS = 100  # of one COPY; docs.snowflake.com/en/user-guide/data-load-schema-evolution
ATTEMPTS = 8  # when another transaction changed the same thing


class Anyone:
    """Stands for a session where all names are already full."""

    @staticmethod
    def resolve(parts: tuple[str, ...]) -> tuple[str, ...]:
        return parts


@dataclass(frozen=True)
class Loader:
    """Who loads: a pipe (its name and identity) or COPY ('', '').

    `rows_per_commit` splits a file over several transactions, as Snowpipe may; `is_transaction` is false where the caller's is open.
    """

    name: str = ""
    identity: str = ""
    rows_per_commit: int | None = None
    is_transaction: bool = True


def place_of(account: Account, copy: Copy) -> Location:
    return stages.locate(account, Anyone(), copy.location)  # type: ignore[arg-type]


def shown_path(place: Location, path: str) -> str:
    """METADATA$FILENAME: the full path, which for an external stage is the object's key."""
    return stages.under(stages.bucket_and_prefix(place.url)[1], path) if place.url else path


def load_file(account: Account, cursor: Any, copy: Copy, path: str, loader: Loader, received_at: dt.datetime | None = None) -> Load:
    """Load one file (`path` within the stage) and note it. Never raises for what is wrong with the file: that is the Load's status."""
    prepare(cursor, copy.table[0]) if loader.is_transaction else None
    place = place_of(account, copy)
    name = shown_path(place, path)
    scanned_at = account.clock()
    load = Load(loader.name, loader.identity, copy.table, name, place.url or f"@{copy.location}", "", 0, FAILED,
                received_at=received_at, loaded_at=scanned_at)  # fmt: skip
    try:
        content, etag, modified_at = stages.content_of(account, place, path)
        load = replace(load, etag=etag, size=len(content))
        check_access(account, place)
        columns = columns_of(cursor, copy.table)
        contents = read(name, content, copy, columns)
    except FileNotFoundError as e:
        reason = f"Remote file '{e}' was not found. There are several potential causes. The file might not exist."
        return noted(cursor, replace(load, rejected=[Rejected(0, 0, 0, reason)]), loader)
    except (files.Unreadable, OSError) as e:
        error = Rejected(0, getattr(e, "line", 0) or 0, getattr(e, "character", 0) or 0, str(e))
        return noted(cursor, replace(load, rejected=[error]), loader)
    try:
        if copy.match != "NONE" and loader.is_transaction:
            columns = evolve(account, cursor, copy, columns, contents.rows.column_names)
        load = replace(load, row_parsed=contents.parsed)
        return append(account, cursor, copy, columns, contents, (name, etag, modified_at, scanned_at), load, loader)
    except duckdb.TransactionException:
        raise  # nothing is wrong with the file: it stays in the queue
    except duckdb.Error as e:
        return noted(cursor, replace(load, rejected=[Rejected(0, 0, 0, f"{name}: {str(e).splitlines()[0]}")]), loader)


def check_access(account: Account, place: Location) -> None:
    if place.url and place.stage is not None:
        integration = account.catalog.get("integration", place.stage["integration"])
        if integration is None or not stages.is_allowed(integration, place.url):
            raise OSError(f"Location '{place.url}' is not allowed by integration {place.stage['integration']}.")


def noted(cursor: Any, load: Load, loader: Loader) -> Load:
    with transaction(cursor, loader):
        record(cursor, load)
    return load


@contextmanager
def transaction(cursor: Any, loader: Loader) -> Iterator[None]:
    if not loader.is_transaction:
        yield
        return
    cursor.execute("BEGIN")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        try:
            cursor.execute("ROLLBACK")
        except duckdb.Error:
            pass  # DuckDB has already rolled back
        raise


# --- from bytes to columns "$1", "$2", … and METADATA$…


def read(name: str, content: bytes, copy: Copy, columns: list[Column]) -> Contents:
    options = dict(copy.format)
    kind = files.kind_of(options)
    if copy.select is not None and kind == "CSV":
        options["ERROR_ON_COLUMN_COUNT_MISMATCH"] = False  # ignored when transforming
    expected = len(copy.columns or columns) if kind == "CSV" else None
    contents = files.read(name, content, options, expected=expected, as_variant=copy.match == "NONE")
    return by_key(contents) if kind == "JSON" and copy.match != "NONE" else contents


def by_key(contents: Contents) -> Contents:
    """JSON objects as one column per key, for MATCH_BY_COLUMN_NAME: texts as they are, the rest as JSON writes it."""
    records = [json.loads(text) for text in contents.rows.column(0).to_pylist()]
    keys = dict.fromkeys(key for r in records if isinstance(r, dict) for key in r)
    columns = {key: [plain(r.get(key)) if isinstance(r, dict) else None for r in records] for key in keys}
    return replace(contents, rows=pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()}))


def plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def numbered(copy: Copy, contents: Contents, metadata: tuple[Any, ...]) -> pa.Table:
    """The file's rows as DuckDB sees them."""
    name, etag, modified_at, scanned_at = metadata
    rows, count = contents.rows, len(contents.row_numbers)
    columns = {f"${i + 1}": column for i, column in enumerate(rows.columns)}
    for i in range(len(columns), columns_used(copy)):
        columns[f"${i + 1}"] = pa.nulls(count, pa.string())
    columns["METADATA$FILENAME"] = pa.repeat(pa.scalar(name), count)
    columns["METADATA$FILE_ROW_NUMBER"] = contents.row_numbers
    columns["METADATA$FILE_CONTENT_KEY"] = pa.repeat(pa.scalar(etag), count)
    columns["METADATA$FILE_LAST_MODIFIED"] = pa.repeat(pa.scalar(modified_at, pa.timestamp("us")), count)
    columns["METADATA$START_SCAN_TIME"] = pa.repeat(pa.scalar(scanned_at, pa.timestamp("us")), count)
    return pa.table(columns)


def mapping(copy: Copy, columns: list[Column], names: list[str]) -> list[tuple[Column, str]]:
    """Target column and the expression over the file's columns that fills it. Columns that are not listed become NULL."""
    by_name = {column.name: column for column in columns}
    targets = [by_name[name] for name in copy.columns] if copy.columns else columns
    if copy.select is not None:
        return [(column, transformed(expression, column)) for column, expression in zip(targets, copy.select, strict=False)]
    if copy.match == "NONE":
        return [(column, quoted(f"${i + 1}")) for i, column in enumerate(targets[: len(names)])]
    fold = (lambda name: name) if copy.match == "CASE_SENSITIVE" else str.upper
    found = {fold(name): f"${i + 1}" for i, name in reversed(list(enumerate(names)))}  # of two equal names the first counts
    filled = {column.name: copy.metadata.get(column.name) or found.get(fold(column.name)) for column in columns}
    return [(column, quoted(source)) for column in columns if (source := filled[column.name])]


def evolve(account: Account, cursor: Any, copy: Copy, columns: list[Column], names: list[str]) -> list[Column]:
    """ENABLE_SCHEMA_EVOLUTION: columns of the file that the table lacks are added to it, as text."""
    database, schema, table = copy.table
    option = account.catalog.get("table_option", table, database=database, schema=schema)
    if option is None or not option.get("enable_schema_evolution"):
        return columns
    known = {column.name.upper() for column in columns}
    new = [name for name in dict.fromkeys(name.upper() for name in names) if name not in known]
    if len(new) > MOST_NEW_COLUMNS:
        raise duckdb.Error(f"the file has {len(new)} new columns; schema evolution adds at most {MOST_NEW_COLUMNS} in one COPY")
    for name in new:
        cursor.execute(f"ALTER TABLE {'.'.join(map(quoted, copy.table))} ADD COLUMN IF NOT EXISTS {quoted(name)} VARCHAR")
    return columns_of(cursor, copy.table) if new else columns


# --- from columns to the table


def value(column: Column, expression: str, kind: str) -> str:
    if column.is_text:
        return f"CAST({expression} AS VARCHAR)"
    if column.is_variant:
        return f"to_json({expression})" if kind == "CSV" else f"CAST({expression} AS JSON)"
    return f"TRY_CAST({expression} AS {column.type})"


def unfit(cursor: Any, view: str, targets: list[tuple[Column, str]], metadata_columns: set[str]) -> list[Rejected]:
    """Rows with a value that its typed column does not take. Text takes everything."""
    rejected: dict[int, Rejected] = {}
    for column, expression in targets:
        if column.is_text or column.is_variant or column.name in metadata_columns:
            continue
        rows = cursor.execute(
            f'SELECT "METADATA$FILE_ROW_NUMBER", CAST({expression} AS VARCHAR) FROM {view}'
            f" WHERE {expression} IS NOT NULL AND TRY_CAST({expression} AS {column.type}) IS NULL"
        ).fetchall()
        for number, text in rows:
            kind = re.match(r"TIMESTAMP|DATE|TIME|BOOLEAN", column.type)
            reason = f"{kind.group().capitalize() if kind else 'Numeric'} value '{text}' is not recognized"
            rejected.setdefault(number, Rejected(number, number, 1, reason, text, column.name))
    return list(rejected.values())


def append(
    account: Account, cursor: Any, copy: Copy, columns: list[Column], contents: Contents, metadata: tuple[Any, ...], load: Load, loader: Loader
) -> Load:
    """Append the good rows and note the file, in one transaction or in several."""
    kind = files.kind_of(copy.format)
    targets = mapping(copy, columns, contents.rows.column_names)
    rows = numbered(copy, contents, metadata)
    view = f"firn_file_{uuid.uuid4().hex}"
    cursor.register(view, rows)
    try:
        wrong = unfit(cursor, view, targets, set(copy.metadata))
        contents = replace(contents, rejected=sorted([*contents.rejected, *wrong], key=lambda r: r.row_number))
        load = replace(load, rejected=contents.rejected, error_count=len(contents.rejected))
        is_left_out = files.is_skipped(replace_rows(contents, load.row_parsed), copy.on_error)
        if copy.on_error == "ABORT_STATEMENT" and contents.rejected:
            raise failed(abort_message(load))
        if is_left_out:
            return noted(cursor, load, loader)
        numbers = [number for number in contents.row_numbers.to_pylist() if number not in {r.row_number for r in wrong}]
        names = ", ".join(quoted(column.name) for column, _ in targets)
        values = ", ".join(value(column, expression, kind) for column, expression in targets)
        table = ".".join(map(quoted, copy.table))
        insert = f"INSERT INTO {table} ({names}) SELECT {values} FROM {view}" if targets else None
        return in_commits(account, cursor, insert, numbers, load, loader, skipped=[r.row_number for r in wrong])
    finally:
        cursor.unregister(view)


def replace_rows(contents: Contents, parsed: int) -> Any:
    return type("Counted", (), {"rejected": contents.rejected, "parsed": parsed})


def abort_message(load: Load) -> str:
    error = load.first_error
    assert error
    return (
        f"{error.reason}\n  File '{load.path}', line {error.line}, character {error.character}\n"
        "  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or 'CONTINUE' for the "
        "ON_ERROR option."
    )


def in_commits(
    account: Account, cursor: Any, insert: str | None, numbers: list[int], load: Load, loader: Loader, skipped: list[int]
) -> Load:
    """Insert in pieces of `rows_per_commit`; what an earlier, interrupted attempt has committed is not inserted again."""
    since = account.clock() - dt.timedelta(days=14)
    before = known_file(cursor, load.table, load.loader, load.loader_id, load.path, since) if loader.is_transaction else None
    done = before[2] if before and before[0] == RUNNING and before[1] == load.etag else 0
    step = loader.rows_per_commit or max(len(numbers), 1)
    without = f" AND \"METADATA$FILE_ROW_NUMBER\" NOT IN ({', '.join(map(str, skipped))})" if skipped else ""
    for start in range(done, max(len(numbers), 1), step):
        piece = numbers[start : start + step]
        is_last = start + step >= len(numbers)
        status = (PARTLY if load.rejected else LOADED) if is_last else RUNNING
        load = replace(load, status=status, row_count=start + len(piece), row_done=start + len(piece), loaded_at=account.clock())
        where = f' WHERE "METADATA$FILE_ROW_NUMBER" BETWEEN {piece[0]} AND {piece[-1]}{without}' if piece else " WHERE FALSE"
        committed(account, cursor, f"{insert}{where}" if insert else None, load, loader)
    return load


def committed(account: Account, cursor: Any, insert: str | None, load: Load, loader: Loader) -> None:
    """One transaction; tried again when DuckDB says that another one changed the same thing meanwhile."""
    for attempt in range(ATTEMPTS):
        try:
            with ExitStack() as until_committed, transaction(cursor, loader):
                if insert:
                    cursor.execute(insert)
                record(cursor, load)
                if loader.is_transaction:
                    until_committed.enter_context(streams.COMMITTING)
                    streams.capture(account, cursor, load.table)
            return
        except duckdb.TransactionException:
            if attempt == ATTEMPTS - 1 or not loader.is_transaction:
                raise
            time.sleep(0.02 * 2**attempt)
