"""The fact step: the last word on each touched grain, pointed to its versions, compared with what stands, and written once."""

from dataclasses import dataclass

import calendars
import facts
import measures
import snowflake.snowpark.functions as F
import writing
from cleaning import content
from dimension_step import CHANGED_WINDOW, with_keys
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame
from specs import Dimension, Fact, Lookup


@dataclass(frozen=True)
class Hand:
    """What lies in the stage table, counted."""

    new: int  # facts whose last word is newer than the step's mark
    gone: int  # grains that are to have no fact
    unplaced: dict[str, int]  # by lookup: facts that name a key and have found no version


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
        moved = changed_dimensions(changed, target, since)
        if result.read or moved:
            touched = f"{target.stage}_touched"
            grains = facts.touched_grains(silver, table, changed, target, since, moved)
            looked_at = writing.insert(session, grains, touched, [f"touched_{column}" for column in target.grain])
            staged, found = fill(run, target, session.table(touched), since)
            refuse_unless_equal(result, {"grains looked at": looked_at, "facts found": found})
            hand = counted(staged, target)
            for lookup in target.lookups:
                if hand.unplaced[lookup.name]:
                    place(run, target, lookup, staged, batch_no)
            result.written = hand.new
            result.superseded = new_events_of(silver, staged, target.grain, since) - hand.new
            desired = staged.filter(~F.col("is_gone")) if hand.gone else staged
            note_touched(run, target, staged, table, batch_no)
            done = write(run, target, staged, desired, hand, batch_no, may_insert=bool(result.read))
            standing = writing.in_scope(table, session.table(touched), target.grain).count()
            refuse_unless_equal(result, {"facts desired": found - hand.gone, "facts standing": standing})
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


def new_events(silver: DataFrame, key: tuple[str, ...], since: int) -> int:
    """Events newer than batch `since` that name a key."""
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    for column in key:
        newer = newer.filter(F.col(column).is_not_null())
    return newer.count()


def new_events_of(silver: DataFrame, staged: DataFrame, key: tuple[str, ...], since: int) -> int:
    """New events of the keys in hand: all of them, when none of their keys was lost on the way."""
    own = writing.renamed(staged, key, "own").distinct()
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    return newer.join(own, on=writing.match(key, [f"own_{column}" for column in key]), how="leftsemi").count()


def refuse_unless_equal(result: StepResult, counts: dict[str, int]) -> None:
    """Raises AccountsUnbalanced when two counts of the same rows, taken in two places, differ."""
    if len(set(counts.values())) > 1:
        raise AccountsUnbalanced(result.step, counts)


def changed_dimensions(changed: DataFrame, target: Fact, since: int) -> set[str]:
    """The dimensions the fact looks into that have changed since."""
    used = sorted({lookup.dimension for lookup in target.lookups})
    if not used:
        return set()
    newer = changed.filter((F.col("batch_no") > F.lit(since)) & F.col("dimension").in_(used))
    return {row["DIMENSION"] for row in newer.select("dimension").distinct().collect()}


def dimension_of(run: Run, lookup: Lookup) -> tuple[Dimension, DataFrame]:
    found = run.pipeline.dimension(lookup.dimension)
    return found, run.session.table(found.table)


def fill(run: Run, target: Fact, scope: DataFrame, since: int) -> tuple[DataFrame, int]:
    """Puts the last word on each grain into stage, with the version where one is valid; gives the stage and its rows."""
    source, session = run.pipeline.source(target.source), run.session
    rows = facts.outcomes(session.table(source.silver), scope, target, content(source), since, source.finer)
    found = facts.found(rows, target, {lookup.name: dimension_of(run, lookup) for lookup in target.lookups})
    columns = (*run.pipeline.fact_types(target), "is_gone", "is_new")
    count = writing.insert(session, found, target.stage, columns)
    return session.table(target.stage), count


def counted(staged: DataFrame, target: Fact) -> Hand:
    """The stage in numbers, in one look."""
    conditions = {"new": F.col("is_new"), "gone": F.col("is_gone")}
    conditions |= {f"unplaced_{lookup.name}": facts.is_unplaced(lookup) for lookup in target.lookups}
    row = staged.agg(*[F.count(F.iff(test, F.lit(1), F.lit(None))).alias(name) for name, test in conditions.items()]).collect()[0]
    return Hand(row["NEW"], row["GONE"], {lookup.name: row[f"UNPLACED_{lookup.name.upper()}"] for lookup in target.lookups})


def place(run: Run, target: Fact, lookup: Lookup, staged: DataFrame, batch_no: int) -> None:
    """Facts that name a key and found no version: an inferred member for a key never seen, else gap or early."""
    dimension, versions = dimension_of(run, lookup)
    waiting = staged.filter(facts.is_unplaced(lookup))
    types = run.pipeline.source(dimension.source).types()
    unseen = facts.unseen_keys(waiting, versions, lookup, dimension)
    inferred = facts.inferred_members(unseen, dimension, types)
    writing.append(with_keys(run.session, inferred, dimension, {"batch_no": F.lit(batch_no)}), dimension.table)
    placed = facts.placed(waiting, target.grain, lookup, dimension, versions)
    keys = {column: F.col(f"placed_{column}") for column in (lookup.durable_key, lookup.version_key)}
    same = writing.match(target.grain, [f"placed_{column}" for column in target.grain])
    staged.update(keys, same, placed)


def write(
    run: Run, target: Fact, staged: DataFrame, desired: DataFrame, hand: Hand, batch_no: int, *, may_insert: bool
) -> writing.Reconciled:
    """Makes the facts of the grains in hand the ones in stage, and touches none that already is.

    Where no event is new there is nothing to insert: what was touched stands in the table.
    """
    session, grain = run.session, target.grain
    table, stamp = session.table(target.table), {"batch_no": F.lit(batch_no)}
    values = [column for column in run.pipeline.fact_types(target) if column not in grain]
    updated = writing.update(session, target.table, desired, grain, values, stamp=stamp)
    inserted = 0
    if may_insert:
        new = writing.missing(session, target.table, desired, grain)
        stamped = new.select(*[F.col(column) for column in (*grain, *values)], F.lit(batch_no).alias("batch_no"))
        inserted = writing.insert(session, stamped, target.table, (*grain, *values, "batch_no"))
    deleted = 0
    if hand.gone:
        old = writing.renamed(staged.filter(F.col("is_gone")), grain, "old")
        deleted = int(table.delete(writing.match(grain, [f"old_{column}" for column in grain]), old).rows_deleted)
    return writing.Reconciled(inserted, updated, deleted)


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


def note_touched(run: Run, target: Fact, staged: DataFrame, table: DataFrame, batch_no: int) -> None:
    """Notes for each KPI of a fact the periods or groups in which its rows stood or will stand.

    A fact that only points elsewhere now is no news for a KPI that does not ask where it points.
    """
    for kpi in run.pipeline.kpis:
        if kpi.fact != target.name:
            continue
        changing = staged if measures.names_keys(kpi, target) else staged.filter(F.col("is_new"))
        before = writing.in_scope(table, writing.renamed(changing, target.grain, "touched"), target.grain)
        after = changing.filter(~F.col("is_gone"))
        both = measures.touched(before, kpi, target).union(measures.touched(after, kpi, target))
        columns = [F.col(column) for column in kpi.scope]
        writing.append(both.select(*columns, F.lit(batch_no).alias("batch_no")), kpi.touched)
