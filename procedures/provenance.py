"""Events of a key and what else came for it: the line in the file, the run that took it, the checks it met, what it beat."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import checking
import cleaning
import names
import snowflake.snowpark.functions as F
import spec_file
import watermark
from runlog import LOG
from runs import Run
from snowflake.snowpark import Column, DataFrame, Row, Window
from specs import Fact, Source

ORIGIN = (*names.PROVENANCE, "effective_at", "batch_no")


def plain(value: Any) -> Any:
    """As a VARIANT holds it: moments and days as texts, numbers as numbers."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else value


def values(row: Row) -> dict[str, Any]:
    return {name.strip('"').lower(): value for name, value in row.as_dict().items()}


def matches(column: Column, value: Any, type_name: str) -> Column:
    """Whether a column has a value that came as JSON; a value of another type matches nothing."""
    if value is None:
        return column.is_null()
    return column == F.lit(str(value)).try_cast(cleaning.snowpark_type(type_name))


def with_key(rows: DataFrame, key: Mapping[str, Any], types: Mapping[str, str]) -> DataFrame:
    for column, value in key.items():
        rows = rows.filter(matches(F.col(column), value, types.get(column, "text")))
    return rows


def ranked(silver: DataFrame, key: Sequence[str], source: Source) -> DataFrame:
    """Events with their age_rank among those of their key: 1 for the one that counts (semantics, rule 2)."""
    newest_first = [F.col("effective_at").desc(), *cleaning.precedence(cleaning.content(source), source.finer)]
    return silver.with_column("age_rank", F.row_number().over(Window.partition_by(*key).order_by(*newest_first)))


def origins(run: Run, fact: Fact, keys: DataFrame) -> DataFrame:
    """The line each fact was made from, for many facts at once.

    Reads:  keys  the columns of the grain
    Gives:  the grain, the provenance, effective_at and batch_no of the event that counts
    """
    source = run.pipeline.source(fact.source)
    wanted = keys.select(*[F.col(column).alias(f"wanted_{column}") for column in fact.grain]).distinct()
    same = [F.col(column) == F.col(f"wanted_{column}") for column in fact.grain]
    condition = same[0]
    for part in same[1:]:
        condition &= part
    events = run.session.table(source.silver).join(wanted, on=condition, how="leftsemi")
    first = ranked(events, fact.grain, source).filter(F.col("age_rank") == F.lit(1))
    return first.select(*[F.col(column) for column in dict.fromkeys((*fact.grain, *ORIGIN))])


def place(event: Mapping[str, Any], source: Source, log: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Where an event stood and which run took it."""
    return {**{name: event[name] for name in names.PROVENANCE}, source.effective_at: event["effective_at"], "loaded_by": log.get(int(event["batch_no"]))}


def runs_of(run: Run, step: str, batches: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The runs that wrote these batches, as far as the log still goes back."""
    if not batches:
        return {}
    marks = ", ".join("?" * len(batches))
    found = run.session.sql(
        f"SELECT batch_no, run_id, started_at, spec_version FROM {LOG} "
        f"WHERE pipeline = ? AND step = ? AND status = 'succeeded' AND batch_no IN ({marks})",
        params=[run.pipeline.name, step, *batches],
    ).collect()
    return {int(row["BATCH_NO"]): {"batch_no": int(row["BATCH_NO"]), **{k: v for k, v in values(row).items() if k != "batch_no"}} for row in found}


def events_of(run: Run, source: Source, by: Sequence[str], key: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """The events of a key, the one that counts first, and the runs that loaded them."""
    silver = with_key(run.session.table(source.silver), key, source.types())
    found = [values(row) for row in ranked(silver, by, source).sort("age_rank").collect()]
    return found, runs_of(run, source.step, sorted({int(event["batch_no"]) for event in found}))


def why_beaten(event: Mapping[str, Any], winner: Mapping[str, Any], source: Source) -> str:
    """Why one event of a key counts less than another."""
    if event["effective_at"] != winner["effective_at"]:
        return f"older: {source.effective_at} {event['effective_at']} is before {winner['effective_at']}"
    for column in source.finer:
        if event[column] != winner[column]:
            return f"same instant, lower {column}: {event[column]} below {winner[column]}"
    if winner["is_deleted"] and not event["is_deleted"]:
        return "same instant: a tombstone wins"
    for column in sorted(set(cleaning.content(source)) - {"effective_at", "is_deleted", "is_truncate", "absent_columns"}):
        if event[column] != winner[column]:
            return f"same instant: content decides, {column} {event[column]} is below {winner[column]}"
    return "equal in every column"


def other_arrivals(run: Run, source: Source, key: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What else came for this key: rows equal to an event, rows still waiting, and rows in quarantine.

    Gives also `as_received`: by place, the values of the lines that bronze still holds.
    """
    taken = {spot(event) for event in events}
    wanted = {column: value for column, value in key.items() if column not in names.PROVENANCE}
    received = {spot(line): line for line in lines_of(run, source, wanted)} if wanted else {}
    passing = {place: line for place, line in received.items() if place not in taken and not line["failed_checks"]}
    entered = entries_of(run, source, [*received.values(), *events])
    repeats = [repeat for event in events for repeat in repeats_of(event, entered)]
    repeated = {spot(repeat) for repeat in repeats}
    equal = [line for place, line in passing.items() if place not in repeated and is_entered(line, entered)]
    return {
        "as_received": {place: line["row_values"] for place, line in received.items()},
        "duplicates": [
            *[{**repeat, "why": "the same place in the same content, taken before"} for repeat in repeats],
            *[{**provenance(line), "why": "equal to an event in every column"} for line in equal],
        ],
        "waiting": [provenance(line) for line in passing.values() if not is_entered(line, entered)],
        "quarantined": quarantined(run, source, wanted) if wanted else [],
    }


def provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in names.PROVENANCE}


def spot(row: Mapping[str, Any]) -> tuple[str, int, Any]:
    """A place in one load of one file."""
    return row["file_name"], int(row["row_number"]), row["loaded_at"]


def lines_of(run: Run, source: Source, key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of bronze that name a key, read and checked as a load would: a scan of what the sweep has left."""
    bronze = run.bronze(source).with_column("is_repeat", F.lit(False))
    found = cleaning.checked(with_key(cleaning.typed(bronze, source), key, source.types()), checking.of_rows(source))
    read = [values(row) for row in found.select(*names.PROVENANCE, cleaning.row_values(source).alias("row_values"), "failed_checks").collect()]
    return [{**line, "row_values": json.loads(line["row_values"])} for line in read]  # the client gives a VARIANT as text


def entries_of(run: Run, source: Source, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is known of the contents these rows stand in: the ledger's entries, and what was folded into the record of files."""
    contents = sorted({str(row["content_key"]) for row in rows})
    if not contents:
        return []
    ledger, files = (
        [values(row) for row in watermark.entries(run.session.table(table), run.pipeline.name, source).filter(F.col("content_key").in_(contents)).collect()]
        for table in (watermark.LEDGER, watermark.FILES)
    )
    return [*ledger, *unfolded(files, ledger)]


def unfolded(files: Sequence[Mapping[str, Any]], ledger: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries that files' records were made of, as far as they tell.

    A record counts the places that came again and does not say which. A file comes whole: where the count is the content's
    places once or several times over, it was all of them; another count names no place, and gives no entry.

    >>> taken = {"file_name": "a.csv", "content_key": "A", "first_row": 1, "last_row": 3, "rows_duplicate": 0, "last_loaded_at": 1}
    >>> again = {"file_name": "b.csv", "content_key": "A", "first_row": None, "last_row": None, "rows_duplicate": 3, "last_loaded_at": 2}
    >>> [(entry["file_name"], entry["first_row"], entry["last_row"], entry["is_duplicate"]) for entry in unfolded([taken, again], [])]
    [('a.csv', 1, 3, False), ('b.csv', 1, 3, True)]
    >>> unfolded([{**again, "rows_duplicate": 2}], [{**taken, "is_duplicate": False}])
    []
    """
    own = [{name: file[name] for name in ("file_name", "content_key", "first_row", "last_row")} | {"loaded_at": file["last_loaded_at"]} for file in files]
    found = [{**entry, "is_duplicate": False} for entry in own if entry["first_row"] is not None]
    places: dict[str, tuple[int, int]] = {}
    for entry in (*found, *ledger):
        if not entry["is_duplicate"]:
            first, last = places.get(entry["content_key"], (entry["first_row"], entry["last_row"]))
            places[entry["content_key"]] = min(first, entry["first_row"]), max(last, entry["last_row"])
    for file, entry in zip(files, own, strict=True):
        if file["rows_duplicate"] and entry["content_key"] in places:
            first, last = places[entry["content_key"]]
            if file["rows_duplicate"] % (last - first + 1) == 0:
                found.append({**entry, "first_row": first, "last_row": last, "is_duplicate": True})
    return found


def is_inside(row: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return row["content_key"] == entry["content_key"] and entry["first_row"] <= row["row_number"] <= entry["last_row"]


def is_entered(row: Mapping[str, Any], entered: Sequence[Mapping[str, Any]]) -> bool:
    return any(is_inside(row, entry) and entry["loaded_at"] == row["loaded_at"] for entry in entered)


def repeats_of(event: Mapping[str, Any], entered: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The loads in which the same place of the same content came again."""
    again = [entry for entry in entered if entry["is_duplicate"] and is_inside(event, entry)]
    own = {"row_number": event["row_number"], "content_key": event["content_key"]}
    return [{"file_name": entry["file_name"], **own, "loaded_at": entry["loaded_at"]} for entry in again]


def quarantined(run: Run, source: Source, key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows in quarantine that name this key, read as a load would read them."""
    rows = run.session.table("control.quarantine").filter(
        (F.col("pipeline") == F.lit(run.pipeline.name)) & (F.col("source") == F.lit(source.name))
    )
    for column in source.columns:
        if column.name not in key or column.expression:
            continue
        value = F.col("row_values")
        for word in column.path or (column.received_as or column.name,):
            value = value[word]
        read = cleaning.parsed(cleaning.cleaned(value.cast("string"), column), column)
        rows = rows.filter(matches(read, key[column.name], column.type))
    found = rows.select("quarantine_id", *names.PROVENANCE, F.col("failed_checks").cast("string").alias("failed_checks"), "run_id", "status").collect()
    return [values(row) for row in found]


def checks_of(run: Run, source: Source, event: Mapping[str, Any], loaded_by: Mapping[str, Any] | None) -> dict[str, Any]:
    """Every check the line was held against, by the spec of its load, and what came of it."""
    version = int(loaded_by["spec_version"]) if loaded_by else run.spec_version
    text = run.session.sql(
        "SELECT spec FROM control.pipeline_spec WHERE pipeline = ? AND version = ?", params=[run.pipeline.name, version]
    ).collect()
    then = spec_file.parse(text[0]["SPEC"], run.pipeline.name).source(source.name) if text else source
    built_in = [check.name for check, _, _ in cleaning.built_in_checks(then)]
    outcomes: dict[str, str] = dict.fromkeys(built_in, "passed")
    # What a check asked of the row's file, or of silver as it was then, cannot be asked again.
    asked = () if event["is_deleted"] else checking.of_rows(then).checks
    if asked:
        row = run.session.table(source.silver).filter(at_place(event))
        conditions = [checking.condition(check, then.types()) if check.test else cleaning.sql_column(check.expect) for check in asked]
        held = row.select(*[condition.alias(f"check_{n}") for n, condition in enumerate(conditions)]).collect()[0]
        outcomes |= {check.name: "passed" if held[n] is True else "warned" for n, check in enumerate(asked)}
    return {"spec_version": version, "evaluated": outcomes, "not_evaluated": [check.name for check in then.checks if check not in asked]}


def at_place(event: Mapping[str, Any]) -> Column:
    return (
        (F.col("file_name") == F.lit(event["file_name"]))
        & (F.col("row_number") == F.lit(int(event["row_number"])))
        & (F.col("loaded_at") == F.lit(event["loaded_at"]))
    )
