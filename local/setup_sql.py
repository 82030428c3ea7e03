"""`firn setup-sql FILE`: what an administrator runs for the sources of one pipeline file.

Bronze tables, pipes and streams; the application's rights on them; queries that say whether they work; their removal.  The scripts of
the packaged pipelines are committed under setup_sql/, and a test says when one is stale.  Names come through `names` only.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from local.place import ROOT, NotRunning, Place

sys.path.append(str(ROOT / "procedures"))

import names
import spec_file
from spec_nodes import SpecRefused
from specs import Pipeline, Source

LANDING = ("firn_landing", "bronze")
FORMATS = {"csv": "csv_with_header", "json": "json_documents", "parquet": "parquet_columns"}
METADATA = (
    ("_file_name", "VARCHAR", "METADATA$FILENAME", "object in the bucket"),
    ("_row_number", "NUMBER", "METADATA$FILE_ROW_NUMBER", "place in the file"),
    ("_content_key", "VARCHAR", "METADATA$FILE_CONTENT_KEY", "the object's checksum"),
    ("_modified_at", "TIMESTAMP_NTZ", "METADATA$FILE_LAST_MODIFIED", "when the object was written, UTC"),
    ("_loaded_at", "TIMESTAMP_NTZ", "METADATA$START_SCAN_TIME", "when the file was read, UTC"),
)
PLAIN_PATH = re.compile(r"[\w./=-]*")


def add(commands: Any) -> None:
    text = "the administrator's SQL for the sources of a pipeline file: bronze tables, pipes, grants, checks, teardown"
    one = commands.add_parser("setup-sql", help=text, description=text)
    one.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pipeline files, like app/pipelines/retail.yml")
    one.add_argument("--folder", type=Path, help="write the scripts here instead of printing them")
    one.set_defaults(run=run)


def run(place: Place, arguments: argparse.Namespace) -> int:
    try:
        made = [script for file in arguments.files for script in scripts(spec_file.parse(file.read_text(encoding="utf-8"), file.name))]
    except (OSError, SpecRefused, names.NameRefused) as e:
        raise NotRunning(str(e)) from e
    for name, text in made:
        if arguments.folder is None:
            print(f"-- {name}\n{text}")
        else:
            (arguments.folder / name).write_text(text, encoding="utf-8")
            print(f"written: {arguments.folder / name}")
    return 0


def scripts(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Name and text of each script, in the order they are run; the last two when they are wanted."""
    return [
        (f"05_sources_{pipeline.name}.sql", sources_sql(pipeline)),
        (f"07_grants_{pipeline.name}.sql", grants_sql(pipeline)),
        (f"09_pipe_errors_{pipeline.name}.sql", pipe_errors_sql(pipeline)),
        (f"90_verify_{pipeline.name}.sql", verify_sql(pipeline)),
        (f"98_teardown_{pipeline.name}.sql", teardown_sql(pipeline)),
    ]


def made_by(pipeline: Pipeline) -> str:
    return f"-- Made by `firn setup-sql` from the sources of pipeline {pipeline.name}; change the pipeline file, not this."


def bronze(name: str) -> str:
    return names.qualified(*LANDING, name)


def comment(text: str) -> str:
    """
    >>> comment("CRM extract\\nDROP TABLE t")
    '-- CRM extract DROP TABLE t'
    """
    return "-- " + " ".join(text.split())


def stage_path(prefix: str) -> str:
    """A place in the stage; in quotes where SQL would not read it otherwise.

    >>> stage_path("crm/customers/"), stage_path("crm/old customers/")
    ('@firn_landing.bronze.landing/crm/customers/', "'@firn_landing.bronze.landing/crm/old customers/'")
    """
    path = f"@{bronze('landing')}/{prefix}"
    return path if PLAIN_PATH.fullmatch(prefix) else names.text(path)


# --- bronze tables, pipes, streams


def sources_sql(pipeline: Pipeline) -> str:
    parts = [SOURCES_HEAD.format(made_by=made_by(pipeline), what=comment(pipeline.comment or pipeline.name))]
    for source in pipeline.sources:
        parts += [table_sql(source), pipe_sql(source)]
        if pipeline.when == "arrival":
            parts.append(stream_sql(source))
    return "\n\n".join(parts) + "\n"


SOURCES_HEAD = """\
{made_by}
{what}. Bronze tables, every column as text, and the pipes that fill them.
-- ON_ERROR = SKIP_FILE: a file whose structure is broken stays out whole, stays in the bucket and is told of (90_verify);
-- mend it and put it there under another name. IF NOT EXISTS: a replaced pipe would forget what it has loaded (firn pipes replace).
-- After this script: firn aws apply, which sends the bucket's events of each prefix to the pipes' queue.
USE ROLE firn_loader;"""


def table_sql(source: Source) -> str:
    """
    >>> print(table_sql(Source("stock", "erp/stock/", "json", ("sku",), "updated_at", ())))  # doctest: +ELLIPSIS
    -- stock, JSON, one document per line.
    CREATE TABLE IF NOT EXISTS firn_landing.bronze.stock (
        record        VARIANT,        -- the document as it came
        _file_name    VARCHAR,        -- object in the bucket
    ...
    """
    rows = [(name, kind, what) for name, kind, _, what in METADATA]
    if source.format == "json":
        rows = [("record", "VARIANT", "the document as it came"), *rows]
    else:
        rows = [(name, "VARCHAR", "") for name in received(source)] + rows
    wide = max(len(name) for name, _, _ in rows) + 1
    lines = []
    for number, (name, kind, what) in enumerate(rows, start=1):
        typed = kind + "," * (number < len(rows))
        lines.append(f"    {name:<{wide}} {typed:<15} -- {what}" if what else f"    {name:<{wide}} {typed}")
    what = f"{source.name}, {WORDS[source.format]}" + (f": {source.comment}" if source.comment else "")
    about = comment(what + (f". A tombstone: {source.delete_when}." if source.delete_when else "."))
    return f"{about}\nCREATE TABLE IF NOT EXISTS {bronze(source.name)} (\n" + "\n".join(lines) + "\n);"


WORDS = {"csv": "CSV", "json": "JSON, one document per line", "parquet": "Parquet"}


def received(source: Source) -> list[str]:
    """The columns of the file, as unquoted names: pipes match them whatever their case."""
    found = [column.received_as or column.name for column in source.columns if not column.expression]
    for name in found:
        if not names.plain(name):
            raise names.NameRefused(name)
    return list(dict.fromkeys(names.identifier(name) for name in found))


def pipe_sql(source: Source) -> str:
    head = (
        f"CREATE PIPE IF NOT EXISTS {bronze(source.name + '_pipe')}\n    AUTO_INGEST = TRUE\n"
        f"    COMMENT = {names.text(f'Firn: s3://<bucket>/{source.prefix} into bronze.{source.name}')}\nAS\n"
    )
    form = f"    FILE_FORMAT = (FORMAT_NAME = '{bronze(FORMATS[source.format])}')\n"
    if source.format == "json":
        columns = ", ".join(["record", *(name for name, *_ in METADATA)])
        chosen = ",\n".join(f"            {each}" for each in ["$1", *(place for _, _, place, _ in METADATA)])
        return (
            "-- A whole document has no column names to match, so this pipe selects it; VALIDATE_PIPE_LOAD does not work on it, COPY_HISTORY does.\n"
            f"{head}    COPY INTO {bronze(source.name)} ({columns})\n    FROM (\n        SELECT\n{chosen}\n"
            f"        FROM {stage_path(source.prefix)}\n    )\n{form}    ON_ERROR = SKIP_FILE;"
        )
    metadata = ",\n".join(f"        {name} = {place}" for name, _, place, _ in METADATA)
    return (
        f"{head}    COPY INTO {bronze(source.name)}\n    FROM {stage_path(source.prefix)}\n{form}"
        f"    MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\n    INCLUDE_METADATA = (\n{metadata}\n    )\n    ON_ERROR = SKIP_FILE;"
    )


def stream_sql(source: Source) -> str:
    return (
        "-- What starts the graph. A stream that was not read for two weeks goes stale; firn pipes status says so, the ledger makes up for it.\n"
        f"CREATE STREAM IF NOT EXISTS {bronze(source.stream)}\n    ON TABLE {bronze(source.name)}\n    APPEND_ONLY = TRUE\n"
        f"    COMMENT = {names.text(f'Firn: rows that arrive in bronze.{source.name}')};"
    )


# --- rights


def grants_sql(pipeline: Pipeline) -> str:
    lines = [
        made_by(pipeline),
        "-- What the application may do with these sources. Run it after `snow app run`, and again when a source was added.",
        "-- SELECT to load, DELETE for the sweep, which removes rows that are in the ledger and past retention.",
        "USE ROLE firn_loader;",
        "",
    ]
    for source in pipeline.sources:
        lines.append(f"GRANT SELECT, DELETE ON TABLE {bronze(source.name)} TO APPLICATION firn;")
        if pipeline.when == "arrival":
            lines.append(f"GRANT SELECT ON STREAM {bronze(source.stream)} TO APPLICATION firn;")
    return "\n".join(lines) + "\n"


# --- who hears of a file that failed


def pipe_errors_sql(pipeline: Pipeline) -> str:
    lines = [
        made_by(pipeline),
        "-- A file that a pipe could not load becomes a message to the topic of 08_notifications.sql. The local account records this and sends nothing.",
        "USE ROLE firn_loader;",
        "",
        *(f"ALTER PIPE {bronze(source.name + '_pipe')} SET ERROR_INTEGRATION = firn_pipe_errors;" for source in pipeline.sources),
    ]
    return "\n".join(lines) + "\n"


# --- does it work


def verify_sql(pipeline: Pipeline) -> str:
    found = pipeline.sources
    parts = [
        f"{made_by(pipeline)}\n-- Is everything in place, and did everything load? Changes nothing. Needs a warehouse: snow sql --warehouse firn_wh -f …\nUSE ROLE SYSADMIN;",
        "\n".join(f"LIST {stage_path(source.prefix)};" for source in found),
        "-- executionState is RUNNING, pendingFileCount goes back to 0.\nSELECT\n"
        + ",\n".join(f"    SYSTEM$PIPE_STATUS('{bronze(source.name + '_pipe')}') AS {source.name}" for source in found)
        + ";",
        "-- Rows and files by source.\n" + "\nUNION ALL\n".join(map(count_sql, found)) + "\nORDER BY source;",
        *([STREAMS_CHECK] if pipeline.when == "arrival" else []),
        "-- Files of the last day that did not load, or not whole; one query per table.\n" + "\n\n".join(map(history_sql, found)),
    ]
    return "\n\n".join(parts) + "\n"


STREAMS_CHECK = f"-- stale is false. When it is true: firn pipes status says what to do.\nSHOW STREAMS IN SCHEMA {names.qualified(*LANDING)};"


def count_sql(source: Source) -> str:
    return (
        f"SELECT {names.text(source.name)} AS source, COUNT(*) AS row_count, COUNT(DISTINCT _file_name) AS file_count, MAX(_loaded_at) AS newest\n"
        f"FROM {bronze(source.name)}"
    )


def history_sql(source: Source) -> str:
    return f"""\
SELECT file_name, status, row_count, row_parsed, error_count, first_error_message, first_error_line_number
FROM
    TABLE(
        {LANDING[0]}.INFORMATION_SCHEMA.COPY_HISTORY(
            TABLE_NAME => '{bronze(source.name)}', START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP())
        )
    )
WHERE status <> 'Loaded'
ORDER BY last_load_time;"""


# --- away with it


def teardown_sql(pipeline: Pipeline) -> str:
    lines = [
        made_by(pipeline),
        "-- Takes away what 05 made for these sources, with their rows of bronze; files stay in the bucket. Pipes first: they stop reading the queue.",
        "USE ROLE firn_loader;",
        "",
        *(f"DROP PIPE IF EXISTS {bronze(source.name + '_pipe')};" for source in pipeline.sources),
        *(f"DROP STREAM IF EXISTS {bronze(source.stream)};" for source in pipeline.sources if pipeline.when == "arrival"),
        *(f"DROP TABLE IF EXISTS {bronze(source.name)};" for source in pipeline.sources),
    ]
    return "\n".join(lines) + "\n"


def packaged(files: Iterable[Path]) -> dict[str, str]:
    """The scripts of these pipeline files by name, as `--folder` writes them."""
    return {name: text for file in sorted(files) for name, text in scripts(spec_file.parse(file.read_text(encoding="utf-8"), file.name))}
