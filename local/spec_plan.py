"""`firn plan FILE`: what applying a pipeline file would change, objects and data, found out on a copy; the account is only read."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.place import NotRunning, Place
from local.show import print_table

if TYPE_CHECKING:
    from specs import Pipeline

    from local.rig import Rig

Query = Callable[[str], list[dict[str, Any]]]
# Tables of the application whose rows decide what a run does; the log does not.
CONTROL = ("pipeline_spec", "parameter_control", "ledger", "file_ledger", "quarantine", "changed_window")
OURS = ("batch_no", "computed_at")  # columns that say when a row was written, not what it says


@dataclass
class Forecast:
    """What applying a file does to data: tables before and after, and the rows its checks judge otherwise."""

    versions: dict[str, tuple[int, int]] = field(default_factory=dict)  # dimension -> (added, removed)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # fact -> (before, after)
    totals: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)  # (KPI, measure) -> (before, after)
    quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, check) -> rows of bronze that newly fail
    released: Counter[tuple[str, str]] = field(default_factory=Counter)  # … that fail no more
    bronze_rows: int = 0


def add(commands: Any) -> None:
    text = "what applying a pipeline file would change: objects, tasks, grants, and rows, computed on a copy of the local account"
    one = commands.add_parser("plan", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("file", type=Path, metavar="FILE")


def run(place: Place, arguments: argparse.Namespace) -> int:
    import json

    from local import spec_validate
    from local.pipeline_runs import query

    try:
        pipeline = spec_validate.read(arguments.file)
    except spec_validate.Refused as e:
        raise NotRunning(str(e)) from None
    from snowflake.connector.errors import ProgrammingError

    place.running()
    text = arguments.file.read_text(encoding="utf-8")
    try:
        answer = query(place, "CALL firn.config.apply_spec(?, TRUE)", [text])
    except ProgrammingError as e:
        raise NotRunning(told(str(e.msg))) from None
    applied = json.loads(next(iter(answer[0].values())))
    show_objects(applied)
    if applied["version"] == 1:
        print("No version of it is applied: no rows to look at. Try it on files: firn try")
    elif applied["changed"]:
        show_data(forecast(lambda sql: query(place, sql), pipeline, text))
    else:
        print("The file is the one that is applied; nothing would change.")
    return 0


def told(message: str) -> str:
    """The reason out of a procedure's traceback."""
    for mark in ("changes.LosesData: ", "applying.TableTaken: ", "transforming.TransformFailed: ", "spec_nodes.SpecRefused: "):
        if mark in message:
            return message.split(mark, 1)[1].split("\n in function ")[0]
    return message


def forecast(query: Query, pipeline: Pipeline, text: str) -> Forecast:
    """What applying `text` and the next run would do, on a copy of what `query` reads; nothing is written there."""
    import spec_file

    from local.rig import Rig

    old = query(f"SELECT spec FROM firn.control.pipeline_spec WHERE pipeline = '{pipeline.name}' AND is_current")
    before_text = old[0]["spec"] if old else text
    before = spec_file.parse(before_text, "applied")
    found = Forecast()
    with tempfile.TemporaryDirectory(prefix="firn-plan-") as folder, Rig(Path(folder) / "account", spec=before_text) as rig:
        make_bronze(rig, pipeline)
        found.bronze_rows = copy_all(query, rig, before)
        failed_before, failed_after = judged(rig, before_text, before), judged(rig, text, pipeline)
        start_again(rig, before_text)
        copy_all(query, rig, before)  # what was judged is gone; a run needs it as it stands
        state = {item.table: content(rig.query, item.table) for item in (*before.dimensions, *before.facts, *before.kpis)}
        rig.call("config.apply_spec", text)
        rig.call("core.run_pipeline", pipeline.name)
        compare(found, rig.query, pipeline, state)
    found.quarantined = Counter(pair[1:] for pair in failed_after - failed_before)
    found.released = Counter(pair[1:] for pair in failed_before - failed_after)
    return found


def make_bronze(rig: Rig, pipeline: Pipeline) -> None:
    """Bronze tables and columns that only the new file knows: empty."""
    from local import setup_sql
    from local.rig import received

    known = {source.name for source in rig.pipeline.sources}
    for source in pipeline.sources:
        kind = "VARIANT" if source.format == "json" else "VARCHAR"
        table = f"firn_landing.bronze.{source.name}"
        if source.name not in known:
            rig.answer(setup_sql.table_sql(source), f"GRANT SELECT, DELETE ON TABLE {table} TO APPLICATION firn")
            continue
        for name in set(received(source)) - set(received(rig.pipeline.source(source.name))):
            rig.answer(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def copy_all(query: Query, rig: Rig, before: Pipeline) -> int:
    """The pipeline's rows, from bronze to gold, and where its steps stand; gives the rows of bronze."""
    count = 0
    for source in before.sources:
        count += copy(query, rig, f"firn_landing.bronze.{source.name}")
        copy(query, rig, f"firn.{source.silver}")
    for item in (*before.dimensions, *before.facts, *before.kpis):
        copy(query, rig, f"firn.{item.table}")
    for kpi in before.kpis:
        copy(query, rig, f"firn.{kpi.touched}")
    for name in CONTROL:
        copy(query, rig, f"firn.control.{name}", f" WHERE pipeline = '{before.name}'")
    return count


def copy(query: Query, rig: Rig, table: str, where: str = "") -> int:
    """The rows of a table in place of those of the copy; columns that both have."""
    import pyarrow as pa

    rows = query(f"SELECT * FROM {table}{where}")
    rig.duck(f"DELETE FROM {table}")
    if not rows:
        return 0
    held = {name.lower() for name, *_ in rig.duck(f"SELECT column_name FROM (DESCRIBE {table})")}
    columns = [name for name in rows[0] if name in held]
    block = pa.table({name: pa.array([row[name] for row in rows]) for name in columns})
    with rig.account.duck.duck_conn.cursor() as cursor:
        cursor.register("copied_rows", block)
        listed = ", ".join(f'"{name}"' for name in columns)
        cursor.execute(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM copied_rows")
        cursor.unregister("copied_rows")
    return len(rows)


def content(query: Query, table: str) -> list[dict[str, Any]]:
    """A table's rows without the columns that say when they were written."""
    return [{name: value for name, value in row.items() if name not in OURS} for row in query(f"SELECT * FROM firn.{table}")]


def compare(found: Forecast, query: Query, after: Pipeline, state: dict[str, list[dict[str, Any]]]) -> None:
    """Fills in versions, rows and totals."""
    for dimension in after.dimensions:
        shared = {*dimension.key, *dimension.attributes, "valid_from", "valid_to"}
        old, new = (Counter(plain(row, shared) for row in rows if is_version(row, dimension.version_key)) for rows in (state.get(dimension.table, []), content(query, dimension.table)))
        found.versions[dimension.name] = ((new - old).total(), (old - new).total())
    for fact in after.facts:
        found.rows[fact.name] = (len(state.get(fact.table, [])), len(content(query, fact.table)))
    for kpi in after.kpis:
        rows = content(query, kpi.table)
        found.totals[kpi.name, "rows"] = (len(state.get(kpi.table, [])), len(rows))
        for measure in kpi.measures:
            old, new = total(state.get(kpi.table, []), measure.name), total(rows, measure.name)
            if (old, new) != (None, None):
                found.totals[kpi.name, measure.name] = (old, new)


def is_version(row: dict[str, Any], version_key: str) -> bool:
    return int(row[version_key]) > 0


def plain(row: dict[str, Any], columns: set[str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(row[name])) for name in columns if name in row))


def total(rows: list[dict[str, Any]], name: str) -> Decimal | None:
    """The sum of a measure over all rows; None for what is no number."""
    values = [row.get(name) for row in rows if row.get(name) is not None]
    numbers = [Decimal(str(value)) for value in values if isinstance(value, int | float | Decimal)]
    return sum(numbers, Decimal(0)) if numbers and len(numbers) == len(values) else None


def judged(rig: Rig, text: str, pipeline: Pipeline) -> set[tuple[str, str, str]]:
    """Rows of bronze that fail when all of it is loaded under a file: (row, source, check)."""
    import json

    import taskgraph

    start_again(rig, text)

    for source in taskgraph.in_order(pipeline):
        rig.call("core.run_step", pipeline.name, "load", source.name)
    rows = rig.query(f"SELECT quarantine_id, source, failed_checks FROM control.quarantine WHERE pipeline = '{pipeline.name}'")
    return {(row["quarantine_id"], row["source"], check) for row in rows for check in json.loads(row["failed_checks"])}


def start_again(rig: Rig, text: str) -> None:
    """The pipeline under a file, without data; bronze stays."""
    rig.call("config.drop_pipeline", rig.pipeline.name, True)
    rig.call("config.apply_spec", text)


def show_objects(applied: dict[str, Any]) -> None:
    print(f"pipeline {applied['pipeline']}, version {applied['version']}{'' if applied['changed'] else ' (no change)'}")
    rows = [(change["kind"], change["object"], change["detail"]) for change in applied["changes"]]
    print_table(["change", "object", ""], rows) if rows else print("no object would change")
    if applied["computed_again"]:
        print("computed again, all of it: " + ", ".join(applied["computed_again"]))


def show_data(found: Forecast) -> None:
    rows = list(lines(found))
    print(f"After applying it and the next run, on a copy of {found.bronze_rows:,} rows of bronze and all of silver and gold:")
    print_table(["what", "", "before", "after"], rows) if rows else print("  no row of gold would change")
    checks = [(source, check, "newly in quarantine", count) for (source, check), count in sorted(found.quarantined.items())]
    checks += [(source, check, "no longer", count) for (source, check), count in sorted(found.released.items())]
    print("Rows of bronze that its checks judge otherwise. Those already loaded stay where they are; rows that wait can be replayed:")
    print_table(["source", "check", "", "rows"], checks) if checks else print("  none")


def lines(found: Forecast) -> Iterator[tuple[Any, ...]]:
    for name, (added, removed) in found.versions.items():
        if added or removed:
            yield name, "versions", f"-{removed}", f"+{added}"
    for name, (before, after) in found.rows.items():
        if before != after:
            yield name, "rows", before, after
    for (name, measure), (old, new) in found.totals.items():
        if old != new:
            yield name, measure, old, new
