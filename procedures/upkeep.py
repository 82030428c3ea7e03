"""What a run does besides moving rows: it opens, and closes with a word on how it went."""

from typing import Any

import alerting
import runlog
import turns
import watermark
from runs import Run, utc_now


def begin(run: Run, what: str = "run") -> dict[str, Any]:
    """Says in the log that the run has begun, and puts its id where a reader looks for what is going on."""
    if what == "run":
        set_status(run, "running")
    turns.begin(run.session, run.pipeline.name, run.run_id, run.spec_version, what=what, by=run.by, now=utc_now())
    return {"run_id": run.run_id, "pipeline": run.pipeline.name, "status": "running"}


def set_status(run: Run, status: str) -> None:
    run.session.sql(
        f"UPDATE {watermark.CONTROL} SET status = ?, run_id = ?, updated_at = ? WHERE pipeline = ? AND step = 'pipeline'",
        params=[status, run.run_id, utc_now(), run.pipeline.name],
    ).collect()


def finish(run: Run, what: str = "run") -> dict[str, Any]:
    """The run in a word, from the newest row of each step: failed when one failed, nothing new when none wrote anything."""
    newest = runlog.latest(run.session, run.run_id)[1]
    steps = {step: row for step, row in newest.items() if row["STATUS"] not in (turns.BEGUN, turns.ENDED)}
    statuses = {row["STATUS"] for row in steps.values()}
    status = next((word for word in ("failed", "succeeded") if word in statuses), "nothing new")
    failures = {step: row["ERROR"] for step, row in steps.items() if row["STATUS"] == "failed"}
    resume = f"CALL core.resume('{run.run_id}')" if failures else None
    detail = {"status": status, "failed": sorted(failures), "resume": resume}
    turns.end(run.session, run.pipeline.name, run.run_id, run.spec_version, detail=detail, now=utc_now())
    if what == "run":
        set_status(run, status)
        alerting.look(run)
    return {"run_id": run.run_id, "pipeline": run.pipeline.name, "status": status, "failures": failures, "resume": resume}
