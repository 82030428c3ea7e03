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
CUSTOMERS = """customer_id,name,email,age,gender,customer_type,city,country,updated_at,op
1,Ann,ann@example.org,40,F,VIP,Oslo,NO,2024-01-10 00:00:00,I
1,Ann,ann@example.org,40,F,VIP,Oslo,NO,2024-02-10 00:00:00,D
2,Ben,ben@example.org,40,M,R,Rome,IT,2024-01-10 00:00:00,I
"""
HEAD = "order_id,line_no,customer_id,sku,quantity,unit_price,currency,region,status,ordered_at,updated_at\n"
ORDERS = HEAD + """good,1,2,SKU1,2,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
,1,2,SKU1,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
nobody,1,,SKU1,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
stranger,1,99,SKU1,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
noproduct,1,2,,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
newproduct,1,2,NEW,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
early,1,1,SKU1,1,10.00,USD,emea,paid,2024-01-09 23:59:59,2024-01-20 00:00:00
deleted,1,1,SKU1,1,10.00,USD,emea,paid,2024-02-10 00:00:00,2024-02-10 00:00:00
notime,1,2,SKU1,1,10.00,USD,emea,paid,,2024-01-20 00:00:00
negative,1,2,SKU1,-3,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
zero,1,2,SKU1,0,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
euro,1,2,SKU1,1,10.00,EUR,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
twice,1,2,SKU1,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
twice,1,2,SKU1,5,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
far,1,2,SKU1,1,10.00,USD,emea,paid,9999-12-31 00:00:00,2024-01-20 00:00:00
"""
# The line of `twice` that lost comes again, `good` is corrected, and the whole first file comes under another name.
LATER = HEAD + """good,1,2,SKU1,3,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-22 00:00:00
twice,1,2,SKU1,1,10.00,USD,emea,paid,2024-01-20 00:00:00,2024-01-20 00:00:00
"""
LINE = {line.split(",")[0]: number for number, line in enumerate(ORDERS.splitlines()[1:], start=1)}

SALES = [
    ("load", "customers"),
    ("load", "orders"),
    ("dimension", "dim_customer"),
    ("fact", "fact_orders"),
    ("measure", "monthly_metrics"),
    ("measure", "customer_report"),
    ("measure", "orders_by_region"),
]
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
        self.seconds = itertools.count(1)
        self.begin = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0) - dt.timedelta(hours=1)

    def send(self, source: str, file_name: str, text: str) -> None:
        """A file, as its pipe puts it into bronze: CSV with a header, or one JSON document a line."""
        content, at = hashlib.md5(text.encode()).hexdigest(), self.begin + dt.timedelta(seconds=next(self.seconds))
        is_json = self.spec.source(source).format == "json"
        rows = [{"record": line} for line in text.splitlines()] if is_json else list(csv.DictReader(io.StringIO(text)))
        for number, row in enumerate(rows, start=1):
            values = {**row, "_file_name": file_name, "_row_number": number, "_content_key": content, "_modified_at": at, "_loaded_at": at}
            given = {name: value or None for name, value in values.items()}
            marks = ", ".join("?::JSON" if name == "record" else "?" for name in given)
            self.bench.duck(f"INSERT INTO firn_landing.bronze.{source} ({', '.join(given)}) VALUES ({marks})", list(given.values()))

    def run_sales(self) -> None:
        """The steps of the graph that sales go through."""
        for step, target in SALES:
            self.step(step, target)

    def log(self, step: str) -> dict[str, Any]:
        """What a step did the first time it did something."""
        return self.rows(f"SELECT * FROM firn.control.pipeline_log WHERE step = '{step}' AND status = 'succeeded' ORDER BY started_at LIMIT 1")[0]

    def waiting(self) -> dict[str, list[str]]:
        """Quarantined rows by file and line, with the checks they failed."""
        found = self.rows("SELECT file_name || ':' || row_number AS place, failed_checks::VARCHAR AS failed FROM firn.control.quarantine")
        return {row["place"]: sorted(json.loads(row["failed"])) for row in found}
