"""The `firn` command: the local account on a laptop, and what one does with it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from local import (
    aws,
    console,
    doctor,
    drill_command,
    generate_command,
    landing,
    pipes_care,
    setup_sql,
    spec_new,
    spec_plan,
    spec_test,
    spec_try,
    spec_validate,
)
from local.place import PORT, S3_PORT, NotRunning, Place


def up(place: Place, arguments: argparse.Namespace) -> int:
    state = place.up(arguments.port, arguments.s3_port)
    word = "already runs" if state.get("already") else "runs"
    print(f"account  127.0.0.1:{state['port']}   s3 127.0.0.1:{state['s3_port']}   data {place.folder}")
    print(f"The local account {word}. Stop it with: firn down")
    print(f"snow     snow --config-file {place.config_file} sql -q 'SELECT CURRENT_ACCOUNT()'")
    return 0


def down(place: Place, arguments: argparse.Namespace) -> int:
    print("stopped; the data stays in " + str(place.folder) if place.down() else f"nothing was running in {place.folder}")
    return 0


def sql(place: Place, arguments: argparse.Namespace) -> int:
    """Run one statement and print its rows as a table (or as JSON lines)."""
    from snowflake.connector.errors import Error

    from local.show import answer_text, is_cut

    with place.connect(database=arguments.database) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(arguments.statement)
        except Error as e:
            print(e.msg, file=sys.stderr)
            return 1
        names = [c.name.lower() for c in cursor.description]
        rows = cursor.fetchall()
    if arguments.json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=str))
        return 0
    print(answer_text(names, rows))
    if is_cut(names, rows):
        print("(long texts are cut at …; --json shows them whole)", file=sys.stderr)
    return 0


def status(place: Place, arguments: argparse.Namespace) -> int:
    """What runs, when it last ran, and how it went."""
    from local.show import print_table

    state = place.running()
    print(f"account  127.0.0.1:{state['port']}   s3 127.0.0.1:{state['s3_port']}   data {place.folder}")
    with place.connect() as connection, connection.cursor() as cursor:
        applications = cursor.execute("SHOW APPLICATIONS").fetchall()
        if not applications:
            print("no application is installed. Install it with: firn snow app run   (or see it all: firn demo)")
            return 0
        tasks = cursor.execute("SHOW TASKS IN ACCOUNT").fetchall()
        columns = [c.name for c in cursor.description]
        started = sum(row[columns.index("state")] == "started" for row in tasks)
        print(f"application {applications[0][1]} version {applications[0][9]}   tasks {started} started of {len(tasks)}")
        cursor.execute(
            "SELECT pipeline, step, lets, last_batch, status, updated_at FROM firn.control.parameter_control ORDER BY pipeline, step"
        )
        print_table([c.name.lower() for c in cursor.description], cursor.fetchall())
    return 0


def outbox(place: Place, arguments: argparse.Namespace) -> int:
    """Messages that an account would have sent, the newest last."""
    from local.outbox import Outbox

    path = place.folder / "outbox.sqlite3"
    messages = Outbox(path).all()[-arguments.limit :] if path.exists() else []
    for message in messages:
        print(f"{message.created[:19]}  {message.integration}  to {', '.join(message.sent_to)}" + (f"  NOT SENT: {message.error}" if message.error else ""))
        print("".join(f"  {line}\n" for line in [*([message.subject, ""] if message.subject else []), *message.body.splitlines()]))
    if not messages:
        print("nothing was sent. Alerts go out after setup_sql/10_alerts.sql; the next look: SHOW ALERTS IN ACCOUNT")
    return 0


def logs(place: Place, arguments: argparse.Namespace) -> int:
    """What handlers logged, the newest last; from the event table, as on an account."""
    from local.show import print_table

    sql = (
        "SELECT timestamp AS at, record['severity_text']::VARCHAR AS level, record_attributes['pipeline']::VARCHAR AS pipeline, "
        "record_attributes['run_id']::VARCHAR AS run_id, record_attributes['step']::VARCHAR AS step, record_attributes['seconds']::VARCHAR AS seconds, "
        "COALESCE(record_attributes['exception.message']::VARCHAR, value::VARCHAR) AS message "
        "FROM SNOWFLAKE.TELEMETRY.EVENTS WHERE record_type = 'LOG' AND (? IS NULL OR record_attributes['run_id']::VARCHAR = ?) ORDER BY timestamp DESC LIMIT ?"
    )
    with place.connect(paramstyle="qmark") as connection, connection.cursor() as cursor:
        cursor.execute(sql, (arguments.run_id, arguments.run_id, arguments.limit))
        names, rows = [c.name.lower() for c in cursor.description], cursor.fetchall()[::-1]
    print_table(names, [(*row[:-1], str(row[-1]).split("\n")[0][:100]) for row in rows])
    return 0


def snow(place: Place, arguments: argparse.Namespace) -> int:
    """The real `snow`, with the connection of this project's local account."""
    place.running()
    return place.snow(*arguments.words, check=False, capture=False).returncode


def demo(place: Place, arguments: argparse.Namespace) -> int:
    from local.demo import run

    return run(place, arguments)


def retail_year(place: Place, arguments: argparse.Namespace) -> int:
    from local.online_retail import run

    return run(place, arguments)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="firn", description="Firn on a laptop: the local account, its S3 and its tasks.")
    top.add_argument("--data", metavar="FOLDER", help="the account's folder (default: $FIRN_FOLDER, else .firn in this project)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Place, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        return one

    starting = command("up", up, "start the local account in the background; its data survives in a folder")
    ports(starting)
    command("down", down, "stop it; the data stays")
    command("status", status, "what runs, LETS and the last outcome of each step")
    sent = command("outbox", outbox, "mails, webhook requests and topic messages that an account would have sent")
    sent.add_argument("--limit", type=int, default=20, help="only the newest so many (default: %(default)s)")
    told = command("logs", logs, "what procedures logged, from the account's event table")
    told.add_argument("--run-id", help="of one run only")
    told.add_argument("--limit", type=int, default=50, help="only the newest so many (default: %(default)s)")
    query = command("sql", sql, "run one SQL statement on the local account")
    query.add_argument("statement")
    query.add_argument("--database", default="FIRN", help="current database (default: firn, the application)")
    query.add_argument("--json", action="store_true", help="one JSON object per row")
    shell = command("snow", snow, "the real Snowflake CLI against the local account: firn snow app run")
    shell.add_argument("words", nargs=argparse.REMAINDER)
    aws.add(commands)
    landing.add(commands)
    setup_sql.add(commands)
    generate_command.add(commands)
    drill_command.add(commands)
    console.add(commands)
    pipes_care.add(commands)
    doctor.add(commands)
    for module in (spec_validate, spec_new, spec_try, spec_test, spec_plan):
        module.add(commands)
    show = command("demo", demo, "the whole of it: set up, install, drop files, watch the graph, read the numbers")
    show.add_argument("--customers", type=int, default=1000)
    show.add_argument("--keep", action="store_true", help="go on with the data that is there instead of starting afresh")
    ports(show)
    year = command("online-retail", retail_year, "run the Online Retail extracts day by day through S3, pipe and graph")
    year.add_argument("extracts", help="the folder or .tar.xz with the daily CSV files")
    year.add_argument("--days", type=int, help="only the first so many")
    ports(year)
    return top


def ports(one: argparse.ArgumentParser) -> None:
    one.add_argument("--port", type=int, default=PORT, help=f"of the account (default {PORT})")
    one.add_argument("--s3-port", type=int, default=S3_PORT, help=f"of the local S3 (default {S3_PORT})")


def main(words: list[str] | None = None) -> int:
    arguments: Any = parser().parse_args(words)
    try:
        return arguments.run(Place.chosen(arguments.data), arguments)
    except NotRunning as e:
        print(f"firn: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("firn: interrupted", file=sys.stderr)
        return 130
