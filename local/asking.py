"""Which statements can ask for the time or for facts of the session (CURRENT_ROLE() and its like), by themselves or by what they name.

They have these set as variables of DuckDB's before they run; each costs as much as a small statement, so the others go without.
A view, a column's default and a macro are known by their plain name, wherever they are: too many statements count as asking, never
too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

VARIABLE = "getvariable"
MACROS = "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal AND macro_definition IS NOT NULL"
DEFINITIONS = """
    SELECT view_name, sql FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT table_name, column_default FROM duckdb_columns() WHERE column_default IS NOT NULL"""


class Asking:
    """The names by which a statement asks: macros, which are there from the start, and views and tables that come with DDL."""

    def __init__(self, connection: Any) -> None:
        self.macros = names_that_ask(connection.execute(MACROS).fetchall(), {VARIABLE})
        self.learn(connection)

    def asks(self, sql: str) -> bool:
        return self.pattern.search(sql) is not None

    def learn(self, connection: Any) -> None:
        """Reads the views and defaults there are."""
        self.pattern = pattern_of(names_that_ask(connection.execute(DEFINITIONS).fetchall(), self.macros))


def names_that_ask(defined: Iterable[tuple[str, str]], known: Iterable[str]) -> set[str]:
    """The names whose definitions ask, directly or through other names; and those known to ask.

    >>> sorted(names_that_ask([("late", "SELECT * FROM early"), ("early", "SELECT now() AS t"), ("t", "1")], ["now"]))
    ['early', 'late', 'now']
    """
    defined, found, before = list(defined), set(known), 0
    while len(found) > before:
        before, pattern = len(found), pattern_of(found)
        found |= {name for name, definition in defined if pattern.search(definition)}
    return found


def pattern_of(names: Iterable[str]) -> re.Pattern[str]:
    """These names in SQL, as words; a quote inside of a name is doubled there."""
    return re.compile("|".join(rf"(?<!\w){re.escape(name.replace(chr(34), chr(34) * 2))}(?!\w)" for name in sorted(names)), re.IGNORECASE)
