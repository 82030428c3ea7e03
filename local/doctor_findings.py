"""What `firn doctor` says: one finding, in four parts, and how it is told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

WRONG, NOTE = "wrong", "note"


@dataclass(frozen=True)
class Finding:
    """`found` is what is there, `expected` what should be; `todo` are commands, in order, that put it right or show more.

    A note is worth knowing and no fault: it does not change the exit code.
    """

    check: str
    subject: str
    found: str
    expected: str
    todo: tuple[str, ...] = ()
    level: str = WRONG

    def __str__(self) -> str:
        lines = [f"{self.level:5}  {self.subject}: {self.found}", f"       expected: {self.expected}"]
        return "\n".join([*lines, *(f"       do: {command}" for command in self.todo)])

    def as_json(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Hand:
    """How commands are written so that they work where the doctor looked: the local account, or Snowflake by a connection."""

    connection: str | None = None
    data: str | None = None  # the folder, when it was named

    def firn(self, *words: str, asks: bool = False) -> str:
        """A command of firn; `asks`: one that takes --connection.

        >>> Hand().firn("pipes", "status", "orders", asks=True), Hand(connection="prod").firn("pipes", "status", asks=True)
        ('firn pipes status orders', 'firn pipes status --connection prod')
        """
        folder = ["--data", self.data] if self.data else []
        where = ["--connection", self.connection] if self.connection and asks else []
        return joined("firn", *folder, *words, *where)

    def sql(self, statement: str) -> str:
        """
        >>> Hand().sql("SELECT 1"), Hand(connection="prod").sql("SELECT 1")
        ('firn sql "SELECT 1"', 'snow sql --connection prod -q "SELECT 1"')
        """
        if self.connection:
            return joined(*["snow", "sql", "--connection", self.connection, "-q", statement])
        return self.firn("sql", statement)

    def script(self, file: str) -> str:
        """A file of setup_sql, run by `snow` from the project's folder."""
        if self.connection:
            return joined(*["snow", "sql", "--connection", self.connection, "-f", f"setup_sql/{file}"])
        return self.firn("snow", "sql", "-f", f"setup_sql/{file}")


def joined(*words: str) -> str:
    """Words as one types them: SQL in double quotes, as it is full of single ones, unless the shell would read it otherwise.

    >>> print(joined("firn", "sql", "CALL core.resume('a')"))
    firn sql "CALL core.resume('a')"
    """
    return " ".join(f'"{word}"' if " " in word and not re.search(r'["$`\\\\!]', word) else shlex.quote(word) for word in words)


def gist(error: str | None) -> str:
    """What an error says, without the lines of its traceback, in one line.

    >>> gist("Traceback (most recent call last):\\n  File \\"a.py\\", line 1\\nValueError: no such row\\n in function RUN_STEP")
    'ValueError: no such row'
    """
    lines = [line for line in (error or "").splitlines() if line.strip() and not line.startswith((" ", "Traceback", "During handling", "The above exception"))]
    said = [line for line in lines if not line.endswith("Python Interpreter Error:")] or lines
    return " ".join(" ".join(said[-2:]).split())[:300]


def plural(count: int, word: str) -> str:
    """
    >>> plural(1, "row"), plural(1234, "row")
    ('1 row', '1 234 rows')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}".replace(",", " ")


def listed(names: Sequence[str], limit: int = 5) -> str:
    """
    >>> listed(["c", "a", "b"], 2)
    'a, b and 1 more'
    """
    shown = sorted(names)[:limit]
    return ", ".join(shown) + (f" and {len(names) - limit} more" if len(names) > limit else "")
