"""Names: upper case as Snowflake folds them, complete as DuckDB needs them, temporary tables where DuckDB keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError
from sqlglot import Expr as Expression
from sqlglot import exp

if TYPE_CHECKING:
    from local.duck import Connection

# Tables that the account itself registers for a session: rows it made in Python, results kept for RESULT_SCAN.
REGISTERED = "FIRN_ROWS_"
# Views of information_schema that fakesnow fills with Snowflake's columns.
INFORMATION_SCHEMA = {"COLUMNS", "TABLES", "VIEWS", "SCHEMATA", "LOAD_HISTORY"}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def dotted(parts: tuple[str, ...]) -> str:
    return ".".join(quoted(part) for part in parts)


def upper_case(tree: Expression) -> None:
    """Fold unquoted identifiers: docs.snowflake.com/en/sql-reference/identifiers-syntax

    >>> import sqlglot
    >>> tree = sqlglot.parse_one('SELECT a, "b" FROM t', read="snowflake"); upper_case(tree); tree.sql("duckdb")
    'SELECT A, "b" FROM T'
    """
    for identifier in tree.find_all(exp.Identifier):
        if not identifier.quoted and isinstance(identifier.this, str):
            identifier.set("this", identifier.this.upper())


def no_database(command: str) -> ProgrammingError:
    message = f"Cannot perform {command}. This session does not have a current database. Call 'USE DATABASE', or use a qualified name."
    return ProgrammingError(msg=message, errno=90105, sqlstate="22000")


def no_schema(command: str) -> ProgrammingError:
    message = f"Cannot perform {command}. This session does not have a current schema. Call 'USE SCHEMA', or use a qualified name."
    return ProgrammingError(msg=message, errno=90106, sqlstate="22000")


def full_name(table: exp.Table, session: Connection, command: str = "SELECT") -> tuple[str, str, str]:
    """(database, schema, name) of a table reference whose identifiers are folded already."""
    database = table.catalog or session.database
    if not database:
        raise no_database(command)
    schema = table.db or session.schema
    if not schema:
        raise no_schema(command)
    return database, schema, table.name


def identifier_tables(tree: Expression) -> None:
    """IDENTIFIER('a.b') in the place of a table: docs.snowflake.com/en/sql-reference/identifier-literal"""
    for table in list(tree.find_all(exp.Table)):
        this = table.this
        if isinstance(this, exp.DynamicIdentifier):
            text = this.this
        elif isinstance(this, exp.Anonymous) and str(this.this).upper() == "IDENTIFIER" and this.expressions:
            text = this.expressions[0]
        else:
            continue
        if isinstance(text, exp.Literal):
            named = exp.to_table(text.name, dialect="snowflake")
            for part in ("this", "db", "catalog"):
                table.set(part, named.args.get(part))


def qualify(tree: Expression, session: Connection, command: str) -> bool:
    """Complete every table's name with the session's database and schema; says whether a temporary table is among them.

    A complete name cannot be taken for a file or a Python variable by DuckDB, and a view keeps meaning what it meant.
    """
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    temporary = False
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or (table.name in local and not table.db):
            continue
        if table.name.upper().startswith(REGISTERED) and not table.db:
            continue
        parts = full_name(table, session, command)
        if parts in session.temporary:
            temporary = True
            if not table.alias and not isinstance(table.parent, (exp.Insert, exp.Schema)):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(parts[2], quoted=True)))
            parts = ("temp", "main", session.temporary[parts])
        elif parts[1] == "INFORMATION_SCHEMA":
            name = f"_FS_{parts[2]}" if parts[2] in INFORMATION_SCHEMA else parts[2]
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(parts[2], quoted=True)))
            parts = (parts[0], "_FS_INFORMATION_SCHEMA", name)
        for key, part in zip(("catalog", "db", "this"), parts, strict=True):
            table.set(key, exp.to_identifier(part, quoted=True))
    if session.temporary and temporary:
        for column in tree.find_all(exp.Column):
            if column.args.get("db"):
                column.set("db", None)
                column.set("catalog", None)
    return temporary
