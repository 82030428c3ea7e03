"""How long the steps of a pipeline may take in a day.  When it is used up, what can wait waits; data goes on."""

from datetime import datetime, timedelta

from runlog import LOG, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Session

OPTIONAL = ("measure", "sweep")  # never a load, a dimension or a fact: what comes in is taken in


def left_out(run: Run, step: str, title: str) -> StepResult | None:
    """What the log says of a step that waits for the next day, or None when it may run.

    Asks the server only for an optional step of a pipeline with a budget.
    """
    if run.pipeline.budget is None or step not in OPTIONAL:
        return None
    now = utc_now()
    spent = spent_today(run.session, run.pipeline.name, now)
    if spent < run.pipeline.budget:
        return None
    detail = {
        "reason": "budget",
        "spent_seconds": round(spent.total_seconds(), 1),
        "budget_seconds": int(run.pipeline.budget.total_seconds()),
        "again_at": str(midnight(now) + timedelta(days=1)),
    }
    return StepResult(title, now, status="skipped", detail=detail)


def spent_today(session: Session, pipeline: str, now: datetime) -> timedelta:
    """What the steps of a pipeline have taken since midnight UTC, added up: side by side counts twice, and so do failures."""
    found = session.sql(
        f"SELECT SUM(DATEDIFF('millisecond', started_at, ended_at)) AS spent FROM {LOG} "
        "WHERE pipeline = ? AND ended_at >= ? AND status IN ('succeeded', 'nothing new', 'failed')",
        params=[pipeline, midnight(now)],
    ).collect()
    return timedelta(milliseconds=int(found[0]["SPENT"] or 0))


def midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
