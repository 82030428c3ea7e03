"""The rebuild: a dimension made anew from silver, compared with the one that stands, and put right in one transaction."""

from datetime import datetime
from typing import Any

import dimension_step
import history
import history_events
import snowflake.snowpark.functions as F
import writing
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import DataFrame, Row, Session, Window
from specs import Dimension, Source

EXAMPLES = 10


def rebuild(run: Run, name: str, from_at: datetime | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Recomputes a dimension from silver; with `from_at`, the keys with an event then or later.

    Says which versions it adds, removes, moves (they end elsewhere) and alters (other values), and with `dry_run`
    leaves it at that.  After any history of batches all of them are 0.
    """
    target, session = run.pipeline.dimension(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(f"rebuild {name}", utc_now())
    with writing.transaction(session) as opened:
        batch_no = run.take_turn(result)
        here = dimension_step.tables(session, target, source)
        journal = journal_since(here.silver, target, source, from_at)
        dimension_step.fill(dimension_step.by_journal(here, journal, target, source, batch_no), target)
        copies = remove_copies(session, target)
        members = here.current.filter(history_events.has_key(target.key) & (F.col(target.durable_key) > F.lit(0)))
        before = history_events.of_keys(members, dimension_step.scope_of(here.staged, target), target.key) if from_at else members
        changed = history.pairs(before, history.versions(here.staged, target, here.types), target, here.types)
        report = differences(changed, target)
        report["versions"]["removed"] += copies
        if dry_run or not any(report["versions"].values()):
            opened.keep = False
        else:
            dimension_step.note(changed, target)
            done = dimension_step.checked(here, target, dimension_step.write(run, here, target, source, batch_no))
            writing.clear(session, target.stage)
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted + copies
            result.read = result.written = result.inserted + result.updated + result.deleted
            result.detail = report
            run.log(result.balanced())
    return {"dimension": name, "dry_run": dry_run, **report}


def remove_copies(session: Session, target: Dimension) -> int:
    """Removes versions of a key that begin when another does; only a hand in the table can have made them."""
    table = session.table(target.table)
    of_version = Window.partition_by(*target.key, "valid_from").order_by(target.version_key)
    members = table.filter(history_events.has_key(target.key)).with_column("copy_no", F.row_number().over(of_version))
    copies = members.filter(F.col("copy_no") > F.lit(1)).select(F.col(target.version_key).alias("copy_key"))
    return int(table.delete(F.col(target.version_key) == F.col("copy_key"), copies).rows_deleted)


def journal_since(silver: DataFrame, target: Dimension, source: Source, from_at: datetime | None) -> DataFrame:
    whole = history_events.journal(silver, target.key, 0, source)
    if from_at is None:
        return whole
    recent = silver.filter((F.col("effective_at") >= F.lit(from_at)) & history_events.has_key(target.key))
    return history_events.of_keys(whole, writing.renamed(recent, target.key, "touched").distinct(), target.key)


def differences(changed: DataFrame, target: Dimension) -> dict[str, Any]:
    """Changed versions by kind, counted, and a few of them as examples."""
    kind = (
        F.when(F.col("is_added"), F.lit("added"))
        .when(F.col("is_removed"), F.lit("removed"))
        .when(~F.col("valid_to").equal_null(F.col("old_to")), F.lit("moved"))
        .otherwise(F.lit("altered"))
    )
    rows = changed.with_column("kind", kind).select(*target.key, "kind", "valid_from", "valid_to", "old_to").collect()
    counts = {word: sum(row["KIND"] == word for row in rows) for word in ("added", "removed", "moved", "altered")}
    return {"versions": counts, "examples": [shown(row, target) for row in rows[:EXAMPLES]]}


def shown(row: Row, target: Dimension) -> str:
    """A changed version in words."""
    values = {name.strip('"').lower(): value for name, value in row.as_dict().items()}
    key = ", ".join(str(values[column]) for column in target.key)
    moved = f", before {values['old_to'] or 'open'}" if values["kind"] == "moved" else ""
    return f"{values['kind']}: {key} from {values['valid_from']} to {values['valid_to'] or 'open'}{moved}"
