"""The fact step: new events become facts, and facts whose dimension rows have changed are pointed again; each written once.

Most new events are the first word on their fact: they go straight into the table. Where an event speaks of a fact that
was spoken of before, the last word on each grain is found in stage, compared with what stands, and written where it
differs. What a changed dimension touches is read from the fact itself, and only inside the windows that changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any, NamedTuple

import calendars
import facts
import history_events
import measures
import snowflake.snowpark.functions as F
import told
import writing
from cleaning import content, snowpark_type
from dimension_step import CHANGED_WINDOW, with_keys
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame, Session, Table
from snowflake.snowpark.types import DataType
from specs import Dimension, Fact, Lookup, Source


class Tables(NamedTuple):
    """The tables of a fact step, their columns known from the spec; `types` are those of the fact's stage."""

    silver: Table
    facts: Table
    staged: Table
    touched: Table
    changed: Table
    types: Mapping[str, DataType]


@dataclass(frozen=True)
class New:
    """What has come since the step's mark: events that name a grain, and how far the windows reach, by dimension."""

    events: int
    reaches: Mapping[str, facts.Reach]


@dataclass(frozen=True)
class Words:
    """New events by what they are a word on: their grains, those of them that are to have no fact, and what was known of them before."""

    grains: int
    gone: int
    known: int


@dataclass(frozen=True)
class Hand:
    """The facts in hand, counted."""

    rows: int
    new: int  # facts whose last word is newer than the step's mark
    gone: int  # grains that are to have no fact
    unplaced: dict[str, int]  # by lookup: facts that name a key and have found no version
    days: tuple[date | None, ...]  # first and last day needed of the calendar, and that it has


def fact(run: Run, name: str) -> StepResult:
    """Brings facts up to date with new events, and points those again whose dimension rows have changed."""
    target = run.pipeline.fact(name)
    source = run.pipeline.source(target.source)
    result = StepResult(target.step, utc_now())
    with writing.transaction(run.session) as opened:
        turn = run.turn(result)
        since = turn.mark(target.step).last_batch
        here = tables(run.session, run, target, source)
        new = arrived(here, run.pipeline.name, target, since)
        result.read = new.events
        if new.events or new.reaches:
            if new.events:
                words = spoken(here, target, since)
                if words.grains == new.events and not words.known:
                    add(run, here, target, result, words, since)
                else:
                    settle(run, here, target, source, result, since)
            if new.reaches and since:  # with nothing seen before, every fact was pointed just now
                point_again(run, here, target, source, result, since, new.reaches)
            if result.updated or result.deleted:
                forget_members(run, target)
            return run.commit_with(result)
        opened.keep = False
    return run.log(result.nothing_new())


def tables(session: Session, run: Run, target: Fact, source: Source) -> Tables:
    of_fact, moment = run.pipeline.fact_types(target), source.sequence_type
    columns = {
        source.silver: {**source.types(), **source.marks, "effective_at": moment, "is_deleted": "boolean", "loaded_at": "timestamp", "batch_no": "integer"},
        target.table: {**of_fact, "batch_no": "integer"},
        target.stage: {**of_fact, "is_gone": "boolean", "is_new": "boolean"},
        f"{target.stage}_touched": {f"touched_{column}": of_fact[column] for column in target.grain},
        CHANGED_WINDOW: {"pipeline": "text", "dimension": "text", "durable_key": "integer", "changed_from": "timestamp", "changed_to": "timestamp", "batch_no": "integer"},
    }
    known = {name: {column: snowpark_type(kind) for column, kind in kinds.items()} for name, kinds in columns.items()}
    return Tables(*[told.remembered(session.table(name), list(types), types) for name, types in known.items()], known[target.stage])


def newer(events: DataFrame, target: Fact, since: int) -> DataFrame:
    """Events newer than batch `since` that name their fact."""
    return events.filter((F.col("batch_no") > F.lit(since)) & facts.names_grain(target))


def own_windows(here: Tables, pipeline: str) -> DataFrame:
    return here.changed.filter(F.col("pipeline") == F.lit(pipeline))


def arrived(here: Tables, pipeline: str, target: Fact, since: int) -> New:
    """Counts what has come, in one statement: new events, and the windows of the dimensions the fact looks into."""
    used = sorted({lookup.dimension for lookup in target.lookups})
    nothing, moment = F.lit(None), snowpark_type("timestamp")
    events = newer(here.silver, target, since).agg(F.count(F.lit(1)).alias("row_count"))
    columns = {"dimension": snowpark_type("text"), **dict.fromkeys(("row_count", "open_count"), snowpark_type("integer")), **dict.fromkeys(("first_at", "last_at"), moment)}
    counted = told.told(
        events.select(
            F.lit("").alias("dimension"), F.col("row_count"), F.lit(0).alias("open_count"),
            *[nothing.cast(moment).alias(name) for name in ("first_at", "last_at")],
        ),
        columns,
    )  # fmt: skip
    if used:
        of_used = own_windows(here, pipeline).filter((F.col("batch_no") > F.lit(since)) & F.col("dimension").in_(used))
        windows = of_used.group_by("dimension").agg(
            F.count(F.lit(1)).alias("row_count"),
            F.count(F.iff(F.col("changed_to").is_null(), F.lit(1), nothing)).alias("open_count"),
            F.min(F.col("changed_from")).alias("first_at"),
            F.max(F.col("changed_to")).alias("last_at"),
        )
        counted = told.united(counted, told.told(windows, columns))
    rows = {row["DIMENSION"]: row for row in counted.collect()}
    reaches = {name: facts.Reach(row["FIRST_AT"], None if row["OPEN_COUNT"] else row["LAST_AT"]) for name, row in rows.items() if name}
    return New(int(rows[""]["ROW_COUNT"]), reaches)


def spoken(here: Tables, target: Fact, since: int) -> Words:
    """Counts what new events are a word on: their grains, and whether anything was known of these before."""
    new, integer = newer(here.silver, target, since), snowpark_type("integer")
    gone = F.count(F.iff(facts.is_gone(target), F.lit(1), F.lit(None)))
    counted = told.told(
        new.agg(F.count_distinct(*[F.col(column) for column in target.grain]).alias("grain_count"), gone.alias("gone_count")),
        dict.fromkeys(("grain_count", "gone_count"), integer),
    )
    own = writing.renamed(new, target.grain, "touched")
    before = {"event_count": here.silver.filter(F.col("batch_no") <= F.lit(since)), "fact_count": here.facts}
    for name, rows in before.items():
        known = writing.in_scope(rows.select(*target.grain), own, target.grain).agg(F.count(F.lit(1)).alias(name))
        counted = told.joined(counted, told.told(known, {name: integer}), None, "cross")
    row = counted.collect()[0]
    return Words(row["GRAIN_COUNT"], row["GONE_COUNT"], row["EVENT_COUNT"] + row["FACT_COUNT"])


def refuse_unless_equal(result: StepResult, counts: dict[str, int]) -> None:
    """Raises AccountsUnbalanced when two counts of the same rows, taken in two places, differ."""
    if len(set(counts.values())) > 1:
        raise AccountsUnbalanced(result.step, counts)


def add(run: Run, here: Tables, target: Fact, result: StepResult, words: Words, since: int) -> None:
    """Facts of which nothing was known, straight into the table: each of the new events is the only word on its grain."""
    batch_no = result.batch_no or 0
    columns = (*run.pipeline.fact_types(target), "batch_no")
    rows = pointed(run, here, target, facts.shaped(newer(here.silver, target, since), target, since))
    stands = rows.filter(~F.col("is_gone")) if words.gone else rows
    result.inserted = writing.insert(run.session, stands.with_column("batch_no", F.lit(batch_no)), target.table, columns)
    written = here.facts.filter(F.col("batch_no") == F.lit(batch_no))
    hand = counted(run, written, target, {})
    refuse_unless_equal(result, {"facts desired": words.grains - words.gone, "facts written": result.inserted, "facts standing": hand.rows})
    for lookup in target.lookups:
        if hand.unplaced[lookup.name]:
            place(run, target, lookup, here.facts, written, batch_no)
    note_touched(run, target, after=written, before=None, batch_no=batch_no)
    fill_calendar(run, target, hand)
    result.written = words.grains


def settle(run: Run, here: Tables, target: Fact, source: Source, result: StepResult, since: int) -> None:
    """Facts of which something is known: the last word on each grain, compared with what stands."""
    session, batch_no = run.session, result.batch_no or 0
    looked_at = touch(session, target, facts.grains_of(newer(here.silver, target, since), target))
    rows = facts.outcomes(here.silver, here.touched, target, content(source), since, source.finer)
    found = fill(run, here, target, rows)
    refuse_unless_equal(result, {"grains looked at": looked_at, "facts found": found})
    hand = counted(run, here.staged, target, {"new": F.col("is_new"), "gone": F.col("is_gone")})
    desired = here.staged.filter(~F.col("is_gone")) if hand.gone else here.staged
    place_all(run, here, target, desired, hand, batch_no)
    result.written = hand.new
    if hand.new < result.read:
        result.superseded = new_events_of(here, target, since) - hand.new
    news = here.staged.filter(F.col("is_new"))
    before = writing.in_scope(here.facts, writing.renamed(news, target.grain, "touched"), target.grain)
    note_touched(run, target, after=news.filter(~F.col("is_gone")), before=before, batch_no=batch_no)
    values = [column for column in run.pipeline.fact_types(target) if column not in target.grain]
    stamp = {"batch_no": F.lit(batch_no)}
    result.updated += writing.update(here.facts, desired, target.grain, values, stamp=stamp)
    missing = writing.missing(here.facts, desired, target.grain).select(*[F.col(column) for column in (*target.grain, *values)], stamp["batch_no"].alias("batch_no"))
    result.inserted += writing.insert(session, missing, target.table, (*target.grain, *values, "batch_no"))
    if hand.gone:
        old = writing.renamed(here.staged.filter(F.col("is_gone")), target.grain, "old")
        same = writing.match(target.grain, [f"old_{column}" for column in target.grain])
        result.deleted += int(here.facts.delete(same, old).rows_deleted)
    standing = writing.in_scope(here.facts, here.touched, target.grain).count()
    refuse_unless_equal(result, {"facts desired": found - hand.gone, "facts standing": standing})
    fill_calendar(run, target, hand)
    clear(here)


def point_again(run: Run, here: Tables, target: Fact, source: Source, result: StepResult, since: int, reaches: Mapping[str, facts.Reach]) -> None:
    """Facts inside windows in which a dimension changed: their values stand, their keys are found again."""
    session, batch_no = run.session, result.batch_no or 0
    windows = own_windows(here, run.pipeline.name)
    looked_at = touch(session, target, facts.in_windows(here.facts, windows, target, since, reaches))
    if not looked_at:
        return
    found = fill(run, here, target, facts.standing(writing.in_scope(here.facts, here.touched, target.grain), target))
    refuse_unless_equal(result, {"facts to point again": looked_at, "facts found": found})
    place_all(run, here, target, here.staged, counted(run, here.staged, target, {}), batch_no)
    before = writing.in_scope(here.facts, here.touched, target.grain)
    note_touched(run, target, after=here.staged, before=before, batch_no=batch_no, is_pointing=True)
    keys = [key for lookup in target.lookups for key in (lookup.durable_key, lookup.version_key)]
    result.updated += writing.update(here.facts, here.staged, target.grain, keys, stamp={"batch_no": F.lit(batch_no)})
    clear(here)


def touch(session: Session, target: Fact, grains: DataFrame) -> int:
    """Fixes the grains in hand, each once, and gives their number."""
    return writing.insert(session, grains, f"{target.stage}_touched", [f"touched_{column}" for column in target.grain])


def clear(here: Tables) -> None:
    here.staged.delete()
    here.touched.delete()


def fill(run: Run, here: Tables, target: Fact, rows: DataFrame) -> int:
    """Puts facts into stage, with the version where one is valid; gives their number."""
    columns = (*run.pipeline.fact_types(target), "is_gone", "is_new")
    return writing.insert(run.session, pointed(run, here, target, rows), target.stage, columns)


def pointed(run: Run, here: Tables, target: Fact, rows: DataFrame) -> DataFrame:
    return facts.found(rows, target, {lookup.name: dimension_of(run, lookup) for lookup in target.lookups}, here.types)


def dimension_of(run: Run, lookup: Lookup) -> tuple[Dimension, Table]:
    """The dimension a lookup looks into, and its table, its columns known from the spec."""
    dimension = run.pipeline.dimension(lookup.dimension)
    types = history_events.types_of(dimension, run.pipeline.source(dimension.source))
    interval = ("valid_from", "valid_to", "is_current", "is_inferred", "batch_no")
    columns = (dimension.durable_key, dimension.version_key, *dimension.key, *dimension.attributes, *interval)
    return dimension, told.remembered(run.session.table(dimension.table), columns, types)


def new_events_of(here: Tables, target: Fact, since: int) -> int:
    """New events of the grains in hand: all of them, when none of their grains was lost on the way."""
    return writing.in_scope(newer(here.silver, target, since), writing.renamed(here.staged, target.grain, "touched"), target.grain).count()


def counted(run: Run, rows: DataFrame, target: Fact, conditions: Mapping[str, Column]) -> Hand:
    """The facts in hand in numbers, and the days they need beside those the calendar has, in one look."""
    stands = ~conditions["gone"] if "gone" in conditions else F.lit(True)
    tests = {**conditions, **{f"unplaced_{lookup.name}": stands & facts.is_unplaced(lookup) for lookup in target.lookups}}
    integer, days = snowpark_type("integer"), ("needed_from", "needed_to", "first_day", "last_day")
    types = {**dict.fromkeys(("row_count", *(f"{name}_count" for name in tests)), integer), **dict.fromkeys(days, snowpark_type("date"))}
    numbers = [F.count(F.iff(test, F.lit(1), F.lit(None))).alias(f"{name}_count") for name, test in tests.items()]
    found = told.told(rows.agg(F.count(F.lit(1)).alias("row_count"), *numbers, *(calendars.needed(target.at, stands) if target.calendar else [])), types)
    if target.calendar:
        there = run.session.table(f"gold.{target.calendar}").agg(F.min(F.col("calendar_date")).alias("first_day"), F.max(F.col("calendar_date")).alias("last_day"))
        found = told.joined(found, told.told(there, types), None, "cross")
    row: dict[str, Any] = found.collect()[0].as_dict()
    unplaced = {lookup.name: row[f"UNPLACED_{lookup.name.upper()}_COUNT"] for lookup in target.lookups}
    return Hand(row["ROW_COUNT"], row.get("NEW_COUNT", 0), row.get("GONE_COUNT", 0), unplaced, tuple(row.get(day.upper()) for day in days))


def place_all(run: Run, here: Tables, target: Fact, rows: DataFrame, hand: Hand, batch_no: int) -> None:
    for lookup in target.lookups:
        if hand.unplaced[lookup.name]:
            place(run, target, lookup, here.staged, rows, batch_no)


def place(run: Run, target: Fact, lookup: Lookup, table: Table, rows: DataFrame, batch_no: int) -> None:
    """Facts of the table that name a key and found no version: an inferred member for a key never seen, else gap or early."""
    dimension, versions = dimension_of(run, lookup)
    waiting = rows.filter(facts.is_unplaced(lookup))
    types = run.pipeline.source(dimension.source).types()
    unseen = facts.unseen_keys(waiting, versions, lookup, dimension)
    inferred = facts.inferred_members(unseen, dimension, types)
    writing.append(with_keys(run.session, inferred, dimension, {"batch_no": F.lit(batch_no)}), dimension.table)
    placed = facts.placed(waiting, target.grain, lookup, dimension, versions)
    keys = {column: F.col(f"placed_{column}") for column in (lookup.durable_key, lookup.version_key)}
    same = writing.match(target.grain, [f"placed_{column}" for column in target.grain])
    table.update(keys, same, placed)


def forget_members(run: Run, target: Fact) -> None:
    """Takes inferred members away that no fact names any more, so that gold does not depend on what came first."""
    for lookup in {lookup.dimension: lookup for lookup in target.lookups}.values():
        dimension, versions = dimension_of(run, lookup)
        if not versions.filter(F.col("is_inferred")).limit(1).count():
            continue
        pointing = [
            (run.session.table(fact_.table), other)
            for fact_ in run.pipeline.facts
            for other in fact_.lookups
            if other.dimension == dimension.name
        ]
        forsaken = facts.forsaken(versions, dimension, pointing)
        versions.delete(F.col(dimension.version_key) == F.col("forsaken_key"), forsaken)


def fill_calendar(run: Run, target: Fact, hand: Hand) -> None:
    """Adds the days between what the calendar has and what these facts need, so that it has no holes."""
    for start, end in calendars.missing_days(*hand.days):
        numbers = run.session.range((end - start).days + 1).to_df("day_no")
        writing.append(calendars.days(numbers, start), f"gold.{target.calendar}")


def note_touched(run: Run, target: Fact, *, after: DataFrame, before: DataFrame | None, batch_no: int, is_pointing: bool = False) -> None:
    """Notes for each KPI of a fact the periods or groups in which its rows stood or will stand.

    A fact that only points elsewhere now is no news for a KPI that does not ask where it points.
    """
    for kpi in run.pipeline.kpis:
        if kpi.fact != target.name or (is_pointing and not measures.names_keys(kpi, target)):
            continue
        types = {column: snowpark_type(kind) for column, kind in {**run.pipeline.kpi_types(kpi), "batch_no": "integer"}.items()}
        parts = [measures.touched(rows, kpi, target, types) for rows in (before, after) if rows is not None]
        both = reduce(told.united, parts)
        writing.insert(run.session, told.distinct(both).with_column("batch_no", F.lit(batch_no)), kpi.touched, (*kpi.scope, "batch_no"))
