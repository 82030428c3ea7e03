"""The top of the page: how the pipeline is, in numbers, and below them whatever is wrong."""

from __future__ import annotations

from typing import Any

import pandas as pd
import reading
import streamlit as st
from plan import COLUMNS, Plan
from shown import ago, at, now, number, spelled, table, verbatim

UNMOVED_SECONDS, UNMOVED_SCHEDULES = 600, 10  # since the last run, before the page says that none starts


FAILING = "failing"  # the run of the newest error, which Runs shows first


def header(session: Any, pipeline: str, plan: Plan) -> None:
    """Five numbers, then the newest error in full, then what else is open."""
    day = reading.summary(session, pipeline)
    failures = known(reading.open_failures(session, pipeline), plan)
    fresh = reading.freshness(session, pipeline)
    last, rows, bad, failed, behind = st.columns(5)
    state = "none yet" if not day["status"] else "failing" if not failures.empty else str(day["status"])
    quiet = {"delta_color": "off", "delta_arrow": "off"}
    last.metric("Last run", state, ago(day["updated_at"]) if day["status"] else None, **quiet)
    rows.metric("Rows read, 24 h", number(day["rows_read"]))
    share = f"{day['quarantined'] / day['rows_read']:.1%}" if day["rows_read"] else "–"
    bad.metric("Quarantined, 24 h", share, f"{number(day['quarantined'])} rows", **quiet)
    failed.metric("Failed runs, 24 h", number(day["failed_runs"]))
    lag, whose = worst(fresh)
    behind.metric("Worst LETS lag", lag, whose, **quiet)
    st.session_state[FAILING] = None if failures.empty else failures.iloc[0]["run_id"]
    wrong(session, pipeline, plan, day, failures)


def known(failures: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Without the steps that the pipeline no longer has, and so cannot mend."""
    names = {step.name for step in plan.steps}
    gone = [str(step).partition(" ")[0] in COLUMNS and step not in names for step in failures["step"]]
    return failures[[not one for one in gone]] if len(failures) else failures


def worst(fresh: pd.DataFrame) -> tuple[str, str | None]:
    """The lag that matters most, and whose it is: what is late comes first."""
    seen = fresh[fresh["lag_seconds"].notna()]
    if seen.empty:
        return "–", None
    row = seen.iloc[0]
    allowed = "" if pd.isna(row["allowed_seconds"]) else f", {spelled(row['allowed_seconds'])} allowed"
    return spelled(row["lag_seconds"]), f"{row['target']}{allowed}"


def wrong(session: Any, pipeline: str, plan: Plan, day: dict[str, Any], failures: pd.DataFrame) -> None:
    if not failures.empty:
        newest = failures.iloc[0]
        others = f" {len(failures) - 1} more steps fail: {', '.join(failures['step'].iloc[1:6])}." if len(failures) > 1 else ""
        st.error(f"**{newest['step']}** failed {at(newest['ended_at'])}.{others} What to do: Runs.")
        verbatim(str(newest["error"] or "").strip())
    alerts = reading.open_alerts(session, pipeline)
    others = alerts[alerts["kind"] != "failure"]
    if not others.empty:
        with st.expander(f"{len(others)} open {'alert' if len(others) == 1 else 'alerts'}: {', '.join(sorted(set(others['kind'].str.replace('_', ' '))))}", icon="⚠️", expanded=len(others) <= 3):
            table(others.rename(columns={"happened_at": "since_at"}))
    patience = max(UNMOVED_SECONDS, UNMOVED_SCHEDULES * plan.schedule_seconds)
    if day["status"] and pd.notna(day["updated_at"]) and (now() - day["updated_at"]).total_seconds() > patience:
        st.warning(f"No run since {at(day['updated_at'])}, though one is due every {spelled(plan.schedule_seconds)}. Are the tasks suspended? See Setup.")
