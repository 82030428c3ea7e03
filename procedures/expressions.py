"""Expressions of a pipeline file: one SQL expression over declared columns, and nothing else.

The text is read word by word before anything runs.  What could reach beyond the row (a subquery, a second
statement, a comment that hides the rest, a quoted name) is refused; so is a column that nobody declared.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import sql_functions

WORDS = frozenset(
    """
    and or not null is in between like ilike rlike case when then else end true false distinct from as escape
    interval by order asc desc within group
    """.split()
)
TYPES = frozenset("number integer varchar text boolean date timestamp_ntz timestamp float variant".split())
REFUSED = frozenset(
    """
    select insert update delete merge drop create alter grant revoke call execute truncate union except intersect
    where having with use set put copy join limit lateral table values over partition qualify
    """.split()
)
# Functions of the app; everything else is Snowflake's own.
APP_FUNCTIONS = {"is_email": "core.is_email"}

FUNCTIONS = sql_functions.ROW | APP_FUNCTIONS.keys()
LONGEST = 10_000  # characters
# Words that stand between two operands, or before one; an expression does not end in them.
JOINING = frozenset("and or not is in between like ilike rlike when then else distinct from as escape case".split())
ENDING = frozenset("null true false end".split())
BEGINNING = frozenset("null true false case".split())

BINARY = frozenset("|| <> != <= >= - + / % = < > and or".split())

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


def problems(expression: str, columns: Collection[str], aggregates: bool = False) -> list[str]:
    """What is wrong with an expression, in words; an empty list when it may run.

    >>> problems("age between 0 and 120", ["age"])
    []
    >>> problems("agee > 0", ["age", "name"])
    ['unknown column `agee`; did you mean `age`? Known columns: age, name']
    >>> problems("age > 0; drop table x", ["age"])
    ['`; drop tab` does not belong in an expression']
    >>> problems("sum(age)", ["age"]), problems("sum(age)", ["age"], aggregates=True)
    (['`sum` looks at many rows; an expression looks at one'], [])
    """
    pieces = list(tokens(expression[:LONGEST]))
    if not pieces:
        return ["the expression is empty"]
    if len(expression) > LONGEST:
        return [f"the expression has {len(expression):,} characters; {LONGEST:,} may be read"]
    found: list[str] = []
    depth = 0
    for piece, following in zip(pieces, [*pieces[1:], Token("end", "", len(expression))], strict=True):
        word = piece.text.lower()
        if piece.kind == "other":
            return [*found, f"`{piece.text}` does not belong in an expression"]
        if piece.kind == "sign":
            depth += {"(": 1, ")": -1}.get(piece.text, 0)
            if depth < 0:
                return [*found, "a `)` closes nothing"]
        elif piece.kind == "word":
            found += word_problems(word, following, columns, aggregates)
    if depth > 0:
        found.append("a `(` is not closed")
    return found or list(shape_problems(pieces, columns))


def word_problems(word: str, following: Token, columns: Collection[str], aggregates: bool) -> list[str]:
    """What is wrong with a word: it must be a column, a function, a type or a word of expressions."""
    is_call = following.text == "("
    if is_call and word in FUNCTIONS:
        return []
    if word in REFUSED:
        return [f"`{word}` is not allowed: an expression looks at one row and changes nothing"]
    if following.text == "." and word not in columns:
        return [f"`{word}.` is not allowed: columns and functions are named without a schema"]
    if word in WORDS or (word in TYPES and word not in columns):
        return []
    if is_call and word in sql_functions.AGGREGATE:
        return [] if aggregates else [f"`{word}` looks at many rows; an expression looks at one"]
    if is_call:
        near = difflib.get_close_matches(word, [*FUNCTIONS, *(sql_functions.AGGREGATE if aggregates else ())], n=1)
        return [f"unknown function `{word}`" + (f"; did you mean `{near[0]}`?" if near else "; docs/spec-reference.md lists them")]
    return [] if word in columns else [unknown("column", word, columns)]


def shape_problems(pieces: Sequence[Token], columns: Collection[str]) -> Iterator[str]:
    """Two values with nothing between them, or an end in the middle: more or less than one expression."""
    for piece, following in pairwise(pieces):
        word, after = piece.text.lower(), following.text.lower()
        is_call = piece.kind == "word" and word not in columns and word not in ENDING
        ends = piece.kind in ("text", "number") or word == ")" or (piece.kind == "word" and (word in columns or word in ENDING))
        begins = following.kind in ("text", "number") or after in BEGINNING or after in columns or (after == "(" and not is_call)
        if word in BINARY and after in BINARY - {"-", "+"} | {")"}:
            yield f"a value is missing between `{piece.text}` and `{following.text}`"
        if ends and begins:
            yield f"an operator is missing between `{piece.text}` and `{following.text}`"
    last = pieces[-1]
    if (last.kind == "sign" and last.text not in (")", "*")) or (last.kind == "word" and last.text.lower() in JOINING):
        yield f"it ends in the middle, after `{last.text}`"
    first = pieces[0]
    if first.kind == "sign" and first.text not in ("(", "-", "+"):
        yield f"it begins in the middle, with `{first.text}`"


def unknown(what: str, word: str, known: Collection[str], meant: str | None = None) -> str:
    """One sentence for a word nobody declared, with the one that is `meant`, else the nearest.

    >>> unknown("type", "txt", ["text", "number"])
    'unknown type `txt`; did you mean `text`? Known types: number, text'
    """
    near = [meant] if meant else difflib.get_close_matches(word, list(known), n=1)
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
