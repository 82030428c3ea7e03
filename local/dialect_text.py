"""The few things that sqlglot cannot read, put in order in the text before it reads."""

from __future__ import annotations

import re

from sqlglot import tokenize
from sqlglot.tokens import Token, TokenType

CONSTANT = re.compile(r"\b\d+ :: INT\b|\b(?:TIMESTAMP|DATE) '[^']*'")


def shape(sql: str) -> str:
    """The statement without the constants that Snowpark writes into it: which columns and tables it has does not depend on them.

    >>> shape("SELECT a FROM t WHERE b > 17 :: INT AND c > TIMESTAMP '2024-01-01 00:00:00' AND d = DATE '2024-01-01'")
    "SELECT a FROM t WHERE b > 0 :: INT AND c > TIMESTAMP '2000-01-01' AND d = DATE '2000-01-01'"
    """
    return CONSTANT.sub(lambda found: "0 :: INT" if found[0][0].isdigit() else f"{found[0].split()[0]} '2000-01-01'", sql)


def readable(sql: str) -> str:
    """Snowflake SQL that sqlglot has a tree for.

    `CREATE TABLE t IF NOT EXISTS (…)`, as Snowpark sends it: docs.snowflake.com/en/sql-reference/sql/create-table
    >>> readable("CREATE  SCOPED TEMPORARY  TABLE a.b IF NOT EXISTS (x INT)")
    'CREATE   TEMPORARY  TABLE IF NOT EXISTS a.b (x INT)'
    """
    start = sql.lstrip()[:6].upper()
    if start == "CREATE":
        return create(sql)
    if start[:5] == "START":
        return "BEGIN"
    return parameters(sql) if "?::" in sql else sql


def parameters(sql: str) -> str:
    """`?::INT` is a cast of a parameter; sqlglot reads `?::` as one sign of another dialect."""
    for token in reversed(tokenize(sql, read="snowflake")):
        if token.text == "?::":
            sql = sql[: token.start + 1] + " " + sql[token.start + 1 :]
    return sql


def create(sql: str) -> str:
    tokens = tokenize(sql, read="snowflake")
    cuts: list[tuple[int, int, str]] = []
    for i, token in enumerate(tokens[:8]):
        if word(token) == "SCOPED" or (word(token) in ("LOCAL", "GLOBAL") and word(tokens[i + 1]).startswith("TEMP")):
            cuts.append((token.start, token.end + 1, ""))
        if word(token) == "VOLATILE":
            cuts.append((token.start, token.end + 1, "TEMPORARY"))
        if word(token) in ("TABLE", "VIEW", "SCHEMA", "DATABASE", "SEQUENCE"):
            cuts += moved_if_not_exists(tokens, i, sql)
            cuts += dropped_properties(tokens, i, word(token))
            break
    for begin, end, text in sorted(cuts, reverse=True):
        sql = sql[:begin] + text + sql[end:]
    return sql


def word(token: Token) -> str:
    return "" if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else token.text.upper()


def moved_if_not_exists(tokens: list[Token], kind: int, sql: str) -> list[tuple[int, int, str]]:
    """Put IF NOT EXISTS before the name where it stands after it."""
    i = kind + 1
    if i >= len(tokens) or word(tokens[i]) == "IF":
        return []
    while i + 1 < len(tokens) and tokens[i + 1].token_type == TokenType.DOT:
        i += 2
    following = [word(t) for t in tokens[i + 1 : i + 4]]
    if following != ["IF", "NOT", "EXISTS"]:
        return []
    end = tokens[kind].end + 1
    gone = tokens[i + 3].end + 1
    gone += 1 if sql[gone : gone + 1] == " " else 0
    return [(end, end, " IF NOT EXISTS"), (tokens[i + 1].start, gone, "")]


def dropped_properties(tokens: list[Token], kind: int, what: str) -> list[tuple[int, int, str]]:
    """WITH MANAGED ACCESS on a schema says who may grant, which here is everybody."""
    cuts = []
    if what == "SCHEMA":
        for i, token in enumerate(tokens[kind:], kind):
            if [word(t) for t in tokens[i : i + 3]] == ["WITH", "MANAGED", "ACCESS"]:
                cuts.append((token.start, tokens[i + 2].end + 1, ""))
    return cuts
