"""One execution of a pipeline, as its steps see it: the session, the turn, the mark, the log."""

from dataclasses import dataclass
from datetime import UTC, datetime

import names
import runlog
import watermark
from measures import Reach
from runlog import StepResult
from snowflake.snowpark import DataFrame, Session
from specs import Kpi, Pipeline, Source


def utc_now() -> datetime:
    """The moment, as TIMESTAMP_NTZ in UTC holds it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline, as far as its steps need to know it."""

    session: Session
    pipeline: Pipeline
    run_id: str
    spec_version: int
    bronze_schema: tuple[str, str]
    by: str = "call"  # or `task`

    def bronze(self, source: Source) -> DataFrame:
        return self.session.table(self.bronze_name(source))

    def silver(self, source: Source) -> dict[str, DataFrame]:
        """The events of a source, and of those its checks look into."""
        return {name: self.session.table(self.pipeline.source(name).silver) for name in (source.name, *source.references)}

    def bronze_name(self, source: Source) -> str:
        return names.qualified(*self.bronze_schema, source.name)

    def take_turn(self, result: StepResult) -> int:
        return self.turn(result).batch_no

    def turn(self, result: StepResult) -> watermark.Lock:
        """The turn with its batch number and, read in the same statement, where every step stands."""
        lock = watermark.take_turn(self.session, self.pipeline.name, self.run_id, result.started_at)
        result.batch_no = lock.batch_no
        return lock

    def turn_of(self, result: StepResult, kpi: Kpi) -> tuple[int, Reach]:
        """The turn, and for a KPI the last batch it has seen and what was touched since."""
        row = watermark.take_turn_of(self.session, self.pipeline.name, kpi.step, kpi.touched, kpi.period, self.run_id, result.started_at)
        result.batch_no, since, *reach = row
        return since or 0, Reach(*reach)

    def mark(self, step: str) -> watermark.Mark:
        return watermark.mark(self.session, self.pipeline.name, step)

    def commit_with(self, result: StepResult) -> StepResult:
        """Checks the step's accounts, moves its mark and logs it; all of it commits with the rows."""
        watermark.advance(
            self.session,
            self.pipeline.name,
            result.step,
            batch_no=result.batch_no or 0,
            run_id=self.run_id,
            now=utc_now(),
            lets=result.lets_to,
            counts=(result.read, result.written, result.duplicate, result.superseded, result.quarantined, result.held),
        )
        self.log(result.balanced())
        return result

    def log(self, result: StepResult) -> StepResult:
        runlog.record(
            self.session,
            result,
            pipeline=self.pipeline.name,
            run_id=self.run_id,
            spec_version=self.spec_version,
            now=utc_now(),
        )
        return result
