"""Directory tables: what a stage held when it was last refreshed.

docs.snowflake.com/en/user-guide/data-load-dirtables-query, …/data-load-dirtables-manage, …/sql-reference/sql/alter-stage.  The rows lie in a
hidden table of the stage's database, so that a view over `DIRECTORY(@stage)` is a view like others: who may read the view need not have
a right on the stage.  To read the directory itself, or to refresh it, an application needs USAGE on an external stage, READ or WRITE on
an internal one (docs.snowflake.com/en/release-notes/bcr-bundles/2023_06/bcr-1222); roles are not asked to refresh.

Differs: REFRESH does not tell of files that have not changed.  Refused: AUTO_REFRESH; other changes by ALTER STAGE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local import grants, stages
from local.answer import Answer, status, table
from local.dialect_names import quoted
from local.errors import failed, missing, refused, syntax
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

SCHEMA = "_fs_information_schema"  # hidden in every database
PREFIX = grants.DIRECTORY
COLUMNS = '"RELATIVE_PATH" VARCHAR, "SIZE" BIGINT, "LAST_MODIFIED" TIMESTAMPTZ, "MD5" VARCHAR, "ETAG" VARCHAR, "FILE_URL" VARCHAR'


def place(stage: Thing) -> str:
    return ".".join(quoted(part) for part in (stage.database, SCHEMA, f"{PREFIX}{stage.schema}.{stage.name}"))


def alter_stage(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "STAGE")
    lenient = reader.words("IF", "EXISTS")
    name = session.resolve(reader.name())
    stage = account.catalog.get("stage", name[2], database=name[0], schema=name[1])
    if stage is None or not (session.app is None or grants.may(account, session, privilege(stage, "WRITE"), name)):
        if lenient:
            return status("Statement executed successfully.")
        raise missing("Stage", ".".join(name))
    if reader.words("SET"):
        options = reader.options()
        if set(options) != {"DIRECTORY"} or session.app:
            raise refused("The local account knows ALTER STAGE … SET DIRECTORY = (ENABLE = TRUE | FALSE) and … REFRESH.")
        set_directory(account, stage, options["DIRECTORY"])
        return status("Statement executed successfully.")
    reader.expect("REFRESH")
    options = reader.options()
    if set(options) - {"SUBPATH"}:
        raise syntax(f"syntax error: ALTER STAGE … REFRESH takes SUBPATH only, not {', '.join(sorted(options))}")
    return refresh(account, stage, str(options.get("SUBPATH", "")))


def privilege(stage: Thing, internal: str) -> str:
    return "USAGE" if stage["url"] else internal


def created_with(account: Account, stage: Thing, options: dict[str, Any]) -> None:
    """What DIRECTORY = (…) of CREATE STAGE says; that of an external stage is refreshed unless it says otherwise."""
    options = dict(options)
    refreshes = options.pop("REFRESH_ON_CREATE", bool(stage["url"]))
    set_directory(account, stage, options)
    if options.get("ENABLE") and refreshes:
        refresh(account, account.catalog.change(stage), "")


def set_directory(account: Account, stage: Thing, options: dict[str, Any]) -> None:
    """Adds an empty directory table to a stage, or takes it away; one that is there stays as it is."""
    if set(options) != {"ENABLE"}:
        raise refused(f"DIRECTORY: the local account does not know {', '.join(sorted(set(options) - {'ENABLE'})) or 'this'}; use ALTER STAGE … REFRESH.")
    is_on = bool(options.get("ENABLE"))
    with account.duck.duck_conn.cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {place(stage)} ({COLUMNS})" if is_on else f"DROP TABLE IF EXISTS {place(stage)}")
    account.catalog.change(stage, has_directory=is_on)
    account.duck.forget_plans()


def forget(account: Account, stage: Thing) -> None:
    if stage["has_directory"]:
        set_directory(account, stage, {"ENABLE": False})


def refresh(account: Account, stage: Thing, subpath: str) -> Answer:
    """Lists the stage, or what begins with a path in it, and makes the directory say the same."""
    if not stage["has_directory"]:
        raise failed(f"Stage '{stage.full_name}' does not have a directory table: ALTER STAGE … SET DIRECTORY = (ENABLE = TRUE)")
    where = stages.Location(stage, stages.stage_folder(account, stage.database, stage.schema, stage.name), stage.name.lower() + "/", subpath)
    held = {file.path: (file.size, file.modified_at, file.etag) for file in stages.files_at(account, where)}
    told = []
    with account.duck.duck_conn.cursor() as cursor:
        cursor.execute("BEGIN")
        rows = cursor.execute(f"SELECT relative_path, size, last_modified::TIMESTAMP, etag FROM {place(stage)} WHERE starts_with(relative_path, ?)", [subpath])
        known = {path: tuple(facts) for path, *facts in rows.fetchall()}
        for path in sorted(held.keys() | known.keys()):
            if held.get(path) == known.get(path):
                continue
            cursor.execute(f"DELETE FROM {place(stage)} WHERE relative_path = ?", [path])
            if path in held:
                size, modified_at, etag = held[path]
                md5 = etag if "-" not in etag else None  # of an object that came in parts S3 has no MD5
                url = f"https://local.snowflakecomputing.com/api/files/{stage.database}/{stage.schema}/{stage.name}/{path}"
                cursor.execute(f"INSERT INTO {place(stage)} VALUES (?, ?, ?::TIMESTAMP, ?, ?, ?)", [path, size, modified_at, md5, etag, url])
            how = "UNREGISTERED" if path not in held else "REGISTERED_UPDATE" if path in known else "REGISTERED_NEW"
            told.append((path, how, f"File {'un' if path not in held else ''}registered successfully."))
        cursor.execute("COMMIT")
    return table("file status description", told)


def expanded(account: Account, session: Session, sql: str) -> str:
    """The statement with the hidden tables in place of DIRECTORY(@stage)."""
    reader, parts, upto = Reader(sql), [], 0
    while not reader.done:
        start = reader.position()
        if not reader.words("DIRECTORY", "("):
            reader.token()
            continue
        text = sql[reader.position() :].split(")", 1)[0].strip()
        if not text.startswith("@"):
            continue
        location = stages.locate(account, session, text)
        if location.stage is None or not location.stage["has_directory"]:
            raise failed(f"Stage '{text}' does not have a directory table: ALTER STAGE … SET DIRECTORY = (ENABLE = TRUE)")
        while not reader.words(")"):
            reader.token()
        end = reader.tokens[reader.at - 1].end + 1
        parts += [sql[upto:start], place(location.stage)]
        upto = end
    return "".join([*parts, sql[upto:]])


STATEMENTS = {("ALTER", "STAGE"): alter_stage}
