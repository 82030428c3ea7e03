"""The demo's shop database: sales lines in a Postgres of its own, sent to S3 by `firn extract`, held against `invoices` and `products`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from ingest import generate_sales
from ingest.generate_sales import COLUMN, TABLE, Line
from local import landing, postgres
from local.pipeline_runs import BUCKET, query
from local.place import Place

PIPELINE, SOURCE = "online_retail", "sales"
PREFIX = "online_retail/"
SECOND_WAVE = date(2024, 3, 6)


@dataclass(frozen=True)
class Shop:
    """A Postgres with the sales of the first days, and the lines that are to come."""

    server: postgres.Postgres
    lines: list[Line]
    later: list[Line]


@contextlib.contextmanager
def shop(place: Place) -> Iterator[Shop]:
    """The server for the length of the demo; what it kept goes with it, the account and its files stay."""
    lines = generate_sales.sales()
    before = [line for line in lines if line.invoiced_at.date() < SECOND_WAVE]
    with postgres.running(place.folder / "postgres") as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
            connection.execute("CREATE SCHEMA shop")
            connection.execute(generate_sales.CREATE)
            generate_sales.insert(connection, before)
        yield Shop(server, before, lines[len(before) :])
    shutil.rmtree(server.folder, ignore_errors=True)  # run as root it lies outside the account's folder


def sell(one: Shop) -> None:
    """The second wave: a day more in the table."""
    with psycopg.connect(one.server.dsn, autocommit=True) as connection:
        generate_sales.insert(connection, one.later)


def extract(place: Place, one: Shop) -> int:
    """`firn extract shop.sales --column InvoiceDate --daily …`; gives how many objects it sent."""
    words = [TABLE, "--column", COLUMN, "--daily", "--format", "csv", "--bucket", BUCKET, "--prefix", PREFIX, "--local", "--dsn", one.server.dsn]
    return len(landing.extracted(place, words).objects)


def compared(place: Place, one: Shop) -> list[tuple[str, Any, Any]]:
    """What the lines come to by plain Python, and what the account has: name, made, found."""
    made = generate_sales.sales_truth([*one.lines, *one.later])
    log = query(
        place,
        "SELECT SUM(rows_read) AS read, SUM(rows_written) AS written, SUM(rows_quarantined) AS quarantined "
        "FROM firn.control.pipeline_log WHERE pipeline = ? AND step = 'load sales' AND status = 'succeeded'",
        [PIPELINE],
    )[0]
    invoices = {row["invoice_no"]: row for row in query(place, "SELECT invoice_no, lines, quantity, amount FROM firn.gold.invoices")}
    products = {row["stock_code"]: row for row in query(place, "SELECT stock_code, lines, quantity, amount, description FROM firn.gold.products")}
    right = lambda rows, columns, truth: sum(tuple(row[c] for c in columns) == truth.get(key) for key, row in rows.items())  # noqa: E731
    return [
        ("sales: rows read", made["lines"], log["read"]),
        ("sales: events in silver", made["lines"], log["written"]),
        ("sales: quarantined", 0, log["quarantined"]),
        ("invoices: rows", len(made["invoices"]), len(invoices)),
        ("invoices: lines, quantity and amount right", len(made["invoices"]), right(invoices, ("lines", "quantity", "amount"), made["invoices"])),
        ("products: rows", len(made["products"]), len(products)),
        ("products: numbers and last description right", len(made["products"]), right(products, ("lines", "quantity", "amount", "description"), made["products"])),
        ("invoices: amount", made["amount"], sum(row["amount"] for row in invoices.values())),
    ]
