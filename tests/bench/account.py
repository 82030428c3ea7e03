"""A local account inside this process, reached over the wire with the real Snowpark client: what the benchmarks measure."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from local.account import Account
from local.place import ROOT, free_port
from local.server import application
from local.worker import settle

sys.path.insert(0, str(ROOT / "procedures"))


class Bench:
    """An account with the application's control tables and one pipeline, in database FIRN; no scheduler, no tasks resumed."""

    def __init__(self, folder: Path, spec: str) -> None:
        self.port = port = free_port()
        self.account = Account(folder, address=("127.0.0.1", port))
        self.server = uvicorn.Server(uvicorn.Config(application(self.account), host="127.0.0.1", port=port, log_level="error"))
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            time.sleep(0.01)
        admin = self.account.session()
        for sql in ["CREATE DATABASE firn", *(f"CREATE SCHEMA firn.{s}" for s in ("core", "control", "stage", "silver", "gold", "tasks"))]:
            self.account.answer(admin, sql)
        self.session = self.connect(port)
        scripts = "".join((ROOT / f"app/sql/{name}.sql").read_text() for name in ("control", "views"))
        for statement in re.split(r";\s*\n", re.sub(r"--[^\n]*", "", scripts)):
            if statement.strip() and not statement.strip().upper().startswith("GRANT"):
                self.session.sql(statement).collect()
        import applying
        from steps import utc_now

        applying.apply(self.session, spec, "bench.yml", utc_now())
        for task in self.account.catalog.find("task"):
            self.account.catalog.change(task, state="suspended")
        settle()  # as `firn up` does in its processes

    def connect(self, port: int) -> Any:
        from snowflake.snowpark import Session

        login = {
            "account": "local", "host": "127.0.0.1", "port": port, "protocol": "http", "user": "bench", "password": "bench",
            "database": "FIRN", "schema": "CORE", "login_timeout": 20, "network_timeout": 600, "client_telemetry_enabled": False,
        }  # fmt: skip
        return Session.builder.configs(login).create()

    def duck(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Straight into DuckDB: to lay down data before the clock runs, never inside what is measured."""
        with self.account.duck.duck_conn.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()

    def step(self, pipeline: str, step: str, target: str) -> dict[str, Any]:
        """One step through the handlers: seconds by the clock and of both processors (client and account are this process), statements and describes of the step itself, and its counts."""
        import pipeline as handlers

        run = handlers.open_run(self.session, pipeline, "bench")
        before = dict(self.account.counted)
        start, spent = time.perf_counter(), time.process_time()
        counts = handlers.run_one(run, step, target)
        seconds, cpu = time.perf_counter() - start, time.process_time() - spent
        statements = {key: self.account.counted[key] - before[key] for key in before}
        return {"seconds": seconds, "cpu": cpu, **statements, "counts": counts}

    def close(self) -> None:
        self.session.close()
        self.server.should_exit = True
        self.account.close()


def peak_memory_mb() -> float:
    """The most memory this process has had, in MB (Linux's VmHWM)."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
