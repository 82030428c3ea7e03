"""Which part of the account carries out a statement: ours for Snowflake's objects, DuckDB for tables and queries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from local import (
    alerts,
    apps,
    directories,
    grants,
    notifications,
    packages,
    pipes,
    pipes_history,
    recorded,
    rights,
    routines,
    settings,
    stages,
    streams,
    tasks,
    usage,
)
from local.answer import Answer
from local.dialect import parse
from local.errors import missing, syntax, unsupported
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

MODULES = (alerts, apps, directories, grants, notifications, packages, pipes, recorded, routines, settings, stages, streams, tasks, usage)
STATEMENTS = {words: handler for module in MODULES for words, handler in getattr(module, "STATEMENTS", {}).items()}
FUNCTIONS = {name.upper(): f for module in MODULES for name, f in getattr(module, "FUNCTIONS", {}).items()}
PROCEDURES = {name.upper(): f for module in MODULES for name, f in getattr(module, "PROCEDURES", {}).items()}  # for CALL only
TABLE_FUNCTIONS = {name.upper(): f for module in MODULES for name, f in getattr(module, "TABLE_FUNCTIONS", {}).items()}

MODIFIERS = {"SECURE", "TRANSIENT", "TEMPORARY", "TEMP", "VOLATILE", "LOCAL", "GLOBAL", "TERSE", "SCOPED"}
ALIASES = {"DESC": "DESCRIBE", "LS": "LIST", "RM": "REMOVE", "START": "BEGIN"}
# What DuckDB is asked to do at all; anything else that reaches it is a statement the account does not know.
DUCK_WORDS = {
    "SELECT", "WITH", "(", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "DESCRIBE",
    "SHOW", "COMMENT", "USE", "EXPLAIN", "SET", "UNSET",
}  # fmt: skip
DUCK_KINDS = {"TABLE", "VIEW", "SCHEMA", "DATABASE", "SEQUENCE"}
DUCK_SHOWS = {"TABLES", "VIEWS", "SCHEMAS", "DATABASES", "COLUMNS", "OBJECTS", "PRIMARY", "UNIQUE", "IMPORTED", "PARAMETERS", "SEQUENCES", "USERS"}


def head(reader: Reader) -> tuple[str, ...]:
    """The words that say what a statement is: CREATE OR REPLACE SECURE VIEW x → ('CREATE', 'VIEW', 'X')."""
    words: list[str] = []
    i = 0
    while len(words) < 4 and i < len(reader.tokens):
        word = reader.tokens[i].text.upper()
        i += 1
        if i == 1:
            word = ALIASES.get(word, word)
        elif words == ["CREATE"] and word == "OR":
            i += 1
            continue
        elif len(words) == 1 and word in MODIFIERS:
            continue
        words.append(word)
    return tuple(words)


def handler_of(words: tuple[str, ...]) -> Any:
    return next((STATEMENTS[words[:n]] for n in range(min(4, len(words)), 0, -1) if words[:n] in STATEMENTS), None)


def check_known(words: tuple[str, ...], sql: str) -> None:
    """Refuse what neither we nor DuckDB should pretend to do."""
    first = words[0] if words else ""
    if first not in DUCK_WORDS:
        raise unsupported(sql)
    if first in ("CREATE", "ALTER", "DROP") and (len(words) < 2 or words[1] not in DUCK_KINDS):
        raise unsupported(sql)
    if first == "SHOW" and (len(words) < 2 or words[1] not in DUCK_SHOWS):
        raise unsupported(sql)


def with_values(sql: str, params: list[Any] | None) -> str:
    """Bound values written into a statement that has no tree: PUT ? @?, ALTER TASK … SET COMMENT = ?"""
    if not params:
        return sql
    marks = [t.start for t in Reader(sql).tokens if t.text == "?"]
    for at, value in reversed(list(zip(marks, params, strict=False))):
        sql = sql[:at] + exp.convert(value).sql(dialect="snowflake") + sql[at + 1 :]
    return sql


def after_table_change(account: Account, session: Session, words: tuple[str, ...], sql: str) -> None:
    """What a change of a table means for pipes and COPY, which keep their own record of it."""
    reader = Reader(sql)
    while not reader.done and reader.token().text.upper() != "TABLE":
        pass
    reader.words("IF", "NOT", "EXISTS") or reader.words("IF", "EXISTS")
    name = session.resolve(reader.name())
    if words[0] in ("DROP", "TRUNCATE") or (words[0] == "CREATE" and "REPLACE" in sql.upper().split()[:3]):
        pipes_history.forget_table(account, *name)
    streams.table_changed(account, name, sql)
    if words[0] == "CREATE":
        grants.owned(account, session, name)
    evolution = re.search(r"\bENABLE_SCHEMA_EVOLUTION\s*=\s*(TRUE|FALSE)", sql, re.IGNORECASE)
    if evolution and words[0] in ("CREATE", "ALTER"):
        pipes.set_schema_evolution(account, *name, evolution[1].upper() == "TRUE")


def after_view(account: Account, session: Session, sql: str) -> None:
    """Who makes a view owns it."""
    name = parse(sql).find(exp.Table)
    if name is not None:
        grants.owned(account, session, session.resolve(grants.parts_of(name)))


def expand_functions(account: Account, session: Session, sql: str) -> str:
    """Put in the values of SYSTEM$… calls and the rows of TABLE(INFORMATION_SCHEMA.…()) calls, which DuckDB does not have."""
    try:
        tree = parse(sql)
    except sqlglot.errors.ParseError as e:
        raise syntax(str(e).split("\n")[0]) from None
    for node in list(tree.find_all(exp.Anonymous)):
        name = str(node.this).upper()
        if name.startswith("SYSTEM$"):
            node.replace(literal(system_function(account, session, name, [argument(session, a) for a in node.expressions])))
        elif name in TABLE_FUNCTIONS and isinstance(node.parent, (exp.Dot, exp.Table, exp.TableFromRows, exp.From)):
            table_function(account, session, name, node)
    return tree.sql(dialect="snowflake")


def system_function(account: Account, session: Session, name: str, arguments: list[Any]) -> Any:
    function = FUNCTIONS.get(name)
    if function is None:
        raise missing("Function", name)
    rights.check_function(account, session, name, arguments)
    return function(account, session, *arguments)


def argument(session: Session, node: exp.Expression) -> Any:
    if isinstance(node, exp.Literal):
        return node.this if node.is_string else float(node.this) if "." in node.this else int(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    sql = f"SELECT {node.sql(dialect='snowflake')}"
    grants.check_statement(session.account, session, sql)  # a value may be a query of its own
    row = session.connection.cursor().execute(sql).fetchone()
    return row[0] if row else None


def table_function(account: Account, session: Session, name: str, node: exp.Anonymous) -> None:
    arguments = {
        (a.this.name if isinstance(a, exp.Kwarg) else str(i)).upper(): argument(session, a.expression if isinstance(a, exp.Kwarg) else a)
        for i, a in enumerate(node.expressions)
    }
    answer: Answer = TABLE_FUNCTIONS[name](account, session, arguments)
    view = account.register(session, answer)
    place: exp.Expression = node
    while place.parent is not None and not isinstance(place.parent, (exp.From, exp.Join)):
        place = place.parent
    alias = place.args.get("alias")
    rows = exp.to_table(f"temp.main.{view}")
    place.replace(rows.as_(alias.name) if alias else rows)


def literal(value: Any) -> exp.Expression:
    return exp.convert(value) if value is not None else exp.Null()
