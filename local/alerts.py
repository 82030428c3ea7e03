"""Alerts on a schedule: a question, and a statement that runs when it has an answer; with the rights of their owner.

docs.snowflake.com/en/user-guide/alerts, …/sql-reference/sql/create-alert, alter-alert, execute-alert, …/functions/alert_history.
Refused: cron schedules, alerts on new data (without a schedule), templates, alerts of applications.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import sqlite3
import threading
import uuid
from typing import TYPE_CHECKING, Any

from local.answer import Answer, status, table
from local.catalog import Thing
from local.errors import denied, exists, missing, refused, syntax
from local.grants import SYSTEM, holds
from local.packages import liked
from local.pipes_access import created
from local.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from local.account import Account
    from local.session import Session

log = logging.getLogger("firn.alerts")
OPTIONS = {"SCHEDULE", "WAREHOUSE", "COMMENT", "RUNBOOK", "SUSPEND_ALERT_AFTER_NUM_FAILURES"}
LONGEST_MINUTES = 11520

HISTORY = """
CREATE TABLE IF NOT EXISTS history (
    id TEXT PRIMARY KEY, name TEXT, database_name TEXT, schema_name TEXT, condition TEXT, condition_query_id TEXT, action TEXT, action_query_id TEXT,
    state TEXT, error_code TEXT, error_message TEXT, scheduled_time TEXT, completed_time TEXT, scheduled_from TEXT, runbook TEXT, suspended INTEGER
);
"""


class History:
    """What became of each run, in the account's folder; and who has the turn of an alert."""

    def __init__(self, path: Path) -> None:
        self.guard = threading.RLock()
        self.turns: dict[str, threading.Lock] = {}  # by alert: a run asked for while another is under way waits for it
        self.threads: list[threading.Thread] = []
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.executescript(HISTORY)
        self.db.execute("UPDATE history SET state = 'FAILED', error_message = 'The account was stopped while the alert ran.' WHERE state = 'EXECUTING'")

    def start(self, alert: Thing, at: dt.datetime, by: str) -> str:
        run = str(uuid.uuid4())
        row = (run, alert.name, alert.database, alert.schema, alert["condition"], str(uuid.uuid4()), alert["action"], None, "EXECUTING", None, None, at.isoformat(), None, by, alert["options"].get("RUNBOOK"), 0)  # fmt: skip
        with self.guard:
            self.db.execute(f"INSERT INTO history VALUES ({', '.join('?' * len(row))})", row)
        return run

    def end(self, run: str, state: str, *, error: Any = None, has_acted: bool = False, is_suspended: bool = False) -> None:
        code, message = (f"{error.errno:06d}", str(error.msg)[:4000]) if error is not None else (None, None)
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat()
        with self.guard:
            self.db.execute(
                "UPDATE history SET state = ?, error_code = ?, error_message = ?, completed_time = ?, action_query_id = ?, suspended = ? WHERE id = ?",
                (state, code, message, now, str(uuid.uuid4()) if has_acted else None, int(is_suspended), run),
            )

    def rows(self) -> list[tuple[Any, ...]]:
        with self.guard:
            return self.db.execute(
                "SELECT name, database_name, schema_name, condition, condition_query_id, action, action_query_id, state, error_code, error_message, "
                "scheduled_time, completed_time, scheduled_from, runbook, suspended FROM history ORDER BY scheduled_time DESC, rowid DESC"
            ).fetchall()

    def turn(self, name: str) -> threading.Lock:
        with self.guard:
            return self.turns.setdefault(name, threading.Lock())

    def wait_idle(self) -> None:
        """Until every run that was started has ended."""
        while self.threads:
            self.threads.pop().join()

    def close(self) -> None:
        self.wait_idle()
        with self.guard:
            self.db.close()


def forget_recorded(account: Account) -> None:
    """Alerts and integrations of an account that only kept their text: setup_sql 08 and 10 make them anew."""
    for kind in ("alert", "notification integration"):
        for thing in list(account.catalog.find(kind)):
            if "said" in thing.properties:
                account.catalog.drop(kind, thing.name, database=thing.database, schema=thing.schema)


# --- statements


def create(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    if reader.words("OR", "ALTER"):
        raise refused("CREATE OR ALTER ALERT: the local account has CREATE and ALTER.")
    reader.expect("ALERT")
    lenient = reader.words("IF", "NOT", "EXISTS")
    if replace and lenient:
        raise syntax("options OR REPLACE and IF NOT EXISTS are incompatible")
    database, schema, name = session.resolve(reader.name())
    if not account.duck.has_schema(database, schema):
        raise missing("Schema", f"{database}.{schema}")
    before = account.catalog.get("alert", name, database=database, schema=schema)
    if before and lenient:
        return status(f"{name} already exists, statement succeeded.")
    if before and not replace:
        raise exists(name)
    if session.app:
        raise refused(f"Alert {name}: an application can be given EXECUTE ALERT and not EXECUTE MANAGED ALERT; the local account runs alerts outside applications only.")
    options = checked(name, reader.options("IF"))
    reader.expect("IF", "(", "EXISTS")
    condition = question(name, reader.parenthesised())
    reader.expect(")", "THEN")
    action = reader.rest()
    if not action:
        raise syntax(f"Alert {name}: THEN <action> is missing")
    needs_to_run(account, session.role, options, name)
    if session.role not in SYSTEM and not any(holds(account, session, "CREATE ALERT", on) for on in ((database, schema),)):
        raise denied(f"Insufficient privileges to operate on schema '{schema}': CREATE ALERT is needed.")
    account.catalog.put(
        "alert", name, database=database, schema=schema, options=options, condition=condition, action=action,
        state="suspended", owner=session.role, failures=0, due=None,
    )  # fmt: skip
    return status(f"Alert {name} successfully created.")


def checked(name: str, options: dict[str, Any]) -> dict[str, Any]:
    if unknown := set(options) - OPTIONS:
        raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'ALERT'")
    minutes(name, options.get("SCHEDULE"))
    if len(str(options.get("RUNBOOK", ""))) > 2048:
        raise syntax(f"Alert {name}: RUNBOOK is longer than 2048 characters")
    return options


def minutes(name: str, schedule: Any) -> int:
    """'5 MINUTE' → 5."""
    if schedule is None:
        raise refused(f"Alert {name}: without a SCHEDULE it is an alert on new data; the local account has alerts on a schedule only.")
    if str(schedule).upper().strip().startswith("USING CRON"):
        raise refused("SCHEDULE = 'USING CRON …': the local account has interval schedules only ('5 MINUTE').")
    found = re.fullmatch(r"\s*(\d+)\s*(M|MINUTES?)\s*", str(schedule), re.IGNORECASE)
    if not found or not 0 < int(found[1]) <= LONGEST_MINUTES:
        raise syntax(f"invalid value [{schedule}] for parameter 'SCHEDULE': '<num> MINUTE', 1 to {LONGEST_MINUTES}")
    return int(found[1])


def question(name: str, text: str) -> str:
    if Reader(text).peek() not in ("SELECT", "WITH", "SHOW", "CALL"):
        raise syntax(f"Alert {name}: the condition is a SELECT, SHOW or CALL")
    return text.strip()


def needs_to_run(account: Account, role: str, options: dict[str, Any], name: str) -> None:
    """EXECUTE ALERT, and EXECUTE MANAGED ALERT where no warehouse is named; asked when it is made, resumed or executed."""
    asking = account.session(role=role)
    try:
        for privilege in ("EXECUTE ALERT", *(() if options.get("WAREHOUSE") else ("EXECUTE MANAGED ALERT",))):
            if not holds(account, asking, privilege, ("ACCOUNT",)):
                raise denied(f"Cannot execute alert {name}: role {role} needs {privilege} on the account.")
    finally:
        account.forget(asking)


def found(account: Account, session: Session, reader: Reader, *, lenient: bool = False) -> Thing | None:
    database, schema, name = session.resolve(reader.name())
    alert = account.catalog.get("alert", name, database=database, schema=schema)
    if alert is not None and (session.app or (session.role not in SYSTEM and session.role != alert["owner"])):
        alert = None  # as if it were not there
    if alert is None and not lenient:
        raise missing("Alert", f"{database}.{schema}.{name}")
    return alert


def alter(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "ALERT")
    alert = found(account, session, reader, lenient=reader.words("IF", "EXISTS"))
    if alert is None:
        return status("Statement executed successfully.")
    options = alert["options"]
    if reader.words("RESUME"):
        needs_to_run(account, alert["owner"], options, alert.name)
        due = account.clock() + dt.timedelta(minutes=minutes(alert.name, options["SCHEDULE"]))
        account.catalog.change(alert, state="started", failures=0, due=due.isoformat())
    elif reader.words("SUSPEND"):
        account.catalog.change(alert, state="suspended", due=None)
    elif reader.words("SET"):
        account.catalog.change(alert, options=checked(alert.name, {**options, **reader.options()}))
    elif reader.words("UNSET"):
        gone = set()
        while not reader.done:
            gone.add(reader.token().text.upper())
            reader.words(",")
        if unknown := gone - (OPTIONS - {"SCHEDULE"}):
            raise syntax(f"invalid property '{sorted(unknown)[0]}' for 'ALERT'")
        account.catalog.change(alert, options={key: value for key, value in options.items() if key not in gone})
    elif reader.words("MODIFY", "CONDITION", "EXISTS"):
        account.catalog.change(alert, condition=question(alert.name, reader.parenthesised()))
    elif reader.words("MODIFY", "ACTION"):
        account.catalog.change(alert, action=reader.rest())
    else:
        raise syntax(f"syntax error at '{reader.peek()}': ALTER ALERT … RESUME | SUSPEND | SET | UNSET | MODIFY CONDITION EXISTS | MODIFY ACTION")
    return status("Statement executed successfully.")


def drop(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "ALERT")
    alert = found(account, session, reader, lenient=reader.words("IF", "EXISTS"))
    if alert is None:
        return status("Drop statement executed successfully.")
    account.catalog.drop("alert", alert.name, database=alert.database, schema=alert.schema)
    return status(f"{alert.name} successfully dropped.")


def show(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "ALERTS")
    rows = [
        (created(alert), alert.name, alert.database, alert.schema, alert["owner"], options.get("COMMENT", ""), options.get("WAREHOUSE"),
         options["SCHEDULE"], alert["state"], alert["condition"], alert["action"])
        for alert in liked(account, reader, "alert")
        for options in [alert["options"]]
    ]  # fmt: skip
    return table("created_on:timestamp_ltz name database_name schema_name owner comment warehouse schedule state condition action", rows)


def execute(account: Account, session: Session, reader: Reader, params: Any = None) -> Answer:
    """Runs an alert now, in the background, as its owner; one that is suspended stays so."""
    reader.expect("EXECUTE", "ALERT")
    alert = found(account, session, reader)
    assert alert is not None
    needs_to_run(account, session.role, alert["options"], alert.name)
    start(account, alert, account.clock(), "EXECUTE ALERT")
    return status("Statement executed successfully.")


# --- running


def step(account: Account, at: dt.datetime, *, wait: bool = True) -> list[str]:
    """Start what is due at this time; gives the names. The next run is one interval after the time this one was due."""
    started = []
    for alert in account.catalog.find("alert"):
        due = dt.datetime.fromisoformat(alert["due"]) if alert["state"] == "started" and alert["due"] else None
        if due is None or due > at:
            continue
        interval = dt.timedelta(minutes=minutes(alert.name, alert["options"]["SCHEDULE"]))
        account.catalog.change(alert, due=max(due + interval, at).isoformat())
        thread = start(account, alert, due, "SCHEDULE")
        if wait:
            thread.join()
        started.append(alert.full_name)
    return started


def start(account: Account, alert: Thing, at: dt.datetime, by: str) -> threading.Thread:
    thread = threading.Thread(target=run, args=(account, alert, at, by), daemon=True, name=f"alert {alert.name}")
    past = account.alert_history
    with past.guard:
        past.threads = [one for one in past.threads if one.is_alive()] + [thread]
    thread.start()
    return thread


def run(account: Account, alert: Thing, at: dt.datetime, by: str) -> None:
    """The condition and, if it gives a row, the action; each with the rights of the owner, in the alert's schema."""
    past = account.alert_history
    with past.turn(alert.full_name):
        record = past.start(alert, at, by)
        try:
            session = account.session(alert.database, alert.schema, role=alert["owner"])
            try:
                state, error = carried_out(account, session, alert)
            finally:
                account.forget(session)
            past.end(record, state, error=error, has_acted=state in ("TRIGGERED", "ACTION_FAILED"), is_suspended=counted(account, alert, error))
        except Exception:
            log.exception("alert %s", alert.full_name)


def carried_out(account: Account, session: Session, alert: Thing) -> tuple[str, Any]:
    from local.account import as_snowflake_error

    what = "CONDITION_FAILED"
    try:
        if not rows_of(account, session, alert["condition"]):
            return "CONDITION_FALSE", None
        what = "ACTION_FAILED"
        account.answer(session, alert["action"])
        return "TRIGGERED", None
    except Exception as e:
        error = as_snowflake_error(e)
        log.warning("alert %s: %s: %s", alert.full_name, what, error.msg)
        return what, error


def rows_of(account: Account, session: Session, sql: str) -> bool:
    if Reader(sql).peek() in ("SHOW", "CALL"):
        return bool(account.answer(session, sql))
    return account.execute(session, f"SELECT 1 FROM ({sql}) LIMIT 1")["returned"] > 0


def counted(account: Account, alert: Thing, error: Any) -> bool:
    """Failures in a row; gives whether the alert was suspended for them."""
    now = account.catalog.get("alert", alert.name, database=alert.database, schema=alert.schema)
    if now is None:
        return False
    failures = now["failures"] + 1 if error is not None else 0
    limit = int(now["options"].get("SUSPEND_ALERT_AFTER_NUM_FAILURES") or 0)
    is_over = 0 < limit <= failures and now["state"] == "started"
    account.catalog.change(now, failures=failures, **({"state": "suspended", "due": None} if is_over else {}))
    return is_over


def alert_history(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    """Runs of the owner's alerts (ACCOUNTADMIN: of all), the newest first; a started alert's next run is SCHEDULED."""
    name = str(arguments.get("ALERT_NAME") or "").upper()
    coming = [
        (one.name, one.database, one.schema, one["condition"], None, one["action"], None, "SCHEDULED", None, None, one["due"], None, "SCHEDULE", one["options"].get("RUNBOOK"), 0)
        for one in account.catalog.find("alert")
        if one["state"] == "started" and one["due"] and "SCHEDULED_TIME_RANGE_END" not in arguments
    ]  # fmt: skip
    owners = {(one.database, one.schema, one.name): one["owner"] for one in account.catalog.find("alert")}
    rows = [
        (*row[:10], moment(row[10]), moment(row[11]), row[12], row[13], bool(row[14]), None)
        for row in sorted(coming, key=lambda row: row[10], reverse=True) + account.alert_history.rows()
        if (not name or row[0] == name) and session.role in ("ACCOUNTADMIN", owners.get((row[1], row[2], row[0])))
    ]
    columns = (
        "name database_name schema_name condition condition_query_id action action_query_id state sql_error_code sql_error_message "
        "scheduled_time:timestamp_ltz completed_time:timestamp_ltz scheduled_from runbook was_auto_suspended:boolean config"
    )
    return table(columns, rows[: int(arguments.get("RESULT_LIMIT") or 100)])


def moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) if text else None


STATEMENTS = {
    ("CREATE", "ALERT"): create,
    ("ALTER", "ALERT"): alter,
    ("DROP", "ALERT"): drop,
    ("SHOW", "ALERTS"): show,
    ("EXECUTE", "ALERT"): execute,
}
TABLE_FUNCTIONS = {"ALERT_HISTORY": alert_history}
