"""The quarantine emptied: rows through the door again, corrected, or given up for a reason.

Every decision takes the pipeline's turn, so that no load, replay or correction is under way at the same time; who
decided, when and why stands on the rows and in control.quarantine_decision.
"""

import json
from collections import Counter
from typing import Any

import snowflake.snowpark.functions as F
import writing
from checking import without_file_checks
from cleaning import built_in_checks, judged, typed, with_outcome
from expressions import unknown
from loading import QUARANTINE, events, summarise
from quarantine import (
    PLACE,
    as_array,
    as_bronze,
    as_text,
    checks_now,
    corrections,
    decided,
    meant,
    of_source,
    place_of,
    value_at,
    values_now,
    with_value,
)
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame, Row
from specs import Source
from transforming import transformed

CORRECTION, DECISION = "control.quarantine_correction", "control.quarantine_decision"
SHOWN = 100  # ids in an answer


class NothingWaits(LookupError):
    """No row of the quarantine is meant by what was asked for; `waiting` says how many rows each check holds."""

    def __init__(self, source: str, which: str | None, status: str, waiting: dict[str, int]) -> None:
        self.source, self.which, self.waiting = source, which, waiting
        held = ", ".join(f"{check} {count}" for check, count in waiting.items()) or "none"
        near = f" {unknown('check', which, waiting)}." if which and waiting else ""
        super().__init__(f"{source}: no {status} row is meant by `{which}`.{near} {status.capitalize()} rows by check: {held}")


class RowDecided(ValueError):
    """A row that no longer waits cannot be corrected."""

    def __init__(self, quarantine_id: str, status: str) -> None:
        self.quarantine_id, self.status = quarantine_id, status
        way = "To take it back: CALL core.restore_quarantine(source, quarantine_id, reason)." if status == "discarded" else (
            "It has joined silver; a later event of its key says something else."
        )
        super().__init__(f"{quarantine_id} is {status} and no longer waits. {way}")


def replay(run: Run, name: str, check: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Takes the waiting rows of a source, of a check or one of them, through the load's own door under the spec of now.

    Those that pass join silver in a batch of their own, or are duplicates of what is there; those that do not keep
    waiting, with the checks they failed this time.  The next run brings the new events to gold.
    `stop_if` and `otherwise: stop` guard what arrives; here they only keep a row waiting.
    """
    source, session = run.pipeline.source(name), run.session
    result = StepResult(f"replay {name}", utc_now())
    refuse_unknown(run, source, check)
    if dry_run:
        waiting = asked_for(run, source, check)
        return {**answer(decided(outcomes(run, source, waiting), waiting), source, check), "dry_run": True}
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        waiting = asked_for(run, source, check)
        writing.append(outcomes(run, source, waiting), source.stage)
        staged = session.table(source.stage)
        summary = summarise(staged)
        if not summary:
            opened.keep = False
        else:
            found = answer(decided(staged, waiting), source, check)
            writing.append(events(staged, source, batch_no), source.silver)
            note(run, source, staged, result)
            record_decision(run, source, "released", check, None, found["written"] + found["duplicate"], result)
            writing.clear(session, source.stage)
            count(result, summary, found, check)
            result.written = writing.count_of_batch(session, source.silver, batch_no)
            result.inserted = result.written
            run.commit_with(result)
    if not summary:
        run.log(result.nothing_new())
        found = answer_of([], source, check)
    return {**found, "dry_run": False, "run_id": run.run_id}


def refuse_unknown(run: Run, source: Source, check: str | None) -> None:
    """Raises NothingWaits for a word that is no check of the spec and that no row ever waited for."""
    declared = {known.name for known, _, _ in built_in_checks(source)} | {known.name for known in source.checks}
    if check is None or check in declared:
        return
    own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name))
    once = F.array_contains(F.to_variant(F.lit(check)), F.col("failed_checks"))
    if not run.session.table(QUARANTINE).filter(own & (meant(check) | once)).count():
        raise NothingWaits(source.name, check, "waiting", by_check(asked_for(run, source, None)))


def asked_for(run: Run, source: Source, which: str | None, status: str = "waiting") -> DataFrame:
    rows = of_source(run.session.table(QUARANTINE), run.pipeline.name, source.name, status)
    return rows.filter(meant(which)) if which else rows


def outcomes(run: Run, source: Source, waiting: DataFrame) -> DataFrame:
    """The door of the load: typed, checked, compared with silver.  What is asked of whole files was asked when they came."""
    silver = run.silver(source)
    rows = judged(transformed(typed(as_bronze(waiting, source), source), source), without_file_checks(source), silver)
    return with_outcome(rows, silver[source.name], source)


def answer(rows: DataFrame, source: Source, check: str | None) -> dict[str, Any]:
    """What became of the rows, as the caller reads it; a query for the counts and one for the first ids."""
    grouped = rows.group_by("waited_for", "now_outcome", "now_failed").agg(F.count(F.lit(1)).alias("row_count"))
    found = answer_of(grouped.collect(), source, check)
    if found["written"] + found["duplicate"]:
        passing = rows.filter(F.col("now_outcome") != F.lit("quarantined")).select("quarantine_id")
        found["passing_ids"] = [row["QUARANTINE_ID"] for row in passing.sort("quarantine_id").limit(SHOWN).collect()]
    return found


def answer_of(groups: list[Row], source: Source, check: str | None) -> dict[str, Any]:
    """Counts of rows: what was read and became of it, and for each check how many waited for it and how many pass now."""
    outcomes_, waited, passing, failing = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in groups:
        outcomes_[row["NOW_OUTCOME"]] += row["ROW_COUNT"]
        for name in names_in(row["WAITED_FOR"]):
            waited[name] += row["ROW_COUNT"]
            passing[name] += row["ROW_COUNT"] if row["NOW_OUTCOME"] != "quarantined" else 0
        for name in names_in(row["NOW_FAILED"]):
            failing[name] += row["ROW_COUNT"]
    return {
        "source": source.name,
        "check": check,
        "read": outcomes_.total(),
        "written": outcomes_["event"],
        "duplicate": outcomes_["duplicate"],
        "quarantined": outcomes_["quarantined"],
        "checks": {name: {"waited": waited[name], "pass_now": passing[name]} for name in sorted(waited)},
        "failed_checks": dict(sorted(failing.items())),
        "passing_ids": [],
    }


def names_in(checks: str) -> list[str]:
    return [name for name in checks.split(",") if name]


def count(result: StepResult, summary: list[Row], found: dict[str, Any], check: str | None) -> None:
    """The step's accounts: all rows that were looked at, those that still fail among them."""
    result.read = sum(row["ROW_COUNT"] for row in summary)
    for row in summary:
        if row["OUTCOME"] == "duplicate":
            result.duplicate += row["ROW_COUNT"]
        elif row["OUTCOME"] == "quarantined":
            result.quarantined += row["ROW_COUNT"]
    result.detail = {"check": check, "checks": found["checks"], "failed_checks": found["failed_checks"]}


def note(run: Run, source: Source, staged: DataFrame, result: StepResult) -> None:
    """Writes on each quarantined row what became of it; the checks it failed first stay as they are."""
    now = staged.select(
        *[F.col(name).alias(f"now_{name}") for name in PLACE],
        F.col("outcome").alias("now_outcome"),
        F.col("failed_checks").alias("now_failed"),
    )
    table = run.session.table(QUARANTINE)
    own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name))
    same = (F.col("content_key") == F.col("now_content_key")) & (F.col("row_number") == F.col("now_row_number"))
    is_released = F.col("now_outcome") != F.lit("quarantined")
    table.update(
        {
            "newest_checks": as_array(F.col("now_failed")),
            "newest_spec_version": F.lit(run.spec_version),
            "checked_at": F.lit(result.started_at),
            "status": F.iff(is_released, F.lit("released"), F.lit("waiting")),
            "released_as": F.iff(is_released, F.col("now_outcome"), F.lit(None)),
            "decided_at": F.iff(is_released, F.lit(result.started_at), F.col("decided_at")),
            "decided_by": F.iff(is_released, F.current_user(), F.col("decided_by")),
            "decided_run_id": F.iff(is_released, F.lit(run.run_id), F.col("decided_run_id")),
        },
        own & same & (F.col("status") == F.lit("waiting")),
        now,
    )


def record_decision(
    run: Run, source: Source, decision: str, which: str | None, reason: str | None, row_count: int, result: StepResult
) -> None:
    """One row per decision, whatever the number of rows it moved; none for a decision that moved none."""
    if row_count:
        run.session.sql(
            f"INSERT INTO {DECISION} (pipeline, source, decision, selected, reason, row_count, decided_at, decided_by, run_id) "
            "SELECT ?, ?, ?, ?, ?, ?, ?, CURRENT_USER(), ?",
            params=[run.pipeline.name, source.name, decision, which, reason, row_count, result.started_at, run.run_id],
        ).collect()


def correct(run: Run, name: str, quarantine_id: str, values: Any) -> dict[str, Any]:
    """Gives a waiting row other values, as its file should have held them; the old ones stay on record.

    Gives: the old and new value of each column, and the checks the row would fail now
    """
    source, session = run.pipeline.source(name), run.session
    changes = corrections(source, values)
    result = StepResult(f"correct {name}", utc_now())
    own = F.col("quarantine_id") == F.lit(quarantine_id)
    with writing.transaction(session):
        run.take_turn(result)
        row = session.table(QUARANTINE).filter(own)
        refuse_decided(quarantine_id, row.select("status").collect())
        for column, text in changes:
            keys, new = place_of(column, source), F.parse_json(F.lit(text))
            writing.append(correction(run, row, column.name, value_at(values_now(), keys), new, result), CORRECTION)
            session.table(QUARANTINE).update({"corrected_values": with_value(values_now(), keys, new)}, own)
    waiting = asked_for(run, source, quarantine_id)
    failed = decided(outcomes(run, source, waiting), waiting).collect()
    return {
        "quarantine_id": quarantine_id,
        "corrected": {column.name: json.loads(text) for column, text in changes},
        "failed_checks": [name for row in failed for name in names_in(row["NOW_FAILED"])],
        "run_id": run.run_id,
    }


def refuse_decided(quarantine_id: str, found: list[Row]) -> None:
    if not found:
        raise LookupError(f"No row `{quarantine_id}` in quarantine. Its ids: SELECT quarantine_id FROM control.quarantine")
    if found[0]["STATUS"] != "waiting":
        raise RowDecided(quarantine_id, found[0]["STATUS"])


def correction(run: Run, row: DataFrame, column: str, old: Any, new: Any, result: StepResult) -> DataFrame:
    """A line of the record of corrections."""
    return row.select(
        F.col("quarantine_id"),
        F.col("pipeline"),
        F.col("source"),
        F.lit(column).alias("column_name"),
        F.to_variant(old).alias("old_value"),
        F.to_variant(new).alias("new_value"),
        F.lit(result.started_at).alias("corrected_at"),
        F.current_user().alias("corrected_by"),
        F.lit(run.run_id).alias("run_id"),
    )


def discard(run: Run, name: str, which: str, reason: str) -> dict[str, Any]:
    """Gives rows up: those that wait for a check, or one.  They stay in the quarantine and can be taken back."""
    return decide(run, name, which, reason, "waiting", "discarded", "discarded")


def restore(run: Run, name: str, which: str, reason: str) -> dict[str, Any]:
    """Takes discarded rows back: they wait again."""
    return decide(run, name, which, reason, "discarded", "waiting", "restored")


def decide(run: Run, name: str, which: str, reason: str, before: str, after: str, decision: str) -> dict[str, Any]:
    if not (reason or "").strip():
        raise ValueError(f"{name}: rows are {decision} for a reason that others can read later; none was given.")
    source, session = run.pipeline.source(name), run.session
    result = StepResult(f"{decision} {name}", utc_now())
    with writing.transaction(session):
        run.take_turn(result)
        asked = asked_for(run, source, which, before)
        row_count = asked.count()
        if not row_count:
            raise NothingWaits(name, which, before, by_check(asked_for(run, source, None, before)))
        own = (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(name))
        session.table(QUARANTINE).update(
            {
                "status": F.lit(after),
                "decided_at": F.lit(result.started_at),
                "decided_by": F.current_user(),
                "decided_run_id": F.lit(run.run_id),
                "reason": F.lit(reason),
            },
            own & (F.col("status") == F.lit(before)) & meant(which),
        )
        record_decision(run, source, decision, which, reason, row_count, result)
    return {"source": name, "selected": which, decision: row_count, "run_id": run.run_id}


def by_check(rows: DataFrame) -> dict[str, int]:
    """How many rows each check holds; a row with two counts for both."""
    held: Counter[str] = Counter()
    for row in rows.select(as_text(checks_now()).alias("checks")).group_by("checks").agg(F.count(F.lit(1)).alias("row_count")).collect():
        held.update({name: row["ROW_COUNT"] for name in names_in(row["CHECKS"])})
    return dict(sorted(held.items()))
