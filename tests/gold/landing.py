"""The packaged pipeline on a local account in this process: lines of files go into bronze as the pipes leave them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

from local.place import ROOT
from tests.bench.load import register_is_email
from tests.gold.rig import Shop

RETAIL = (ROOT / "app" / "pipelines" / "retail.yml").read_text()
PROVENANCE = "_file_name VARCHAR, _row_number NUMBER, _content_key VARCHAR, _modified_at TIMESTAMP_NTZ, _loaded_at TIMESTAMP_NTZ"


class Landing(Shop):
    """Bronze tables for every source, and the steps of the whole graph."""

    def __init__(self, folder: Path, spec: str = RETAIL) -> None:
        super().__init__(folder, spec)
        admin = self.bench.account.session()
        for sql in ("CREATE DATABASE firn_landing", "CREATE SCHEMA firn_landing.bronze"):
            self.bench.account.answer(admin, sql)
        for source in self.spec.sources:
            texts = [column.received_as or column.name for column in source.columns if not column.expression]
            columns = ["record VARIANT"] if source.format == "json" else [f"{name} VARCHAR" for name in texts]
            self.bench.account.answer(admin, f"CREATE TABLE firn_landing.bronze.{source.name} ({', '.join(columns)}, {PROVENANCE})")
        register_is_email(self.bench)
        self.minutes = itertools.count(1)

    def send(self, source: str, file_name: str, text: str) -> None:
        """A file, as its pipe puts it into bronze: CSV with a header, or one JSON document a line."""
        content, at = hashlib.md5(text.encode()).hexdigest(), dt.datetime(2024, 6, 1) + dt.timedelta(minutes=next(self.minutes))
        is_json = self.spec.source(source).format == "json"
        rows = [{"record": line} for line in text.splitlines()] if is_json else list(csv.DictReader(io.StringIO(text)))
        for number, row in enumerate(rows, start=1):
            values = {**row, "_file_name": file_name, "_row_number": number, "_content_key": content, "_modified_at": at, "_loaded_at": at}
            given = {name: value or None for name, value in values.items()}
            marks = ", ".join("?::JSON" if name == "record" else "?" for name in given)
            self.bench.duck(f"INSERT INTO firn_landing.bronze.{source} ({', '.join(given)}) VALUES ({marks})", list(given.values()))

    def run_all(self) -> dict[str, Any]:
        return self.handlers.run_all(self.run)

    def log(self, step: str) -> dict[str, Any]:
        """The newest row of the log of a step that did something."""
        return self.rows(f"SELECT * FROM firn.control.pipeline_log WHERE step = '{step}' AND status = 'succeeded' ORDER BY started_at DESC LIMIT 1")[0]

    def waiting(self) -> dict[str, list[str]]:
        """Quarantined rows by file and line, with the checks they failed."""
        found = self.rows("SELECT file_name || ':' || row_number AS place, failed_checks::VARCHAR AS failed FROM firn.control.quarantine")
        return {row["place"]: sorted(json.loads(row["failed"])) for row in found}
