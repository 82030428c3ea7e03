"""Rows for a drill: made up from a pipeline's columns, or read from files.

Made-up batches bring what a run has to cope with: new keys, changes, late events, tombstones, rows without a key, values that are none,
unknown members of a dimension, a row twice, a file sent again under another name, rows that arrive below LETS less the overlap.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from specs import Column, Pipeline, Source

from local.rig import Rig
from local.stages import stage_folder

BATCHES = 2
KEYS = 8
TOKENS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S"}
FORMATS = {
    "csv": "(TYPE = CSV PARSE_HEADER = TRUE FIELD_OPTIONALLY_ENCLOSED_BY = '\"' ESCAPE_UNENCLOSED_FIELD = NONE EMPTY_FIELD_AS_NULL = TRUE ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE)",
    "json": "(TYPE = JSON)",
    "parquet": "(TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)",
}
META = {
    "_file_name": "FILENAME", "_row_number": "FILE_ROW_NUMBER", "_content_key": "FILE_CONTENT_KEY", "_modified_at": "FILE_LAST_MODIFIED", "_loaded_at": "START_SCAN_TIME",
}  # fmt: skip


def made_up(pipeline: Pipeline, rows: int = 20, seed: int = 1) -> list[Callable[[Rig], None]]:
    """Batches for every source of a pipeline, from the types, values, lookups and checks it declares."""
    return [lambda rig, number=number: lay(rig, number, rows, seed) for number in range(1, BATCHES + 1)]


def lay(rig: Rig, number: int, rows: int, seed: int) -> None:
    """One made-up batch: the first brings new keys, the others all there is."""
    made = random.Random(f"{seed} {number}")
    for source in rig.pipeline.sources:
        batch = [row(rig.pipeline, source, made, made.choice([1, number]) if number > 1 else 1) for _ in range(rows)]
        batch[-1] = dict(batch[0])  # the same row twice
        if number > 1:
            batch[1] = {**batch[1], received_name(source, source.key[0]): None}
            batch[2] = spoilt(source, batch[2])
        documents = [document(source, values) for values in batch]
        name = f"{source.prefix}batch_{number}.{source.format}"
        rig.load(source.name, documents[: rows // 2], file=name, content_key=f"content {number}")
        rig.load(source.name, documents[rows // 2 :], file=name, content_key=f"content {number}", first_row=rows // 2 + 1)  # in two commits
        if number > 1:
            rig.load(source.name, documents[: rows // 2], file=f"{source.prefix}again_{number}.{source.format}", content_key=f"content {number}")
            below_lets = rig.clock
            rig.load(source.name, [document(source, row(rig.pipeline, source, made, 1)) for _ in range(3)], loaded_at=dt.datetime(2023, 1, 1))
            rig.clock = below_lets


def row(pipeline: Pipeline, source: Source, made: random.Random, month: int) -> dict[str, str | None]:
    """One row as its file would hold it; `month` is when it became true."""
    moment = dt.datetime(2023, 6 + month, 1) + dt.timedelta(hours=made.randrange(600))
    tombstone = re.fullmatch(r"\s*(\w+)\s*=\s*'([^']*)'\s*", source.delete_when)
    values: dict[str, str | None] = {}
    for column in source.columns:
        if column.expression:
            continue
        value = text_of(pipeline, source, column, made, moment)
        if tombstone and column.name == tombstone[1] and made.random() < 0.1:
            value = tombstone[2]
        elif column.name not in keys(pipeline, source) and column.name != source.effective_at and not column.required and made.random() < 0.05:
            value = None
        values[received_name(source, column.name)] = value
    return values


def text_of(pipeline: Pipeline, source: Source, column: Column, made: random.Random, moment: dt.datetime) -> str:
    """A value as text, of the column's type and likely to pass its checks."""
    if column.name in keys(pipeline, source):
        number = made.randrange(1, KEYS + 1) + (KEYS // 2 if column.name not in source.key and made.random() < 0.1 else 0)
        return str(number) if column.type in ("integer", "number") else f"{'k' if column.type == 'text' else ''}{number}"
    if column.mapping:
        return made.choice(sorted(column.mapping))
    checks = " ".join(check.expect for check in source.checks)
    if column.type in ("timestamp", "date"):
        pattern = column.formats[0] if column.formats else ("YYYY-MM-DD HH24:MI:SS" if column.type == "timestamp" else "YYYY-MM-DD")
        return moment.strftime(re.sub("YYYY|MM|DD|HH24|MI|SS", lambda token: TOKENS[token[0]], pattern))
    if column.type == "boolean":
        return made.choice(["true", "false"])
    if column.type == "integer":
        return str(int(moment.timestamp()) if column.name == source.effective_at else made.randrange(1, 100))
    if column.type.startswith("number"):
        return str(made.randrange(1, 100))
    if re.search(rf"is_email\(\s*{column.name}\s*\)", checks):
        return f"{made.choice('abcdef')}@example.org"
    allowed = re.search(rf"\b{column.name}\s+in\s*\(([^)]*)\)|\b{column.name}\s*=\s*('[^']*')", checks, re.IGNORECASE)
    if allowed:
        return made.choice(re.findall(r"'([^']*)'", allowed[1] or allowed[2]) or ["x"])
    return made.choice(["north", "south", "east", "west"])


def keys(pipeline: Pipeline, source: Source) -> set[str]:
    """Columns that name something: the source's key, the keys of dimensions made of it, what its facts look up."""
    found = set(source.key)
    found |= {column for dimension in pipeline.dimensions if dimension.source == source.name for column in dimension.key}
    return found | {column for fact in pipeline.facts if fact.source == source.name for look in fact.lookups for column in look.by}


def spoilt(source: Source, values: dict[str, str | None]) -> dict[str, str | None]:
    """A row whose time is none: it goes to quarantine."""
    return {**values, received_name(source, source.effective_at): "not a time"}


def received_name(source: Source, column: str) -> str:
    """The name of a column in the file; for a JSON source the column itself, whose path `document` lays out."""
    found = next((c for c in source.columns if c.name == column), None)
    return column if found is None or source.format == "json" else found.received_as or found.name


def document(source: Source, values: dict[str, str | None]) -> dict[str, Any]:
    """The row as a line of its file: for JSON with the paths its columns are read from."""
    if source.format != "json":
        return values
    made: dict[str, Any] = {}
    for column in source.columns:
        if column.name in values:
            inside = made
            *above, last = column.path or (column.name,)
            for part in above:
                inside = inside.setdefault(part, {})
            inside[last] = values[column.name]
    return made


# --- files


def from_files(pipeline: Pipeline, folder: Path) -> list[Callable[[Rig], None]]:
    """Two batches of the files below a folder, which stand under their source's prefix as in the bucket: by name, half and half.

    The second batch brings the first file of each source once more, under another name.
    """
    found = {source.name: files_of(source, folder) for source in pipeline.sources}
    if not any(found.values()):
        prefixes = ", ".join(source.prefix for source in pipeline.sources)
        raise FileNotFoundError(f"{folder}: no file under any of the prefixes of {pipeline.name}: {prefixes}")

    def batch(rig: Rig, is_second: bool) -> None:
        for source in pipeline.sources:
            files = found[source.name]
            half = (len(files) + 1) // 2
            for file in files[half:] if is_second else files[:half]:
                copy_into(rig, source, file, file.relative_to(folder).as_posix())
            if is_second and files:
                copy_into(rig, source, files[0], f"{source.prefix}again_{files[0].name}")

    return [lambda rig: batch(rig, False), lambda rig: batch(rig, True)]


def files_of(source: Source, folder: Path) -> list[Path]:
    return sorted(path for path in (folder / source.prefix).rglob("*") if path.is_file())


def copy_into(rig: Rig, source: Source, file: Path, key: str) -> None:
    """Loads one file as its pipe would: COPY INTO, by column name; JSON whole."""
    if not rig.account.catalog.get("stage", "LANDING", database="FIRN_LANDING", schema="BRONZE"):
        rig.answer("CREATE STAGE firn_landing.bronze.landing")
    target = stage_folder(rig.account, "FIRN_LANDING", "BRONZE", "LANDING") / key
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    table, stage = f"firn_landing.bronze.{source.name}", f"@firn_landing.bronze.landing/{key}"
    if source.format == "json":
        columns = ", ".join(META)
        metadata = ", ".join(f"METADATA${word}" for word in META.values())
        sql = f"COPY INTO {table} (record, {columns}) FROM (SELECT $1, {metadata} FROM {stage}) FILE_FORMAT = {FORMATS['json']} ON_ERROR = SKIP_FILE"
    else:
        metadata = ", ".join(f"{column} = METADATA${word}" for column, word in META.items())
        sql = (
            f"COPY INTO {table} FROM {stage} FILE_FORMAT = {FORMATS[source.format]} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE "
            f"INCLUDE_METADATA = ({metadata}) ON_ERROR = SKIP_FILE"
        )
    rig.answer(sql)


def counted(rig: Rig, batches: Sequence[Any]) -> str:
    """What the batches came to, source by source."""
    told = []
    for source in rig.pipeline.sources:
        bronze = rig.query(f"SELECT COALESCE(SUM(row_count), 0) AS n FROM control.ledger WHERE source = '{source.name}'")[0]["n"]
        silver = rig.query(f"SELECT COUNT(*) AS n FROM {source.silver}")[0]["n"]
        waiting = rig.query(f"SELECT COUNT(*) AS n FROM control.quarantine WHERE source = '{source.name}'")[0]["n"]
        told.append(f"{source.name} {bronze} rows, {silver} events, {waiting} quarantined")
    return f"{len(batches)} batches: {'; '.join(told)}"
