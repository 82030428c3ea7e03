"""Runs task graphs: by schedule in the background, or one step at a time for tests.

A graph never overlaps itself. Inside a graph one task runs at a time (Snowflake runs independent ones side by side).
A killed account finds its unfinished runs again and marks them failed; the next schedule goes on.
"""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snowflake.connector.errors import Error

from local import alerts
from local.catalog import Thing

if TYPE_CHECKING:
    from local.account import Account

log = logging.getLogger("firn.scheduler")
FLUSH_SECONDS = 5  # between two times that the account's history is laid down; ACCOUNT_USAGE lags by up to 45 minutes on Snowflake
LOOK_SECONDS, LOOK_AGAIN_SECONDS = 1, 30  # between two questions to the streams of a root; after one that failed

HISTORY = """
CREATE TABLE IF NOT EXISTS history (
    query_id TEXT PRIMARY KEY, name TEXT, database_name TEXT, schema_name TEXT, state TEXT, error_code TEXT, error_message TEXT,
    scheduled_time TEXT, query_start_time TEXT, completed_time TEXT, root_task_name TEXT, run_id TEXT, attempt INTEGER, return_value TEXT
);
CREATE INDEX IF NOT EXISTS history_by_run ON history (run_id);
"""


@dataclass
class TaskRun:
    """What a running task knows of itself."""

    name: str
    root: str
    run_id: str
    scheduled_at: dt.datetime
    predecessor_values: dict[str, str | None] = field(default_factory=dict)
    return_value: str | None = None


class History:
    """TASK_HISTORY, in the account's folder."""

    def __init__(self, path: Path) -> None:
        self.guard = threading.RLock()
        self.running: set[str] = set()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript(HISTORY)
        self.db.execute(
            "UPDATE history SET state = 'FAILED', error_code = '000604', error_message = 'The account was stopped while the task ran.' WHERE state = 'EXECUTING'"
        )

    def start(self, task: Thing, run: TaskRun, attempt: int) -> str:
        query_id = str(uuid.uuid4())
        row = (query_id, task.name, task.database, task.schema, "EXECUTING", None, None, run.scheduled_at.isoformat(), now().isoformat(), None, run.root, run.run_id, attempt, None)
        with self.guard:
            self.db.execute(f"INSERT INTO history VALUES ({', '.join('?' * len(row))})", row)
        return query_id

    def end(self, query_id: str, state: str, *, return_value: str | None = None, error: Any = None) -> None:
        code, message = (f"{error.errno:06d}", str(error.msg)[:4000]) if error is not None else (None, None)
        with self.guard:
            self.db.execute(
                "UPDATE history SET state = ?, error_code = ?, error_message = ?, completed_time = ?, return_value = ? WHERE query_id = ?",
                (state, code, message, now().isoformat(), return_value, query_id),
            )

    def rows(self, task_name: str | None, limit: int) -> list[tuple[Any, ...]]:
        where = " WHERE name = ?" if task_name else ""
        with self.guard:
            found = self.db.execute(
                f"SELECT *, rowid FROM history{where} ORDER BY query_start_time DESC, rowid DESC LIMIT ?", ([task_name.upper()] if task_name else []) + [limit]
            ).fetchall()
        times = [tuple(dt.datetime.fromisoformat(t).replace(tzinfo=dt.UTC) if t else None for t in row[7:10]) for row in found]
        return [(*row[:7], *t, row[10], row[11], row[11], row[12], row[13]) for row, t in zip(found, times, strict=True)]

    def last_run(self, root: str) -> dict[str, Any] | None:
        """The last graph run of a root: its id and the state of each task in its last attempt."""
        with self.guard:
            row = self.db.execute(
                "SELECT run_id FROM history WHERE root_task_name = ? ORDER BY query_start_time DESC, rowid DESC LIMIT 1", (root.rsplit(".", 1)[-1],)
            ).fetchone()
            if row is None:
                return None
            states = dict(self.db.execute("SELECT name, state FROM history WHERE run_id = ? ORDER BY rowid", row).fetchall())
            values = dict(self.db.execute("SELECT name, return_value FROM history WHERE run_id = ? ORDER BY rowid", row).fetchall())
        failed = any(state in ("FAILED", "CANCELLED") for state in states.values())
        return {"run_id": row[0], "state": "FAILED" if failed else "SUCCEEDED", "tasks": states, "values": values}

    def claim(self, root: str) -> bool:
        with self.guard:
            if root in self.running:
                return False
            self.running.add(root)
            return True

    def free(self, root: str) -> None:
        with self.guard:
            self.running.discard(root)

    def wait_idle(self, database: str, seconds: float = 60) -> None:
        """Wait until no graph of the database runs (before it is dropped or upgraded)."""
        end = time.monotonic() + seconds
        while any(root.startswith(f"{database}.") for root in self.running) and time.monotonic() < end:
            time.sleep(0.05)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def run_graph(account: Account, root: Thing, scheduled_at: dt.datetime, *, retry: bool = False, wait: bool = True) -> threading.Thread | None:
    """Run a root task and everything after it. None when the graph is running already."""
    from local.tasks import history

    if not history(account).claim(root.full_name):
        return None
    thread = threading.Thread(target=_run_claimed, args=(account, root, scheduled_at, retry), daemon=True, name=f"graph {root.name}")
    thread.start()
    if wait:
        thread.join()
    return thread


def _run_claimed(account: Account, root: Thing, scheduled_at: dt.datetime, retry: bool) -> None:
    from local.tasks import find, history

    past = history(account)
    try:
        last = past.last_run(root.full_name) if retry else None
        attempt, done = 1, last
        run_id = last["run_id"] if last else str(uuid.uuid4())
        while True:
            ok = run_once(account, root, run_id, scheduled_at, attempt, done)
            if ok or attempt > int(root.get("task_auto_retry_attempts") or 0):
                break
            done, attempt = past.last_run(root.full_name), attempt + 1
        fresh = find(account, (root.database, root.schema, root.name))
        failures = 0 if ok else fresh.get("failures", 0) + 1
        limit = int(fresh.get("suspend_task_after_num_failures") or 10)
        state = "suspended" if failures >= limit else fresh["state"]
        account.catalog.change(fresh, failures=failures, state=state)
    except Exception:
        log.exception("graph of %s", root.full_name)
    finally:
        past.free(root.full_name)


def run_once(account: Account, root: Thing, run_id: str, scheduled_at: dt.datetime, attempt: int, done: dict[str, Any] | None) -> bool:
    """One attempt at the graph; tasks that `done` says succeeded are not run again."""
    from local.tasks import graph

    states: dict[str, str] = {}
    values: dict[str, str | None] = {}
    for task in graph(account, root):
        if done and done["tasks"].get(task.name) == "SUCCEEDED" and not task.get("finalizes"):
            states[task.full_name], values[task.full_name] = "SUCCEEDED", done["values"].get(task.name)
            continue
        if task.full_name != root.full_name and task["state"] != "started":
            continue
        if any(states.get(p) in ("FAILED", "SKIPPED", None) for p in task["after"]):
            states[task.full_name] = "SKIPPED"
            continue
        run = TaskRun(task.name, root.name, run_id, scheduled_at, {p.split(".")[-1]: values.get(p) for p in task["after"]})
        states[task.full_name] = run_task(account, task, run, attempt)
        values[task.full_name] = run.return_value
    return "FAILED" not in states.values()


def run_task(account: Account, task: Thing, run: TaskRun, attempt: int) -> str:
    from local.account import as_snowflake_error
    from local.tasks import history

    past = history(account)
    query_id = past.start(task, run, attempt)
    app = task.database if account.catalog.get("application", task.database) else None
    session = account.session(task.database, task.schema, role=task["owner"], app=app, task=run)
    if task.get("lock_timeout") is not None:  # a session parameter of CREATE TASK
        session.lock_timeout = float(task["lock_timeout"])
    session.query_tag = task.get("query_tag", "")
    try:
        if task["condition"] and not holds(account, session, task["condition"]):
            past.end(query_id, "SKIPPED")
            return "SKIPPED"
        account.answer(session, task["body"])
        past.end(query_id, "SUCCEEDED", return_value=run.return_value)
        return "SUCCEEDED"
    except Exception as e:
        error = as_snowflake_error(e)
        log.warning("task %s failed: %s", task.full_name, error.msg)
        past.end(query_id, "FAILED", error=error)
        return "FAILED"
    finally:
        account.forget(session)


def holds(account: Account, session: Any, condition: str) -> bool:
    from local.statements import expand_functions

    sql = expand_functions(account, session, f"SELECT {condition}")
    row = session.connection.cursor().execute(sql).fetchone()
    return bool(row and str(row[0]).lower() in ("true", "1"))


class Scheduler:
    """Starts due graphs in the background. Tests call `step` with a clock of their own instead."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.due: dict[str, dt.datetime] = {}
        self.triggered: dict[str, dt.datetime] = {}  # when a root that waits for streams was last looked at or started
        self.next_flush = time.monotonic() + FLUSH_SECONDS
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True, name="scheduler")

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(timeout=5)

    def _loop(self) -> None:
        while not self.stopping.wait(0.25):
            try:
                self.step(self.account.clock(), wait=False)
                alerts.step(self.account, self.account.clock(), wait=False)
                if time.monotonic() > self.next_flush:
                    self.next_flush = time.monotonic() + FLUSH_SECONDS
                    self.account.usage.flush()
            except Exception:
                log.exception("scheduler")

    def step(self, at: dt.datetime, *, wait: bool = True) -> list[str]:
        """Start what is due at this time; gives the names of the roots started. A root's first run is one interval after it was resumed."""
        started = []
        for task in self.account.catalog.find("task"):
            if is_triggered(task):
                started += self.trigger(task, at, wait)
            if task["state"] != "started" or task["after"] or task.get("finalizes") or not task["seconds"]:
                self.due.pop(task.full_name, None)
                continue
            interval = dt.timedelta(seconds=task["seconds"])
            resumed = dt.datetime.fromisoformat(task.get("resumed_at") or at.isoformat())
            due = self.due.get(task.full_name)
            if due is None or due < resumed:
                due = self.due[task.full_name] = max(resumed, at - interval) + interval
            if due > at:
                continue
            self.due[task.full_name] = max(due + interval, at)
            if run_graph(self.account, task, due, wait=wait) is not None:
                started.append(task.full_name)
        return started

    def trigger(self, task: Thing, at: dt.datetime, wait: bool) -> list[str]:
        """Start a root whose streams have data, at most once in its interval; one that cannot be asked starts nothing."""
        from local.tasks import history

        last = self.triggered.get(task.full_name)
        if task.full_name in history(self.account).running or (last is not None and at < last):
            return []
        app = task.database if self.account.catalog.get("application", task.database) else None
        session = self.account.session(task.database, task.schema, role=task["owner"], app=app)
        try:
            has_data = holds(self.account, session, task["condition"])
        except Error as e:
            log.warning("task %s waits for a stream that cannot be read: %s", task.full_name, e.msg)
            self.triggered[task.full_name] = at + dt.timedelta(seconds=LOOK_AGAIN_SECONDS)
            return []
        finally:
            self.account.forget(session)
        pause = int(task.get("user_task_minimum_trigger_interval_in_seconds") or 30) if has_data else LOOK_SECONDS
        self.triggered[task.full_name] = at + dt.timedelta(seconds=pause)
        return [task.full_name] if has_data and run_graph(self.account, task, at, wait=wait) is not None else []


def is_triggered(task: Thing) -> bool:
    """A root with a condition and no schedule: docs.snowflake.com/en/user-guide/tasks-triggered"""
    return task["state"] == "started" and not task["after"] and not task.get("finalizes") and not task["seconds"] and bool(task["condition"])

