"""The movements of a run.  Each reads, calls the pure functions, and writes once, in one transaction."""

from collections.abc import Callable

import measures
import snowflake.snowpark.functions as F
import writing
from dimension_step import CHANGED_WINDOW, dimension
from fact_step import fact
from loading import load
from runlog import StepResult
from runs import Run, utc_now

__all__ = ["CHANGED_WINDOW", "STEPS"]


def measure(run: Run, name: str) -> StepResult:
    """Computes a KPI again where its fact was touched; all of it the first time."""
    kpi, session = run.pipeline.kpi(name), run.session
    target = run.pipeline.fact(kpi.fact)
    result = StepResult(kpi.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        since = run.mark(kpi.step).last_batch
        table = session.table(target.table)
        touched = session.table(kpi.touched).filter(F.col("batch_no") > F.lit(since))
        is_first = since == 0  # also after its definition changed: apply_spec sets the mark back
        found = measures.span(touched, kpi).collect()[0]
        if (table.limit(1).count() if is_first else found["TOUCHED_COUNT"]) == 0:
            opened.keep = False
        else:
            known = session.table(kpi.table).select(*kpi.scope)
            wanted = known.union(measures.touched(table, kpi, target)) if is_first else touched.select(*kpi.scope).distinct()
            scope = writing.renamed(wanted, kpi.scope, "touched")
            all_dated = kpi.period and found["DATED_COUNT"] == found["TOUCHED_COUNT"]
            near = measures.within(table, kpi, target, found["FIRST_PERIOD"], found["LAST_PERIOD"]) if all_dated and not is_first else table
            measured = measures.measured(near, kpi, target, None if is_first else wanted)
            result.read = writing.insert(session, measured, kpi.stage, tuple(run.pipeline.kpi_types(kpi)))
            staged, values = session.table(kpi.stage), [item.name for item in kpi.measures]
            result.duplicate = writing.count_standing(session, kpi.table, staged, kpi.groups, values)
            done = writing.reconcile(
                session,
                kpi.table,
                staged,
                key=kpi.groups,
                values=values,
                scope=scope,
                scope_key=kpi.scope,
                stamp={"computed_at": F.lit(result.started_at), "batch_no": F.lit(batch_no)},
                batch_no=batch_no,
                null_keys=True,
            )
            writing.clear(session, kpi.stage)
            session.table(kpi.touched).delete(F.col("batch_no") <= F.lit(batch_no))
            result.written = done.inserted + done.updated
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


STEPS: dict[str, Callable[[Run, str], StepResult]] = {
    "load": load,
    "dimension": dimension,
    "fact": fact,
    "measure": measure,
}
