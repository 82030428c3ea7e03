"""A small account inside this process, with the application of this tree: no S3, no pipes, no scheduler.

What `firn drill` and the tests stand on.  The application is installed as `snow app run` would install it, its procedures run in
the account's sandbox processes; rows come to bronze by hand instead of through a pipe.

    with Rig(folder, spec=Path("app/pipelines/retail.yml").read_text()) as rig:
        rig.load("customers", "customer_id,name,updated_at,op\n1,Ada,2024-01-01 00:00:00,I\n")
        rig.call("core.run_pipeline", rig.pipeline.name)
        rig.query("SELECT name FROM silver.customers")       # [{'name': 'Ada'}]
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from local import setup_sql
from local.account import Account
from local.place import ROOT, free_port
from local.scheduler import TaskRun
from local.server import application
from local.stages import stage_folder

if str(ROOT / "procedures") not in sys.path:
    sys.path.append(str(ROOT / "procedures"))

import spec_file
import taskgraph
from specs import Pipeline, Source

START = dt.datetime(2024, 1, 1)
PROVENANCE = ("_file_name", "_row_number", "_content_key", "_modified_at", "_loaded_at")
NOTHING_PACKAGED = "-- The pipeline under trial is applied from outside.\n"


class Rig:
    """An account in a folder.  `spec` is the text of the one pipeline applied; None: what the application applies by itself.

    A folder that holds a rig already is opened as it stands.  `procedures` are files that replace those of the tree, by name.
    """

    def __init__(self, folder: Path, spec: str | None = None, procedures: dict[str, str] | None = None) -> None:
        is_new = not (folder / "rig.json").exists()
        port = free_port()
        self.folder = folder
        self.account = Account(folder, address=("127.0.0.1", port))
        self.server = uvicorn.Server(uvicorn.Config(application(self.account), host="127.0.0.1", port=port, log_level="error"))
        self.serving = threading.Thread(target=self.server.run, daemon=True)
        self.serving.start()
        while not self.server.started:
            time.sleep(0.005)
        self.admin = self.account.session()
        self.clock = START
        if is_new:
            self._install(spec, procedures or {})
            text = spec or (ROOT / "app/pipelines/retail.yml").read_text()
            (folder / "rig.json").write_text(json.dumps({"spec": text}))
        self.pipeline: Pipeline = spec_file.parse(json.loads((folder / "rig.json").read_text())["spec"], "rig.yml")
        if is_new:
            self._make_landing(spec)
        self.admin.connection.use("FIRN", "CONTROL")

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.server.should_exit = True
        self.serving.join()
        self.account.close()

    # --- making it

    def _install(self, spec: str | None, procedures: dict[str, str]) -> None:
        self.answer("CREATE APPLICATION PACKAGE firn_pkg", "CREATE SCHEMA firn_pkg.app_src", "CREATE STAGE firn_pkg.app_src.stage")
        stage = stage_folder(self.account, "FIRN_PKG", "APP_SRC", "STAGE")
        lay_out(stage)
        if spec is not None:
            (stage / "sql" / "pipelines.sql").write_text(NOTHING_PACKAGED)
        for name, text in procedures.items():
            (stage / "procedures" / name).write_text(text)
        self.answer("CREATE APPLICATION firn FROM APPLICATION PACKAGE firn_pkg USING @firn_pkg.app_src.stage")

    def _make_landing(self, spec: str | None) -> None:
        self.answer("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze")
        for source in self.pipeline.sources:
            self.answer(setup_sql.table_sql(source))
            if self.pipeline.when == "arrival":
                self.answer(f"CREATE STREAM firn_landing.bronze.{source.stream} ON TABLE firn_landing.bronze.{source.name} APPEND_ONLY = TRUE")
        grants = (ROOT / "setup_sql/07_grants_to_app.sql").read_text() + setup_sql.grants_sql(self.pipeline)
        self.answer(*[line.strip(" ;\n") for line in grants.splitlines() if line.startswith("GRANT") and "TO APPLICATION firn" in line])
        self.call("config.bind_bronze", "firn_landing", "bronze")
        if spec is not None:
            self.call("config.apply_spec", spec)

    # --- talking to it

    def answer(self, *statements: str) -> list[tuple[Any, ...]]:
        """Statements as the account's administrator; gives the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        for sql in statements:
            rows = self.account.answer(self.admin, sql)
        return rows

    def call(self, procedure: str, *arguments: Any, task: TaskRun | None = None) -> Any:
        """CALL a procedure of the application, as whoever has its admin role, or as the body of a task run; gives the value it returns.

        A session of its own for each call, so that calls may come from several threads.
        """
        session = self.account.session("FIRN", "CONTROL")
        session.task = task
        marks = ", ".join("?" for _ in arguments)
        try:
            text = self.account.answer(session, f"CALL firn.{procedure}({marks})", list(arguments))[0][0]
        finally:
            self.account.forget(session)
        try:
            return json.loads(text)
        except (TypeError, ValueError):
            return text

    def run(self) -> dict[str, Any]:
        """One run of the pipeline, all steps in order."""
        return self.call("core.run_pipeline", self.pipeline.name)

    def step(self, step: str, target: str = "", *, graph_run: str | None = None) -> dict[str, Any]:
        """One step, called by hand; with the id of a graph run, as its task calls it: the step alone, no `begin` and `finish` about it."""
        task = TaskRun(f"{step} {target}".strip(), self.plan()[0].name, graph_run, self.clock) if graph_run else None
        return self.call("core.run_step", self.pipeline.name, step, target, task=task)

    def plan(self) -> list[taskgraph.Task]:
        """The steps of a run, in the order in which `run` takes them."""
        return taskgraph.plan(self.pipeline)

    def query(self, sql: str, params: Any = None) -> list[dict[str, Any]]:
        """Rows as dictionaries with lower-case names; Snowflake's SQL, database FIRN."""
        cursor = self.admin.connection.cursor()
        cursor.execute(sql, params)
        names = [column.name.lower() for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def duck(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """DuckDB's SQL, past the account: to lay down many rows, or to damage them."""
        with self.account.duck.duck_conn.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()

    # --- rows into bronze

    def load(
        self,
        source: str,
        rows: str | Sequence[dict[str, Any]],
        *,
        file: str = "",
        content_key: str = "",
        loaded_at: dt.datetime | None = None,
        first_row: int = 1,
    ) -> dt.datetime:
        """One load of one file: rows as CSV with a header (indented as the code is), or as dictionaries; gives its `loaded_at`.

        Without `loaded_at` each load comes a minute after the one before; without `content_key` it is made of the rows.
        A dictionary of a JSON source is one document.  Columns not named are NULL, as in a file that lacks them.
        """
        found = self.pipeline.source(source)
        given = list(rows) if not isinstance(rows, str) else [dict(row) for row in csv.DictReader(io.StringIO(textwrap.dedent(rows).lstrip("\n")))]
        self.clock = loaded_at or self.clock + dt.timedelta(minutes=1)
        key = content_key or hashlib.md5(json.dumps(given, default=str).encode()).hexdigest()
        name = file or f"{found.prefix}{key[:8]}.{found.format}"
        columns = received(found)
        values = [
            [*bronze_values(found, row, columns), name, first_row + i, key, self.clock, self.clock] for i, row in enumerate(given)
        ]
        marks = ", ".join("?" for _ in (*columns, *PROVENANCE))
        names = ", ".join(f'"{name}"' for name in (*columns, *PROVENANCE))
        with self.account.duck.duck_conn.cursor() as cursor:
            cursor.begin()
            if values:
                cursor.executemany(f"INSERT INTO firn_landing.bronze.{source} ({names}) VALUES ({marks})", values)
            cursor.commit()
        return self.clock


def lay_out(stage: Path) -> None:
    """The files of snowflake.yml's artifacts, where `snow app deploy` would put them."""
    said = yaml.safe_load((ROOT / "snowflake.yml").read_text())
    for artifact in said["entities"]["pkg"]["artifacts"]:
        for path in sorted(ROOT.glob(artifact["src"])):
            into = stage / artifact["dest"]
            into.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, into / path.name, dirs_exist_ok=True)
            else:
                shutil.copy(path, into / path.name)


def received(source: Source) -> list[str]:
    """The columns of bronze that carry values: as the files name them; of JSON one document."""
    if source.format == "json":
        return ["record"]
    return list(dict.fromkeys((column.received_as or column.name).lower() for column in source.columns if not column.expression))


def bronze_values(source: Source, row: dict[str, Any], columns: Sequence[str]) -> Iterator[str | None]:
    """A row's values as a pipe leaves them: text, an empty field NULL; JSON as it came."""
    if source.format == "json":
        yield json.dumps(row.get("record", row), default=str)
        return
    given = {re.sub(r"\s", "", name).lower(): value for name, value in row.items()}
    for column in columns:
        value = given.get(column)
        yield None if value in (None, "") else str(value)
