"""Expressions of a pipeline file: one SQL expression over declared columns, and nothing else.

The text is read word by word before anything runs.  What could reach beyond the row (a subquery, a second
statement, a comment that hides the rest, a quoted name) is refused; so is a column that nobody declared.
"""

import difflib
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

WORDS = frozenset(
    """
    and or not null is in between like ilike rlike case when then else end true false distinct from as escape
    interval cast try_cast over partition by order asc desc rows within group
    """.split()
)
TYPES = frozenset("number integer varchar text boolean date timestamp_ntz timestamp float variant".split())
REFUSED = frozenset(
    """
    select insert update delete merge drop create alter grant revoke call execute truncate union except intersect
    where having with use set put get copy join limit lateral table values
    """.split()
)
# Functions of the app; everything else is Snowflake's own.
APP_FUNCTIONS = {"is_email": "core.is_email"}

TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<text>'(?:[^'\\]|'')*')
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>\|\||::|<>|!=|<=|>=|[-+*/%=<>(),:.])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of an expression: its kind, its text and where it starts."""

    kind: str
    text: str
    start: int


def tokens(expression: str) -> Iterator[Token]:
    """The pieces of an expression; what fits no kind comes as kind `other` and ends the reading."""
    position = 0
    while position < len(expression):
        match = TOKEN.match(expression, position)
        if match is None or expression.startswith("--", position) or expression.startswith("/*", position):
            yield Token("other", expression[position : position + 10], position)
            return
        if match.lastgroup != "space":
            yield Token(str(match.lastgroup), match.group(), position)
        position = match.end()


def problems(expression: str, columns: Collection[str]) -> list[str]:
    """What is wrong with an expression, in words; an empty list when it may run.

    >>> problems("age between 0 and 120", ["age"])
    []
    >>> problems("agee > 0", ["age", "name"])
    ['unknown column `agee`; did you mean `age`? Known columns: age, name']
    >>> problems("age > 0; drop table x", ["age"])
    ['`; drop tab` does not belong in an expression']
    """
    pieces = list(tokens(expression))
    if not pieces:
        return ["the expression is empty"]
    found: list[str] = []
    depth = 0
    for piece, following in zip(pieces, [*pieces[1:], Token("end", "", len(expression))], strict=True):
        word = piece.text.lower()
        if piece.kind == "other":
            found.append(f"`{piece.text}` does not belong in an expression")
        elif piece.kind == "sign":
            depth += {"(": 1, ")": -1}.get(piece.text, 0)
            if depth < 0:
                found.append("a `)` closes nothing")
                break
        elif piece.kind == "word" and word in REFUSED:
            found.append(f"`{piece.text}` is not allowed: an expression looks at one row and changes nothing")
        elif piece.kind == "word" and following.text == "." and word not in columns:
            found.append(f"`{piece.text}.` is not allowed: columns and functions are named without a schema")
        elif piece.kind == "word" and following.text != "(" and word not in WORDS | TYPES and word not in columns:
            found.append(unknown("column", word, columns))
    if depth > 0:
        found.append("a `(` is not closed")
    return found


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """One sentence for a word nobody declared, with the nearest one that is.

    >>> unknown("type", "txt", ["text", "number"])
    'unknown type `txt`; did you mean `text`? Known types: number, text'
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    return f"unknown {what} `{word}`{hint} Known {what}s: {', '.join(sorted(known)) or 'none'}"


def resolved(expression: str) -> str:
    """The expression with the app's own functions named in full, as no schema is current to a reader of the SQL.

    >>> resolved("is_email(email)")
    'core.is_email(email)'
    >>> resolved("email = 'is_email(x)'")
    "email = 'is_email(x)'"
    """
    pieces = list(tokens(expression))
    text, position = "", 0
    for piece, following in zip(pieces, [*pieces[1:], Token("end", "", 0)], strict=True):
        function = APP_FUNCTIONS.get(piece.text.lower()) if piece.kind == "word" and following.text == "(" else None
        text += expression[position : piece.start] + (function or piece.text)
        position = piece.start + len(piece.text)
    return text
