"""DuckDB's and sqlglot's exceptions as Snowflake's errors: code, SQL state and wording that clients look at.

Codes as the drivers show them; DuckDB's wording is read with regular expressions, and what none of them knows is
reported with DuckDB's text under a general code, never as a server error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb
from snowflake.connector.errors import ProgrammingError
from sqlglot.errors import SqlglotError

COMPILATION = "SQL compilation error:\n"


def error(message: str, code: int, state: str) -> ProgrammingError:
    return ProgrammingError(msg=message, errno=code, sqlstate=state)


def unsupported(sql: str) -> ProgrammingError:
    """A statement, or a part of one, that neither fakesnow nor this layer knows."""
    words = " ".join(sql.split()[:6])
    return error(f"{COMPILATION}syntax error line 1 at position 0: unsupported on the local account: {words}", 1003, "42000")


def missing_object(name: str) -> ProgrammingError:
    return error(f"{COMPILATION}Object '{name}' does not exist or not authorized.", 2003, "42S02")


def unknown_function(name: str) -> ProgrammingError:
    return error(f"{COMPILATION}Unknown function {name.upper()}", 2140, "42601")


def aborted(reason: str) -> ProgrammingError:
    """After some errors DuckDB ends the transaction where Snowflake would let it go on."""
    return error(
        f"The local account cannot go on with this transaction after the error: {reason}\nCall ROLLBACK. "
        "(On Snowflake only the statement would have failed.)",
        90001,
        "25P02",
    )


def locked(reason: str) -> ProgrammingError:
    """docs.snowflake.com/en/sql-reference/transactions (LOCK_TIMEOUT)"""
    return error(f"Statement was aborted because it waited for a lock longer than LOCK_TIMEOUT: {reason}", 625, "57014")


def unquoted(name: str) -> str:
    """A dotted name as DuckDB prints it, without our prefix for temporary tables."""
    return name.replace('"', "").removeprefix("temp.main.")


def object_name(match: re.Match[str]) -> str:
    return unquoted(match[1])


def conversion(match: re.Match[str]) -> ProgrammingError:
    """A value that cannot be cast; Snowflake has a code for each type."""
    value, target = match[1], match[2].upper()
    if target.startswith("TIMESTAMP"):
        return error(f"Timestamp '{value}' is not recognized", 100035, "22007")
    if target.startswith("DATE"):
        return error(f"Date '{value}' is not recognized", 100040, "22007")
    if target.startswith("TIME"):
        return error(f"Time '{value}' is not recognized", 100108, "22007")
    if target.startswith("BOOL"):
        return error(f"Boolean value '{value}' is not recognized", 100037, "22018")
    return error(f"Numeric value '{value}' is not recognized", 100038, "22018")


def timestamp_or_date(match: re.Match[str]) -> ProgrammingError:
    kind = "Date" if "date" in match[0].lower() and "timestamp" not in match[0].lower() else "Timestamp"
    return error(f"{kind} '{match[1]}' is not recognized", 100040 if kind == "Date" else 100035, "22007")


Maker = Callable[[re.Match[str]], ProgrammingError]

# In order: the first pattern found in DuckDB's message makes the error.
PATTERNS: list[tuple[str, Maker]] = [
    (r"(?:Table|View) with name \"?([^\s]+?)\"? does not exist", lambda m: missing_object(object_name(m))),
    (r"Catalog \"(.+?)\" does not exist", lambda m: error(f"{COMPILATION}Database '{m[1]}' does not exist or not authorized.", 2003, "02000")),
    (
        r"Schema with name \"?(.+?)\"? does not exist",
        lambda m: error(f"{COMPILATION}Schema '{unquoted(m[1])}' does not exist or not authorized.", 2003, "02000"),
    ),
    (r"Table Function with name \"?(.+?)\"? does not exist", lambda m: error(f"{COMPILATION}Unknown table function {m[1].upper()}", 2141, "42601")),
    (r"Function with name \"?(.+?)\"? (?:does not exist|is not in the catalog)", lambda m: unknown_function(m[1])),
    (r"(?:Sequence) with name \"?(.+?)\"? does not exist", lambda m: missing_object(object_name(m))),
    (r"with name \"?(.+?)\"? already exists", lambda m: error(f"{COMPILATION}Object '{unquoted(m[1])}' already exists.", 2002, "42710")),
    (r"Column with name (.+?) already exists", lambda m: error(f"{COMPILATION}column '{m[1]}' already exists", 1430, "42601")),
    (r"Ambiguous reference to column name \"(.+?)\"", lambda m: error(f"{COMPILATION}ambiguous column name '{m[1]}'", 2028, "42702")),
    (r"column \"?(.+?)\"? must appear in the GROUP BY", lambda m: error(f"{COMPILATION}[{m[1]}] is not a valid group by expression", 979, "42601")),
    (r"(?:Referenced|referenced) (?:column|table|update column) \"?(.+?)\"? (?:was )?not found", lambda m: invalid_identifier(m[1])),
    (r"does not have a column (?:named|with name) \"(.+?)\"", lambda m: invalid_identifier(m[1])),
    (r"table .* does not have a column with name \"(.+?)\"", lambda m: invalid_identifier(m[1])),
    (r"Column \"(.+?)\" (?:referenced|does not exist|not found)", lambda m: invalid_identifier(m[1])),
    (r"has (\d+) columns but (\d+) values were supplied", lambda m: column_count(m[1], m[2])),
    (r"Column name/value mismatch for insert on .*: expected (\d+) columns but (\d+) values", lambda m: column_count(m[1], m[2])),
    (
        r"No function matches the given name and argument types '(.+?)\((.*?)\)'",
        lambda m: error(f"{COMPILATION}Invalid argument types for function '{m[1].upper()}': ({m[2]})", 1044, "42P13"),
    ),
    (
        r"function call \"(.+?)\((.*?)\)\"",
        lambda m: error(f"{COMPILATION}Invalid argument types for function '{m[1].upper()}': ({m[2]})", 1044, "42P13"),
    ),
    (r"MERGE INTO command cannot affect the same target row", lambda m: error("Duplicate row detected during DML action", 100090, "42P18")),
    (r"NOT NULL constraint failed: .*?([^.\s]+)$", lambda m: error(f"NULL result in a non-nullable column: {m[1]}", 100072, "22000")),
    (r"No files found that match the pattern \"(.+?)\"", lambda m: missing_object(object_name(m))),
    (
        r"write to database \"(.+?)\" in a transaction that has already modified database \"(.+?)\"",
        lambda m: error(f"The local account writes to one database in a transaction: '{m[2]}' is changed already, so not '{m[1]}'.", 90001, "0A000"),
    ),
    (r"(Conflict on .*|.* conflict.*)", lambda m: locked(f"another transaction changed the same rows first ({m[1]})")),
    (r"Division by zero", lambda m: error("Division by zero", 100051, "22012")),
    (r"Malformed JSON.*?Input: \"(.*)\"", lambda m: error(f"Error parsing JSON: {m[1][:80]}", 100069, "22P02")),
    (r"[Ii]nvalid timestamp field format: \"(.+?)\"", timestamp_or_date),
    (r"timestamp field value out of range: \"(.+?)\"", timestamp_or_date),
    (r"[Ii]nvalid date field format: \"(.+?)\"", timestamp_or_date),
    (r"date field value out of range: \"(.+?)\"", timestamp_or_date),
    (r"Could not parse string \"(.+?)\" according to format", timestamp_or_date),
    (r"Could not (?:convert|cast) (?:string|value) '?\"?(.*?)'?\"? to ([A-Za-z]+)", conversion),
    (r"Failed to cast (?:decimal )?value:? '?(.*?)'? to (?:numeric with )?type ([A-Za-z]+)", conversion),
    (r"(Boolean value '.*' is not recognized)", lambda m: error(m[1], 100037, "22018")),
    (r"(?:with value|value) (-?[\d.]+) can't be cast.*out of range", lambda m: error(f"Numeric value '{m[1]}' is out of range", 100039, "22003")),
    (r"(?:Overflow|overflow|out of range)", lambda m: error("Numeric value is out of range", 100039, "22003")),
    (r"time zone|TimeZone", lambda m: error("Unknown timezone", 100032, "22007")),
]
FOUND = [(re.compile(pattern, re.MULTILINE), make) for pattern, make in PATTERNS]


def invalid_identifier(name: str) -> ProgrammingError:
    return error(f"{COMPILATION}error line 1 at position 0\ninvalid identifier '{unquoted(name)}'", 904, "42000")


def column_count(expected: str, found: str) -> ProgrammingError:
    return error(f"{COMPILATION}Insert value list does not match column list expecting {expected} but got {found}", 2020, "21S01")


def translated(raised: Exception, sql: str) -> ProgrammingError:
    """Snowflake's error for anything that a statement can raise."""
    if isinstance(raised, ProgrammingError):
        return raised
    message = str(raised)
    if isinstance(raised, SqlglotError):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
        return error(f"{COMPILATION}syntax error: {plain.splitlines()[0] if plain else ''}\n{sql.strip()[:200]}", 1003, "42000")
    for pattern, make in FOUND:
        if match := pattern.search(message):
            return make(match)
    first = message.split("\n")[0]
    match raised:
        case duckdb.CatalogException():
            return error(f"{COMPILATION}{first}", 2003, "42S02")
        case duckdb.ParserException():
            return error(f"{COMPILATION}unsupported on the local account: {' '.join(sql.split()[:6])}\n{first}", 1003, "42000")
        case duckdb.BinderException() | duckdb.NotImplementedException():
            return error(f"{COMPILATION}{first}", 2043, "02000")
        case duckdb.ConversionException():
            return error(first.partition(": ")[2] or first, 100038, "22018")
        case duckdb.ConstraintException():
            return error(first, 100072, "22000")
        case NotImplementedError():
            return unsupported(f"{sql} ({first})" if first else sql)
        case _:
            return error(f"Processing aborted by error 300010:{type(raised).__name__}: {first}", 300010, "XX000")


def aborts_transaction(raised: Exception) -> bool:
    """DuckDB drops the transaction after every error but these, which it finds while it parses or binds."""
    return isinstance(raised, duckdb.Error) and not isinstance(raised, (duckdb.ParserException, duckdb.SyntaxException))


def is_conflict(raised: Exception) -> bool:
    """Another transaction changed the row first (Snowflake would have waited for its lock)."""
    return isinstance(raised, duckdb.TransactionException) and ("onflict" in str(raised) or "altered" in str(raised))
