"""`firn try FILE --files DIR`: a pipeline file and one's own files, through S3, pipe and graph, on an account made for it."""

from __future__ import annotations

import argparse
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import spec_validate
from local.pipeline_runs import BUCKET, query, run_scripts, wait_until, wire
from local.place import ROOT, NotRunning, Place, free_port
from local.show import print_table

if TYPE_CHECKING:
    from specs import Pipeline, Source

MARK = ".firn-try"  # in folders this command made, and may therefore empty


def add(commands: Any) -> None:
    text = "try a pipeline file on files of one's own: S3, pipe, graph; the account stays for `firn sql`"
    one = commands.add_parser("try", help=text, description=text)
    one.set_defaults(run=run)
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--files", type=Path, required=True, metavar="DIR", help="files in name order; subfolders are batches")
    one.add_argument("--source", help="which source the files are of, where their folders do not say it")
    one.add_argument("--port", type=int, default=0, help="of the account (default: a free one)")
    one.add_argument("--s3-port", type=int, default=0, help="of the local S3 (default: a free one)")


def run(place: Place, arguments: argparse.Namespace) -> int:
    try:
        pipeline = spec_validate.read(arguments.file)
    except spec_validate.Refused as e:
        raise NotRunning(str(e)) from None
    batches = batches_of(arguments.files, pipeline, arguments.source)
    start = time.monotonic()
    made = fresh(place)
    made.up(arguments.port or free_port(), arguments.s3_port or free_port())
    prepare(made, pipeline, arguments.file)
    print(f"{time.monotonic() - start:5.1f} s  account and pipeline {pipeline.name} are ready in {made.folder}")
    expected: dict[str, int] = {}
    s3 = made.s3().client("s3")
    for number, (name, files) in enumerate(batches, 1):
        for source, file in files:
            s3.upload_file(str(file), BUCKET, f"{source.prefix}{file.relative_to(arguments.files).as_posix().replace('/', '_')}")
            expected[source.name] = expected.get(source.name, 0) + 1
        await_files(made, expected)
        query(made, "CALL firn.core.run_pipeline(?)", [pipeline.name])
        print(f"{time.monotonic() - start:5.1f} s  batch {number} of {len(batches)}: {name}, {len(files)} files")
    report(made, pipeline)
    print(f"The account runs on. Look at it: firn --data {made.folder} sql \"select * from control.quarantine\"   Stop it: firn --data {made.folder} down")
    return 0


def fresh(place: Place) -> Place:
    """The folder `try` beside the chosen account, emptied; never one that this command did not make."""
    made = Place(place.folder.parent / f"{place.folder.name}-try")
    made.down()
    if made.folder.exists():
        if not (made.folder / MARK).exists():
            raise NotRunning(f"{made.folder} is there and `firn try` did not make it. Name another place: firn --data FOLDER try …")
        shutil.rmtree(made.folder)
    made.folder.mkdir(parents=True)
    (made.folder / MARK).touch()
    return made


def prepare(place: Place, pipeline: Pipeline, file: Path) -> None:
    """Landing, bucket, application, and the pipeline file with its own bronze tables and pipes; no schedule runs."""
    from local import setup_sql

    run_scripts(place, "01", "03")
    wire(place)
    run_scripts(place, "04", "04")
    place.snow("app", "run", "--connection", "local")
    folder = place.folder / "setup_sql"
    folder.mkdir()
    made = {name: text for name, text in setup_sql.scripts(pipeline) if name[:2] in ("05", "07")}
    for name, text in sorted(made.items()):
        (folder / name).write_text(text, encoding="utf-8")
        place.snow("sql", "-f", str(folder / name))
    place.snow("sql", "-f", str(ROOT / "setup_sql" / "07_grants_to_app.sql"))
    wire(place)
    for other in query(place, "SELECT pipeline FROM firn.control.pipeline_spec WHERE is_current"):
        query(place, "CALL firn.config.drop_pipeline(?, TRUE)", [other["pipeline"]])
    query(place, "CALL firn.config.apply_spec(?)", [file.read_text(encoding="utf-8")])
    place.snow("sql", "-q", f"ALTER TASK firn.tasks.{pipeline.name}_begin SUSPEND")


def batches_of(folder: Path, pipeline: Pipeline, source: str | None) -> list[tuple[str, list[tuple[Source, Path]]]]:
    """Files in name order, one batch for each subfolder if there are any, each file with its source."""
    if not folder.is_dir():
        raise NotRunning(f"{folder} is no folder")
    if source and source not in {known.name for known in pipeline.sources}:
        raise NotRunning(f"no source `{source}` in the file; it has {', '.join(known.name for known in pipeline.sources)}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise NotRunning(f"no files in {folder}")
    groups: dict[str, list[tuple[Source, Path]]] = {}
    for file in files:
        parts = file.relative_to(folder).parts
        groups.setdefault(parts[0] if len(parts) > 1 else ".", []).append((source_of(file, folder, pipeline, source), file))
    return sorted(groups.items())


def source_of(file: Path, folder: Path, pipeline: Pipeline, wanted: str | None) -> Source:
    """The source named; the only one; the one a folder or the file is named after; the only one of its format."""
    if wanted or len(pipeline.sources) == 1:
        return pipeline.source(wanted or pipeline.sources[0].name)
    relative = file.relative_to(folder).as_posix().lower()
    words = set(re.split(r"[^a-z0-9_]+", relative))
    named = [source for source in pipeline.sources if source.prefix.lower() in relative or source.name in words]
    named = named or [source for source in pipeline.sources if re.match(rf"{re.escape(source.name)}([^a-z]|$)", file.name.lower())]
    formats = {".csv": "csv", ".gz": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
    named = named or [source for source in pipeline.sources if source.format == formats.get(file.suffix.lower())]
    if len(named) != 1:
        raise NotRunning(f"{file}: which source is it of? Put it in a folder of that name, or say --source. Sources: {', '.join(source.name for source in pipeline.sources)}")
    return named[0]


def await_files(place: Place, expected: dict[str, int]) -> None:
    """Waits until the pipes have dealt with so many files of each source, well or badly."""

    def seen() -> bool:
        return all(count_files(place, source) >= count for source, count in expected.items())

    wait_until(seen, ", ".join(f"{count} files of {source}" for source, count in expected.items()) + " in bronze")


def count_files(place: Place, source: str) -> int:
    """Files of the source's pipe that were tried; also those that could not be read."""
    table = f"FIRN_LANDING.BRONZE.{source.upper()}"
    rows = query(
        place,
        f"SELECT COUNT(DISTINCT file_name) AS n FROM TABLE(firn_landing.information_schema.copy_history(TABLE_NAME => '{table}', "
        "START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())))",
    )
    return int(rows[0]["n"])


def report(place: Place, pipeline: Pipeline) -> None:
    """The run in numbers: steps, what waits in quarantine, gold."""
    print_table(
        ["step", "runs", "read", "written", "duplicate", "quarantined", "held"],
        [
            tuple(row.values())
            for row in query(
                place,
                "SELECT step, COUNT_IF(status = 'succeeded') AS runs, SUM(rows_read) AS r, SUM(rows_written) AS w, SUM(rows_duplicate) AS d, "
                "SUM(rows_quarantined) AS q, SUM(rows_held) AS h FROM firn.control.pipeline_log WHERE pipeline = ? AND rows_read IS NOT NULL "
                "GROUP BY step ORDER BY MIN(started_at)",
                [pipeline.name],
            )
        ],
    )
    waiting = query(
        place,
        "SELECT source, failed.value::VARCHAR AS failed_check, COUNT(*) AS row_count FROM firn.control.quarantine, "
        "LATERAL FLATTEN(INPUT => failed_checks) AS failed WHERE pipeline = ? GROUP BY source, failed.value::VARCHAR ORDER BY 1, 2",
        [pipeline.name],
    )
    if waiting:
        print_table(["source", "failed check", "rows in quarantine"], [tuple(row.values()) for row in waiting])
    tables = [item.table for item in (*pipeline.dimensions, *pipeline.facts, *pipeline.kpis)]
    if tables:
        counts = [(table, query(place, f"SELECT COUNT(*) AS n FROM firn.{table}")[0]["n"]) for table in tables]
        print_table(["table", "rows"], counts)
