"""The tab of rows that wait in quarantine: by check over time, a sample with file and line, a trial, and the replay."""

from __future__ import annotations

import json
from typing import Any

import acting
import drawing
import pandas as pd
import reading
import streamlit as st
from plan import Plan
from shown import number, numbers, opened, table

EVERY = "every check"


def quarantine(session: Any, pipeline: str, plan: Plan) -> None:
    checks = reading.waiting_by_check(session, pipeline)
    if checks.empty:
        st.success("No row waits. A row that fails a check is put here with its file, its line and every check it failed; see docs/quarantine.md.")
        over_time(session, pipeline)
        return
    checks = numbers(checks, ["row_count"])
    st.subheader(f"{number(reading.waiting_count(session, pipeline))} rows wait")
    left, right = st.columns([2, 3])
    with left:
        table(checks.rename(columns={"row_count": "rows", "check_name": "check"})[["source", "check", "rows", "oldest_at"]])
        st.caption("A row that fails two checks counts for both.")
    with right:
        over_time(session, pipeline)
    first, second = st.columns(2)
    by_source = checks.groupby("source")["row_count"].sum().sort_values(ascending=False)
    source = first.selectbox("Source", list(by_source.index), key="source")
    check = second.selectbox("Check", [EVERY, *checks.loc[checks["source"] == source, "check_name"]], key="check")
    chosen = None if check == EVERY else check
    rows = reading.waiting_rows(session, pipeline, source, chosen)
    sample(rows)
    st.subheader("Replay")
    replay(session, source, chosen)
    with st.expander("Correct a row"):
        correction(session, plan.columns.get(source, ()), rows)


def over_time(session: Any, pipeline: str) -> None:
    days = reading.quarantined_by_day(session, pipeline)
    if days.empty:
        st.caption("No row failed a check in the last 30 days.")
        return
    st.altair_chart(drawing.stacked(numbers(days, ["row_count"]), "day", "row_count", "check_name", "rows that failed a check"), width="stretch")


def sample(rows: pd.DataFrame) -> None:
    """The newest rows: where each came from, what it failed, and its values as received, a column each."""
    values = spread(rows)
    where = rows[["file_name", "row_number", "failed_checks"]].rename(columns={"file_name": "file", "row_number": "line"})
    table(pd.concat([where, values, rows[["is_corrected", "quarantined_at", "run_id"]]], axis=1))
    if len(rows) == reading.ROWS:
        st.caption(f"The newest {reading.ROWS} rows. The others: SELECT * FROM control.quarantine WHERE status = 'waiting'")


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Received values, a column each, those that a failed check is named after first; a document that was cut off stays in one.

    >>> rows = pd.DataFrame([{"failed_checks": "age_in_range", "row_values": '{"name": "Ada", "age": "367"}'}])
    >>> spread(rows).to_dict("records")
    [{'age': '367', 'name': 'Ada'}]
    """
    documents = [opened(text) or {"values": text} for text in rows["row_values"]]
    columns = list(dict.fromkeys(name for document in documents for name in document))
    failed = {check for checks in rows["failed_checks"] for check in str(checks).split(", ")}
    blamed = [name for name in columns if any(check.startswith(f"{name}_") for check in failed)]
    ordered = [*blamed, *(name for name in columns if name not in blamed)]
    return pd.DataFrame([{name: as_text(document.get(name)) for name in ordered} for document in documents], columns=ordered, index=rows.index)


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def replay(session: Any, source: str, check: str | None) -> None:
    """First the trial, which writes nothing; then what it found; then the real one."""
    tried = st.session_state.get(acting.TRIED)
    fits = tried is not None and tried[:2] == (source, check)
    passing = tried[2]["written"] + tried[2]["duplicate"] if fits else 0
    look, again, said = st.columns([1, 1, 3], vertical_alignment="center")
    acting.button(look, "What would pass now?", "try_replay", acting.try_replay, session, source, check, width="stretch")
    acting.button(again, "Replay", "replay", acting.replay, session, source, check, disabled=not passing, type="primary", width="stretch")
    if not fits:
        said.caption("The trial puts the rows through today's checks and writes nothing. Then the replay can be pressed.")
        return
    said.markdown(f"**{number(passing)} of {number(tried[2]['read'])}** rows would pass now." + ("" if passing else " Correct rows or mend the check first."))
    table(pd.DataFrame([{"check": name, "waited": found["waited"], "pass now": found["pass_now"]} for name, found in tried[2]["checks"].items()]))


def correction(session: Any, columns: tuple[str, ...], rows: pd.DataFrame) -> None:
    """One value of one row, as its file should have held it."""
    labels = {row["quarantine_id"]: f"{row['file_name']}, line {row['row_number']}: {row['failed_checks']}" for _, row in rows.iterrows()}
    row = st.selectbox("Row", list(labels), format_func=lambda chosen: labels[chosen], key="row")
    first, second, third = st.columns([2, 3, 1], vertical_alignment="bottom")
    column = first.selectbox("Column, as received", list(columns), key="column")
    second.text_input("Value, as the file should have held it", key="value")
    acting.button(third, "Correct", "correct", acting.correct, session, row, column, disabled=not (row and column), width="stretch")
    st.caption("The value as received stays where it is; who changed what is kept in control.quarantine_correction.")
