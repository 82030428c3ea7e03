"""Loads one staged file into its table: read, mapped to columns, appended together with the note that it was loaded."""

from __future__ import annotations

import datetime as dt
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from local import files, stages, streams
from local.errors import failed
from local.files import Contents, Rejected
from local.pipes_copy import Column, Copy, columns_of, columns_used, quoted, transformed
from local.pipes_history import FAILED, LOADED, PARTLY, PIPE_DAYS, RUNNING, Load, known_files, prepare, record

if TYPE_CHECKING:
    from local.account import Account
    from local.stages import Location

MOST_NEW_COLUMNS = 100  # of one COPY; docs.snowflake.com/en/user-guide/data-load-schema-evolution
ATTEMPTS = 8  # when another transaction changed the same thing
# Nothing is wrong with the file: it stays in the queue until others have committed, or there is room again.
NOT_THE_FILE = (duckdb.TransactionException, duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)
FETCHES = 4  # at a time: the local S3 has one processor, a real one has patience


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


@dataclass(frozen=True)
class Ready:
    """A file that was read. `rows` is None where none of them is to be appended: then `load` says why."""

    load: Load
    rows: pa.Table | None = None  # columns "$1", "$2", … and METADATA$…, without the rejected rows
    targets: tuple[tuple[Column, str], ...] = ()
    columns: tuple[Column, ...] = ()  # the table's, with those that schema evolution has just added


def load_file(account: Account, cursor: Any, copy: Copy, path: str, loader: Loader, received_at: dt.datetime | None = None) -> Load:
    """Load one file (`path` within the stage) and note it. Never raises for what is wrong with the file: that is the Load's status."""
    prepare(cursor, copy.table[0]) if loader.is_transaction else None
    ready = read_file(account, cursor, copy, path, loader, received_at)
    if ready.rows is None:
        return noted(cursor, ready.load, loader)
    try:
        return in_commits(account, cursor, copy, ready, loader)
    except NOT_THE_FILE:
        raise
    except duckdb.Error as e:
        return noted(cursor, broken(ready.load, e), loader)


def load_files(account: Account, cursor: Any, copy: Copy, files_to_load: Sequence[tuple[str, dt.datetime | None]], loader: Loader) -> list[Load]:
    """Load many small files in one transaction, with a note of each: all of them are there, or none is.

    What is wrong with a file is in its note, and the others load all the same. Raises when the transaction as a whole fails.
    """
    prepare(cursor, copy.table[0])
    place = place_of(account, copy)
    ready: list[Ready] = []
    columns: tuple[Column, ...] = ()
    with ThreadPoolExecutor(FETCHES) as fetching:
        contents = [fetching.submit(stages.content_of, account, place, path) for path, _ in files_to_load]
        for (path, received_at), content in zip(files_to_load, contents, strict=True):
            ready.append(read_file(account, cursor, copy, path, loader, received_at, content.result, columns))
            columns = ready[-1].columns or columns
    loads = [one.load if one.rows is None else ended(account, one.load, one.rows.num_rows) for one in ready]
    filled = groupby((one for one in ready if one.rows is not None), key=lambda one: (one.targets, one.rows.schema))
    pieces = [(targets, pa.concat_tables(one.rows for one in alike).combine_chunks()) for (targets, _), alike in filled]
    committed(account, cursor, copy, pieces, loads, loader)
    return loads


def read_file(
    account: Account, cursor: Any, copy: Copy, path: str, loader: Loader, received_at: dt.datetime | None,
    fetch: Callable[[], tuple[bytes, str, dt.datetime]] | None = None, columns: Sequence[Column] = (),
) -> Ready:  # fmt: skip
    """A file's rows in its table's columns, every one of them judged; nothing is appended or noted yet, but the table may have evolved."""
    place = place_of(account, copy)
    name = shown_path(place, path)
    scanned_at = account.clock()
    load = Load(loader.name, loader.identity, copy.table, name, place.url or f"@{copy.location}", "", 0, FAILED,
                received_at=received_at, loaded_at=scanned_at)  # fmt: skip
    try:
        content, etag, modified_at = fetch() if fetch else stages.content_of(account, place, path)
        load = replace(load, etag=etag, size=len(content))
        check_access(account, place)
        columns = columns or columns_of(cursor, copy.table)
        contents = read(name, content, copy, columns)
    except FileNotFoundError as e:
        reason = f"Remote file '{e}' was not found. There are several potential causes. The file might not exist."
        return Ready(replace(load, rejected=[Rejected(0, 0, 0, reason)]))
    except (files.Unreadable, OSError) as e:
        error = Rejected(0, getattr(e, "line", 0) or 0, getattr(e, "character", 0) or 0, str(e))
        return Ready(replace(load, rejected=[error]))
    load = replace(load, row_parsed=contents.parsed)
    try:
        if copy.match != "NONE" and loader.is_transaction:
            columns = evolve(account, cursor, copy, columns, contents.rows.column_names)
        targets = tuple(mapping(copy, columns, contents.rows.column_names))
        rows = numbered(copy, contents, (name, etag, modified_at, scanned_at))
        wrong = unfit(cursor, rows, targets, set(copy.metadata))
    except NOT_THE_FILE:
        raise
    except duckdb.Error as e:
        return Ready(broken(load, e))
    rejected = sorted([*contents.rejected, *wrong], key=lambda r: r.row_number)
    load = replace(load, rejected=rejected, error_count=len(rejected))
    if copy.on_error == "ABORT_STATEMENT" and rejected:
        raise failed(abort_message(load))
    if files.is_skipped(rejected, load.row_parsed, copy.on_error):
        return Ready(load, columns=tuple(columns))
    if wrong:
        is_wrong = pc.is_in(rows["METADATA$FILE_ROW_NUMBER"], value_set=pa.array([r.row_number for r in wrong], pa.int64()))
        rows = rows.filter(pc.invert(is_wrong))
    return Ready(load, rows, targets, tuple(columns))


def broken(load: Load, error: duckdb.Error) -> Load:
    return replace(load, rejected=[Rejected(0, 0, 0, f"{load.path}: {str(error).splitlines()[0]}")])


def check_access(account: Account, place: Location) -> None:
    if place.url and place.stage is not None:
        integration = account.catalog.get("integration", place.stage["integration"])
        if integration is None or not stages.is_allowed(integration, place.url):
            raise OSError(f"Location '{place.url}' is not allowed by integration {place.stage['integration']}.")


def noted(cursor: Any, load: Load, loader: Loader) -> Load:
    with transaction(cursor, loader):
        record(cursor, [load])
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


def read(name: str, content: bytes, copy: Copy, columns: Sequence[Column]) -> Contents:
    options = dict(copy.format)
    kind = files.kind_of(options)
    if copy.select is not None and kind == "CSV":
        options["ERROR_ON_COLUMN_COUNT_MISMATCH"] = False  # ignored when transforming
    expected = len(copy.columns or columns) if kind == "CSV" else None
    return files.read(name, content, options, expected=expected, as_variant=copy.match == "NONE")


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


def mapping(copy: Copy, columns: Sequence[Column], names: list[str]) -> list[tuple[Column, str]]:
    """Target column and the expression over the file's columns that fills it. Columns that are not listed become NULL."""
    by_name = {column.name: column for column in columns}
    targets = [by_name[name] for name in copy.columns] if copy.columns else list(columns)
    if copy.select is not None:
        return [(column, transformed(expression, column)) for column, expression in zip(targets, copy.select, strict=False)]
    if copy.match == "NONE":
        return [(column, quoted(f"${i + 1}")) for i, column in enumerate(targets[: len(names)])]
    fold = (lambda name: name) if copy.match == "CASE_SENSITIVE" else str.upper
    found = {fold(name): f"${i + 1}" for i, name in reversed(list(enumerate(names)))}  # of two equal names the first counts
    filled = {column.name: copy.metadata.get(column.name) or found.get(fold(column.name)) for column in columns}
    return [(column, quoted(source)) for column in columns if (source := filled[column.name])]


def evolve(account: Account, cursor: Any, copy: Copy, columns: Sequence[Column], names: list[str]) -> Sequence[Column]:
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


def unfit(cursor: Any, rows: pa.Table, targets: Sequence[tuple[Column, str]], metadata_columns: set[str]) -> list[Rejected]:
    """Rows with a value that its typed column does not take. Text takes everything."""
    typed = [(column, e) for column, e in targets if not (column.is_text or column.is_variant or column.name in metadata_columns)]
    if not typed:
        return []
    rejected: dict[int, Rejected] = {}
    with registered(cursor, rows) as view:
        for column, expression in typed:
            found = cursor.execute(
                f'SELECT "METADATA$FILE_ROW_NUMBER", CAST({expression} AS VARCHAR) FROM {view}'
                f" WHERE {expression} IS NOT NULL AND TRY_CAST({expression} AS {column.type}) IS NULL"
            ).fetchall()
            for number, text in found:
                kind = re.match(r"TIMESTAMP|DATE|TIME|BOOLEAN", column.type)
                reason = f"{kind.group().capitalize() if kind else 'Numeric'} value '{text}' is not recognized"
                rejected.setdefault(number, Rejected(number, number, 1, reason, text, column.name))
    return list(rejected.values())


@contextmanager
def registered(cursor: Any, rows: pa.Table) -> Iterator[str]:
    view = f"firn_file_{uuid.uuid4().hex}"
    cursor.register(view, rows)
    try:
        yield view
    finally:
        cursor.unregister(view)


def abort_message(load: Load) -> str:
    error = load.first_error
    assert error
    return (
        f"{error.reason}\n  File '{load.path}', line {error.line}, character {error.character}\n"
        "  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or 'CONTINUE' for the "
        "ON_ERROR option."
    )


def in_commits(account: Account, cursor: Any, copy: Copy, ready: Ready, loader: Loader) -> Load:
    """Insert in pieces of `rows_per_commit`; what an earlier, interrupted attempt has committed is not inserted again."""
    load, rows = ready.load, ready.rows
    assert rows is not None
    since = account.clock() - dt.timedelta(days=PIPE_DAYS)
    before = known_files(cursor, load.table, load.loader, load.loader_id, [load.path], since).get(load.path) if loader.is_transaction else None
    done = before[2] if before and before[0] == RUNNING and before[1] == load.etag else 0
    step = loader.rows_per_commit or max(rows.num_rows, 1)
    for start in range(done, max(rows.num_rows, 1), step):
        piece = rows.slice(start, step)
        upto = start + piece.num_rows
        load = ended(account, load, upto) if upto == rows.num_rows else replace(load, status=RUNNING, row_count=upto, row_done=upto)
        committed(account, cursor, copy, [(ready.targets, piece)], [replace(load, loaded_at=account.clock())], loader)
    return load


def ended(account: Account, load: Load, row_count: int) -> Load:
    status = PARTLY if load.rejected else LOADED
    return replace(load, status=status, row_count=row_count, row_done=row_count, loaded_at=account.clock())


def committed(
    account: Account, cursor: Any, copy: Copy, pieces: Sequence[tuple[Sequence[tuple[Column, str]], pa.Table]], loads: list[Load], loader: Loader
) -> None:
    """One transaction; tried again when DuckDB says that another one changed the same thing meanwhile."""
    for attempt in range(ATTEMPTS):
        try:
            with ExitStack() as until_committed, transaction(cursor, loader):
                for targets, rows in pieces:
                    insert(cursor, copy, targets, rows)
                record(cursor, loads)
                if loader.is_transaction:
                    until_committed.enter_context(streams.COMMITTING)
                    streams.capture(account, cursor, copy.table)
            return
        except duckdb.TransactionException:
            if attempt == ATTEMPTS - 1 or not loader.is_transaction:
                raise
            time.sleep(0.02 * 2**attempt)


def insert(cursor: Any, copy: Copy, targets: Sequence[tuple[Column, str]], rows: pa.Table) -> None:
    if not targets or not rows.num_rows:
        return
    kind = files.kind_of(copy.format)
    names = ", ".join(quoted(column.name) for column, _ in targets)
    values = ", ".join(value(column, expression, kind) for column, expression in targets)
    with registered(cursor, rows) as view:
        cursor.execute(f"INSERT INTO {'.'.join(map(quoted, copy.table))} ({names}) SELECT {values} FROM {view}")
