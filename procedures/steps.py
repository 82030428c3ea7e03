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
        since, touched = run.turn_of(result, kpi)
        reach = touched if since else None  # none: all of it, also after its definition changed: apply_spec sets the mark back
        here = tables_of(run, kpi, target)
        fresh = here.touched.filter(F.col("batch_no") > F.lit(since))
        facts_there, numbers_there = (touched.count, 1) if reach else writing.numbers(session, measures.any_of(here.facts), measures.any_of(here.numbers))
        if not facts_there:
            opened.keep = False
        else:
            counted = measures.counted_again(here.facts, kpi, target, fresh, reach)
            standing = measures.standing(here.numbers, kpi, fresh, reach)
            desired = told.told(measures.numbers(counted, kpi), here.types)
            stamp = {"computed_at": F.lit(result.started_at), "batch_no": F.lit(result.batch_no)}
            if numbers_there:
                done = writing.merge(here.numbers, standing, desired, key=kpi.groups, values=[item.name for item in kpi.measures], stamp=stamp)
            else:
                done = writing.fill(session, kpi.table, desired, columns=tuple(run.pipeline.kpi_types(kpi)), stamp=stamp)
            groups = measures.groups(counted, kpi, reach, here.types)
            result.read, result.duplicate = writing.numbers(session, *measures.accounts(groups, standing, result.batch_no))
            here.touched.delete(F.col("batch_no") <= F.lit(result.batch_no))
            result.written = done.inserted + done.updated
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


class Tables(NamedTuple):
    """The tables of a measure step, their columns known from the spec."""

    facts: Table
    numbers: Table
    touched: Table
    types: Mapping[str, DataType]


def tables_of(run: Run, kpi: Kpi, target: Fact) -> Tables:
    of_fact, of_kpi = run.pipeline.fact_types(target), run.pipeline.kpi_types(kpi)
    own = {"computed_at": "timestamp", "batch_no": "integer"}
    columns = {
        target.table: {**of_fact, "batch_no": "integer"},
        kpi.table: {**of_kpi, **own},
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
