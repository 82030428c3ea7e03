"""How values are shown: tables, numbers, spans of time, and texts that came from files, which stay texts.

A value from a file or an error may hold anything.  Streamlit reads Markdown in messages, and Snowflake lets a page load images
from any HTTPS host, so such a text goes into a code block or a cell, never into a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

LONGEST = 500  # characters of one cell; a message of the page may have 32 MB
ROW_PIXELS, MOST_ROWS = 33, 16
RED = "background-color: #fdecea; color: #b71c1c"
FORMULA = tuple("=+-@\t\r＝＋－＠")


def now() -> datetime:
    """This moment in UTC, without a zone, as in all tables."""
    return datetime.now(UTC).replace(tzinfo=None)


def table(frame: pd.DataFrame, red: pd.Series | None = None, width: str = "stretch") -> None:
    """A frame without its index: times to the second and said to be UTC, empty columns left out, the rows of `red` in red."""
    told = pd.DataFrame({name: cells(frame[name]) for name in frame if frame[name].notna().any() or len(frame) == 0})
    columns = {name: heading(name, told[name]) for name in told}
    styled = told if red is None or not red.any() else told.style.apply(lambda row: [RED if red[row.name] else ""] * len(row), axis=1)
    height = "content" if len(told) <= MOST_ROWS else ROW_PIXELS * (MOST_ROWS + 1)
    st.dataframe(styled, hide_index=True, width=width, height=height, column_config=columns, placeholder="–")


def heading(name: str, cells: pd.Series) -> Any:
    """The head of a column: of counts in words, of times with their zone."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return st.column_config.DatetimeColumn(f"{spoken(name)} (UTC)", format="YYYY-MM-DD HH:mm:ss")
    return st.column_config.Column(spoken(name))


def spoken(name: str) -> str:
    """A column of the log in words.

    >>> spoken("rows_read"), spoken("started_at"), spoken("file_name")
    ('read', 'started', 'file name')
    """
    return name.removeprefix("rows_").removesuffix("_at").replace("_", " ").replace("lets", "LETS")


def cells(values: pd.Series) -> pd.Series:
    """Values as a table may show them: numbers as numbers, texts inert."""
    if values.dtype != object:
        return values
    known = values.dropna()
    if len(known) and known.map(lambda value: isinstance(value, (datetime, pd.Timestamp))).all():
        return pd.to_datetime(values)
    if len(known) and known.map(lambda value: isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)).all():
        return pd.to_numeric(values)
    return values.map(lambda value: inert(value) if isinstance(value, str) else value)


def inert(text: str) -> str:
    """A text that a spreadsheet takes for a text too, when the table is downloaded, and no longer than a cell may be.

    >>> inert("=HYPERLINK(1)"), inert("-4"), inert("Oslo")
    ("'=HYPERLINK(1)", '-4', 'Oslo')
    """
    short = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return f"'{short}" if short.startswith(FORMULA) and not re.fullmatch(r"[+-]?\d+([.,]\d+)?", short) else short


def verbatim(text: Any) -> None:
    """A text as it is: no Markdown, no link, no image."""
    st.code(str(text)[: 20 * LONGEST], language=None, wrap_lines=True)


def number(value: Any) -> str:
    """Digits in threes.

    >>> number(1234567), number(None)
    ('1 234 567', '0')
    """
    return f"{0 if value is None or pd.isna(value) else int(value):,}".replace(",", " ")


def numbers(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The frame with these columns as numbers, for sums and charts."""
    return frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in columns})


def said(text: str) -> str:
    """What an error of a procedure says, without the way it took through the code.

    >>> said("100357: Python Interpreter Error:\\nTraceback\\n  File a, line 1\\nsteps.Bad: no such thing\\n in function F with handler f")
    'no such thing'
    >>> said("2003: no table\\nmore")
    '2003: no table\\nmore'
    """
    if "Traceback" not in text:
        return text.strip()
    body = re.sub(r"\s+in function \S+ with handler \S+\s*$", "", text)
    found = re.findall(r"^[A-Za-z_][\w.]*: (?s:.*?)(?=^[A-Za-z_][\w.]*: |\Z)", body.partition("Traceback")[2], re.MULTILINE)
    return found[-1].partition(": ")[2].strip() if found else text.strip().split("\n")[0]


def spelled(seconds: float) -> str:
    """A span in its largest unit, down.

    >>> spelled(90), spelled(7200), spelled(0)
    ('1 min', '2 h', '0 s')
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(int(seconds), 0)} s"


def ago(moment: Any) -> str:
    """How long ago, or a dash."""
    return "–" if moment is None or pd.isna(moment) else f"{spelled((now() - moment).total_seconds())} ago"


def at(moment: Any) -> str:
    """A moment to the second, with its zone, and how long ago that was."""
    return "–" if moment is None or pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M:%S} UTC, {ago(moment)}"


def opened(text: Any) -> dict[str, Any]:
    """A VARIANT that came as its JSON text; empty when it is none, as when it was cut off."""
    try:
        made = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return made if isinstance(made, dict) else {}
