"""Who is at work on a pipeline.  The turn itself is the lock on the control row, held by a step's transaction; nobody else
can read who holds it, so each run says in the log when it begins and when it has ended, in rows that commit at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import runlog
from runlog import LOG, StepResult
from snowflake.snowpark import Session

BEGUN, ENDED = "begun", "ended"


@dataclass(frozen=True)
class Holder:
    """A run that has begun and not ended."""

    run_id: str
    what: str
    by: str
    begun_at: datetime
    last_step: str | None
    last_at: datetime | None

    def __str__(self) -> str:
        seen = f"; its last word: {self.last_step} at {self.last_at:%H:%M:%S}" if self.last_step and self.last_at else ""
        return f"run {self.run_id} ({self.what}, by {self.by}, since {self.begun_at:%Y-%m-%d %H:%M:%S} UTC{seen})"


class TurnTaken(RuntimeError):
    """Another run is writing this pipeline's tables and did not end in time; nothing was written by this one."""

    error_class = "transient"

    def __init__(self, pipeline: str, step: str, waited_seconds: float, holders: list[Holder]) -> None:
        self.pipeline, self.step, self.waited_seconds, self.holders = pipeline, step, waited_seconds, holders
        if holders:
            who = f"{holders[0]}" + "".join(f", or {other}" for other in holders[1:])
            ways = f"See how far it is: SELECT * FROM control.pipeline_log WHERE run_id = '{holders[0].run_id}'."
        else:
            who = "a session that does not say so in the log"
            ways = "Find it: SHOW LOCKS IN ACCOUNT; end it: SELECT SYSTEM$ABORT_TRANSACTION(…)."
        super().__init__(
            f"{pipeline}: {step} waited {waited_seconds:.0f} s for its turn and stopped; nothing was written. One run writes at a "
            f"time, and the turn has {who}. {ways} Call again when it is over, or wait longer: ALTER SESSION SET LOCK_TIMEOUT = …"
        )


def begin(session: Session, pipeline: str, run_id: str, spec_version: int, *, what: str, by: str, now: datetime) -> None:
    """Says that a run has begun: `what` is `run` or one step, `by` is `task` or `call`."""
    result = StepResult("begin", now, status=BEGUN, detail={"what": what, "by": by})
    runlog.record(session, result, pipeline=pipeline, run_id=run_id, spec_version=spec_version, now=now)


def end(session: Session, pipeline: str, run_id: str, spec_version: int, *, detail: dict[str, Any], now: datetime) -> None:
    """Says that a run has ended, and how."""
    result = StepResult("finish", now, status=ENDED, detail=detail)
    runlog.record(session, result, pipeline=pipeline, run_id=run_id, spec_version=spec_version, now=now)


def holders(session: Session, pipeline: str, run_id: str) -> list[Holder]:
    """Other runs that have begun and not ended, the one heard of last first; one that died is among them for a day."""
    found = session.sql(
        "SELECT run_id, MAX(IFF(status = 'begun', started_at, NULL)) AS begun_at, "
        "MAX(IFF(status = 'begun', detail:what::VARCHAR, NULL)) AS what, MAX(IFF(status = 'begun', detail:by::VARCHAR, NULL)) AS who, "
        "MAX_BY(step, ended_at) AS last_step, MAX(ended_at) AS last_at "
        f"FROM {LOG} WHERE pipeline = ? AND run_id <> ? GROUP BY run_id "
        "HAVING MAX(IFF(status = 'begun', started_at, NULL)) > COALESCE(MAX(IFF(status = 'ended', started_at, NULL)), '1900-01-01'::TIMESTAMP_NTZ) "
        "ORDER BY MAX(ended_at) DESC LIMIT 3",
        params=[pipeline, run_id],
    ).collect()
    return [
        Holder(row["RUN_ID"], row["WHAT"], row["WHO"], row["BEGUN_AT"], None if row["LAST_STEP"] == "begin" else row["LAST_STEP"], row["LAST_AT"])
        for row in found
    ]
