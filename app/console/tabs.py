"""What each tab of the console shows.  Only the chosen one asks the account for anything."""

from __future__ import annotations

import re
from typing import Any

import drawing
import pandas as pd
import plan as plans
import reading
import streamlit as st
from plan import Plan

GRID_RUNS = 25


def header(session: Any, pipeline: str) -> None:
    """How it is, in one line; below it the latest thing that is wrong."""
    day = reading.summary(session, pipeline)
    last, rows, bad, failed, behind = st.columns(5)
    failures = reading.open_failures(session, pipeline)
    state = "none yet" if not day["status"] else "failing" if not failures.empty else "well"
    last.metric("Runs", state, f"last {ago(day['updated_at'])}" if day["status"] else None, delta_color="off", delta_arrow="off")
    rows.metric("Rows read, 24 h", number(day["rows_read"]))
    bad.metric("Quarantined, 24 h", f"{day['quarantined'] / day['rows_read']:.1%}" if day["rows_read"] else "–", number(day["quarantined"]) + " rows", delta_color="off", delta_arrow="off")
    failed.metric("Failed steps, 24 h", number(day["failed"]))
    behind.metric("Oldest LETS", ago(day["oldest_lets"]) or "–")
    if not failures.empty:
        worst = failures.iloc[0]
        others = f" ({len(failures) - 1} more steps fail)" if len(failures) > 1 else ""
        st.error(f"**{worst['step']}** failed {ago(worst['ended_at'])}{others}: {first_line(worst['error'])}")


def runs(session: Any, pipeline: str, plan: Plan) -> None:
    buttons, idle = st.columns([3, 1], vertical_alignment="center")
    if buttons.button("Run now", key="run_now", type="primary"):
        done(lambda: reading.called(session, "core.run_pipeline", pipeline))
    found = reading.runs(session, pipeline, idle.toggle("Idle runs too", key="idle"))
    if found.empty:
        st.info("No run has moved a row yet. Put files under the sources' prefixes, or press Run now.")
        return
    steps = reading.steps(session, pipeline, list(found["run_id"].head(GRID_RUNS)))
    st.altair_chart(drawing.grid(plan, steps, found.head(GRID_RUNS)), width="stretch")
    labels = {row["run_id"]: f"{row['started_at']:%Y-%m-%d %H:%M:%S} · {row['status']} · {number(row['rows_read'])} rows" for _, row in found.iterrows()}
    run_id = st.selectbox("Run (UTC)", list(labels), format_func=lambda chosen: labels[chosen], key="run_id")
    of_run = steps[steps["run_id"] == run_id] if run_id in set(steps["run_id"]) else reading.steps(session, pipeline, [run_id])
    st.altair_chart(drawing.graph(plan, of_run), width="stretch")
    newest = of_run.drop_duplicates("step", keep="last")  # a resumed run has a step's failure, and its success
    failed = newest[newest["status"] == "failed"]
    for _, row in failed.iterrows():
        st.error(f"**{row['step']}** ({row['error_class'] or 'unknown'}): {row['error']}")
    if not failed.empty and st.button("Retry what failed", key="resume"):
        done(lambda: reading.called(session, "core.resume", run_id))
    table(of_run.drop(columns=["run_id"]))


def freshness(session: Any, pipeline: str, plan: Plan) -> None:
    found = reading.freshness(session, pipeline)
    seen = found[found["updated_at"].notna()]
    if seen.empty:
        st.info("No step has taken a batch yet.")
        return
    rows = []
    for _, row in found.iterrows():
        allowed = plan.freshness_seconds.get(str(row["step"]).partition(" ")[2])
        lag = None if pd.isna(row["updated_at"]) else (reading.now() - row["updated_at"]).total_seconds()
        late = bool(allowed and (lag is None or lag > allowed))
        rows.append(
            {
                "step": row["step"],
                "state": "late" if late else ("fresh" if allowed else "no limit"),
                "last batch": row["updated_at"],
                "ago": ago(row["updated_at"]),
                "allowed": spelled(allowed) if allowed else "",
                "LETS": row["lets"],
                "rows of the last batch": row["rows_read"],
            }
        )
    late_steps = [row["step"] for row in rows if row["state"] == "late"]
    if late_steps:
        st.warning(f"Later than allowed: {', '.join(late_steps)}. Nothing new came in, or a step before it fails: see Runs.")
    table(pd.DataFrame(rows))
    st.caption("Limits are those of `freshness:` in the pipeline file. LETS: the newest arrival in bronze that a load has read. Times are UTC.")


def quarantine(session: Any, pipeline: str, plan: Plan) -> None:
    checks = reading.waiting_by_check(session, pipeline)
    days = reading.quarantined_by_day(session, pipeline)
    if not days.empty:
        st.altair_chart(drawing.stacked(days, "day", "row_count", "source"), width="stretch")
    if checks.empty:
        st.success("No row waits.")
        return
    table(checks)
    left, right = st.columns(2)
    source = left.selectbox("Source", sorted(checks["source"].unique()), key="source")
    every = "every check"
    check = right.selectbox("Check", [every, *sorted(checks.loc[checks["source"] == source, "check_name"].unique())], key="check")
    chosen = None if check == every else check
    waiting = reading.waiting_rows(session, pipeline, source, chosen)
    table(waiting)
    if len(waiting) == reading.ROWS:
        st.caption(f"The newest {reading.ROWS} rows; the others: SELECT * FROM control.quarantine WHERE status = 'waiting'")
    look, again = st.columns(2)
    if look.button("What would pass now?", key="try_replay"):
        done(lambda: reading.called(session, "core.replay_quarantine", source, chosen, True), stays=True)
    if again.button("Replay", key="replay", type="primary"):
        done(lambda: reading.called(session, "core.replay_quarantine", source, chosen, False))
    with st.expander("Correct a row"):
        row = st.selectbox("Row", waiting["quarantine_id"], key="row")
        column, value = st.columns(2)
        name = column.text_input("Column, as received", key="column")
        new = value.text_input("Value, as it should have been received", key="value")
        if st.button("Correct", key="correct", disabled=not (row and name)):
            done(lambda: reading.called(session, "core.correct_quarantine", row, {name: new}))


def accounts(session: Any, pipeline: str, plan: Plan) -> None:
    found = reading.runs(session, pipeline, False)
    if found.empty:
        st.info("No run has moved a row yet.")
        return
    steps = reading.steps(session, pipeline, list(found["run_id"].head(GRID_RUNS)))
    read = steps[steps["status"] == "succeeded"].copy()
    counts = [f"rows_{name}" for name in reading.COUNTS]
    read[counts] = read[counts].fillna(0).astype("int64")
    read["difference"] = read["rows_read"] - read[counts[1:]].sum(axis=1)
    wrong = read[read["difference"] != 0]
    if wrong.empty:
        st.success(f"read = written + duplicate + superseded + quarantined + held in all of the last {len(read)} steps that moved rows.")
    else:
        st.error(f"{len(wrong)} steps do not add up: {', '.join(sorted(set(wrong['step'])))}")
    table(read[["started_at", "step", *counts, "difference", "run_id"]].sort_values("started_at", ascending=False))
    if st.button("Reconcile bucket ↔ ledger ↔ bronze ↔ silver ↔ gold", key="reconcile"):
        done(lambda: reading.called(session, "core.reconcile", pipeline), stays=True)


def history(session: Any, pipeline: str, plan: Plan) -> None:
    if not plan.keys:
        st.info("This pipeline has no dimension.")
        return
    choice, *boxes = st.columns(1 + max(len(key) for _, key in plan.keys.values()))
    dimension = choice.selectbox("Dimension", list(plan.keys), key="dimension")
    source, kinds = plan.keys[dimension]
    typed = {name: box.text_input(name, key=f"key_{name}") for box, name in zip(boxes, kinds, strict=False)}
    if not all(typed.values()):
        st.info(f"Type the key of one {dimension.removeprefix('dim_')} to see its versions and the events behind them.")
        return
    key = {name: plans.typed(value, kinds[name]) for name, value in typed.items()}
    versions = reading.versions(session, dimension, key)
    if versions.empty:
        st.warning(f"{dimension} has no version of this key. If it should: is a row of it in quarantine below, or is its file not there yet?")
    elif plan.tracked[dimension]:
        spans = drawing.lanes(versions, plan.tracked[dimension], reading.now())
        st.altair_chart(drawing.history(spans), width="stretch")
        table(versions)
    else:
        table(versions)
    st.subheader("Events")
    table(reading.events(session, source, key))
    held = reading.quarantined_of(session, pipeline, source, key)
    if not held.empty:
        st.subheader("Rows that failed a check")
        table(held)


def kpis(session: Any, pipeline: str, plan: Plan) -> None:
    if not plan.kpis:
        st.info("This pipeline has no KPI.")
        return
    name = st.selectbox("KPI", list(plan.kpis), key="kpi")
    found = reading.kpi(session, name)
    if found.empty:
        st.info("Empty so far: its fact has no rows yet.")
        return
    period = plan.kpis[name].get("period")
    parts = [column for column in plan.kpis[name].get("by") or () if column in found]
    for measure in [measure for measure in plan.kpis[name].get("measures") or {} if measure in found] if period in found else []:
        part = parts[0] if parts and found[parts[0]].nunique() <= 20 else None
        shown = found.assign(**{measure: pd.to_numeric(found[measure], errors="coerce")})
        if part is None:
            shown = shown.groupby(period, as_index=False)[measure].sum() if not parts else None
        if shown is not None:
            st.altair_chart(drawing.measure(shown, period, measure, part), width="stretch")
    table(found)


def cost(session: Any, pipeline: str, plan: Plan) -> None:
    days = reading.seconds_by_day(session, pipeline)
    if days.empty:
        st.info("No step has run yet.")
        return
    days = days.assign(seconds=pd.to_numeric(days["seconds"]))
    st.altair_chart(drawing.stacked(days, "day", "seconds", "step"), width="stretch")
    table(days.groupby("step", as_index=False)[["seconds", "runs"]].sum().sort_values("seconds", ascending=False))
    st.caption("Seconds of the steps in the last 30 days, from control.pipeline_log. Credits are in the account's own views, which an application does not see unless they are granted.")


def setup(session: Any, pipeline: str, plan: Plan) -> None:
    bound = reading.binding(session).iloc[0]
    st.markdown(f"Bronze is read from **{bound['database_name']}.{bound['schema_name']}**" + ("" if pd.isna(bound["bound_at"]) else f", bound {bound['bound_at']:%Y-%m-%d %H:%M} UTC"))
    st.caption("Another place: CALL config.bind_bronze('database', 'schema'). Its grants: setup_sql/07_grants_to_app.sql")
    found = reading.tasks(session)
    stopped = found[found["state"].str.lower() != "started"] if "state" in found else found
    if found.empty:
        st.info("No task exists: apply the pipeline file again.")
    elif not stopped.empty:
        st.warning(f"{len(stopped)} of {len(found)} tasks are suspended. To start them: ALTER TASK tasks.… RESUME, or apply the pipeline file again.")
    table(found)


def table(frame: pd.DataFrame) -> None:
    """A frame without its index; times to the second."""
    times = {name: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss") for name in frame.select_dtypes("datetime")}
    st.dataframe(frame, hide_index=True, width="stretch", column_config=times)


def done(movement: Any, stays: bool = False) -> None:
    """Does what a button asks for, and shows what it answered or why it did not work."""
    try:
        answer = movement()
    except Exception as error:
        st.error(said(str(error)))
        return
    st.json(answer) if stays else st.toast("Done")
    if not stays:
        st.session_state["answer"] = answer


def number(value: Any) -> str:
    return f"{int(value or 0):,}".replace(",", " ")


def first_line(text: Any) -> str:
    return str(text or "").strip().split("\n")[0]


def said(text: str) -> str:
    """What an error of a procedure says, without the way it took through the code.

    >>> said("100357: Python Interpreter Error:\\nTraceback\\n  File a, line 1\\nsteps.Bad: no such thing\\n in function F with handler f")
    'no such thing'
    >>> said("2003: no table\\nmore")
    '2003: no table'
    """
    if "Traceback" not in text:
        return first_line(text)
    body = re.sub(r"\s+in function \S+ with handler \S+\s*$", "", text)
    found = re.findall(r"^[A-Za-z_][\w.]*: (?s:.*?)(?=^[A-Za-z_][\w.]*: |\Z)", body.partition("Traceback")[2], re.MULTILINE)
    return found[-1].partition(": ")[2].strip() if found else first_line(text)


def spelled(seconds: float) -> str:
    """A span in its largest unit.

    >>> spelled(90), spelled(7200)
    ('1 min', '2 h')
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def ago(moment: Any) -> str | None:
    return None if moment is None or pd.isna(moment) else f"{spelled((reading.now() - moment).total_seconds())} ago"
