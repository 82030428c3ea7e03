"""Pipes: CREATE, ALTER, SHOW, DESCRIBE and DROP PIPE, their functions, and the plain COPY INTO <table>.

docs.snowflake.com/en/sql-reference/sql/create-pipe. A pipe reads the bucket's events from the account's queue (local/pipes_poller.py), loads
each file once (local/pipes_load.py) and remembers it by path and name for 14 days (local/pipes_history.py).

Differs: event notifications carry no costs; ERROR_INTEGRATION is kept and shown, but no message is sent. Refused: pipes that stream,
AUTO_INGEST on an internal stage, INTEGRATION, tags.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import TYPE_CHECKING, Any

from local import grants, stages, streams
from local.answer import Answer, status, table
from local.errors import exists, failed, missing, refused, syntax
from local.pipes_access import check_schema, created, shown
from local.pipes_copy import Copy, columns_of, read_copy
from local.pipes_history import (
    COPY_DAYS,
    FAILED,
    LOADED,
    Load,
    copy_history,
    forget_loader,
    known,
    latest,
    prepare,
    validate_pipe_load,
)
from local.pipes_load import Loader, load_file, place_of, shown_path
from local.pipes_poller import Poller, matches, missing_files, queue_arn, queue_url, wait_for, waiting
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.catalog import Thing
    from local.session import Session

__all__ = ["FUNCTIONS", "STATEMENTS", "TABLE_FUNCTIONS", "Poller", "set_schema_evolution"]

PIPE_OPTIONS = {"AUTO_INGEST", "ERROR_INTEGRATION", "AWS_SNS_TOPIC", "INTEGRATION", "COMMENT"}
REFRESH_DAYS = 7


def set_schema_evolution(account: Account, database: str, schema: str, name: str, is_on: bool) -> None:
    """What CREATE TABLE … ENABLE_SCHEMA_EVOLUTION = TRUE and ALTER TABLE … SET ENABLE_SCHEMA_EVOLUTION say of a table."""
    account.catalog.put("table_option", name, database=database, schema=schema, enable_schema_evolution=is_on)


def pipe_named(account: Account, session: Session, parts: tuple[str, ...]) -> Thing:
    database, schema, name = session.resolve(parts)
    pipe = account.catalog.get("pipe", name, database=database, schema=schema)
    if pipe is None:
        raise missing("Pipe", f"{database}.{schema}.{name}")
    return pipe


def create_pipe(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.expect("PIPE")
    lenient = reader.words("IF", "NOT", "EXISTS")
    if session.app:
        raise refused("Unsupported feature 'CREATE PIPE' in an application.")
    database, schema, name = session.resolve(reader.name())
    check_schema(account, database, schema)
    options = reader.options("AS")
    reader.expect("AS")
    definition = reader.rest()
    if unknown := set(options) - PIPE_OPTIONS:
        raise syntax(f"invalid parameter '{sorted(unknown)[0]}' for CREATE PIPE")
    if options.get("INTEGRATION"):
        raise refused("INTEGRATION is for Google Cloud Storage, Azure and multi-queue integrations, which the local account does not have.")
    before = account.catalog.get("pipe", name, database=database, schema=schema)
    if before and not replace:
        if lenient:
            return status(f"{name} already exists, statement succeeded.")
        raise exists(f"{database}.{schema}.{name}")
    copy = read_copy(account, session, definition, in_pipe=True)
    is_automatic = options.get("AUTO_INGEST") is True
    if is_automatic and not place_of(account, copy).url:
        raise refused("The local account ingests automatically from external stages only.")
    channel = None
    if is_automatic:
        channel = queue_arn(account)
        if topic := options.get("AWS_SNS_TOPIC"):
            subscribe(account, topic, channel)
    forget_pipe(account, f"{database}.{schema}.{name}", before, copy.table[0])
    account.catalog.put(
        "pipe",
        name,
        database=database,
        schema=schema,
        identity=uuid.uuid4().hex,
        definition=definition,
        copy=copy.said(),
        auto_ingest=is_automatic,
        channel=channel,
        paused=False,
        comment=options.get("COMMENT", ""),
        error_integration=options.get("ERROR_INTEGRATION"),
    )
    return status(f"Pipe {name} successfully created.")


def subscribe(account: Account, topic: str, queue: str) -> None:
    sns = account.s3.client("sns")
    try:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    except sns.exceptions.ClientError as e:
        raise failed(f"AWS_SNS_TOPIC '{topic}': {e.response['Error'].get('Message', e)}") from None


def forget_pipe(account: Account, full_name: str, pipe: Thing | None, database: str) -> None:
    """A pipe that goes or is made anew forgets what it loaded and what waits for it."""
    forget_loader(account, database, full_name)
    if pipe is not None:
        for file in waiting(account, pipe):
            account.catalog.drop("pipe_file", file.name, database=file.database, schema=file.schema)
        account.catalog.drop("pipe", pipe.name, database=pipe.database, schema=pipe.schema)


def drop_pipe(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "PIPE")
    lenient = reader.words("IF", "EXISTS")
    parts = reader.name()
    try:
        pipe = pipe_named(account, session, parts)
    except Exception:
        if lenient:
            return status(f"Drop statement executed successfully ({parts[-1]} already dropped).")
        raise
    database = pipe["copy"]["table"][0]
    forget_pipe(account, pipe.full_name, pipe, database if account.duck.has_database(database) else pipe.database)
    return status(f"{pipe.name} successfully dropped.")


def alter_pipe(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "PIPE")
    lenient = reader.words("IF", "EXISTS")
    parts = reader.name()
    database, schema, name = session.resolve(parts)
    if lenient and account.catalog.get("pipe", name, database=database, schema=schema) is None:
        return status("Statement executed successfully.")
    pipe = pipe_named(account, session, parts)
    if reader.words("REFRESH"):
        return refresh(account, pipe, reader.options())
    if reader.words("UNSET"):
        defaults = {"COMMENT": {"comment": ""}, "PIPE_EXECUTION_PAUSED": {"paused": False}, "ERROR_INTEGRATION": {"error_integration": None}}
        while not reader.done:
            key = reader.token().text.upper()
            if key not in defaults:
                raise syntax(f"invalid property '{key}' for ALTER PIPE … UNSET")
            pipe = account.catalog.change(pipe, **defaults[key])
            reader.words(",")
        return status("Statement executed successfully.")
    reader.expect("SET")
    names = {"COMMENT": "comment", "PIPE_EXECUTION_PAUSED": "paused", "ERROR_INTEGRATION": "error_integration"}
    changes = {}
    for key, value in reader.options().items():
        if key not in names:
            raise syntax(f"invalid property '{key}' for ALTER PIPE … SET: a pipe's COPY, AWS_SNS_TOPIC and INTEGRATION cannot be altered")
        changes[names[key]] = value
    account.catalog.change(pipe, **changes)
    return status("Statement executed successfully.")


def refresh(account: Account, pipe: Thing, options: dict[str, Any]) -> Answer:
    """Queue staged files of the last 7 days that neither this pipe nor COPY has loaded."""
    if unknown := set(options) - {"PREFIX", "MODIFIED_AFTER"}:
        raise syntax(f"invalid parameter '{sorted(unknown)[0]}' for ALTER PIPE … REFRESH")
    since = account.clock() - dt.timedelta(days=REFRESH_DAYS)
    if said := options.get("MODIFIED_AFTER"):
        after = dt.datetime.fromisoformat(said)
        since = max(since, after.astimezone(dt.UTC).replace(tzinfo=None) if after.tzinfo else after)
    paths = missing_files(account, pipe, options.get("PREFIX", ""), since)
    for path, size in paths.items():
        wait_for(account, pipe, path, size)
    return table("File Status", [(path, "SENT") for path in paths])


def described(pipe: Thing) -> tuple[Any, ...]:
    copy = pipe["copy"]
    return (
        created(pipe), pipe.name, pipe.database, pipe.schema, pipe["definition"], "ACCOUNTADMIN", pipe["channel"], pipe["comment"], None,
        copy["pattern"], pipe["error_integration"], "ROLE", pipe.get("error"), "STAGE",
    )  # fmt: skip


PIPE_COLUMNS = (
    "created_on:timestamp_ltz name database_name schema_name definition owner notification_channel comment integration pattern"
    " error_integration owner_role_type invalid_reason kind"
)


def show_pipes(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "PIPES")
    return table(PIPE_COLUMNS, [described(pipe) for _, pipe in shown(account, session, reader, "pipe")])


def describe_pipe(account: Account, session: Session, reader: Reader) -> Answer:
    reader.token()
    reader.expect("PIPE")
    return table(PIPE_COLUMNS, [described(pipe_named(account, session, reader.name()))])


# --- functions


def pipe_status(account: Account, session: Session, name: str) -> str:
    """SYSTEM$PIPE_STATUS: state, waiting files, the last file loaded, and how many messages the queue holds."""
    pipe = pipe_named(account, session, Reader(name).name())
    said: dict[str, Any] = {"executionState": state_of(account, pipe)}
    files = waiting(account, pipe)
    if files:
        said |= {"oldestPendingFilePath": files[0]["path"], "oldestFileTimestamp": files[0].created_at}
    said["pendingFileCount"] = len(files)
    if said["executionState"] != "STOPPED_MISSING_TABLE" and (last := latest(account, pipe["copy"]["table"][0], pipe.full_name)):
        said |= {"lastIngestedTimestamp": stamp(last[1]), "lastIngestedFilePath": last[0]}
    if pipe["auto_ingest"]:
        attributes = account.s3.client("sqs").get_queue_attributes(QueueUrl=queue_url(account), AttributeNames=["ApproximateNumberOfMessages"])
        said["notificationChannelName"] = pipe["channel"]
        said["numOutstandingMessagesOnChannel"] = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
    if pipe.get("error"):
        said["error"] = pipe["error"]
    return json.dumps(said)


def stamp(at: dt.datetime) -> str:
    return at.isoformat(timespec="milliseconds") + "Z"


def state_of(account: Account, pipe: Thing) -> str:
    copy = Copy.of(pipe["copy"])
    if pipe["paused"]:
        return "PAUSED"
    try:
        place_of(account, copy)
    except Exception:
        return "STOPPED_STAGE_DROPPED"
    try:
        with account.duck.duck_conn.cursor() as cursor:
            columns_of(cursor, copy.table)
    except Exception:
        return "STOPPED_MISSING_TABLE"
    return "RUNNING"


def force_resume(account: Account, session: Session, name: str, *how: str) -> str:
    pipe = pipe_named(account, session, Reader(name).name())
    account.catalog.change(pipe, paused=False, error=None)
    return "Pipe resumed."


# --- COPY INTO <table>


COPY_COLUMNS = (
    "file status rows_parsed:fixed rows_loaded:fixed error_limit:fixed errors_seen:fixed first_error first_error_line:fixed"
    " first_error_character:fixed first_error_column_name"
)


def copy_into(account: Account, session: Session, reader: Reader) -> Answer:
    """Load files now. COPY remembers a file by path and ETag for 64 days, apart from what pipes remember."""
    copy = read_copy(account, session, reader.sql, in_pipe=False)
    grants.check(account, session, "INSERT", copy.table)
    cursor = session.connection._duck_conn
    prepare(cursor, copy.table[0])
    session.enter_statement()
    loads: list[Load] = []
    if not session.in_transaction:
        cursor.execute("BEGIN")
    try:
        for path in candidates(account, cursor, copy):
            loads.append(load_file(account, cursor, copy, path, Loader(is_transaction=False)))
            if loads[-1].status == FAILED and copy.on_error == "ABORT_STATEMENT":
                raise failed(loads[-1].first_error.reason if loads[-1].first_error else f"{path}: load failed")
        if not session.in_transaction:
            with streams.COMMITTING:
                streams.capture(account, cursor, copy.table)
                cursor.execute("COMMIT")
        else:
            session.appended.add(copy.table)
    except BaseException:
        if not session.in_transaction:
            cursor.execute("ROLLBACK")
        raise
    if copy.options.get("PURGE"):
        purge(account, copy, loads)
    if not loads:
        return status("Copy executed with 0 files processed.")
    return table(COPY_COLUMNS, [result_of(load) for load in loads])


def candidates(account: Account, cursor: Any, copy: Copy) -> list[str]:
    place = place_of(account, copy)
    since = account.clock() - dt.timedelta(days=COPY_DAYS)
    seen = {} if copy.options.get("FORCE") else known(cursor, copy.table, "", "", since)
    named = copy.options.get("FILES")
    found, size = [], 0
    if named:
        start = place.path if not place.path or place.path.endswith("/") else place.path + "/"
        present = {file.path: file for file in stages.files_at(account, place)}
        chosen = [present.get(start + str(name)) or missing_file(str(name)) for name in named]
    else:
        chosen = [file for file in stages.files_at(account, place) if matches(copy, place.path, file.path)]
    for file in chosen:
        state = seen.get(shown_path(place, file.path))
        if state and state[0] != FAILED and state[1] == file.etag:
            continue
        found.append(file.path)
        size += file.size
        if copy.options.get("SIZE_LIMIT") and size > int(copy.options["SIZE_LIMIT"]):
            break
    return found


def missing_file(name: str) -> Any:
    raise failed(f"Remote file '{name}' was not found. There are several potential causes. The file might not exist.")


def purge(account: Account, copy: Copy, loads: list[Load]) -> None:
    place = place_of(account, copy)
    loaded = {load.path for load in loads if load.status == LOADED}
    for file in list(stages.files_at(account, place)):
        if shown_path(place, file.path) in loaded:
            stages.delete(account, place, file.path)


def result_of(load: Load) -> tuple[Any, ...]:
    first = load.first_error
    word = {"Loaded": "LOADED", "Partially loaded": "PARTIALLY_LOADED", "Load failed": "LOAD_FAILED"}.get(load.status, load.status.upper())
    return (
        load.path, word, load.row_parsed, load.row_count, load.row_parsed or 1, load.error_count or len(load.rejected),
        first.reason if first else None, first.line if first else None, first.character if first else None, first.column if first else None,
    )  # fmt: skip


STATEMENTS = {
    ("CREATE", "PIPE"): create_pipe,
    ("ALTER", "PIPE"): alter_pipe,
    ("DROP", "PIPE"): drop_pipe,
    ("SHOW", "PIPES"): show_pipes,
    ("DESCRIBE", "PIPE"): describe_pipe,
    ("COPY", "INTO"): copy_into,
}
FUNCTIONS = {"SYSTEM$PIPE_STATUS": pipe_status, "SYSTEM$PIPE_FORCE_RESUME": force_resume}
TABLE_FUNCTIONS = {"COPY_HISTORY": copy_history, "VALIDATE_PIPE_LOAD": validate_pipe_load}
