"""The movements of a run.  Each reads, calls the pure functions, and writes once, in one transaction."""

from collections.abc import Callable

import calendars
import facts
import measures
import snowflake.snowpark.functions as F
import writing
from cleaning import content
from dimension_step import CHANGED_WINDOW, dimension, with_keys
from loading import load
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame
from specs import Dimension, Fact, Lookup


def new_events(silver: DataFrame, key: tuple[str, ...], since: int) -> int:
    """Events newer than batch `since` that name a key."""
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    for column in key:
        newer = newer.filter(F.col(column).is_not_null())
    return newer.count()


def fact(run: Run, name: str) -> StepResult:
    """Brings facts up to date with new events, and points those again whose dimension rows have changed."""
    target, session = run.pipeline.fact(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(target.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        since = run.mark(target.step).last_batch
        silver, table = session.table(source.silver), session.table(target.table)
        changed = session.table(CHANGED_WINDOW).filter(F.col("pipeline") == F.lit(run.pipeline.name))
        result.read = new_events(silver, target.grain, since)
        touched = f"{target.stage}_touched"
        if result.read or has_newer(changed, target, since):
            grains = facts.touched_grains(silver, table, changed, target, since)
            looked_at = writing.insert(session, grains, touched, [f"touched_{column}" for column in target.grain])
            scope = session.table(touched)
            rows = facts.outcomes(silver, scope, target, content(source), since, source.finer)
            infer_members(run, target, rows, batch_no)
            dimensions = {look.name: dimension_of(run, look) for look in target.lookups}
            columns = (*run.pipeline.fact_types(target), "is_gone", "is_new")
            found = writing.insert(session, facts.pointed(rows, target, dimensions), target.stage, columns)
            refuse_unless_equal(result, {"grains looked at": looked_at, "facts found": found})
            staged = session.table(target.stage)
            result.written = staged.filter(F.col("is_new")).count()
            result.superseded = new_events_of(silver, staged, target.grain, since) - result.written
            desired = staged.filter(~F.col("is_gone"))
            note_touched(run, target, desired, table, scope, batch_no)
            values = [column for column in run.pipeline.fact_types(target) if column not in target.grain]
            done = writing.reconcile(
                session,
                target.table,
                desired,
                key=target.grain,
                values=values,
                scope=scope,
                scope_key=target.grain,
                stamp={"batch_no": F.lit(batch_no)},
                batch_no=batch_no,
            )
            standing = writing.in_scope(table, scope, target.grain).count()
            refuse_unless_equal(result, {"facts desired": desired.count(), "facts standing": standing})
            if target.calendar:
                fill_calendar(run, target, desired)
            writing.clear(session, target.stage)
            writing.clear(session, touched)
            if done.updated or done.deleted:
                forget_members(run, target)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
        opened.keep = False
    return run.log(result.nothing_new())


def new_events_of(silver: DataFrame, staged: DataFrame, key: tuple[str, ...], since: int) -> int:
    """New events of the keys in hand: all of them, when none of their keys was lost on the way."""
    own = writing.renamed(staged, key, "own").distinct()
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    return newer.join(own, on=writing.match(key, [f"own_{column}" for column in key]), how="leftsemi").count()


def refuse_unless_equal(result: StepResult, counts: dict[str, int]) -> None:
    """Raises AccountsUnbalanced when two counts of the same rows, taken in two places, differ."""
    if len(set(counts.values())) > 1:
        raise AccountsUnbalanced(result.step, counts)


def has_newer(changed: DataFrame, target: Fact, since: int) -> bool:
    """Whether a dimension the fact looks into has changed since."""
    used = sorted({lookup.dimension for lookup in target.lookups})
    if not used:
        return False
    return changed.filter((F.col("batch_no") > F.lit(since)) & F.col("dimension").in_(used)).count() > 0


def dimension_of(run: Run, lookup: Lookup) -> tuple[Dimension, DataFrame]:
    found = run.pipeline.dimension(lookup.dimension)
    return found, run.session.table(found.table)


def infer_members(run: Run, target: Fact, rows: DataFrame, batch_no: int) -> None:
    """Gives every key that facts name and no dimension knows a member that says so; its real row will replace it."""
    living = rows.filter(~F.col("is_gone"))
    for lookup in target.lookups:
        dimension_, versions = dimension_of(run, lookup)
        unseen = facts.unseen_keys(living, versions, lookup, dimension_)
        types = run.pipeline.source(dimension_.source).types()
        inferred = facts.inferred_members(unseen, dimension_, types)
        stamp = {"batch_no": F.lit(batch_no)}
        writing.append(with_keys(run.session, inferred, dimension_, stamp), dimension_.table)


def forget_members(run: Run, target: Fact) -> None:
    """Takes inferred members away that no fact names any more, so that gold does not depend on what came first."""
    for name in {lookup.dimension for lookup in target.lookups}:
        dimension_, versions = run.pipeline.dimension(name), run.session.table(run.pipeline.dimension(name).table)
        pointing = [
            (run.session.table(fact_.table), lookup)
            for fact_ in run.pipeline.facts
            for lookup in fact_.lookups
            if lookup.dimension == name
        ]
        forsaken = facts.forsaken(versions, dimension_, pointing)
        versions.delete(F.col(dimension_.version_key) == F.col("forsaken_key"), forsaken)


def fill_calendar(run: Run, target: Fact, desired: DataFrame) -> None:
    """Adds the days between what the calendar has and what these facts need, so that it has no holes."""
    name = f"gold.{target.calendar}"
    table = run.session.table(name)
    there = table.agg(F.min(F.col("calendar_date")).alias("first_day"), F.max(F.col("calendar_date")).alias("last_day"))
    row = calendars.needed(desired, target.at).join(there, how="cross").collect()[0]
    for start, end in calendars.missing_days(row["NEEDED_FROM"], row["NEEDED_TO"], row["FIRST_DAY"], row["LAST_DAY"]):
        numbers = run.session.range((end - start).days + 1).to_df("day_no")
        writing.append(calendars.days(numbers, start), name)


def note_touched(run: Run, target: Fact, desired: DataFrame, table: DataFrame, scope: DataFrame, batch_no: int) -> None:
    """Notes for each KPI of a fact the periods or groups in which its rows stood or will stand."""
    inside = writing.match(target.grain, [f"touched_{column}" for column in target.grain])
    before = table.join(scope, on=inside, how="leftsemi")
    for kpi in run.pipeline.kpis:
        if kpi.fact == target.name:
            both = measures.touched(before, kpi, target).union(measures.touched(desired, kpi, target))
            columns = [F.col(column) for column in kpi.scope]
            writing.append(both.select(*columns, F.lit(batch_no).alias("batch_no")), kpi.touched)


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
        if (table if is_first else touched).count() == 0:
            opened.keep = False
        else:
            known = session.table(kpi.table).select(*kpi.scope)
            wanted = known.union(measures.touched(table, kpi, target)) if is_first else touched.select(*kpi.scope).distinct()
            scope = writing.renamed(wanted, kpi.scope, "touched")
            measured = measures.measured(table, kpi, target, None if is_first else wanted)
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
