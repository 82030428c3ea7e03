"""The movements of a run.  Each reads, calls the pure functions, and writes once, in one transaction."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

import facts
import history
import measures
import names
import runlog
import snowflake.snowpark.functions as F
import watermark
import writing
from cleaning import checked, content, typed, with_outcome
from runlog import StepResult
from snowflake.snowpark import Column, DataFrame, Row, Session, Window
from specs import Dimension, Fact, Lookup, Pipeline, Source

CHANGED_WINDOW, QUARANTINE = "control.changed_window", "control.quarantine"


def utc_now() -> datetime:
    """The moment, as TIMESTAMP_NTZ in UTC holds it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline, as far as its steps need to know it."""

    session: Session
    pipeline: Pipeline
    run_id: str
    spec_version: int
    bronze_schema: tuple[str, str]

    def bronze(self, source: Source) -> DataFrame:
        return self.session.table(self.bronze_name(source))

    def bronze_name(self, source: Source) -> str:
        return names.qualified(*self.bronze_schema, source.name)

    def take_turn(self, result: StepResult) -> int:
        lock = watermark.take_turn(self.session, self.pipeline.name, self.run_id, result.started_at)
        result.batch_no = lock.batch_no
        return lock.batch_no

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


class SourceStopped(RuntimeError):
    """A source failed more checks than its spec allows; nothing of the batch was written."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}. Nothing of this batch was loaded; its rows stay in bronze.")


def load(run: Run, name: str) -> StepResult:
    """Moves one batch from bronze to silver; rows that fail a check go to quarantine."""
    source, session = run.pipeline.source(name), run.session
    result = StepResult(source.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        mark = run.mark(source.step)
        floor = watermark.floor_of(mark, source)
        ledger = session.table(watermark.LEDGER)
        if watermark.waiting(run.bronze(source), ledger, run.pipeline.name, source, floor).count() == 0:
            opened.keep = False
        else:
            batch = watermark.batch(run.bronze(source), ledger, run.pipeline.name, source, floor)
            rows = with_outcome(checked(typed(batch, source), source), session.table(source.silver), source)
            writing.append(rows, source.stage)
            staged = session.table(source.stage)
            summary = summarise(staged)
            stop_where_asked(source, summary)
            writing.append(events(staged, source, batch_no), source.silver)
            if any(row["OUTCOME"] == "quarantined" for row in summary):
                writing.append(failing(staged, source, run, batch_no, result.started_at), QUARANTINE)
            watermark.enter(staged, run.pipeline.name, source, batch_no, result.started_at)
            writing.clear(session, source.stage)
            count_load(result, summary, mark)
            result.written = writing.count_of_batch(session, source.silver, batch_no)
            result.inserted = result.written
            return run.commit_with(result)
    return run.log(result.nothing_new())


def summarise(staged: DataFrame) -> list[Row]:
    """The batch in numbers: a row for each outcome and set of failed and warned checks."""
    return (
        staged.group_by("outcome", "failed_checks", "warned_checks", "stops", "is_repeat")
        .agg(F.count(F.lit(1)).alias("row_count"), F.max(F.col("loaded_at")).alias("newest"))
        .collect()
    )


def stop_where_asked(source: Source, summary: list[Row]) -> None:
    """Raises SourceStopped when a check with `otherwise: stop` failed, or the share of `stop_if` is passed."""
    fresh = [row for row in summary if not row["IS_REPEAT"]]
    stopping = Counter(row["FAILED_CHECKS"] for row in fresh if row["STOPS"])
    if stopping:
        raise SourceStopped(source.name, f"rows failed a check that stops the source: {', '.join(sorted(stopping))}")
    total = sum(row["ROW_COUNT"] for row in fresh)
    bad = sum(row["ROW_COUNT"] for row in fresh if row["OUTCOME"] == "quarantined")
    if source.stop_if is not None and total and bad / total > source.stop_if:
        raise SourceStopped(source.name, f"{bad} of {total} rows failed a check, more than {source.stop_if:.0%}")


def count_load(result: StepResult, summary: list[Row], mark: watermark.Mark) -> None:
    """Fills in what a load read and what became of it, check by check."""
    failed: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    for row in summary:
        result.read += row["ROW_COUNT"]
        if row["OUTCOME"] == "duplicate":
            result.duplicate += row["ROW_COUNT"]
        elif row["OUTCOME"] == "quarantined":
            result.quarantined += row["ROW_COUNT"]
            failed.update({check: row["ROW_COUNT"] for check in row["FAILED_CHECKS"].split(",")})
        if row["OUTCOME"] == "event" and row["WARNED_CHECKS"]:
            warned.update({check: row["ROW_COUNT"] for check in row["WARNED_CHECKS"].split(",")})
    result.lets_from = mark.lets
    result.lets_to = max([row["NEWEST"] for row in summary] + ([mark.lets] if mark.lets else []), default=mark.lets)
    result.detail = {"failed_checks": dict(failed), "warned_checks": dict(warned)}


def events(staged: DataFrame, source: Source, batch_no: int) -> DataFrame:
    """The batch's new events as silver holds them."""
    columns = [*(c.name for c in source.columns), "is_deleted", "effective_at", *names.PROVENANCE]
    passing = staged.filter(F.col("outcome") == F.lit("event"))
    return passing.select(*[F.col(column) for column in columns], F.lit(batch_no).alias("batch_no"))


def failing(staged: DataFrame, source: Source, run: Run, batch_no: int, now: datetime) -> DataFrame:
    """The batch's failing rows as the quarantine holds them."""
    place = F.concat(F.lit(f"{source.name}/"), F.col("content_key"), F.lit("/"), F.col("row_number").cast("string"))
    return staged.filter(F.col("outcome") == F.lit("quarantined")).select(
        place.alias("quarantine_id"),
        F.lit(run.pipeline.name).alias("pipeline"),
        F.lit(source.name).alias("source"),
        F.lit(run.run_id).alias("run_id"),
        F.lit(batch_no).alias("batch_no"),
        F.lit(run.spec_version).alias("spec_version"),
        *[F.col(name) for name in (*names.PROVENANCE, "row_values")],
        F.split(F.col("failed_checks"), F.lit(",")).alias("failed_checks"),
        F.lit(now).alias("quarantined_at"),
        F.lit("waiting").alias("status"),
    )


def dimension(run: Run, name: str) -> StepResult:
    """Sets right the history of the keys that have new events."""
    target, session = run.pipeline.dimension(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(target.step, utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        since = run.mark(target.step).last_batch
        silver = session.table(source.silver)
        result.read = new_events(silver, target.key, since)
        if result.read == 0:
            opened.keep = False
        else:
            journal = history.journal(silver, target.key, since)
            rows = history.marked(history.instants(journal, target.key, content(source)), target, since)
            writing.append(rows.filter(F.col("opens") | F.col("is_new")), target.stage)
            staged = session.table(target.stage)
            result.written = staged.filter(F.col("is_new") & F.col("shows")).count()
            result.superseded = result.read - result.written
            done = rewrite_history(run, target, staged, silver, since, batch_no)
            writing.clear(session, target.stage)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


def new_events(silver: DataFrame, key: tuple[str, ...], since: int) -> int:
    """Events newer than batch `since` that name a key."""
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    for column in key:
        newer = newer.filter(F.col(column).is_not_null())
    return newer.count()


def rewrite_history(
    run: Run, target: Dimension, staged: DataFrame, silver: DataFrame, since: int, batch_no: int
) -> writing.Reconciled:
    """Makes the dimension's versions of the touched keys the ones in hand, and notes the windows that changed."""
    session = run.session
    desired = history.versions(staged, target)
    scope = history.touched_keys(silver, target.key, since)
    current = session.table(target.table)
    inside = writing.match(target.key, [f"touched_{column}" for column in target.key])
    before = current.join(scope, on=inside, how="leftsemi")
    changed = history.windows(before, desired, target).select(
        F.lit(run.pipeline.name).alias("pipeline"),
        F.lit(target.name).alias("dimension"),
        *[F.col(column) for column in ("durable_key", "changed_from", "changed_to")],
        F.lit(batch_no).alias("batch_no"),
    )
    writing.append(changed, CHANGED_WINDOW)
    key = (*target.key, "valid_from")
    values = (*target.tracked, *target.overwritten, "valid_to", "is_current", "is_inferred")
    stamp = {"batch_no": F.lit(batch_no)}
    updated = writing.update(session, target.table, desired, key, values, stamp=stamp)
    added = writing.missing(session, target.table, desired, key)
    writing.append(with_keys(session, added, target, stamp), target.table)
    inserted = writing.count_of_batch(session, target.table, batch_no) - updated
    deleted = writing.delete_undesired(session, target.table, desired, key, scope, target.key)
    return writing.Reconciled(inserted, updated, deleted)


def with_keys(session: Session, rows: DataFrame, target: Dimension, stamp: dict[str, Column]) -> DataFrame:
    """New rows of a dimension with their keys: the durable key the natural key has, or the next; the next version key.

    Only the holder of the pipeline's turn comes here, so no one else takes the same numbers.
    """
    table = session.table(target.table)
    highest = table.select(
        F.greatest(F.coalesce(F.max(F.col(target.durable_key)), F.lit(0)), F.lit(0)).alias("durable"),
        F.greatest(F.coalesce(F.max(F.col(target.version_key)), F.lit(0)), F.lit(0)).alias("version"),
    ).collect()[0]
    known = facts.members(table, target, "known")
    same = writing.match(target.key, [f"known_by_{column}" for column in target.key])
    joined = rows.join(known, on=same, how="left")
    is_known = F.col("known_member_key").is_not_null()
    next_durable = F.dense_rank().over(Window.partition_by(is_known).order_by(*target.key)) + F.lit(highest["DURABLE"])
    next_version = F.row_number().over(Window.order_by(*target.key, "valid_from")) + F.lit(highest["VERSION"])
    columns = (*target.key, *target.tracked, *target.overwritten, "valid_from", "valid_to", "is_current", "is_inferred")
    return joined.select(
        F.iff(is_known, F.col("known_member_key"), next_durable).alias(target.durable_key),
        next_version.alias(target.version_key),
        *[F.col(column) for column in columns],
        *[value.alias(column) for column, value in stamp.items()],
    )


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
            writing.append(facts.touched_grains(silver, table, changed, target, since), touched)
            scope = session.table(touched)
            rows = facts.outcomes(silver, scope, target, content(source), since)
            infer_members(run, target, rows, batch_no)
            dimensions = {look.name: dimension_of(run, look) for look in target.lookups}
            writing.append(facts.pointed(rows, target, dimensions), target.stage)
            staged = session.table(target.stage)
            result.written = staged.filter(F.col("is_new")).count()
            result.superseded = result.read - result.written
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
            writing.clear(session, target.stage)
            writing.clear(session, touched)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
        opened.keep = False
    return run.log(result.nothing_new())


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
            writing.append(measures.measured(table, kpi, target, None if is_first else wanted), kpi.stage)
            staged = session.table(kpi.stage)
            result.read = staged.count()
            done = writing.reconcile(
                session,
                kpi.table,
                staged,
                key=kpi.groups,
                values=[item.name for item in kpi.measures],
                scope=scope,
                scope_key=kpi.scope,
                stamp={"computed_at": F.lit(result.started_at), "batch_no": F.lit(batch_no)},
                batch_no=batch_no,
                null_keys=True,
            )
            writing.clear(session, kpi.stage)
            session.table(kpi.touched).delete(F.col("batch_no") <= F.lit(batch_no))
            result.written = done.inserted + done.updated
            result.duplicate = result.read - result.written
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


STEPS: dict[str, Callable[[Run, str], StepResult]] = {
    "load": load,
    "dimension": dimension,
    "fact": fact,
    "measure": measure,
}
