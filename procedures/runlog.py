"""The run log: what each step did, in rows, and why it failed."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from snowflake.snowpark import Row, Session

LOG = "control.pipeline_log"


class AccountsUnbalanced(RuntimeError):
    """read = written + duplicate + superseded + quarantined + held did not hold; nothing was written."""

    error_class = "guard"

    def __init__(self, step: str, counts: dict[str, int]) -> None:
        self.step, self.counts = step, counts
        super().__init__(f"{step}: rows do not add up, nothing was written: {counts}")


@dataclass
class StepResult:
    """What one step did.  Counts are rows; `detail` says what only this kind of step knows."""

    step: str
    started_at: datetime
    status: str = "succeeded"
    batch_no: int | None = None
    lets_from: datetime | None = None
    lets_to: datetime | None = None
    read: int = 0
    written: int = 0
    duplicate: int = 0
    superseded: int = 0
    quarantined: int = 0
    held: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    detail: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_class: str | None = None  # see faults

    def nothing_new(self) -> "StepResult":
        self.status, self.batch_no = "nothing new", None
        return self

    def balanced(self) -> "StepResult":
        """Itself, when every row read is accounted for; raises AccountsUnbalanced when not."""
        if self.read != self.written + self.duplicate + self.superseded + self.quarantined + self.held:
            counts = ("read", "written", "duplicate", "superseded", "quarantined", "held")
            raise AccountsUnbalanced(self.step, {name: getattr(self, name) for name in counts})
        return self

    def counts(self) -> dict[str, Any]:
        """What the caller of a step gets back."""
        shown = ("read", "written", "duplicate", "superseded", "quarantined", "held", "inserted", "updated", "deleted")
        return {"step": self.step, "status": self.status, **{name: getattr(self, name) for name in shown}}


def record(session: Session, result: StepResult, *, pipeline: str, run_id: str, spec_version: int, now: datetime) -> None:
    """Writes a step's row.  Inside the step's transaction it commits with the rows; after a rollback, on its own."""
    session.sql(
        f"INSERT INTO {LOG} (run_id, pipeline, step, status, started_at, ended_at, batch_no, lets_from, lets_to, "
        "rows_read, rows_written, rows_duplicate, rows_superseded, rows_quarantined, rows_held, rows_inserted, "
        "rows_updated, rows_deleted, detail, error, error_class, spec_version) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, PARSE_JSON(?), ?, ?, ?",
        params=[
            run_id,
            pipeline,
            result.step,
            result.status,
            result.started_at,
            now,
            result.batch_no,
            result.lets_from,
            result.lets_to,
            result.read,
            result.written,
            result.duplicate,
            result.superseded,
            result.quarantined,
            result.held,
            result.inserted,
            result.updated,
            result.deleted,
            json.dumps(result.detail),
            result.error,
            result.error_class,
            spec_version,
        ],
    ).collect()


def latest(session: Session, run_id: str) -> tuple[str, dict[str, Row]]:
    """The pipeline of a run, and for each step its newest row: step, status, error, error_class, detail."""
    found = session.sql(
        f"SELECT pipeline, step, status, error, error_class, detail FROM {LOG} WHERE run_id = ? ORDER BY started_at, ended_at",
        params=[run_id],
    ).collect()
    if not found:
        raise RunUnknown(run_id)
    return found[0]["PIPELINE"], {row["STEP"]: row for row in found}


class RunUnknown(LookupError):
    """The log has no row of this run."""

    error_class = "contract"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"No run `{run_id}` in the log. Runs that failed: SELECT run_id, step, error FROM control.pipeline_log "
            "WHERE status = 'failed' ORDER BY started_at DESC"
        )
