"""The console's charts: a frame in, an Altair chart out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
from plan import COLUMNS, Plan

COLOURS = {"succeeded": "#2e7d32", "nothing new": "#90a4ae", "failed": "#c62828", "skipped": "#f9a825", "not yet": "#eceff1"}
ROW_HEIGHT = 74


def status_scale() -> alt.Scale:
    return alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))


def nodes(plan: Plan, steps: pd.DataFrame) -> pd.DataFrame:
    """A row per step of the plan, with what the run's log says of it: step, x, y, status, counts.

    >>> import plan
    >>> made = plan.read("pipeline: p\\nsources: {a: {columns: {id: {type: integer}}}}")
    >>> log = pd.DataFrame([{"step": "load a", "status": "succeeded", "rows_read": 5, "rows_written": 4, "rows_quarantined": 1}])
    >>> nodes(made, log)[["step", "status", "counts"]].to_dict("records")[0]
    {'step': 'load a', 'status': 'succeeded', 'counts': '5 read · 4 written · 1 quarantined'}
    """
    said = {row["step"]: row for _, row in steps.iterrows()}
    rows = []
    for step in plan.steps:
        row = said.get(step.name)
        rows.append(
            {
                "step": step.name,
                "title": step.name.partition(" ")[2] or step.name,
                "x": step.column,
                "y": step.place,
                "status": "not yet" if row is None else row["status"],
                "counts": "" if row is None else counts_of(row),
            }
        )
    return pd.DataFrame(rows)


def counts_of(row: Any) -> str:
    shown = [("read", row["rows_read"]), ("written", row["rows_written"]), ("quarantined", row["rows_quarantined"])]
    return " · ".join(f"{int(count):,} {word}".replace(",", " ") for word, count in shown if pd.notna(count) and (count or word != "quarantined"))


def graph(plan: Plan, steps: pd.DataFrame) -> alt.Chart:
    """The steps of one run, each column a kind of step, lines from what a step reads."""
    boxes = nodes(plan, steps)
    place = {row["step"]: (row["x"], row["y"]) for _, row in boxes.iterrows()}
    lines = pd.DataFrame(
        [
            {"x": place[read][0] + 0.36, "y": place[read][1], "x2": step.column - 0.36, "y2": step.place}
            for step in plan.steps
            for read in step.reads
            if read in place
        ],
        columns=["x", "y", "x2", "y2"],
    )
    boxes = boxes.assign(left=boxes["x"] - 0.38, right=boxes["x"] + 0.38, top=boxes["y"] - 0.36, bottom=boxes["y"] + 0.36)
    deepest = max(int(boxes["y"].max()), 1)
    across = alt.X("left:Q", scale=alt.Scale(domain=[-0.5, len(COLUMNS) - 0.5]), axis=None)
    down = alt.Scale(domain=[deepest + 0.5, -0.5])
    edges = (
        alt.Chart(lines)
        .mark_rule(color="#b0bec5")
        .encode(x=alt.X("x:Q", scale=alt.Scale(domain=[-0.5, len(COLUMNS) - 0.5]), axis=None), x2="x2:Q", y=alt.Y("y:Q", scale=down, axis=None), y2="y2:Q")
    )
    rectangles = (
        alt.Chart(boxes)
        .mark_rect(cornerRadius=4, stroke="#90a4ae", fillOpacity=0.85)
        .encode(
            x=across,
            x2="right:Q",
            y=alt.Y("top:Q", scale=down, axis=None),
            y2="bottom:Q",
            color=alt.Color("status:N", scale=status_scale(), legend=alt.Legend(title=None, orient="top")),
            tooltip=["step", "status", "counts"],
        )
    )
    ink = alt.condition("datum.status == 'not yet' || datum.status == 'nothing new' || datum.status == 'skipped'", alt.value("#263238"), alt.value("white"))
    middle = alt.X("x:Q", scale=alt.Scale(domain=[-0.5, len(COLUMNS) - 0.5]), axis=None)
    titles = alt.Chart(boxes).mark_text(dy=-7, fontWeight="bold").encode(x=middle, y=alt.Y("y:Q", scale=down), text="title", color=ink)
    counts = alt.Chart(boxes).mark_text(dy=9, fontSize=10).encode(x=middle, y=alt.Y("y:Q", scale=down), text="counts", color=ink)
    return (edges + rectangles + titles + counts).properties(height=ROW_HEIGHT * (deepest + 1)).configure_view(strokeWidth=0)


def grid(plan: Plan, steps: pd.DataFrame, runs: pd.DataFrame) -> alt.Chart:
    """Step × run, newest run on the right; the colour is the step's status."""
    started = runs.set_index("run_id")["started_at"]
    cells = steps[steps["run_id"].isin(started.index)].assign(run=lambda found: found["run_id"].map(started).dt.strftime("%m-%d %H:%M:%S"))
    cells = cells.assign(counts=[counts_of(row) for _, row in cells.iterrows()])
    return (
        alt.Chart(cells)
        .mark_rect(stroke="white", strokeWidth=2)
        .encode(
            x=alt.X("run:O", title="run started (UTC)", axis=alt.Axis(labelAngle=-60)),
            y=alt.Y("step:N", title=None, sort=[step.name for step in plan.steps], axis=alt.Axis(labelLimit=220)),
            color=alt.Color("status:N", scale=status_scale(), legend=alt.Legend(title=None, orient="top")),
            tooltip=["step", "run", "status", "counts", "seconds"],
        )
    )


def lanes(versions: pd.DataFrame, columns: tuple[str, ...], until: datetime) -> pd.DataFrame:
    """Per column, the spans in which it had one value: column, value, from, to.

    >>> rows = pd.DataFrame([{"city": "Oslo", "valid_from": datetime(2024, 1, 1), "valid_to": datetime(2024, 2, 1)},
    ...                      {"city": "Oslo", "valid_from": datetime(2024, 2, 1), "valid_to": None}])
    >>> lanes(rows, ("city",), datetime(2024, 3, 1))[["value", "from", "to"]].values.tolist()
    [['Oslo', Timestamp('2024-01-01 00:00:00'), Timestamp('2024-03-01 00:00:00')]]
    """
    spans: list[dict[str, Any]] = []
    for column in columns:
        last: dict[str, Any] | None = None
        for _, row in versions.iterrows():
            value = "∅" if pd.isna(row[column]) else str(row[column])
            end = until if pd.isna(row["valid_to"]) else row["valid_to"]
            if last and last["value"] == value and last["to"] == row["valid_from"]:
                last["to"] = end
            else:
                last = {"column": column, "value": value, "from": row["valid_from"], "to": end}
                spans.append(last)
    made = pd.DataFrame(spans, columns=["column", "value", "from", "to"])
    return made.assign(**{name: pd.to_datetime(made[name]) for name in ("from", "to")})


def history(spans: pd.DataFrame) -> alt.Chart:
    """Spans as bars on a time line, one lane per column."""
    bars = (
        alt.Chart(spans)
        .mark_bar(height=24, stroke="white")
        .encode(
            x=alt.X("from:T", title="UTC"),
            x2="to:T",
            y=alt.Y("column:N", title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color("value:N", legend=None, scale=alt.Scale(scheme="tableau20")),
            tooltip=["column", "value", "from:T", "to:T"],
        )
    )
    labels = alt.Chart(spans).mark_text(align="left", dx=4, color="white", fontWeight="bold").encode(x="from:T", y="column:N", text="value:N")
    return (bars + labels).properties(height=40 * max(spans["column"].nunique(), 1) + 40)


def stacked(frame: pd.DataFrame, x: str, y: str, part: str) -> alt.Chart:
    """Bars per day, a colour per part."""
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(x=alt.X(f"yearmonthdate({x}):O", title="day (UTC)"), y=alt.Y(f"{y}:Q", title=y.replace("_", " ")), color=alt.Color(f"{part}:N", title=None), tooltip=[x, part, y])
    )


def measure(frame: pd.DataFrame, period: str, name: str, part: str | None) -> alt.Chart:
    """One measure by period; with `part`, a colour for each of its values."""
    plain = alt.Chart(frame).mark_bar().encode(x=alt.X(f"yearmonthdate({period}):O", title=period), y=alt.Y(f"{name}:Q", title=name))
    return plain.encode(color=alt.Color(f"{part}:N", title=part), tooltip=[period, part, name]) if part else plain.encode(tooltip=[period, name])
