"""Mistakes in setup_sql: what an administrator's script would forget, lose or not get past the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from local.lint_findings import Finding, found
from local.lint_sql import Statement, statements


def landing_findings(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "setup_sql").rglob("*.sql")):
        for statement in statements(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")):
            yield from _statement_findings(statement)


def _statement_findings(statement: Statement) -> Iterator[Finding]:
    file, line, upper, created = statement.file, statement.line, statement.upper, statement.created
    if upper[0] == "TRUNCATE":
        yield found("bronze-emptied", file, line, " ".join(upper[:4]))
    is_block = statement.has("AS", "BEGIN") or statement.has("THEN", "BEGIN")
    if is_block or (upper[0] == "BEGIN" and upper[1:2] not in ((), ("TRANSACTION",), ("WORK",))) or upper[0] == "DECLARE":
        yield found("unquoted-block", file, line, "A block of several statements without $$.")
    if created and statement.replaces:
        name = ".".join(created.name)
        rule = {
            "PIPE": "pipe-replaced",
            "STREAM": "stream-replaced",
            "TABLE": "bronze-emptied",
            "STORAGE INTEGRATION": "integration-replaced",
            "NOTIFICATION INTEGRATION": "integration-replaced",
        }.get(created.kind)
        if rule:
            yield found(rule, file, line, f"CREATE OR REPLACE {created.kind} {name}")
    if created and created.kind == "PIPE":
        yield from _pipe_findings(statement)


def _pipe_findings(statement: Statement) -> Iterator[Finding]:
    for token in statement.tokens:
        if token.text.upper() in ("CURRENT_TIMESTAMP", "SYSDATE", "LOCALTIMESTAMP"):
            yield found("pipe-clock", statement.file, token.line, f"{token.text} in a pipe.")
    place = statement.place_of("FROM", "(", "SELECT")
    chosen = statement.place_of("FROM", start=place + 1)
    # `SELECT $1 AS record, METADATA$…`: a whole JSON document into one VARIANT, which has no other form.
    columns = [token.text for token in statement.tokens[place:chosen] if token.text.startswith("$") and token.kind == "word"]
    is_document = columns == ["$1"] and statement.tokens[place + 4].text != ":"
    if place >= 0 and not is_document:
        yield found("pipe-transform", statement.file, statement.tokens[place].line, "The pipe's COPY selects columns.")
