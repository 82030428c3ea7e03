"""`firn pipes`: how pipes and streams do, what they missed, a pipe replaced without a gap, an old bucket taken in.

Everything is asked and done in SQL, on the local account or with --connection on Snowflake.  Rows that come twice this way are no
harm: the ledger takes each row of a file's content once.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import setup_sql
from local.aws import opened, rows
from local.place import NotRunning, Place
from local.setup_sql import LANDING, Source, names, spec_file
from local.show import print_table

REFRESH_DAYS = 7  # how far back Snowflake's REFRESH looks
FILES_A_COPY = 1000  # what COPY takes in FILES
PENDING_SECONDS = 120
MARK = re.compile(r" \[firn pipes replace: (begun|made), files since (\S+)\]$")


@dataclass(frozen=True)
class Pipe:
    """A pipe as SHOW PIPES tells of it."""

    name: str
    source: str
    definition: str
    comment: str
    channel: str
    error_integration: str
    created_at: dt.datetime

    @property
    def full_name(self) -> str:
        return names.qualified(*LANDING, self.name)


def pipes(connection: Any) -> list[Pipe]:
    return [
        Pipe(
            row["name"].lower(), row["name"].lower().removesuffix("_pipe"), row["definition"], row["comment"] or "",
            row["notification_channel"] or "", row["error_integration"] or "", row["created_on"],
        )
        for row in rows(connection, f"SHOW PIPES IN SCHEMA {names.qualified(*LANDING)}")
    ]  # fmt: skip


def pipe_of(connection: Any, source: str) -> Pipe:
    found = {pipe.source: pipe for pipe in pipes(connection)}
    if source not in found:
        raise NotRunning(f"no pipe {names.qualified(*LANDING, source + '_pipe')}. There are pipes for: {', '.join(found) or 'nothing'}")
    return found[source]


def status_of(connection: Any, pipe: Pipe) -> dict[str, Any]:
    return json.loads(rows(connection, f"SELECT SYSTEM$PIPE_STATUS({names.text(pipe.full_name)}) AS said")[0]["said"])


def history(connection: Any, pipe: Pipe) -> list[dict[str, Any]]:
    """Files of the last day that went, or did not go, into the pipe's table."""
    return rows(
        connection,
        "SELECT file_name, status, row_count, error_count, first_error_message, first_error_line_number, last_load_time, pipe_name "
        f"FROM TABLE({LANDING[0]}.INFORMATION_SCHEMA.COPY_HISTORY(TABLE_NAME => {names.text(setup_sql.bronze(pipe.source))}, "
        "START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP()))) ORDER BY last_load_time",
    )


# --- status


def status(connection: Any, source: str | None = None) -> int:
    """Every pipe and stream in a line, then what is wrong; 1 when something is."""
    lines, wrong = [], []
    for pipe in [pipe_of(connection, source)] if source else pipes(connection):
        said, files = status_of(connection, pipe), history(connection, pipe)
        failed = [file for file in files if file["status"] != "Loaded"]
        lines.append((pipe.source, said["executionState"], said.get("pendingFileCount", 0), said.get("numOutstandingMessagesOnChannel"),
                      len(files), len(failed), said.get("lastIngestedFilePath", "")))  # fmt: skip
        if said["executionState"] != "RUNNING":
            wrong.append(f"{pipe.source}: {said['executionState']}. " + advice(pipe, said))
        wrong += [f"{pipe.source}: {file['file_name']}: {file['status']}: {file['first_error_message']} (line {file['first_error_line_number']})" for file in failed]
        wrong += rejected(connection, pipe) if failed and source else []
        if MARK.search(pipe.comment):
            wrong.append(f"{pipe.source}: a replacement is under way; go on with: firn pipes replace {pipe.source} FILE")
    print_table(["source", "state", "pending", "messages", "files today", "failed", "last file"], lines)
    wrong += stale(connection)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


def advice(pipe: Pipe, said: dict[str, Any]) -> str:
    if said["executionState"] == "PAUSED":
        return f"Resume it: ALTER PIPE {pipe.full_name} SET PIPE_EXECUTION_PAUSED = FALSE"
    return str(said.get("error") or "See its stage and its table.")


def rejected(connection: Any, pipe: Pipe) -> list[str]:
    """The records the pipe could not read; a pipe that transforms cannot be asked."""
    from snowflake.connector.errors import ProgrammingError

    sql = f"SELECT file, line, error, rejected_record FROM TABLE(VALIDATE_PIPE_LOAD(PIPE_NAME => {names.text(pipe.full_name)}, START_TIME => DATEADD('day', -1, CURRENT_TIMESTAMP()))) LIMIT 20"
    try:
        return [f"  {row['file']} line {row['line']}: {row['error']}: {row['rejected_record']}" for row in rows(connection, sql)]
    except ProgrammingError as e:
        return [f"  its records cannot be shown: {e.msg}"]


def stale(connection: Any) -> list[str]:
    found = rows(connection, f"SHOW STREAMS IN SCHEMA {names.qualified(*LANDING)}")
    return [
        f"stream {row['name'].lower()} is stale: it starts nothing any more. No row is lost, the scheduled look takes what it missed. Make it anew:\n"
        f"  CREATE OR REPLACE STREAM {setup_sql.bronze(row['name'])} ON TABLE {row['table_name'].lower()} APPEND_ONLY = TRUE;\n"
        f"  GRANT SELECT ON STREAM {setup_sql.bronze(row['name'])} TO APPLICATION firn;"
        for row in found
        if str(row["stale"]).lower() == "true"
    ]


# --- refresh


def refresh(connection: Any, pipe: Pipe, prefix: str = "", since: dt.datetime | None = None) -> list[str]:
    """Queue what lies in the pipe's prefix and was not loaded; gives the paths. Snowflake looks back seven days, no further."""
    words = f" PREFIX = {names.text(prefix)}" if prefix else ""
    words += f" MODIFIED_AFTER = {names.text(since.isoformat())}" if since else ""
    return [row["file status"] if "file status" in row else next(iter(row.values())) for row in rows(connection, f"ALTER PIPE {pipe.full_name} REFRESH{words}")]


# --- replace


def replace(connection: Any, source: Source, margin: dt.timedelta, say: Any = print) -> list[str]:
    """The pipe of a source made anew by its pipeline file, without a gap; gives the files looked for again.

    Pause and mark → make anew → look for what came since → take the mark away.  The mark stands in the pipe's comment, so that the
    command goes on where it was cut off, on any machine.  Files since `margin` before the pause are looked for: those whose events
    were under way.  What the old pipe had loaded of them comes twice into bronze and once out of it.
    """
    pipe = pipe_of(connection, source.name)
    mark = MARK.search(pipe.comment)
    plain = MARK.sub("", pipe.comment)
    since = dt.datetime.fromisoformat(mark[2]) if mark else begin_of(connection, pipe, margin)
    if not mark:
        set_pipe(connection, pipe, f"PIPE_EXECUTION_PAUSED = TRUE COMMENT = {names.text(marked(plain, 'begun', since))}")
        say(f"1. {pipe.name} is paused; files since {since.isoformat(timespec='seconds')} will be looked for")
    if not mark or mark[1] == "begun":
        wait_until_idle(connection, pipe)
        connection.cursor().execute(made_anew(source, pipe, marked(plain, "made", since)))
        say("2. made anew by its pipeline file; it runs")
        now = pipe_of(connection, source.name)
        if now.channel != pipe.channel:
            say(f"   its queue is now {now.channel}: send the bucket's events there (firn aws apply --from-account)")
    found = refresh(connection, pipe, since=since)
    say(f"3. {len(found)} files looked for again; what had been loaded of them is known to the ledger")
    set_pipe(connection, pipe, f"COMMENT = {names.text(plain)}")
    say("4. done")
    return found


def marked(comment: str, phase: str, since: dt.datetime) -> str:
    """
    >>> bool(MARK.search(marked("Firn", "begun", dt.datetime(2024, 3, 1))))
    True
    """
    return f"{comment} [firn pipes replace: {phase}, files since {since.isoformat()}]"


def begin_of(connection: Any, pipe: Pipe, margin: dt.timedelta) -> dt.datetime:
    """From when on files are looked for: before the pause, and before the oldest file that waits."""
    now = rows(connection, "SELECT SYSDATE() AS now")[0]["now"].replace(tzinfo=dt.UTC)
    oldest = status_of(connection, pipe).get("oldestFileTimestamp")
    waiting = dt.datetime.fromisoformat(oldest.replace("Z", "+00:00")) if oldest else now
    since = min(now, waiting) - margin
    if now - since > dt.timedelta(days=REFRESH_DAYS):
        raise NotRunning(f"{pipe.name}: files wait since {waiting.isoformat()}, and REFRESH looks back {REFRESH_DAYS} days only. Resume the pipe, let it catch up, then replace it.")
    return since


def set_pipe(connection: Any, pipe: Pipe, what: str) -> None:
    connection.cursor().execute(f"ALTER PIPE {pipe.full_name} SET {what}")


def wait_until_idle(connection: Any, pipe: Pipe) -> None:
    """Until the pause has taken hold: what is being loaded ends first."""
    end = time.monotonic() + PENDING_SECONDS
    while status_of(connection, pipe)["executionState"] != "PAUSED":
        if time.monotonic() > end:
            raise NotRunning(f"{pipe.name} has not paused within {PENDING_SECONDS} s. It stays marked; run the same command again.")
        time.sleep(0.2)


def made_anew(source: Source, pipe: Pipe, comment: str) -> str:
    """The pipe's statement as `firn setup-sql` makes it, as a replacement, with its comment and where its errors go."""
    statement = "\n".join(line for line in setup_sql.pipe_sql(source).rstrip(";").splitlines() if not line.startswith(("--", "    COMMENT = ")))
    more = f"    COMMENT = {names.text(comment)}\n" + (f"    ERROR_INTEGRATION = {names.identifier(pipe.error_integration)}\n" if pipe.error_integration else "")
    return statement.replace("CREATE PIPE IF NOT EXISTS", "CREATE OR REPLACE PIPE", 1).replace("\nAS\n", f"\n{more}AS\n", 1)


# --- a bucket that was there before


def backfill(connection: Any, pipe: Pipe, before: dt.datetime | None, say: Any = print) -> list[str]:
    """Load by COPY what is older than the pipe can know; gives the paths that were loaded.

    A pipe hears of files from its creation on, and REFRESH adds the seven days before: those are left to it.  Older ones are copied,
    unless bronze or the ledger has them.  Cut off and run again, it goes on: what was copied is in bronze.
    """
    created = pipe.created_at.astimezone(dt.UTC)
    limit = created - dt.timedelta(days=REFRESH_DAYS)
    if before and before > limit:
        raise NotRunning(
            f"{pipe.name} was made at {created.isoformat(timespec='seconds')}; files after {limit.isoformat(timespec='seconds')} are its own "
            f"(firn pipes refresh {pipe.source}). Loading a path by both COPY and pipe doubles it in bronze."
        )
    place = re.search(r"FROM\s+'?@([\w.]+)/([^'\s]*)", pipe.definition)
    if place is None:
        raise NotRunning(f"{pipe.name}: its COPY names no path in a stage: {pipe.definition}")
    prefix, there = place[2], taken(connection, pipe)
    old = [name for name, at in listed(connection, pipe, place[1], prefix) if at < (before or limit) and name not in there]
    for start in range(0, len(old), FILES_A_COPY):
        some = old[start : start + FILES_A_COPY]
        files = ", ".join(names.text(name.removeprefix(prefix)) for name in some)
        connection.cursor().execute(f"{pipe.definition.rstrip().rstrip(';')}\n    FILES = ({files})")
        say(f"{start + len(some)} of {len(old)} files copied")
    return old


def listed(connection: Any, pipe: Pipe, stage: str, prefix: str) -> list[tuple[str, dt.datetime]]:
    """Path below the bucket and time of every object in the pipe's prefix, oldest first."""
    from email.utils import parsedate_to_datetime

    url = setup_sql.stage_path(prefix) if stage == setup_sql.bronze("landing") else f"@{stage}/{prefix}"
    found = [
        (re.sub(r"^s3\w*://[^/]+/", "", row["name"]), parsedate_to_datetime(row["last_modified"])) for row in rows(connection, f"LIST {url}")
    ]
    return sorted(found, key=lambda one: (one[1], one[0]))


def taken(connection: Any, pipe: Pipe) -> set[str]:
    """Files that bronze has, and those the sweep has taken from it and the ledger keeps."""
    found = {row["f"] for row in rows(connection, f"SELECT DISTINCT _file_name AS f FROM {setup_sql.bronze(pipe.source)}")}
    if rows(connection, "SHOW APPLICATIONS LIKE 'firn'"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT file_name FROM firn.control.ledger WHERE source = %(source)s "
                "UNION SELECT file_name FROM firn.control.file_ledger WHERE source = %(source)s",
                {"source": pipe.source},
            )
            found |= {row[0] for row in cursor.fetchall()}
    return found


# --- the command


def add(commands: Any) -> None:
    text = "pipes and streams: how they do, what they missed, replacing one, taking in an old bucket"
    one = commands.add_parser("pipes", help=text, description=text)
    actions = one.add_subparsers(required=True, metavar="ACTION")
    for name, what in (
        ("status", "state, waiting and failed files of every pipe, stale streams; exit code 1 when something is wrong"),
        ("refresh", "queue files of the last seven days that were not loaded"),
        ("replace", "make a pipe anew by its pipeline file, without a gap; cut off, the same command goes on"),
        ("backfill", "load by COPY what is older than the pipe can know"),
    ):
        action = actions.add_parser(name, help=what, description=what)
        action.set_defaults(run=run, action=name)
        action.add_argument("source", nargs="?" if name == "status" else None, help="the pipe's source, like customers")
        action.add_argument("--connection", help="Snowflake by this connection, instead of the local account")
        if name == "replace":
            action.add_argument("file", type=Path, help="the pipeline file")
            action.add_argument("--margin", type=float, default=60, metavar="MINUTES", help="how late an event may be (default 60)")
        if name == "refresh":
            action.add_argument("--prefix", default="", help="below the pipe's own path")
        if name in ("refresh", "backfill"):
            action.add_argument("--since" if name == "refresh" else "--before", type=moment, dest="at", help="time of the object, ISO, UTC")


def moment(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def run(place: Place, arguments: argparse.Namespace) -> int:
    with opened(place, arguments.connection) as connection:
        if arguments.action == "status":
            return status(connection, arguments.source)
        if arguments.action == "replace":
            replace(connection, source_in(arguments.file, arguments.source), dt.timedelta(minutes=arguments.margin))
            return 0
        pipe = pipe_of(connection, arguments.source)
        if arguments.action == "refresh":
            found = refresh(connection, pipe, arguments.prefix, arguments.at)
            print("\n".join([*found, f"{len(found)} files queued"]))
        else:
            print(f"{len(backfill(connection, pipe, arguments.at))} files copied into {setup_sql.bronze(pipe.source)}")
    return 0


def source_in(file: Path, name: str) -> Source:
    try:
        pipeline = spec_file.parse(file.read_text(encoding="utf-8"), file.name)
    except (OSError, ValueError) as e:
        raise NotRunning(str(e)) from e
    found = {source.name: source for source in pipeline.sources}
    if name not in found:
        raise NotRunning(f"{file} has no source {name}. It has: {', '.join(found)}")
    return found[name]
