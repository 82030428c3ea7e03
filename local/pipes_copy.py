"""COPY INTO <table>, read and checked: what is loaded from where, into which columns, and what becomes of errors.

docs.snowflake.com/en/sql-reference/sql/copy-into-table. Refused: unloading (COPY INTO @stage), VALIDATION_MODE, COPY from a URL.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from local import files
from local.errors import missing, refused, syntax
from local.pipes_access import file_format_of
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session
    from local.stages import Location

METADATA = {  # what INCLUDE_METADATA and a transform may name, and the DuckDB type it has
    "METADATA$FILENAME": "VARCHAR",
    "METADATA$FILE_ROW_NUMBER": "BIGINT",
    "METADATA$FILE_CONTENT_KEY": "VARCHAR",
    "METADATA$FILE_LAST_MODIFIED": "TIMESTAMP",
    "METADATA$START_SCAN_TIME": "TIMESTAMP",
}
COPY_OPTIONS = {
    "FILES", "PATTERN", "FILE_FORMAT", "ON_ERROR", "SIZE_LIMIT", "PURGE", "RETURN_FAILED_ONLY", "MATCH_BY_COLUMN_NAME", "INCLUDE_METADATA",
    "ENFORCE_LENGTH", "TRUNCATECOLUMNS", "FORCE", "LOAD_UNCERTAIN_FILES",
}  # fmt: skip
NOT_IN_A_PIPE = ("FILES", "SIZE_LIMIT", "PURGE", "FORCE", "RETURN_FAILED_ONLY", "VALIDATION_MODE")


@dataclass(frozen=True)
class Copy:
    """One COPY. `select` holds the expressions of a transform, `columns` the target columns that were named."""

    table: tuple[str, str, str]
    location: str
    format: dict[str, Any]
    columns: list[str] | None = None
    select: list[str] | None = None
    match: str = "NONE"
    metadata: dict[str, str] = field(default_factory=dict)
    pattern: str | None = None
    on_error: str = "ABORT_STATEMENT"
    options: dict[str, Any] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, said: dict[str, Any]) -> Copy:
        return cls(**{**said, "table": tuple(said["table"])})


@dataclass(frozen=True)
class Column:
    name: str
    type: str

    @property
    def is_text(self) -> bool:
        return self.type == "VARCHAR"

    @property
    def is_variant(self) -> bool:
        return self.type == "JSON"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def columns_of(cursor: Any, table: tuple[str, str, str]) -> list[Column]:
    """The table's columns in order; Snowflake's error if there is no such table."""
    found = cursor.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index",
        list(table),
    ).fetchall()
    if not found:
        raise missing("Table", ".".join(table))
    return [Column(name, kind) for name, kind in found]


# --- reading


def read_copy(account: Account, session: Session, text: str, *, in_pipe: bool) -> Copy:
    """Parse a COPY statement and resolve its names; the stage and the file format must exist."""
    from local.stages import locate

    reader = Reader(text)
    while reader.words("("):  # CREATE PIPE … AS (COPY …)
        text = text.strip().removeprefix("(").removesuffix(";").strip().removesuffix(")")
        reader = Reader(text)
    reader.expect("COPY", "INTO")
    if reader.starts("@") or reader.is_string():
        raise refused("The local account does not unload: COPY INTO <location> is not supported.")
    table = session.resolve(reader.name())
    columns = [column for (column,) in names_in(reader)] if reader.starts("(") else None
    reader.expect("FROM")
    select, inner = None, {}
    if reader.starts("("):
        select, location, inner = read_select(Reader(reader.parenthesised()))
    else:
        location = location_in(reader)
    options = {**inner, **reader.options()}
    check_options(options, is_transform=select is not None, in_pipe=in_pipe)
    place = locate(account, session, location)
    copy = Copy(
        table=table,
        location=full_location(session, location, place),
        format=format_of(account, session, options, place),
        columns=columns,
        select=select,
        match=str(options.get("MATCH_BY_COLUMN_NAME", "NONE")).upper(),
        metadata={column: str(field).upper() for column, field in options.get("INCLUDE_METADATA", {}).items()},
        pattern=options.get("PATTERN"),
        on_error=str(options.get("ON_ERROR", "SKIP_FILE" if in_pipe else "ABORT_STATEMENT")).upper(),
        options={key: options[key] for key in ("FILES", "SIZE_LIMIT", "PURGE", "FORCE", "TRUNCATECOLUMNS") if key in options},
    )
    with account.duck.duck_conn.cursor() as cursor:
        check_target(copy, columns_of(cursor, table))
    return copy


def names_in(reader: Reader) -> list[tuple[str, ...]]:
    inner = Reader(reader.parenthesised())
    names = [inner.name()]
    while inner.words(","):
        names.append(inner.name())
    return names


def location_in(reader: Reader) -> str:
    text = reader.stage_path()
    if not text or "://" in text:
        raise refused("The local account loads from stages only: COPY INTO <table> FROM @<stage>[/<path>].")
    return text


def read_select(reader: Reader) -> tuple[list[str], str, dict[str, Any]]:
    """The expressions, the location and the options of `SELECT … FROM @stage [(FILE_FORMAT => …, PATTERN => …)] [alias]`."""
    reader.expect("SELECT")
    start, depth = reader.position(), 0
    while depth or not reader.starts("FROM"):
        token = reader.token()
        depth += 0 if reader.tokens[reader.at - 1].token_type in (sqlglot.TokenType.STRING,) else {"(": 1, ")": -1}.get(token.text, 0)
    text = reader.sql[start : reader.position()].strip()
    reader.expect("FROM")
    # `@stage (FILE_FORMAT => …)` and `@stage(FILE_FORMAT => …)` are the same
    location = location_in(reader)
    inner: dict[str, Any] = {}
    if "(" in location:
        raise syntax(f"syntax error near '@{location}': write a space before '('")
    if reader.starts("("):
        inner = Reader(reader.parenthesised()).options()
    reader.words("AS")
    if not reader.done:
        if reader.peek() in ("WHERE", "JOIN", "GROUP", "ORDER", "LIMIT", "QUALIFY", ","):
            raise refused(f"COPY statement only supports simple SELECT from stage statements for import ({reader.peek()} is not supported).")
        reader.name()
    try:
        tree = sqlglot.parse_one(f"SELECT {text}", read="snowflake")
    except sqlglot.errors.ParseError as e:
        raise syntax(str(e).split("\n")[0]) from None
    return [expression.sql("snowflake") for expression in tree.expressions], location, inner


def check_options(options: dict[str, Any], *, is_transform: bool, in_pipe: bool) -> None:
    if unknown := set(options) - COPY_OPTIONS - {"VALIDATION_MODE"}:
        raise syntax(f"invalid parameter '{sorted(unknown)[0]}' for COPY")
    if "VALIDATION_MODE" in options:
        raise refused("The local account does not know VALIDATION_MODE.")
    if in_pipe and (found := [option for option in NOT_IN_A_PIPE if option in options]):
        raise refused(f"COPY option {found[0]} is not supported in a pipe definition.")
    if in_pipe and str(options.get("ON_ERROR", "")).upper() == "ABORT_STATEMENT":
        raise refused("ON_ERROR = ABORT_STATEMENT is not supported in a pipe definition.")
    match = str(options.get("MATCH_BY_COLUMN_NAME", "NONE")).upper()
    if match not in ("NONE", "CASE_SENSITIVE", "CASE_INSENSITIVE"):
        raise syntax(f"invalid value '{match}' for property 'MATCH_BY_COLUMN_NAME'")
    if is_transform and match != "NONE":
        raise syntax("match_by_column_name is not supported with copy transform.")
    if match == "NONE" and options.get("INCLUDE_METADATA"):
        raise syntax("INCLUDE_METADATA can only be used with MATCH_BY_COLUMN_NAME.")
    for name in options.get("INCLUDE_METADATA", {}).values():
        if str(name).upper() not in METADATA:
            raise syntax(f"invalid metadata column '{name}': expected one of {', '.join(METADATA)}")


def format_of(account: Account, session: Session, options: dict[str, Any], place: Location) -> dict[str, Any]:
    """FILE_FORMAT of the COPY, else the stage's."""
    said = options.get("FILE_FORMAT")
    if said is None and place.stage is not None:
        return dict(place.stage["format"])
    return file_format_of(account, session, said or {})


def full_location(session: Session, location: str, place: Location) -> str:
    """The location with the stage's full name: a pipe loads without the session in which it was created."""
    if place.stage is None:
        return location
    return ".".join(quoted(part) for part in (place.stage.database, place.stage.schema, place.stage.name)) + "/" + place.path


def check_target(copy: Copy, columns: list[Column]) -> None:
    """What Snowflake refuses at compilation, before any file is read."""
    known = {column.name for column in columns}
    for name in [*(copy.columns or []), *copy.metadata]:
        if name not in known:
            raise syntax(f"invalid identifier '{name}': table {'.'.join(copy.table)} has {', '.join(sorted(known))}")
    targets = copy.columns or [column.name for column in columns]
    kind = files.kind_of(copy.format)
    if copy.select is not None:
        if len(copy.select) > len(targets) or (copy.columns and len(copy.select) != len(targets)):
            raise syntax(f"Insert value list does not match column list expecting {len(targets)} but got {len(copy.select)}")
    elif copy.match == "NONE" and kind != "CSV":
        types = [column for column in columns if column.name in targets]
        if len(types) != 1 or not types[0].is_variant:
            raise syntax(
                f"{kind} file format can produce one and only one column of type variant, object, or array. Load data into separate "
                "columns using the MATCH_BY_COLUMN_NAME copy option or copy with transformation."
            )
    if copy.format.get("PARSE_HEADER") and copy.match == "NONE":
        raise syntax("Invalid file format: PARSE_HEADER is only allowed with INFER_SCHEMA and MATCH_BY_COLUMN_NAME.")


# --- a transform, as DuckDB runs it over a file


def transformed(expression: str, column: Column) -> str:
    """One expression of a transform in DuckDB's words, over columns "$1", "$2", … and "METADATA$…", cast to its target column.

    >>> transformed("$1:city::VARCHAR", Column("CITY", "VARCHAR"))
    'CAST("$1" ->> \\'$.city\\' AS TEXT)'
    >>> transformed("t.$1", Column("RECORD", "JSON"))
    '"$1"'
    """
    tree = sqlglot.parse_one(f"SELECT {expression}", read="snowflake").expressions[0]
    tree = tree.unalias().transform(plain_column).transform(scalar_in_cast)
    if isinstance(tree, exp.JSONExtract) and not column.is_variant:
        tree = as_scalar(tree)
    return tree.sql(dialect="duckdb")


def plain_column(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Parameter):
        node = node.this
    if isinstance(node, exp.Parameter):
        return exp.column(exp.to_identifier(f"${node.this.name}", quoted=True))
    if isinstance(node, exp.Column) and node.name.upper() in METADATA:
        return exp.column(exp.to_identifier(node.name.upper(), quoted=True))
    if isinstance(node, exp.ParseJSON):
        return exp.cast(plain_column(node.this), "JSON")
    return node


def scalar_in_cast(node: exp.Expression) -> exp.Expression:
    """A cast of `$1:a` takes the value itself, not its JSON text with quotes."""
    if isinstance(node, (exp.Cast, exp.TryCast)) and isinstance(node.this, exp.JSONExtract) and not node.to.is_type("JSON", "VARIANT"):
        node.set("this", as_scalar(node.this))
    return node


def as_scalar(node: exp.JSONExtract) -> exp.JSONExtractScalar:
    return exp.JSONExtractScalar(this=node.this, expression=node.expression)


def columns_used(copy: Copy) -> int:
    """The highest `$n` that a transform names."""
    found = [sqlglot.parse_one(f"SELECT {e}", read="snowflake") for e in copy.select or []]
    numbers = [int(p.name) for tree in found for p in tree.find_all(exp.Parameter) if p.name.isdigit()]
    return max(numbers, default=0)
