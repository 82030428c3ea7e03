"""What each tab of the console shows, besides the quarantine.  Only the chosen one asks the account for anything."""

from __future__ import annotations

from typing import Any

import acting
import drawing
import pandas as pd
import plan as plans
import reading
import streamlit as st
from header import FAILING
from plan import Plan
from shown import at, now, number, numbers, spelled, table, verbatim

GRID_RUNS = 25
WHAT_TO_DO = {
    "transient": "A lock, a lost connection or an internal error of the server. The next run makes the step again; nothing to do unless it stays.",
    "data": "Rows are to blame; nothing of the batch was written. Look at the rows, mend the source or the check, then Retry what failed.",
    "contract": "A table, column or privilege is missing; the error names the fix. After it: Retry what failed.",
    "guard": "Firn found rows that do not add up and wrote nothing. Press Reconcile in Accounts, and tell us.",
    "unknown": "None of the known kinds. Read the error; after a fix: Retry what failed.",
}


def runs(session: Any, pipeline: str, plan: Plan) -> None:
    press, idle = st.columns([4, 1], vertical_alignment="center")
    acting.button(press, "Run now", "run_now", acting.run_now, session, pipeline)
    found = reading.runs(session, pipeline, idle.toggle("Idle runs too", key="idle"))
    if found.empty:
        st.info("No run has moved a row yet. Put files under the sources' prefixes and wait for the graph, or press Run now.")
        return
    steps = reading.steps(session, pipeline, list(found["run_id"].head(GRID_RUNS)))
    st.altair_chart(drawing.grid(plan, steps, found.head(GRID_RUNS)), width="content")
    labels = {row["run_id"]: f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC · {row['status']} · {number(row['rows_read'])} rows read" for _, row in found.iterrows()}
    failing = st.session_state.get(FAILING)
    first = list(labels).index(failing) if failing in labels else 0
    run_id = st.selectbox("Run", list(labels), index=first, format_func=lambda chosen: labels[chosen], key="run_id")
    of_run = steps[steps["run_id"] == run_id] if run_id in set(steps["run_id"]) else reading.steps(session, pipeline, [run_id])
    newest = of_run.drop_duplicates("step", keep="last")  # a resumed run has a step's failure, and its success
    failures(session, run_id, newest[newest["status"] == "failed"])
    st.altair_chart(drawing.graph(plan, newest), width="stretch")
    told = of_run.drop(columns=["run_id", "ended_at", "error"]).rename(columns={"error_class": "error is"})
    table(numbers(told, ["seconds"]), red=of_run["status"] == "failed")


def failures(session: Any, run_id: str, failed: pd.DataFrame) -> None:
    for _, row in failed.iterrows():
        kind = row["error_class"] or "unknown"
        st.error(f"**{row['step']}** failed {at(row['ended_at'])} · {kind}. {WHAT_TO_DO.get(kind, WHAT_TO_DO['unknown'])}")
        verbatim(row["error"])
    if not failed.empty:
        acting.button(st, "Retry what failed", "resume", acting.resume, session, run_id)


def freshness(session: Any, pipeline: str, plan: Plan) -> None:
    found = reading.freshness(session, pipeline)
    if found["lets"].notna().sum() == 0:
        st.info("No file has arrived yet, or none has been loaded. Put one under a source's prefix; Setup says where bronze is.")
        return
    try:
        arrived = reading.arrivals(session, list(dict.fromkeys(found["source"]))).set_index("source")["newest_at"]
    except Exception:
        arrived = pd.Series(dtype="datetime64[ns]")
        st.warning("Bronze cannot be read, so what has arrived and waits for a load is not known. Setup says where it is looked for.")
    shown = pd.DataFrame(
        [
            {
                "what": row["target"],
                "state": state_of(row),
                "lag": "–" if pd.isna(row["lag_seconds"]) else spelled(row["lag_seconds"]),
                "allowed": "" if pd.isna(row["allowed_seconds"]) else spelled(row["allowed_seconds"]),
                "source": row["source"],
                "LETS": row["lets"],
                "newest arrival": arrived.get(row["source"]),
                "loads": waits(row, arrived.get(row["source"])),
                "last load": row["loaded_at"],
            }
            for _, row in found.iterrows()
        ]
    )
    late = shown[shown["state"] == "late"]
    if not late.empty:
        st.warning(
            f"Later than allowed: {', '.join(late['what'])}. Where loads are behind, a step fails or no run starts: see Runs. "
            "Where they have all that arrived, the source sends nothing: look at its extract and at the pipe (SYSTEM$PIPE_STATUS)."
        )
    elif found["allowed_seconds"].notna().any():
        st.success("Everything with a limit is within it.")
    table(shown, red=shown["state"] == "late")
    st.caption("Lag: from LETS, the newest arrival in bronze that a load has read, to now. Limits: `freshness:` in the pipeline file. The same in SQL: control.freshness")


def state_of(row: Any) -> str:
    return "late" if row["is_late"] else "no limit" if pd.isna(row["allowed_seconds"]) else "fresh"


def waits(row: Any, newest: Any) -> str:
    """Whether the loads have what arrived; bronze may be empty, as the sweep takes out what was loaded."""
    if newest is None or pd.isna(newest):
        return "nothing arrived" if pd.isna(row["lets"]) else "have all"
    return "behind" if pd.isna(row["lets"]) or newest > row["lets"] else "have all"


def accounts(session: Any, pipeline: str, plan: Plan) -> None:
    read = reading.accounts(session, pipeline)
    if read.empty:
        st.info("No step has moved a row yet. Each one that does is accounted for here, row by row.")
        return
    counts = [f"rows_{name}" for name in reading.COUNTS]
    wrong = reading.unbalanced(session, pipeline)
    if wrong.empty:
        st.success("read = written + duplicate + superseded + quarantined + held, in every step of the log.")
    else:
        st.error(f"{len(wrong)} steps do not add up: {', '.join(sorted(set(wrong['step'])))}. Rows are missing or counted twice: press Reconcile, and tell us.")
        table(numbers(wrong, [*counts, "rows_unexplained"]), red=pd.Series(True, index=wrong.index))
    st.subheader("The newest steps")
    read = numbers(read, [*counts, "rows_unexplained"])
    table(read, red=read["rows_unexplained"] != 0)
    st.subheader("Bucket ↔ ledger ↔ bronze ↔ silver ↔ gold")
    acting.button(st, "Reconcile", "reconcile", acting.reconcile, session, pipeline)
    sides = reading.reconciliation(session, pipeline)
    if sides.empty:
        st.info("Never compared so far. Reconcile counts both sides of every movement, changes nothing, and names what differs.")
        return
    sides = numbers(sides, ["expected_count", "found_count", "difference_count"])
    st.caption(f"Compared {at(sides.iloc[0]['reconciled_at'])}. A difference names its first rows in detail.")
    differs = sides["difference_count"].fillna(0) != 0
    shown = sides.drop(columns=["reconciled_at"]).rename(columns={"expected_count": "expected", "found_count": "found", "difference_count": "difference"})
    table(shown, red=differs)


def history(session: Any, pipeline: str, plan: Plan) -> None:
    if not plan.keys:
        st.info("This pipeline has no dimension, so there is no history to show.")
        return
    choice, *boxes = st.columns(1 + max(len(key) for _, key in plan.keys.values()))
    dimension = choice.selectbox("Dimension", list(plan.keys), key="dimension")
    source, kinds = plan.keys[dimension]
    typed = {name: box.text_input(name, key=f"key_{name}") for box, name in zip(boxes, kinds, strict=False)}
    if not all(typed.values()):
        st.info(f"Type the {' and '.join(kinds)} of one {dimension.removeprefix('dim_')} to see its versions and the events behind them.")
        if not (some := reading.newest_keys(session, dimension, list(kinds))).empty:
            st.caption("Some that changed last:")
            table(some, width="content")
        return
    key = {name: plans.typed(value, kinds[name]) for name, value in typed.items()}
    if unfit := [name for name, kind in kinds.items() if plans.is_number(kind) and isinstance(key[name], str)]:
        st.warning(f"{unfit[0]} is a number; what is typed is none.")
        return
    versions = reading.versions(session, dimension, key)
    events = reading.events(session, source, key)
    if versions.empty:
        st.warning(f"{dimension} has no version of this key. If it should: is a row of it in quarantine below, or is its file not there yet?")
    else:
        if plan.tracked[dimension]:
            spans = drawing.lanes(versions, plan.tracked[dimension], drawing.end_of(versions, now()))
            st.altair_chart(drawing.history(spans, events), width="stretch")
        st.subheader(f"{len(versions)} versions in gold.{dimension}")
        table(versions)
    st.subheader(f"{len(events)} events behind them in silver.{source}")
    table(events)
    held = reading.quarantined_of(session, pipeline, source, key)
    if not held.empty:
        st.subheader("Its rows that failed a check")
        table(held)


def kpis(session: Any, pipeline: str, plan: Plan) -> None:
    if not plan.kpis:
        st.info("This pipeline has no KPI: `kpis:` in its file.")
        return
    name = st.selectbox("KPI", list(plan.kpis), key="kpi")
    found = reading.kpi(session, name)
    if found.empty:
        st.info("Empty so far: its fact has no rows yet. See Runs.")
        return
    period = plan.kpis[name].get("period")
    parts = [column for column in plan.kpis[name].get("by") or () if column in found]
    measures = [measure for measure in plan.kpis[name].get("measures") or {} if measure in found]
    part = parts[0] if len(parts) == 1 and found[parts[0]].nunique() <= 12 else None
    if period in found and (part or not parts):
        shown = numbers(found, measures)
        places = st.columns(min(len(measures), 3) or 1)
        for i, measure in enumerate(measures):
            places[i % len(places)].altair_chart(drawing.measure(shown, period, measure, part), width="stretch")
    table(numbers(found, measures))
    st.caption(f"gold.{name}, the table that BI reads; periods are UTC." + (f" The first {reading.KPI_ROWS} rows." if len(found) == reading.KPI_ROWS else ""))


def cost(session: Any, pipeline: str, plan: Plan) -> None:
    days = reading.seconds_by_day(session, pipeline)
    if days.empty:
        st.info("No step has run in the last 30 days.")
        return
    days = numbers(days, ["seconds", "runs"])
    st.altair_chart(drawing.stacked(days, "day", "seconds", "step", "seconds"), width="stretch")
    by_step = days.groupby("step", as_index=False)[["seconds", "runs"]].sum().sort_values("seconds", ascending=False)
    by_step["seconds per run"] = by_step["seconds"] / by_step["runs"]
    by_step["share"] = (100 * by_step["seconds"] / by_step["seconds"].sum()).map("{:.0f}%".format)
    table(by_step.round(2))
    st.caption("Seconds of the steps in the last 30 days, from control.pipeline_log.")
    st.subheader("Credits")
    spent = reading.credits_by_step(session, pipeline)
    if spent is None:
        st.info(
            "The view watch.cost_by_step is not there or not granted. It is made from the account's QUERY_HISTORY by setup_sql/13_cost.sql; "
            "the page shows it once the application may read it: GRANT SELECT ON VIEW … TO APPLICATION, and USAGE on its database and schema."
        )
    elif spent.empty:
        st.info("No statement of this pipeline is in the account's history yet; the history is up to 45 minutes late, its credits up to 8 hours.")
    else:
        table(numbers(spent, ["runs", "statements", "seconds", "compute_credits", "cloud_credits"]).round(4))
        st.caption("Of a warehouse's statements only; what serverless tasks are billed is in watch.cost_by_task.")


def setup(session: Any, pipeline: str, plan: Plan) -> None:
    privileges()
    bound = reading.binding(session).iloc[0]
    st.subheader("Bronze")
    table(pd.DataFrame([{"database": bound["database_name"], "schema": bound["schema_name"], "bound_at": bound["bound_at"]}]))
    st.caption("Another place: CALL config.bind_bronze('database', 'schema'). Its grants: setup_sql/07_grants_to_app.sql")
    st.subheader("Tasks")
    found = reading.tasks(session)
    if found.empty:
        st.warning("No task exists, so nothing runs by itself: apply the pipeline file again, CALL config.apply_packaged('…').")
        return
    stopped = found["state"].str.lower() != "started"
    if stopped.any():
        st.warning(f"{stopped.sum()} of {len(found)} tasks are suspended: nothing runs by itself. ALTER TASK tasks.… RESUME, or apply the pipeline file again.")
    else:
        st.success(f"All {len(found)} tasks are started.")
    table(found, red=stopped)


def privileges() -> None:
    """Inside an application: which of the manifest's privileges the account has not granted, and a button that asks for them."""
    try:
        from snowflake import permissions
    except ImportError:
        st.caption("Privileges are asked for here when the page runs inside the application; on this machine there are none to ask for.")
        return
    st.subheader("Privileges")
    missing = permissions.get_missing_account_privileges(list(PRIVILEGES))
    table(pd.DataFrame([{"privilege": name, "granted": "no" if name in missing else "yes", "for": why} for name, why in PRIVILEGES.items()]))
    if missing:
        st.error(f"Not granted: {', '.join(missing)}. Without them nothing runs by itself.")
        st.button("Ask for them", key="privileges", on_click=permissions.request_account_privileges, args=(missing,))


PRIVILEGES = {"EXECUTE TASK": "runs the steps on the schedule", "EXECUTE MANAGED TASK": "runs them without a warehouse of yours"}
