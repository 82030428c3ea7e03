"""Stages: internal ones are folders of the account, external ones point into S3. PUT, GET, LIST, REMOVE.

docs.snowflake.com/en/sql-reference/sql/create-stage, …/put, …/list. Files of an internal stage lie in
<account>/stages/DATABASE/SCHEMA/STAGE/…; the client copies them itself (location type LOCAL_FS), as both run on one machine.

Differs: a PUT with OVERWRITE = FALSE leaves files that are there alone, but reports them as UPLOADED or not at all
where Snowflake says SKIPPED. Refused: credentials in CREATE STAGE (use a storage integration).
Directory tables: local/directories.py.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local import directories, grants, pipes_access
from local.answer import Answer, status, table
from local.errors import exists, failed, missing, refused, syntax
from local.pipes_access import check_schema, file_format_of, is_allowed, options_text, shown
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

STAGE_OPTIONS = {"URL", "STORAGE_INTEGRATION", "ENCRYPTION", "DIRECTORY", "FILE_FORMAT", "COMMENT"}
NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'


@dataclass(frozen=True)
class StagedFile:
    """`name` as LIST shows it; `path` relative to the stage's own place; `modified_at` in UTC."""

    name: str
    path: str
    size: int
    etag: str
    modified_at: dt.datetime


@dataclass(frozen=True)
class Location:
    """What `@db.schema.stage/dir` means: a stage (None for user and table stages) and a path in it."""

    stage: Thing | None
    folder: Path
    shown_as: str
    path: str

    @property
    def url(self) -> str:
        return self.stage.get("url", "") if self.stage else ""


# --- where a stage's files are


def stage_folder(account: Account, database: str, schema: str, stage: str) -> Path:
    """The folder of an internal stage; it may not exist yet. Names cannot lead out of it."""
    return account.folder.joinpath("stages", *(part_of_path(name) for name in (database, schema, stage)))


def part_of_path(name: str) -> str:
    return quote(name, safe="%~ ").replace(".", "%2E")


def forget(account: Account, database: str, schema: str | None = None) -> None:
    """Forget stages with their files, file formats and pipes of a dropped database or schema."""
    place = account.folder.joinpath("stages", *(part_of_path(name) for name in (database, schema) if name))
    shutil.rmtree(place, ignore_errors=True)
    account.catalog.drop_all(database=database, schema=schema, kinds=("stage", "file_format", "pipe", "pipe_file", "table_option"))


def locate(account: Account, session: Session, text: str) -> Location:
    """Find the stage that `@db.schema.stage/dir` names; text with or without the '@'."""
    text = text.strip().strip("'").removeprefix("@")
    if text.startswith("~"):
        return Location(None, account.folder / "stages" / "~", "", text[1:].lstrip("/"))
    found = re.match(rf"((?:{NAME}\.)*)(%?{NAME})(?:/(.*))?$", text, re.DOTALL)
    if not found:
        raise syntax(f"syntax error: '@{text}' is not a stage")
    prefix, last, path = found.groups()
    parts = (*(unquoted(p) for p in re.findall(NAME, prefix)), unquoted(last))
    database, schema, name = session.resolve(parts)
    if name.startswith("%"):
        return Location(None, stage_folder(account, database, schema, name), "", path or "")
    stage = account.catalog.get("stage", name, database=database, schema=schema)
    if stage is None:
        raise missing("Stage", f"{database}.{schema}.{name}")
    return Location(stage, stage_folder(account, database, schema, name), name.lower() + "/", path or "")


def unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.upper()


def inside(location: Location, path: str) -> Path:
    place = (location.folder / path).resolve()
    if not place.is_relative_to(location.folder.resolve()):
        raise failed(f"'{path}' leads out of the stage")
    return place


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """
    >>> bucket_and_prefix("s3://firn-landing/customers/")
    ('firn-landing', 'customers/')
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix


def under(prefix: str, path: str) -> str:
    """A stage's URL and a path in it, joined as Snowflake does: with exactly one slash between."""
    return f"{prefix.rstrip('/')}/{path}" if prefix and path else prefix or path


def files_at(account: Account, location: Location) -> Iterator[StagedFile]:
    """The files whose path begins with the location's path, in order of their names."""
    if location.url:
        yield from objects_at(account, location)
        return
    if not location.folder.is_dir():
        return
    for place in sorted(p for p in location.folder.rglob("*") if p.is_file()):
        path = place.relative_to(location.folder).as_posix()
        if path.startswith(location.path):
            content = place.read_bytes()
            modified = dt.datetime.fromtimestamp(place.stat().st_mtime, dt.UTC).replace(tzinfo=None)
            yield StagedFile(location.shown_as + path, path, len(content), hashlib.md5(content).hexdigest(), modified)


def objects_at(account: Account, location: Location) -> Iterator[StagedFile]:
    bucket, prefix = bucket_and_prefix(location.url)
    pages = account.s3.client("s3").get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=under(prefix, location.path)):
            for found in page.get("Contents", []):
                key = found["Key"]
                modified = found["LastModified"].astimezone(dt.UTC).replace(tzinfo=None)
                yield StagedFile(f"s3://{bucket}/{key}", key[len(prefix) :].lstrip("/"), found["Size"], found["ETag"].strip('"'), modified)
    except account.s3.client("s3").exceptions.NoSuchBucket:
        raise failed(f"Failure using stage area. Cause: [The specified bucket does not exist: {bucket}]") from None


def content_of(account: Account, location: Location, path: str) -> tuple[bytes, str, dt.datetime]:
    """Bytes, ETag and modification time (UTC) of one file of a stage. FileNotFoundError if it is not there."""
    if not location.url:
        place = inside(location, path)
        content = place.read_bytes()
        modified = dt.datetime.fromtimestamp(place.stat().st_mtime, dt.UTC).replace(tzinfo=None)
        return content, hashlib.md5(content).hexdigest(), modified
    bucket, prefix = bucket_and_prefix(location.url)
    client = account.s3.client("s3")
    key = under(prefix, path)
    try:
        found = client.get_object(Bucket=bucket, Key=key)
        return found["Body"].read(), found["ETag"].strip('"'), found["LastModified"].astimezone(dt.UTC).replace(tzinfo=None)
    except client.exceptions.ClientError as e:
        code = e.response["Error"]["Code"]
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            raise FileNotFoundError(f"s3://{bucket}/{key}") from None
        raise OSError(f"s3://{bucket}/{key}: {e.response['Error'].get('Message') or code}") from None


# --- statements on stages


def create_stage(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    is_temporary = False
    while reader.peek() in ("SCOPED", "TEMPORARY", "TEMP", "LOCAL", "GLOBAL"):
        is_temporary |= reader.token().text.upper() != "LOCAL"
    reader.expect("STAGE")
    lenient = reader.words("IF", "NOT", "EXISTS")
    if is_temporary and session.app:
        raise refused("Temporary stages cannot be created in an application.")
    database, schema, name = session.resolve(reader.name())
    check_schema(account, database, schema)
    options = reader.options()
    if account.catalog.get("stage", name, database=database, schema=schema) and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(f"{database}.{schema}.{name}")
    if unknown := set(options) - STAGE_OPTIONS:
        raise syntax(f"invalid property {sorted(unknown)[0]} for 'STAGE' (the local account knows {', '.join(sorted(STAGE_OPTIONS))})")
    url = options.get("URL", "")
    if url and not url.startswith("s3://"):
        raise syntax(f"invalid URL prefix found in: '{url}' (the local account has S3 only: s3://bucket/path/)")
    integration = str(options.get("STORAGE_INTEGRATION", "")).upper()
    if url:
        check_integration(account, integration, url)
    properties = {
        "url": url,
        "integration": integration,
        "format": file_format_of(account, session, options.get("FILE_FORMAT", {})),
        "comment": options.get("COMMENT", ""),
        "has_directory": False,
        "temporary": session.token if is_temporary else None,
    }
    if replace:
        drop_stage_of(account, database, schema, name)
    stage = account.catalog.put("stage", name, database=database, schema=schema, **properties)
    grants.owned(account, session, (database, schema, name))
    if directory := options.get("DIRECTORY"):
        directories.created_with(account, stage, directory)
    if not url:
        stage_folder(account, database, schema, name).mkdir(parents=True, exist_ok=True)
    return status(f"Stage area {name} successfully created.")


def check_integration(account: Account, name: str, url: str) -> None:
    if not name:
        raise syntax(f"a stage on {url} needs STORAGE_INTEGRATION = <name>; the local account takes no credentials in CREATE STAGE")
    integration = account.catalog.get("integration", name)
    if integration is None:
        raise missing("Integration", name)
    if not is_allowed(integration, url):
        raise failed(
            f"Location '{url}' is not allowed by integration {name}. "
            "Please use DESC INTEGRATION to check out allowed and blocked locations."
        )


def drop_stage_of(account: Account, database: str, schema: str, name: str) -> bool:
    shutil.rmtree(stage_folder(account, database, schema, name), ignore_errors=True)
    if stage := account.catalog.get("stage", name, database=database, schema=schema):
        directories.forget(account, stage)
    return account.catalog.drop("stage", name, database=database, schema=schema)


def drop_stage(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "STAGE")
    lenient = reader.words("IF", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    if drop_stage_of(account, database, schema, name):
        return status(f"{name} successfully dropped.")
    if lenient:
        return status("Drop statement executed successfully (" + name + " already dropped).")
    raise missing("Stage", f"{database}.{schema}.{name}")


def show_stages(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("STAGES")
    columns = (
        "created_on:timestamp_ltz name database_name schema_name url has_credentials has_encryption_key owner comment region type cloud"
        " notification_channel storage_integration endpoint owner_role_type directory_enabled"
    )
    rows = [
        (created, s.name, s.database, s.schema, s["url"], "N", "N", "ACCOUNTADMIN", s["comment"], None,
         ("EXTERNAL" if s["url"] else "INTERNAL") + (" TEMPORARY" if s["temporary"] else ""), "AWS" if s["url"] else None, None,
         s["integration"] or None, None, "ROLE", "Y" if s["has_directory"] else "N")
        for created, s in shown(account, session, reader, "stage")
    ]  # fmt: skip
    return table(columns, rows)


def describe_stage(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("STAGE")
    database, schema, name = session.resolve(reader.name())
    stage = account.catalog.get("stage", name, database=database, schema=schema)
    if stage is None:
        raise missing("Stage", f"{database}.{schema}.{name}")
    rows = [("STAGE_FILE_FORMAT", key, kind, value, default) for key, kind, value, default in options_text(stage["format"])]
    if stage["url"]:
        rows.append(("STAGE_LOCATION", "URL", "String", f'["{stage["url"]}"]', ""))
        rows.append(("STAGE_INTEGRATION", "STORAGE_INTEGRATION", "String", stage["integration"], ""))
    rows.append(("DIRECTORY", "ENABLE", "Boolean", str(stage["has_directory"]).lower(), "false"))
    return table("parent_property property property_type property_value property_default", rows)


# --- files on stages


def bare(reader: Reader) -> str:
    return reader.sql.strip().rstrip(";").rstrip()


def stage_and_pattern(reader: Reader, verb: str) -> tuple[str, str | None]:
    """The location and the PATTERN of a LIST or REMOVE. Read from the text: a path may hold what the tokenizer takes for a comment."""
    found = re.match(rf"\s*(?:{verb})\s+('@[^']*'|@\S+)\s*(?:PATTERN\s*=\s*'((?:[^']|'')*)')?\s*$", bare(reader), re.IGNORECASE)
    if not found:
        raise syntax(f"syntax error: expected {verb.split('|')[0]} @stage[/path] [PATTERN = '…']")
    return found.group(1).strip("'"), found.group(2) and found.group(2).replace("''", "'").replace("\\\\", "\\")


def matching(account: Account, location: Location, pattern: str | None) -> list[StagedFile]:
    files = files_at(account, location)
    return [f for f in files if pattern is None or re.fullmatch(pattern, f.name) or re.fullmatch(pattern, f.path)]


def list_stage(account: Account, session: Session, reader: Reader) -> Answer:
    text, pattern = stage_and_pattern(reader, "LIST|LS")
    files = matching(account, locate(account, session, text), pattern)
    rows = [(f.name, f.size, f.etag, f.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT")) for f in files]
    return table("name size:fixed md5 last_modified", rows)


def remove(account: Account, session: Session, reader: Reader) -> Answer:
    text, pattern = stage_and_pattern(reader, "REMOVE|RM")
    location = locate(account, session, text)
    files = matching(account, location, pattern)
    for file in files:
        delete(account, location, file.path)
    return table("name result", [(file.name, "removed") for file in files])


def delete(account: Account, location: Location, path: str) -> None:
    if location.url:
        bucket, prefix = bucket_and_prefix(location.url)
        account.s3.client("s3").delete_object(Bucket=bucket, Key=under(prefix, path))
    else:
        inside(location, path).unlink(missing_ok=True)


PUT = re.compile(r"\s*PUT\s+(?:'file://((?:[^']|'')*)'|file://(\S+))\s+('@[^']*'|@\S+)\s*(.*)$", re.IGNORECASE | re.DOTALL)
GET = re.compile(r"\s*GET\s+('@[^']*'|@\S+)\s+(?:'file://((?:[^']|'')*)'|file://(\S+))\s*(.*)$", re.IGNORECASE | re.DOTALL)


def put_data(account: Account, session: Session, reader: Reader) -> dict[str, Any]:
    """The `data` of the answer to PUT: tells the client into which folder to copy which of its files."""
    found = PUT.match(bare(reader))
    if not found:
        raise syntax("syntax error: expected PUT file://<path> @<stage>[/<path>] [options]")
    quoted, plain, target, rest = found.groups()
    location = locate(account, session, target)
    if location.url:
        raise refused(f"PUT is not supported for external stages: {target}")
    options = Reader(rest).options() if rest.strip() else {}
    folder = inside(location, location.path)
    folder.mkdir(parents=True, exist_ok=True)
    source = (quoted.replace("''", "'").replace("\\\\", "\\") if quoted is not None else plain).removeprefix("localhost")
    compress = options.get("AUTO_COMPRESS", True)
    sources = [source]
    if not options.get("OVERWRITE", False):
        local = sorted(glob.glob(str(Path(source).expanduser()))) or [source]
        sources = [p for p in local if not (folder / target_name(p, compress)).exists()]
        if not sources:  # the client insists on copying something: let it, to where nobody looks
            sources, folder = local, account.folder / "stages" / ".skipped"
            folder.mkdir(parents=True, exist_ok=True)
    return {
        "command": "UPLOAD",
        "src_locations": sources,
        "parallel": int(options.get("PARALLEL", 4)),
        "autoCompress": compress,
        "sourceCompression": str(options.get("SOURCE_COMPRESSION", "auto_detect")).lower(),
        "overwrite": True,
        "stageInfo": {"locationType": "LOCAL_FS", "location": str(folder), "creds": {}},
    }


def target_name(source: str, is_compressed: bool) -> str:
    name = Path(source).name
    return name if not is_compressed or name.endswith((".gz", ".bz2", ".zst", ".br", ".parquet", ".orc")) else name + ".gz"


def get_data(account: Account, session: Session, reader: Reader) -> dict[str, Any]:
    """The `data` of the answer to GET: which files of which folder the client is to copy, and where to."""
    found = GET.match(bare(reader))
    if not found:
        raise syntax("syntax error: expected GET @<stage>[/<path>] file://<folder> [options]")
    target, quoted, plain, rest = found.groups()
    location = locate(account, session, target)
    if location.url:
        raise refused(f"GET is not supported for external stages: {target}")
    options = Reader(rest).options() if rest.strip() else {}
    return {
        "command": "DOWNLOAD",
        "src_locations": [file.path for file in matching(account, location, options.get("PATTERN"))],
        "localLocation": quoted.replace("''", "'") if quoted is not None else plain,
        "parallel": int(options.get("PARALLEL", 4)),
        "overwrite": True,
        "stageInfo": {"locationType": "LOCAL_FS", "location": str(location.folder), "creds": {}},
    }


STATEMENTS = {
    ("CREATE", "STAGE"): create_stage,
    ("DROP", "STAGE"): drop_stage,
    ("SHOW", "STAGES"): show_stages,
    ("DESCRIBE", "STAGE"): describe_stage,
    ("LIST",): list_stage,
    ("REMOVE",): remove,
    **pipes_access.STATEMENTS,
}
