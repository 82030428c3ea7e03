"""The console's charts: a frame in, an Altair chart out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd
from plan import COLUMNS, Plan

COLOURS = {"succeeded": "#2e7d32", "nothing new": "#cfd8dc", "failed": "#c62828", "skipped": "#f9a825", "not yet": "#eceff1"}
SERIES = ("#0b6e99", "#e08e1b", "#6b9e3f", "#8a5fa8", "#c4596b", "#5bb0c4", "#a8824e", "#7f8c8d", "#d4b13f", "#4d6fb3", "#b07aa1", "#86bcb6")
ROW_HEIGHT, CELL_WIDTH, CELL_HEIGHT, CHART_HEIGHT, FEWEST_CELLS = 66, 32, 20, 240, 12
LETTER = 0.009  # of the time line's width


def label(name: str) -> str:
    """A column's name as an axis or tooltip says it.  The tooltip's own words (title, image) are lower case and so never meant.

    >>> label("row_count"), label("image")
    ('Row count', 'Image')
    """
    return name.replace("_", " ").capitalize()


def tips(*fields: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(field, title=label(field.partition(":")[0])) for field in fields]


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
            color=alt.Color("status:N", scale=status_scale(), legend=None),
            tooltip=tips("step", "status", "counts"),
        )
    )
    ink = alt.condition("datum.status == 'not yet' || datum.status == 'nothing new' || datum.status == 'skipped'", alt.value("#263238"), alt.value("white"))
    middle = alt.X("x:Q", scale=alt.Scale(domain=[-0.5, len(COLUMNS) - 0.5]), axis=None)
    titles = alt.Chart(boxes).mark_text(dy=-7, fontWeight="bold", limit=215).encode(x=middle, y=alt.Y("y:Q", scale=down), text="title", color=ink)
    counts = alt.Chart(boxes).mark_text(dy=9, fontSize=10, limit=215).encode(x=middle, y=alt.Y("y:Q", scale=down), text="counts", color=ink)
    return (edges + rectangles + titles + counts).properties(height=ROW_HEIGHT * (deepest + 1)).configure_view(strokeWidth=0)


def grid(plan: Plan, steps: pd.DataFrame, runs: pd.DataFrame) -> alt.Chart:
    """Step × run, newest run on the right; the colour is the status of the step's newest try."""
    started = runs.set_index("run_id")["started_at"]
    tries = steps[steps["run_id"].isin(started.index)].drop_duplicates(["run_id", "step"], keep="last")
    cells = tries.assign(run=tries["run_id"].map(started).dt.strftime("%m-%d %H:%M:%S"), counts=[counts_of(row) for _, row in tries.iterrows()])
    order = [step.name for step in plan.steps]
    order += sorted(set(cells["step"]) - set(order))  # replays, and steps the pipeline no longer has
    blanks = [" " * n for n in range(1, FEWEST_CELLS + 1 - cells["run"].nunique())]  # so that two runs are two cells and not two walls
    return (
        alt.Chart(cells)
        .mark_rect(stroke="white", strokeWidth=2, cornerRadius=3)
        .encode(
            x=alt.X("run:O", title="run started (UTC)", scale=alt.Scale(domain=[*sorted(set(cells["run"])), *blanks]), axis=alt.Axis(labelAngle=-50, labelOverlap=False, titleAnchor="start")),
            y=alt.Y("step:N", title=None, sort=order, axis=alt.Axis(labelLimit=260)),
            color=alt.Color("status:N", scale=status_scale(), legend=alt.Legend(title=None, orient="top")),
            tooltip=tips("step", "run", "status", "counts", "seconds"),
        )
        .properties(width=CELL_WIDTH * max(cells["run"].nunique(), FEWEST_CELLS), height=CELL_HEIGHT * len(set(cells["step"])), autosize=alt.AutoSizeParams(type="pad"))
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


def end_of(versions: pd.DataFrame, now: datetime) -> datetime:
    """Where the bar of what is current ends: a little after the last change, so that years of quiet do not hide the changes.

    >>> end_of(pd.DataFrame([{"valid_from": datetime(2024, 1, 1)}, {"valid_from": datetime(2024, 1, 11)}]), datetime(2026, 1, 1))
    Timestamp('2024-01-14 00:00:00')
    """
    first, last = pd.Timestamp(versions["valid_from"].min()), pd.Timestamp(versions["valid_from"].max())
    return min(pd.Timestamp(now), last + max(0.3 * (last - first), pd.Timedelta(days=1)))


def history(spans: pd.DataFrame, events: pd.DataFrame) -> alt.Chart:
    """Spans as bars on a time line, one lane per column, and a lane with the events behind them."""
    first, last = spans["from"].min(), spans["to"].max()
    room = (spans["to"] - spans["from"]) / (last - first)
    fits = [value if len(value) * LETTER < share else "" for value, share in zip(spans["value"], room, strict=True)]
    spans = spans.assign(says=fits)
    lanes_ = [*dict.fromkeys(spans["column"]), "events"]
    across = alt.X("from:T", title="UTC; what is current goes on beyond the edge", scale=alt.Scale(domain=[first.isoformat(), last.isoformat()]))
    down = alt.Y("column:N", title=None, sort=lanes_, scale=alt.Scale(domain=lanes_), axis=alt.Axis(labelLimit=220))
    bars = (
        alt.Chart(spans)
        .mark_bar(height=26, stroke="white", strokeWidth=2, cornerRadius=3)
        .encode(
            x=across,
            x2="to:T",
            y=down,
            color=alt.Color("value:N", legend=None, scale=alt.Scale(range=list(SERIES))),
            tooltip=tips("column:N", "value:N", "from:T", "to:T"),
        )
    )
    labels = alt.Chart(spans).mark_text(align="left", dx=6, color="white", fontWeight="bold").encode(x=across, y=down, text="says:N")
    seen = events[(events["effective_at"] >= first) & (events["effective_at"] <= last)] if "effective_at" in events else events.iloc[:0]
    said = pd.DataFrame({"at": seen.get("effective_at"), "column": "events", "kind": ["tombstone" if gone else "event" for gone in seen.get("is_deleted", [])]})
    marks = (
        alt.Chart(said)
        .mark_tick(thickness=3, height=16)
        .encode(
            x=alt.X("at:T"),
            y=down,
            color=alt.condition("datum.kind == 'tombstone'", alt.value(COLOURS["failed"]), alt.value("#455a64")),
            tooltip=tips("kind:N", "at:T"),
        )
    )
    return (bars + labels + marks).properties(height=40 * len(lanes_) + 20)


def stacked(frame: pd.DataFrame, x: str, y: str, part: str, title: str) -> alt.Chart:
    """Bars per day, a colour per part: the largest parts by name, the others together."""
    largest = frame.groupby(part)[y].sum().sort_values(ascending=False).index[: len(SERIES) - 1]
    named = frame.assign(**{part: frame[part].where(frame[part].isin(largest), "others"), x: pd.to_datetime(frame[x]).dt.strftime("%Y-%m-%d")})
    told = named.groupby([x, part], as_index=False)[y].sum()
    order = [name for name in [*largest, "others"] if name in set(told[part])]
    return (
        alt.Chart(told)
        .mark_bar(size=18)
        .encode(
            x=alt.X(f"{x}:T", title="day (UTC)", axis=alt.Axis(format="%d %b", labelAngle=0, tickCount="day"), scale=alt.Scale(domain=days_of(told[x]))),
            y=alt.Y(f"{y}:Q", title=title),
            color=alt.Color(f"{part}:N", title=None, sort=order, scale=alt.Scale(domain=order, range=list(SERIES)), legend=alt.Legend(labelLimit=260)),
            tooltip=tips(f"{x}:T", f"{part}:N", f"{y}:Q"),
        )
        .properties(height=CHART_HEIGHT)
    )


def days_of(days: pd.Series) -> list[str]:
    """The time line's ends: a week at least, so that one day is a bar and not a wall.

    >>> days_of(pd.Series(["2024-03-10", "2024-03-11"]))
    ['2024-03-05', '2024-03-12']
    """
    last = pd.Timestamp(days.max()) + pd.Timedelta(days=1)
    first = min(pd.Timestamp(days.min()) - pd.Timedelta(days=1), last - pd.Timedelta(days=7))
    return [f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"]


def measure(frame: pd.DataFrame, period: str, name: str, part: str | None) -> alt.Chart:
    """One measure by period; with `part`, a colour for each of its values."""
    frame = frame.assign(**{period: pd.to_datetime(frame[period]).dt.strftime("%Y-%m-%d")})
    plain = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(f"{period}:O", title=None, axis=alt.Axis(labelAngle=-40 if frame[period].nunique() > 4 else 0)),
            y=alt.Y(f"{name}:Q", title=label(name)),
            tooltip=tips(f"{period}:O", *([f"{part}:N"] if part else []), f"{name}:Q"),
        )
        .properties(height=CHART_HEIGHT)
    )
    colours = alt.Scale(range=list(SERIES))
    return plain.encode(color=alt.Color(f"{part}:N", title=None, scale=colours)) if part else plain.encode(color=alt.value(SERIES[0]))
