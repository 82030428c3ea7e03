"""The movements of a run.  Each reads, calls the pure functions, and writes once, in one transaction."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import measures
import snowflake.snowpark.functions as F
import told
import writing
from cleaning import snowpark_type
from dimension_step import CHANGED_WINDOW, dimension
from fact_step import fact
from loading import load
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import Table
from snowflake.snowpark.types import DataType
from specs import Fact, Kpi

__all__ = ["CHANGED_WINDOW", "STEPS"]


def measure(run: Run, name: str) -> StepResult:
    """Computes a KPI again where its fact was touched; all of it the first time."""
    kpi, session = run.pipeline.kpi(name), run.session
    target = run.pipeline.fact(kpi.fact)
    result = StepResult(kpi.step, utc_now())
    with writing.transaction(session) as opened:
        turn = run.turn(result)
        since = turn.mark(kpi.step).last_batch
        is_first = since == 0  # also after its definition changed: apply_spec sets the mark back
        here = tables_of(run, kpi, target)
        touched = here.touched.filter(F.col("batch_no") > F.lit(since))
        reach = None if is_first else measures.Reach(*measures.span(touched, kpi).collect()[0])
        if (reach.count if reach else here.facts.limit(1).count()) == 0:
            opened.keep = False
        else:
            if reach:
                wanted = told.distinct(touched.select(*kpi.scope))
                measured = measures.again(here.facts, kpi, target, wanted, reach)
            else:
                wanted = told.distinct(here.numbers.select(*kpi.scope))  # the numbers nobody desires any more are among them
                measured = measures.measured(here.facts, kpi, target)
            result.read = writing.insert(session, measured, kpi.stage, tuple(run.pipeline.kpi_types(kpi)))
            scope = writing.renamed(wanted, kpi.scope, "touched")
            shape = {"key": kpi.groups, "values": [item.name for item in kpi.measures], "scope": scope, "scope_key": kpi.scope, "null_keys": True}
            found = writing.compared(here.numbers, here.staged, **shape)
            stamp = {"computed_at": F.lit(result.started_at), "batch_no": F.lit(turn.batch_no)}
            done = writing.reconcile(session, kpi.table, here.numbers, here.staged, found, **shape, stamp=stamp)
            here.staged.delete()
            here.touched.delete(F.col("batch_no") <= F.lit(turn.batch_no))
            result.duplicate, result.written = found.alike, done.inserted + done.updated
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


class Tables(NamedTuple):
    """The tables of a measure step, their columns known from the spec."""

    facts: Table
    numbers: Table
    staged: Table
    touched: Table
    types: Mapping[str, DataType]


def tables_of(run: Run, kpi: Kpi, target: Fact) -> Tables:
    of_fact, of_kpi = run.pipeline.fact_types(target), run.pipeline.kpi_types(kpi)
    own = {"computed_at": "timestamp", "batch_no": "integer"}
    columns = {
        target.table: {**of_fact, "batch_no": "integer"},
        kpi.table: {**of_kpi, **own},
        kpi.stage: of_kpi,
        kpi.touched: {**{column: of_kpi[column] for column in kpi.scope}, "batch_no": "integer"},
    }
    known = {name: {column: snowpark_type(kind) for column, kind in kinds.items()} for name, kinds in columns.items()}
    return Tables(*[told.remembered(run.session.table(name), list(types), types) for name, types in known.items()], known[kpi.table])


STEPS: dict[str, Callable[[Run, str], StepResult]] = {
    "load": load,
    "dimension": dimension,
    "fact": fact,
    "measure": measure,
}
