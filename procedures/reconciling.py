"""Both sides of every movement counted and held against one another: bucket, bronze, ledger, silver, quarantine, gold.

A row is only there once, or said to be a duplicate, or waiting; whatever disagrees is named.  Nothing is changed: all of
it is read while the pipeline's turn is held, so that no step moves a row meanwhile.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

import facts
import history_events
import measures
import names
import snowflake.snowpark.functions as F
import watermark
import writing
from cleaning import content
from loading import QUARANTINE
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame
from snowflake.snowpark.exceptions import SnowparkSQLException
from specs import Dimension, Fact, Kpi, Source

TABLE = "control.reconciliation"
STAGE, LISTING = "landing", "landing_files"  # beside the bronze tables; see setup_sql/04 and docs/operations-recovery.md
FILE = ("file_name", "content_key")
NAMED = 20  # differences that are named
UNDER_WAY = timedelta(hours=1)  # a file younger than this may still be on its way through a pipe


@dataclass(frozen=True)
class Finding:
    """One comparison: rows each side has, and how many differ; `differences` None when it could not be made."""

    part: str
    comparison: str
    expected: int | None
    found: int | None
    differences: int | None
    detail: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        named = "; ".join(", ".join(f"{key} {value}" for key, value in item.items()) for item in self.detail.get("named", [])[:3])
        return f"{self.part}, {self.comparison}: expected {self.expected}, found {self.found}, {self.differences} differ: {named}"


@dataclass(frozen=True)
class Listing:
    """What the bucket holds, where the account shows it to the application: file_name, byte_count, modified_at (UTC).

    `stale` is why the directory could not be refreshed; empty when it was, just now.
    """

    files: DataFrame | None
    stale: str = ""


class Imbalance(RuntimeError):
    """Two sides of a movement do not agree; `findings` are those that differ."""

    error_class = "guard"

    def __init__(self, pipeline: str, findings: Sequence[Finding]) -> None:
        self.pipeline, self.findings = pipeline, findings
        lines = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(
            f"{pipeline}: {len(findings)} comparison(s) do not balance. Nothing was changed; all of it is in {TABLE}, "
            f"and what to do in docs/operations-recovery.md.\n{lines}"
        )


def reconcile(run: Run) -> dict[str, Any]:
    """Compares everything, writes what was found to control.reconciliation, and raises Imbalance when a side differs."""
    result = StepResult("reconcile", utc_now())
    listing = listing_of(run)
    with writing.transaction(run.session) as opened:
        run.take_turn(result)
        result.batch_no = None
        found = list(findings(run, listing, result.started_at))
        opened.keep = False
    record(run, found, result.started_at)
    wrong = [finding for finding in found if finding.differences]
    if wrong:
        raise Imbalance(run.pipeline.name, wrong)
    result.detail = {"comparisons": len(found), "not_made": [f"{f.part}, {f.comparison}" for f in found if f.differences is None]}
    run.log(result)
    return {"pipeline": run.pipeline.name, "run_id": run.run_id, "balanced": True, "comparisons": [as_answer(f) for f in found]}


def as_answer(finding: Finding) -> dict[str, Any]:
    shown = ("part", "comparison", "expected", "found", "differences")
    return {**{name: getattr(finding, name) for name in shown}, **finding.detail}


def findings(run: Run, listing: Listing, now: datetime) -> Iterator[Finding]:
    for source in run.pipeline.sources:
        yield bucket_and_bronze(run, source, listing, now)
        yield bronze_and_ledger(run, source, now)
        yield ledger_and_silver(run, source)
        yield ledger_and_quarantine(run, source)
        yield places_once(run, source)
        yield stage_empty(run, source)
    for dimension in run.pipeline.dimensions:
        yield silver_and_dimension(run, dimension)
        yield versions_once(run, dimension)
    for fact in run.pipeline.facts:
        yield silver_and_fact(run, fact)
    for kpi in run.pipeline.kpis:
        yield fact_and_kpi(run, kpi)


def record(run: Run, found: Sequence[Finding], now: datetime) -> None:
    for finding in found:
        run.session.sql(
            f"INSERT INTO {TABLE} (reconciled_at, run_id, pipeline, part, comparison, expected_count, found_count, "
            "difference_count, detail) SELECT ?, ?, ?, ?, ?, ?, ?, ?, PARSE_JSON(?)",
            params=[
                now, run.run_id, run.pipeline.name, finding.part, finding.comparison, finding.expected, finding.found,
                finding.differences, json.dumps(finding.detail, default=str),
            ],
        ).collect()  # fmt: skip


# --- comparing


def compared(part: str, comparison: str, expected: DataFrame, found: DataFrame, keys: Sequence[str], **detail: Any) -> Finding:
    """Two frames with `keys` and `row_count` held against each other; keys whose sums differ are named."""
    both = [
        expected.select(*[F.col(key) for key in keys], F.col("row_count").alias("expected"), F.lit(0).alias("found")),
        found.select(*[F.col(key) for key in keys], F.lit(0).alias("expected"), F.col("row_count").alias("found")),
    ]
    sides = both[0].union_all(both[1]).group_by(*keys).agg(F.sum("expected").alias("expected"), F.sum("found").alias("found"))
    return told(part, comparison, sides, F.col("expected") != F.col("found"), keys, detail)


def told(part: str, comparison: str, sides: DataFrame, differs: Column, keys: Sequence[str], detail: dict[str, Any]) -> Finding:
    """The totals of both sides, how many rows differ, and the first of them."""
    total = sides.agg(
        F.sum("expected").alias("expected"), F.sum("found").alias("found"), F.count(F.iff(differs, F.lit(1), F.lit(None))).alias("differ")
    ).collect()[0]
    named: list[dict[str, Any]] = []
    if total["DIFFER"]:
        wrong = sides.filter(differs).sort(*keys).limit(NAMED)
        named = [{k.strip('"').lower(): v for k, v in row.as_dict().items()} for row in wrong.collect()]
    more = {"named": named} if named else {}
    return Finding(part, comparison, int(total["EXPECTED"] or 0), int(total["FOUND"] or 0), int(total["DIFFER"] or 0), {**detail, **more})


def counted(rows: DataFrame, keys: Sequence[str], where: Column | None = None) -> DataFrame:
    own = rows if where is None else rows.filter(where)
    return own.group_by(*keys).agg(F.count(F.lit(1)).alias("row_count"))


def ledger_of(run: Run, source: Source) -> DataFrame:
    return watermark.entries(run.session.table(watermark.LEDGER), run.pipeline.name, source)


def files_of(run: Run, source: Source) -> DataFrame:
    """What became of the rows of each file, from its entries and, when those are folded, from the files' record.

    Gives: file_name, content_key, row_count, event_count, quarantined_count; the last two NULL where nobody counted
    """
    counts = ("event_count", "quarantined_count")
    folded = watermark.entries(run.session.table(watermark.FILES), run.pipeline.name, source)
    total = (F.col("rows_taken") + F.col("rows_duplicate")).alias("row_count")
    columns = [F.col(name) for name in (*FILE, "row_count", *counts)]
    return ledger_of(run, source).select(*columns).union_all(folded.select(*[F.col(k) for k in FILE], total, *[F.col(c) for c in counts]))


# --- sources


def listing_of(run: Run) -> Listing:
    """The bucket's files, listed anew below the prefix of each source where the application may.

    Outside of the transaction: a refresh commits.
    """
    listing = run.session.table(names.qualified(*run.bronze_schema, LISTING))
    try:
        listing.limit(0).collect()
    except SnowparkSQLException:  # not made, or not granted: both are said the same way, on purpose, by the server
        return Listing(None)
    try:
        for source in run.pipeline.sources:
            run.session.sql(refresh_sql(run.bronze_schema, source.prefix)).collect()
    except SnowparkSQLException as error:
        return Listing(listing, f"the bucket was not listed anew: {error.message}")
    return Listing(listing)


def refresh_sql(bronze: tuple[str, str], prefix: str) -> str:
    """Lists what the bucket holds below a prefix.

    >>> refresh_sql(("firn_landing", "bronze"), "crm/customers/")
    "ALTER STAGE firn_landing.bronze.landing REFRESH SUBPATH = 'crm/customers/'"
    """
    return f"ALTER STAGE {names.qualified(*bronze, STAGE)} REFRESH" + (f" SUBPATH = {names.text(prefix)}" if prefix else "")


def bucket_and_bronze(run: Run, source: Source, listing: Listing, now: datetime) -> Finding:
    """Files under the source's prefix of which no row was ever seen; an empty object has none to see, a young one may be on its way."""
    part, comparison = f"source {source.name}", "bucket and bronze"
    if listing.files is None:
        why = f"{LISTING} is not there or not granted; see docs/operations-recovery.md. Compared from bronze on."
        return Finding(part, comparison, None, None, None, {"not_made": why})
    below = F.startswith(F.col("file_name"), F.lit(source.prefix)) & (F.col("byte_count") > F.lit(0))
    is_young = F.max(F.col("modified_at")) >= F.lit(now - UNDER_WAY)
    files = listing.files.filter(below).group_by("file_name").agg(is_young.alias("is_young")).select(F.col("file_name").alias("file"), "is_young")
    bronze = run.bronze(source).select(F.col("_file_name").alias("seen"))
    seen = bronze.union_all(files_of(run, source).select(F.col("file_name").alias("seen"))).distinct()
    arrived = F.col("seen").is_not_null()
    both = files.join(seen, on=F.col("file") == F.col("seen"), how="left")
    under_way = both.filter(~arrived & F.col("is_young")).count()
    sides = both.filter(arrived | ~F.col("is_young")).select(
        F.col("file").alias("file_name"), F.lit(1).alias("expected"), F.iff(arrived, F.lit(1), F.lit(0)).alias("found")
    )
    detail = {"under_way": under_way, **({"stale": listing.stale} if listing.stale else {})}
    return told(part, comparison, sides, F.col("expected") != F.col("found"), ("file_name",), detail)


def bronze_and_ledger(run: Run, source: Source, now: datetime) -> Finding:
    """Rows the ledger has entered and bronze no longer holds.  Rows of bronze that are not entered wait for a load.

    A load that is gone whole and past retention was swept; its entries go with the next sweep.
    """
    keys = watermark.LOAD
    bronze = run.bronze(source).select(*[F.col(f"_{key}").alias(key) for key in keys])
    both = [
        ledger_of(run, source).select(*[F.col(key) for key in keys], F.col("row_count").alias("expected"), F.lit(0).alias("found")),
        counted(bronze, keys).select(*[F.col(key) for key in keys], F.lit(0).alias("expected"), F.col("row_count").alias("found")),
    ]
    sides = both[0].union_all(both[1]).group_by(*keys).agg(F.sum("expected").alias("expected"), F.sum("found").alias("found"))
    is_swept = (F.col("found") == F.lit(0)) & (F.col("loaded_at") < F.lit(now - run.pipeline.bronze_retention))
    missing = (F.col("found") < F.col("expected")) & ~is_swept
    waiting = sides.filter(F.col("found") > F.col("expected")).agg(F.sum(F.col("found") - F.col("expected")).alias("rows")).collect()[0]["ROWS"]
    return told(f"source {source.name}", "ledger and bronze", sides.filter(~is_swept), missing, keys, {"waiting": int(waiting or 0)})


def ledger_and_silver(run: Run, source: Source) -> Finding:
    """Events that files gave, by the ledger and by what was released from quarantine, and those that silver has."""
    entered = known_files(run, source, files_of(run, source)).select(*FILE, F.col("event_count").alias("row_count"))
    released = quarantine_of(run, source).filter(F.col("released_as") == F.lit("event"))
    expected = entered.union_all(counted(known_files(run, source, released), FILE))
    own = known_files(run, source, run.session.table(source.silver))
    duplicate = files_of(run, source).agg(F.sum(F.col("row_count") - F.col("event_count") - F.col("quarantined_count")).alias("rows")).collect()
    detail = {"duplicate": int(duplicate[0]["ROWS"] or 0)}
    return compared(f"source {source.name}", "ledger and silver", expected, counted(own, FILE), FILE, **detail)


def ledger_and_quarantine(run: Run, source: Source) -> Finding:
    """Rows that failed a check, by the ledger and in the quarantine, where decided ones stay."""
    expected = known_files(run, source, files_of(run, source)).select(*FILE, F.col("quarantined_count").alias("row_count"))
    found = known_files(run, source, quarantine_of(run, source))
    return compared(f"source {source.name}", "ledger and quarantine", expected, counted(found, FILE), FILE)


def quarantine_of(run: Run, source: Source) -> DataFrame:
    own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name))
    return run.session.table(QUARANTINE).filter(own)


def known_files(run: Run, source: Source, rows: DataFrame) -> DataFrame:
    """Rows of files whose entries say what became of each row; older entries do not."""
    old = files_of(run, source).filter(F.col("event_count").is_null()).select(*[F.col(key).alias(f"old_{key}") for key in FILE]).distinct()
    return rows.join(old, on=reduce(and_, [F.col(key) == F.col(f"old_{key}") for key in FILE]), how="leftanti")


def places_once(run: Run, source: Source) -> Finding:
    """Each place of a file's content gives one event; twice there, it is named with its key."""
    keys = (*FILE, "row_number", *[key for key in source.key if key not in names.PROVENANCE])
    places = counted(run.session.table(source.silver), keys).select(
        *[F.col(key) for key in keys], F.lit(1).alias("expected"), F.col("row_count").alias("found")
    )
    return told(f"source {source.name}", "each place once in silver", places, F.col("found") > F.lit(1), keys, {})


def stage_empty(run: Run, source: Source) -> Finding:
    left = run.session.table(source.stage).count()
    named = {"named": [{"table": source.stage, "rows": left}]} if left else {}
    return Finding(f"source {source.name}", "stage is empty", 0, left, int(left > 0), named)


# --- gold


def settled_events(run: Run, source: Source, since: int) -> DataFrame:
    """The events a step has seen; newer ones are its next batch."""
    return run.session.table(source.silver).filter(F.col("batch_no") <= F.lit(since))


def pending(run: Run, part: str, comparison: str) -> Finding:
    return Finding(part, comparison, None, None, None, {"not_made": "it is to be computed again by the next run"})


def silver_and_dimension(run: Run, dimension: Dimension) -> Finding:
    """Keys that silver has a value of, and that the dimension has a version of.

    A key whose every value ends at the instant it begins has no version: a tombstone of that instant wins.
    """
    part, comparison = dimension.step, "keys of silver and of the dimension"
    since = run.mark(dimension.step).last_batch
    source = run.pipeline.source(dimension.source)
    events = settled_events(run, source, since).filter(history_events.has_key(dimension.key))
    if not since:
        return pending(run, part, comparison)
    at_once = events.filter(F.col("is_deleted")).select(
        *[F.col(key).alias(f"gone_{key}") for key in dimension.key], F.col("effective_at").alias("gone_at")
    )
    same = [F.col(key) == F.col(f"gone_{key}") for key in dimension.key]
    valued = events.filter(~F.col("is_deleted")) if dimension.on_delete != "new_record" else events
    if dimension.on_delete == "close":
        valued = valued.join(at_once, on=reduce(and_, [*same, F.col("effective_at") == F.col("gone_at")]), how="leftanti")
    if source.truncate_when:
        valued = valued.filter(~F.coalesce(F.col("is_truncate"), F.lit(False)))
    table = run.session.table(dimension.table)
    own = table.filter(history_events.has_key(dimension.key) & ~F.col("is_inferred")).select(*dimension.key)
    one = F.lit(1).alias("row_count")
    expected = valued.select(*dimension.key).distinct().select(*dimension.key, one)
    return compared(part, comparison, expected, own.distinct().select(*dimension.key, one), dimension.key)


def versions_once(run: Run, dimension: Dimension) -> Finding:
    """Of each key, one version that begins at an instant."""
    keys = (*dimension.key, "valid_from")
    table = run.session.table(dimension.table).filter(history_events.has_key(dimension.key))
    versions = counted(table, keys).select(*[F.col(key) for key in keys], F.lit(1).alias("expected"), F.col("row_count").alias("found"))
    return told(dimension.step, "each version once", versions, F.col("found") > F.lit(1), keys, {})


def silver_and_fact(run: Run, fact: Fact) -> Finding:
    """The facts that silver's events make, and those in the table; every event is in one, superseded, or said to be gone."""
    part, comparison = fact.step, "events of silver and facts"
    since = run.mark(fact.step).last_batch
    if not since:
        return pending(run, part, comparison)
    source = run.pipeline.source(fact.source)
    events = settled_events(run, source, since)
    named = events.filter(reduce(and_, [F.col(column).is_not_null() for column in fact.grain]))
    grains = named.select(*[F.col(column).alias(f"touched_{column}") for column in fact.grain]).distinct()
    last = facts.outcomes(named, grains, fact, content(source), 0, source.finer)
    columns = (*fact.from_source(), *(measure.name for measure in fact.measures))
    count = last.agg(F.count(F.lit(1)).alias("grains"), F.count(F.iff(F.col("is_gone"), F.lit(1), F.lit(None))).alias("gone")).collect()[0]
    all_events, with_grain = events.count(), named.count()
    detail = {
        "events": all_events,
        "superseded": with_grain - count["GRAINS"],
        "gone": count["GONE"],
        "without_grain": all_events - with_grain,
    }
    expected = counted(last.filter(~F.col("is_gone")), columns)
    return compared(part, comparison, expected, counted(run.session.table(fact.table), columns), columns, **detail)


def fact_and_kpi(run: Run, kpi: Kpi) -> Finding:
    """The KPI's rows as its fact gives them now, and as the table has them."""
    part, comparison = kpi.step, "numbers of the fact and of the KPI"
    since, session = run.mark(kpi.step).last_batch, run.session
    fact = run.pipeline.fact(kpi.fact)
    touched = session.table(kpi.touched).filter(F.col("batch_no") > F.lit(since)).count()
    if touched or (not since and session.table(fact.table).count()):
        return pending(run, part, comparison)
    columns = (*kpi.groups, *(measure.name for measure in kpi.measures))
    expected = counted(measures.measured(session.table(fact.table), kpi, fact, None), columns)
    return compared(part, comparison, expected, counted(session.table(kpi.table), columns), columns)


