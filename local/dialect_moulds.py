"""Translations that serve again for other constants: a step sends the same statements each time, with its batch in them.

Only constants that no rule of the translation looks at are taken out: those that Snowpark compares with or gives a name,
`x > 7 :: INT`, `7 :: INT AS "N"`, instants likewise, and days that it compares with or takes for an instant.  All others (lengths, formats, positions, types) stay in the key.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import tokenize
from sqlglot.tokens import TokenType

if TYPE_CHECKING:
    from local.dialect import Plan

# Not `name => 7`, which is an argument.
NUMBER, INSTANT = r"\d{1,18}(?= :: INT\b)", r"(?<=TIMESTAMP ')[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{8,18}(?=')"
DAY = r"(?<=DATE ')[0-9]{4}-[0-9]{2}-[0-9]{2}(?=')"
COMPARED = rf"(?:(?:(?<!=)>|[<=]) )(?:(?:TIMESTAMP|DATE) ')?(?P<compared>{NUMBER}|{INSTANT}|{DAY})"
NAMED = rf"[ (](?:TIMESTAMP ')?(?P<named>{NUMBER}|{INSTANT})(?=(?: :: INT|') AS \")"
MIDNIGHT = rf"CAST \(DATE '(?P<midnight>{DAY})(?=' AS TIMESTAMP_NTZ\))"
CONSTANT = re.compile(f"{COMPARED}|{NAMED}|{MIDNIGHT}")
# What stands in for a constant while the statement is translated: seen nowhere else, and of its kind.
FIRST_NUMBER, INSTANTS, FIRST_DAY = 710_000_000_000_000_000, "1871-03-05 07:11:13.{:06d}", dt.date(1771, 3, 5)
MOST = 100


def constants(sql: str) -> list[tuple[int, int]]:
    """Where the constants stand that the translation does not depend on.

    >>> sql = 'SELECT 7 :: INT AS "N", ROUND(a, 2 :: INT) FROM t WHERE b > 17 :: INT AND c >= TIMESTAMP \\'2024-01-01 00:00:00\\''
    >>> [sql[begin:end] for begin, end in constants(sql)]
    ['7', '17', '2024-01-01 00:00:00']
    """
    return [found.span(found.lastgroup or 0) for found in CONSTANT.finditer(sql)]


def key_of(sql: str, places: list[tuple[int, int]]) -> str:
    return filled(parts_between(sql, places), ["0" if sql[begin:end].isdigit() else "-" for begin, end in places])


def parts_between(sql: str, places: list[tuple[int, int]]) -> list[str]:
    edges = [0, *(at for place in places for at in place), len(sql)]
    return [sql[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]


def filled(parts: list[str], values: list[str]) -> str:
    return "".join(text for pair in zip(parts, [*values, ""], strict=True) for text in pair)


def stand_ins(sql: str, places: list[tuple[int, int]]) -> list[str]:
    return [stand_in(sql[begin:end], i) for i, (begin, end) in enumerate(places)]


def stand_in(constant: str, number: int) -> str:
    """
    >>> stand_in("7", 1), stand_in("2024-01-01 00:00:00", 1), stand_in("2024-01-01", 1)
    ('710000000000000001', '1871-03-05 07:11:13.000001', '1771-03-06')
    """
    if constant.isdigit():
        return str(FIRST_NUMBER + number)
    return INSTANTS.format(number) if ":" in constant else (FIRST_DAY + dt.timedelta(number)).isoformat()


@dataclass(frozen=True)
class Mould:
    """A plan whose SQL has holes where the constants go: texts between holes, and which constant each hole takes."""

    plan: Plan
    parts: list[str]
    holes: list[int]

    def plan_for(self, values: list[str]) -> Plan:
        return replace(self.plan, sql=filled(self.parts, [values[i] for i in self.holes]))


def mould_of(plan: Plan, marks: list[str]) -> Mould | None:
    """The mould of a plan that was translated with stand-ins; None where one of them is not there any more."""
    found = list(re.finditer("|".join(map(re.escape, marks)), plan.sql))
    if {match[0] for match in found} != set(marks) or plan.first:
        return None
    return Mould(plan, parts_between(plan.sql, [match.span() for match in found]), [marks.index(match[0]) for match in found])


def are_tokens(sql: str, places: list[tuple[int, int]]) -> bool:
    """Whether each of the constants is a token of its own, not a part of a text, a comment or a name.

    Another statement of the same key then has tokens at the same places: it differs only inside of them.
    """
    tokens: dict[int, Any] = {}
    for token in tokenize(sql, read="snowflake"):
        inside = token.token_type == TokenType.STRING
        tokens[token.start + inside] = (token.token_type, token.end + 1 - inside)
    return all(
        tokens.get(begin) == (TokenType.NUMBER if sql[begin:end].isdigit() else TokenType.STRING, end) for begin, end in places
    )
