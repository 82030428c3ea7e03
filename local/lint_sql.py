"""SQL cut into statements and words, far enough for the lint: it reads names and clauses, not expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

TOKEN = re.compile(
    r"""
      (?P<skip>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
    | (?P<text>'(?:[^'\\]|\\.|'')*'|\$\$.*?\$\$)
    | (?P<word>(?:"(?:[^"]|"")*"|<%.*?%>|[A-Za-z_$][\w$]*)(?:<%.*?%>|[\w$]+)*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

# Longest first: what CREATE, ALTER, DROP and GRANT … ON call the thing they name.
KINDS = tuple(
    tuple(kind.split())
    for kind in [
        "\n    EXTERNAL ACCESS INTEGRATION",
        " ROW ACCESS POLICY",
        " APPLICATION PACKAGE",
        " APPLICATION ROLE",
        " API INTEGRATION",
        " DATABASE ROLE",
        "\n    DYNAMIC TABLE",
        " EXTERNAL TABLE",
        " EXTERNAL FUNCTION",
        " EXTERNAL VOLUME",
        " FILE FORMAT",
        " MASKING POLICY",
        " MATERIALIZED VIEW",
        "\n    NOTIFICATION INTEGRATION",
        " RESOURCE MONITOR",
        " SECURITY INTEGRATION",
        " SEMANTIC VIEW",
        " STORAGE INTEGRATION",
        "\n    VERSIONED SCHEMA",
        " ALERT",
        " APPLICATION",
        " DATABASE",
        " FUNCTION",
        " INTEGRATION",
        " PIPE",
        " PROCEDURE",
        " ROLE",
        " SCHEMA",
        " SECRET",
        "\n    SEQUENCE",
        " SHARE",
        " STAGE",
        " STREAM",
        " STREAMLIT",
        " TABLE",
        " TAG",
        " TASK",
        " USER",
        " VIEW",
        " WAREHOUSE\n    ",
    ]
)
OUTSIDE_A_SCHEMA = {
    *("API INTEGRATION", "APPLICATION", "APPLICATION PACKAGE", "APPLICATION ROLE", "DATABASE", "DATABASE ROLE"),
    *("EXTERNAL ACCESS INTEGRATION", "EXTERNAL VOLUME", "INTEGRATION", "NOTIFICATION INTEGRATION", "RESOURCE MONITOR"),
    *("ROLE", "SCHEMA", "SECURITY INTEGRATION", "SHARE", "STORAGE INTEGRATION", "USER", "VERSIONED SCHEMA", "WAREHOUSE"),
}
IN_A_SCHEMA = {" ".join(kind) for kind in KINDS} - OUTSIDE_A_SCHEMA
MODIFIERS = {"SECURE", "TRANSIENT", "TEMP", "TEMPORARY", "VOLATILE", "LOCAL", "GLOBAL", "HYBRID", "RECURSIVE"}
NOT_A_TABLE = {"TABLE", "LATERAL", "VALUES"}


class Token(NamedTuple):
    kind: str
    text: str
    line: int


class Named(NamedTuple):
    """An object a statement names: TASK tasks.load."""

    kind: str
    name: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Statement:
    """`upper` are the tokens in capitals, so that clauses can be looked for; `tokens` keep their case."""

    file: str
    tokens: tuple[Token, ...]

    @property
    def line(self) -> int:
        return self.tokens[0].line

    @property
    def upper(self) -> tuple[str, ...]:
        return tuple(token.text.upper() for token in self.tokens)

    def starts(self, *words: str) -> bool:
        return self.upper[: len(words)] == words

    def place_of(self, *words: str, start: int = 0) -> int:
        """Where the words stand next to each other, -1 if nowhere."""
        upper = self.upper
        places = range(start, len(upper) - len(words) + 1)
        return next((place for place in places if upper[place : place + len(words)] == words), -1)

    def has(self, *words: str) -> bool:
        return self.place_of(*words) >= 0

    def texts(self, clause: str) -> list[Token]:
        """The quoted texts of `CLAUSE = ('a', 'b')` or `CLAUSE = 'a'`, without their quotes."""
        place = self.place_of(clause, "=")
        if place < 0:
            return []
        found = []
        for token in self.tokens[place + 2 :]:
            if token.kind == "text":
                found.append(Token("text", token.text[1:-1], token.line))
            elif token.text not in "(,":
                break
        return found

    def name_at(self, place: int) -> tuple[str, ...]:
        """The dotted name that begins at a place, in small letters."""
        parts: list[str] = []
        while place < len(self.tokens) and self.tokens[place].kind == "word":
            parts.append(self.tokens[place].text.lower())
            if place + 1 >= len(self.tokens) or self.tokens[place + 1].text != ".":
                break
            place += 2
        return tuple(parts)

    @property
    def named(self) -> Named | None:
        """What a CREATE, ALTER or DROP is about."""
        upper, place = self.upper, 1
        if upper[0] not in ("CREATE", "ALTER", "DROP"):
            return None
        if upper[1:3] in (("OR", "REPLACE"), ("OR", "ALTER")):
            place = 3
        while place < len(upper) and upper[place] in MODIFIERS:
            place += 1
        for kind in KINDS:
            if upper[place : place + len(kind)] == kind:
                place += len(kind)
                for words in (("IF", "NOT", "EXISTS"), ("IF", "EXISTS")):
                    if upper[place : place + len(words)] == words:
                        place += len(words)
                line = self.tokens[min(place, len(self.tokens) - 1)].line
                return Named(" ".join(kind), self.name_at(place), line)
        return None

    @property
    def created(self) -> Named | None:
        return self.named if self.starts("CREATE") else None

    @property
    def replaces(self) -> bool:
        return self.starts("CREATE", "OR", "REPLACE")


def statements(file: str, text: str) -> Iterator[Statement]:
    """The statements of a script; a text between $$ is one token, whatever is in it.

    >>> [(s.line, s.named.name) for s in statements("x.sql", "-- a\\nCREATE TASK a.b AS CALL c.d();\\nDROP TABLE e.f")]
    [(2, ('a', 'b')), (3, ('e', 'f'))]
    """
    tokens: list[Token] = []
    line = 1
    for match in TOKEN.finditer(text):
        token = Token(match.lastgroup or "", match[0], line)
        line += match[0].count("\n")
        if token.text == ";":
            if tokens:
                yield Statement(file, tuple(tokens))
            tokens = []
        elif token.kind != "skip":
            tokens.append(token)
    if tokens:
        yield Statement(file, tuple(tokens))


def objects_used(statement: Statement) -> Iterator[Named]:
    """Objects that have to be found by name: targets, sources, calls, grants."""
    if (named := statement.named) and named.kind in IN_A_SCHEMA:
        yield named
    upper = statement.upper
    if upper[0] in ("INSERT", "MERGE"):
        place = statement.place_of("INTO")
        yield Named("TABLE", statement.name_at(place + 1), statement.tokens[place].line)
    if upper[0] in ("UPDATE", "CALL"):
        yield Named("TABLE" if upper[0] == "UPDATE" else "PROCEDURE", statement.name_at(1), statement.line)
    if upper[:2] in (("TRUNCATE", "TABLE"), ("EXECUTE", "TASK")):
        yield Named(upper[1], statement.name_at(2 + 2 * statement.has("IF", "EXISTS")), statement.line)
    if upper[0] in ("GRANT", "REVOKE"):
        place = statement.place_of("ON") + 1
        kind = next((kind for kind in KINDS if place and upper[place : place + len(kind)] == kind), ())
        if " ".join(kind) in IN_A_SCHEMA:
            yield Named(" ".join(kind), statement.name_at(place + len(kind)), statement.tokens[place].line)
    yield from _sources(statement)


def _sources(statement: Statement) -> Iterator[Named]:
    """Tables after FROM and JOIN, less the statement's own WITH names."""
    upper = statement.upper
    if upper[0] not in ("INSERT", "MERGE", "UPDATE", "DELETE", "SELECT", "WITH", "CREATE"):
        return
    own = {upper[place] for place in range(len(upper) - 2) if upper[place + 1 : place + 3] == ("AS", "(")}
    for place, word in enumerate(upper[:-1]):
        following = statement.tokens[place + 1]
        is_source = word in ("FROM", "JOIN") and upper[place - 1] != "DISTINCT" and following.kind == "word"
        if is_source and following.text.upper() not in own | NOT_A_TABLE:
            yield Named("TABLE", statement.name_at(place + 1), following.line)
