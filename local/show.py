"""Plain tables for a terminal."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
from collections.abc import Sequence
from typing import Any

WIDEST = 60


def text_of(value: Any) -> str:
    """
    >>> text_of(None), text_of(decimal.Decimal("1234.50")), text_of(dt.datetime(2024, 3, 1))
    ('', '1 234.50', '2024-03-01 00:00:00')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, decimal.Decimal)):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S") + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "")
    one_line = " ".join(str(value).split())
    return one_line if len(one_line) <= WIDEST else one_line[: WIDEST - 1] + "…"


def table_text(names: Sequence[str], rows: Sequence[Sequence[Any]], indent: str = "") -> str:
    """
    >>> print(table_text(["city", "count"], [["Paris", 2], ["Lyon", 10]]))
    city   count
    Paris      2
    Lyon      10
    """
    texts = [[text_of(value) for value in row] for row in rows]
    numeric = [
        bool(rows) and all((isinstance(row[i], (int, decimal.Decimal)) and not isinstance(row[i], bool)) or row[i] is None for row in rows)
        for i in range(len(names))
    ]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(names)]

    def line(cells: Sequence[str]) -> str:
        return (indent + "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric, strict=True))).rstrip()

    return "\n".join([line(names), *(line(row) for row in texts)])


def answer_text(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; a single value, such as a procedure's answer, whole, and JSON over several lines.

    >>> print(answer_text(["rebuild"], [['{"dry_run":true}']]))
    {
      "dry_run": true
    }
    """
    if len(rows) != 1 or len(names) != 1 or not isinstance(rows[0][0], str):
        return table_text(names, rows)
    text = rows[0][0]
    if text[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text


def is_cut(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether answer_text leaves anything out.

    >>> is_cut(["error"], [["x" * 100]]), is_cut(["step", "error"], [["load", "x" * 100]])
    (False, True)
    """
    return (len(rows) > 1 or len(names) > 1) and any(
        isinstance(value, str) and text_of(value).endswith("…") and not value.endswith("…") for row in rows for value in row
    )


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]], indent: str = "") -> None:
    print(table_text(names, rows, indent))
