"""The dimension step, and the rebuild: history made right in stage, compared, and written in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import history
import history_events
import history_fast
import snowflake.snowpark.functions as F
import told
import writing
from cleaning import snowpark_type
from history_events import same
from history_fast import Arrived
from runlog import AccountsUnbalanced, StepResult
from runs import Run, utc_now
from snowflake.snowpark import Column, DataFrame, Session, Table, Window
from snowflake.snowpark.types import DataType
from specs import Dimension, Source

CHANGED_WINDOW = "control.changed_window"
EXAMPLES = 10


class HistoryBroken(RuntimeError):
    """The versions of some keys contradict each other; nothing was written.  `faults` are (key, what is wrong)."""

    error_class = "guard"

    def __init__(self, dimension: str, faults: list[tuple[tuple[Any, ...], str]]) -> None:
        self.dimension, self.faults = dimension, faults
        shown = "; ".join(f"{', '.join(map(str, key))}: {fault}" for key, fault in faults[:EXAMPLES])
        super().__init__(
            f"{dimension}: the history of {len(faults)} key(s) would be wrong, nothing was written. {shown}. "
            f"To see what a rebuild would change: CALL core.rebuild('{dimension}', dry_run => TRUE)"
        )


class Tables(NamedTuple):
    """The tables of a dimension step, their columns known from the spec."""

    silver: DataFrame
    current: Table
    staged: DataFrame
    types: Mapping[str, DataType]

    @property
    def changes(self) -> DataFrame:
        return self.staged.filter(F.col("is_change"))


def tables(session: Session, target: Dimension, source: Source) -> Tables:
    types = history_events.types_of(target, source)
    interval = ("valid_from", "valid_to", "is_current", "is_inferred", "batch_no")
    columns = {
        source.silver: (*source.types(), *source.marks, "effective_at", "is_deleted", "loaded_at", "batch_no"),
        target.table: (target.durable_key, target.version_key, *target.key, *target.attributes, *interval),
        target.stage: (*history.stage_columns(target), "old_to", *history.CHANGE),
    }
    return Tables(*[told.remembered(session.table(name), known, types) for name, known in columns.items()], types)


def dimension(run: Run, name: str) -> StepResult:
    """Sets right the history of the keys that have new events."""
    target, session = run.pipeline.dimension(name), run.session
    source = run.pipeline.source(target.source)
    result = StepResult(target.step, utc_now())
    with writing.transaction(session) as opened:
        turn = run.turn(result)
        since = turn.mark(target.step).last_batch
        here = tables(session, target, source)
        new = arrived(here, target, source, since)
        result.read = new.events + new.truncations
        if result.read == 0:
            opened.keep = False
        else:
            in_hand = history_of(here, target, source, since, new)
            if history_fast.is_possible(target, source, since) and history_fast.are_alone(target, source, new):
                fill_alone(in_hand, here, target)
            else:
                fill(in_hand, target)
                note(changed_of(here, target, source, since), target)
            done = checked(here, target, write(run, here, target, source, turn.batch_no))
            refuse_lost(result, here, target, source, since, new, done)
            writing.clear(session, target.stage)
            result.written = done.shown + new.truncations
            result.superseded = result.read - result.written
            result.inserted, result.updated, result.deleted = done.inserted, done.updated, done.deleted
            return run.commit_with(result)
    return run.log(result.nothing_new())


def arrived(here: Tables, target: Dimension, source: Source, since: int) -> Arrived:
    """Counts events newer than batch `since`, and their keys that have to be read again."""
    named = history_events.has_key(target.key)
    truncates = F.col("is_truncate") if source.truncate_when else F.lit(False)
    row = (
        here.silver.filter(F.col("batch_no") > F.lit(since))
        .agg(
            F.count(F.iff(named, F.lit(1), F.lit(None))).alias("events"),
            F.count(F.iff(~named & truncates, F.lit(1), F.lit(None))).alias("truncations"),
            F.count_distinct(*[F.col(column) for column in target.key]).alias("keys"),
            F.count_distinct(*[F.col(column) for column in (*target.key, "effective_at")]).alias("instants"),
            F.min(F.iff(named, F.col("effective_at"), F.lit(None))).alias("floor"),
        )
        .collect()[0]
    )
    new = Arrived(row["EVENTS"], row["KEYS"], row["INSTANTS"], row["TRUNCATIONS"], row["FLOOR"])
    if new.events == 0 or not history_fast.is_possible(target, source, since):
        return new
    # A statement of its own: with the first instant in its text, the warehouse passes over the older part of the journal.
    return new._replace(read_again=history_fast.read_again(here.silver, here.current, target, source, since, new).count())


def history_of(here: Tables, target: Dimension, source: Source, since: int, new: Arrived) -> DataFrame:
    """The history of the touched keys; by the short way where there is one."""
    if history_fast.is_possible(target, source, since):
        return history_fast.marked(here.silver, here.current, target, source, since, new)
    return by_journal(here, history_events.journal(here.silver, target.key, since, source), target, source, since)


def by_journal(here: Tables, journal: DataFrame, target: Dimension, source: Source, since: int) -> DataFrame:
    return history.marked(history_events.outcomes(journal, here.silver, target, source), target, source, since)


def fill(rows: DataFrame, target: Dimension) -> None:
    """Puts the history in hand into stage: what opens a version, what is new, and of each key the last event."""
    writing.append(rows.filter(F.col("opens") | F.col("is_new") | F.col("is_last")), target.stage)


def fill_alone(in_hand: DataFrame, here: Tables, target: Dimension) -> None:
    """Puts the history in hand into stage where each key has one new event: it says what changes, and one row serves for both."""
    own = {
        "old_to": F.lit(None).cast(here.types["old_to"]),
        "is_change": history_fast.is_changed(),
        "is_added": F.col("version_key").is_null(),
        "is_removed": F.lit(False),
    }
    rows = in_hand.select(*[F.col(name) for name in history.stage_columns(target)], *[value.alias(name) for name, value in own.items()])
    writing.append(told.told(rows, here.types), target.stage)
    if target.of_key:
        note(history_fast.older(here.staged, here.current, target, here.types), target)


def note(changed: DataFrame, target: Dimension) -> None:
    """Puts what changes into stage.  Reads: what `history.pairs` gives."""
    writing.append(told.with_column(changed, "is_change", F.lit(True), snowpark_type("boolean")), target.stage)


def changed_of(here: Tables, target: Dimension, source: Source, since: int) -> DataFrame:
    """The versions that change: those an event met, as the stage has them, and of the other keys by comparison."""
    unmet = here.staged.filter(F.col("durable_key").is_null())
    scope = scope_of(unmet, target)
    compared = history.pairs(in_question(here.current, scope, target), desired_of(here, unmet, scope, target), target, here.types)
    if not history_fast.is_possible(target, source, since):
        return compared
    met = here.staged.filter(F.col("durable_key").is_not_null())
    return told.united(compared, history_fast.changes(met, here.current, target, here.types))


def scope_of(staged: DataFrame, target: Dimension) -> DataFrame:
    """One row per touched key: touched_<key>, touched_from (versions before it stand; NULL: none), last values."""
    last = staged.filter(F.col("is_last"))
    return last.select(
        *[F.col(column).alias(f"touched_{column}") for column in target.key],
        F.col("known_from").alias("touched_from"),
        *[F.col(column).alias(f"touched_{column}") for column in target.of_key],
    )


def in_question(current: DataFrame, scope: DataFrame, target: Dimension) -> DataFrame:
    """The versions that may change: of a key that took the short way, only the last, and what gets other values.

    `scope` has one row per key, so this is a semi join; written as one, the comparison of instants would have it look
    up every version of the dimension.
    """
    touched = ~stands(target) | gets_others(target)
    own = (target.durable_key, target.version_key, *target.key, *target.attributes, "valid_from", "valid_to", "is_current", "is_inferred")
    return told.joined(current, scope, of_scope(target) & touched, "inner").select(*own)


def desired_of(here: Tables, staged: DataFrame, scope: DataFrame, target: Dimension) -> DataFrame:
    """The versions of the keys in hand as they are to be, and those before them that get other values."""
    versions = history.versions(staged, target, here.types)
    if not target.of_key:
        return versions
    older = told.joined(here.current, scope, of_scope(target) & stands(target) & gets_others(target), "inner")
    spread = older.select(
        *[F.col(column) for column in target.key],
        *[F.col(f"touched_{column}" if column in target.of_key else column).alias(column) for column in target.attributes],
        *[F.col(column) for column in ("valid_from", "valid_to", "is_current", "is_inferred")],
    )
    return told.united(versions, told.told(spread, here.types))


def of_scope(target: Dimension) -> Column:
    return same(target.key, [f"touched_{column}" for column in target.key])


def stands(target: Dimension) -> Column:
    """Whether a version lies before those in hand."""
    return F.coalesce(F.col("valid_from") < F.col("touched_from"), F.lit(False))


def gets_others(target: Dimension) -> Column:
    """Whether a value that stands on all versions of its key is now another."""
    return reduce(or_, [~F.col(column).equal_null(F.col(f"touched_{column}")) for column in target.of_key], F.lit(False))


def write(run: Run, here: Tables, target: Dimension, source: Source, batch_no: int) -> tuple[int, int]:
    """Notes the windows that changed, and makes the dimension's versions the ones in hand.

    A version that changes is taken out and put in again under its own key: for few rows of a large table that costs
    a fraction of a MERGE.  Gives the numbers of versions that the server took out and put in.
    """
    if source.sequence_type == "timestamp":
        windows = history.windows(here.changes).select(
            F.lit(run.pipeline.name).alias("pipeline"),
            F.lit(target.name).alias("dimension"),
            *[F.col(column) for column in ("durable_key", "changed_from", "changed_to")],
            F.lit(batch_no).alias("batch_no"),
        )
        own = {"pipeline": "text", "dimension": "text", "durable_key": "integer", "changed_from": "timestamp", "changed_to": "timestamp"}
        types = {column: snowpark_type(kind) for column, kind in own.items()}
        writing.append(told.told(windows, {**types, "batch_no": here.types["batch_no"]}), CHANGED_WINDOW)
    standing = here.changes.filter(~F.col("is_added")).select(F.col("version_key").alias("out_version_key"))
    taken = int(here.current.delete(F.col(target.version_key) == F.col("out_version_key"), standing).rows_deleted)
    written = told.with_column(here.changes.filter(~F.col("is_removed")), "pair_no", F.row_number().over(Window.order_by(F.lit(1))), here.types["pair_no"])
    given = {"is_current": F.col("valid_to").is_null(), "is_inferred": F.lit(False), "batch_no": F.lit(batch_no)}
    # The versions that were taken out are numbered too.
    taken_keys = here.staged.select(F.col("durable_key").alias(target.durable_key), F.col("version_key").alias(target.version_key))
    keys = told.united(here.current.select(target.durable_key, target.version_key), told.told(taken_keys, here.types))
    columns = (target.durable_key, target.version_key, *target.key, *target.attributes, "valid_from", "valid_to", *given)
    return taken, writing.insert(run.session, told.told(desired(written, keys, target, given), here.types), target.table, columns)


@dataclass(frozen=True)
class Done:
    """Versions written, new events that show in them, and instants of keys that new events spoke of last."""

    inserted: int
    updated: int
    deleted: int
    shown: int
    instants: int


def checked(here: Tables, target: Dimension, moved: tuple[int, int]) -> Done:
    """Counts what was done, and raises HistoryBroken when what now stands cannot be true: the transaction takes it back."""
    is_change, is_met = F.col("is_change"), F.col("durable_key").is_not_null()
    counts = {
        "shown_count": F.col("is_new") & F.col("shows"),
        "instant_count": F.col("is_new"),
        "change_count": is_change,
        "added_count": is_change & F.col("is_added"),
        "removed_count": is_change & F.col("is_removed"),
        # Of a key on the short way the version it met, and one that begins; of others all that begin.
        "standing_count": F.iff(is_met & ~F.col("is_new"), F.lit(False), F.col("opens")),
        "met_count": is_met & F.col("is_last"),
    }
    counted = here.staged.agg(*[F.count(F.iff(test, F.lit(1), F.lit(None))).alias(name) for name, test in counts.items()])
    counted = told.told(counted, dict.fromkeys(counts, snowpark_type("integer")))
    looked_at = history.broken(here.current, here.staged.filter(F.col("is_last")), target, here.types)
    rows = told.joined(counted, looked_at, F.lit(True), "left").collect()
    found = [(tuple(row[column.upper()] for column in target.key), row["KEY_FAULT"]) for row in rows if row["KEY_FAULT"]]
    stand, to_stand = sum(row["VERSION_COUNT"] or 0 for row in rows), rows[0]["STANDING_COUNT"] + rows[0]["MET_COUNT"]
    if not found and stand != to_stand:
        found.append(((), f"{stand} versions stand of the keys in hand, {to_stand} were to"))
    changed, added, removed = (rows[0][name] for name in ("CHANGE_COUNT", "ADDED_COUNT", "REMOVED_COUNT"))
    for done, wanted, what in zip(moved, (changed - added, changed - removed), ("taken out", "put in"), strict=True):
        if done != wanted:
            found.append(((), f"{done} versions were {what}, {wanted} were to be"))
    if found:
        raise HistoryBroken(target.name, found)
    return Done(added, changed - added - removed, removed, rows[0]["SHOWN_COUNT"], rows[0]["INSTANT_COUNT"])


def refuse_lost(result: StepResult, here: Tables, target: Dimension, source: Source, since: int, new: Arrived, done: Done) -> None:
    """Raises AccountsUnbalanced unless each instant that new events speak of is in hand once, or has an older event's word.

    Extracts and truncations speak of keys that their events do not name: there the two cannot be compared.
    """
    missing = new.instants - done.instants
    if missing == 0 or source.is_snapshot or source.truncate_when:
        return
    outdone = outdone_instants(here.silver, target, since) if missing > 0 else 0
    if not 0 < missing <= outdone:
        counts = {"instants read": new.instants, "instants in hand": done.instants, "of older events": outdone}
        raise AccountsUnbalanced(result.step, counts)


def outdone_instants(silver: DataFrame, target: Dimension, since: int) -> int:
    """Instants of new events at which an older event of the key stands; and of deletions, where those are ignored."""
    identity = (*target.key, "effective_at")
    newer = silver.filter(F.col("batch_no") > F.lit(since))
    older = writing.renamed(silver.filter(F.col("batch_no") <= F.lit(since)), identity, "older")
    met = newer.join(older, on=writing.match(identity, [f"older_{column}" for column in identity]), how="leftsemi")
    found = met.select(*identity).distinct().count()
    return found + newer.filter(F.col("is_deleted")).count() if target.on_delete == "ignore" else found


def desired(rows: DataFrame, keys: DataFrame, target: Dimension, given: Mapping[str, Column]) -> DataFrame:
    """Versions as the dimension will hold them; those that stood before keep their version key, the others get the next.

    Reads:  rows  pair_no, a number of the version, and first_pair_no, one of its natural key where that is new (NULL: it
                  has this version only); durable_key, version_key, is_added
            keys  the surrogate keys there are
    Only the holder of the pipeline's turn comes here, so no one else takes the same numbers.
    """
    greatest = [F.coalesce(F.max(F.col(column)), F.lit(0)) for column in (target.durable_key, target.version_key)]
    highest = told.told(keys.agg(F.greatest(*greatest, F.lit(0)).alias("highest_key")), {"highest_key": snowpark_type("integer")})
    new_key = F.col("highest_key") + F.coalesce(F.col("first_pair_no"), F.col("pair_no"))
    return told.joined(rows, highest, None, "cross").select(
        F.coalesce(F.col("durable_key"), new_key).alias(target.durable_key),
        F.iff(F.col("is_added"), F.col("highest_key") + F.col("pair_no"), F.col("version_key")).alias(target.version_key),
        *[F.col(column) for column in (*target.key, *target.attributes, "valid_from", "valid_to")],
        *[value.alias(column) for column, value in given.items()],
    )


def with_keys(session: Session, rows: DataFrame, target: Dimension, stamp: dict[str, Column]) -> DataFrame:
    """New members of a dimension, for keys it does not know, with their keys."""
    no_key = F.lit(None).cast(snowpark_type("integer"))
    unknown = rows.select(
        *[F.col(column) for column in (*target.key, *target.attributes, "valid_from", "valid_to", "is_current", "is_inferred")],
        *[no_key.alias(name) for name in ("durable_key", "version_key", "first_pair_no")],
        F.lit(True).alias("is_added"),
        F.row_number().over(Window.order_by(*target.key)).alias("pair_no"),
    )
    return desired(unknown, session.table(target.table), target, {**{name: F.col(name) for name in ("is_current", "is_inferred")}, **stamp})
