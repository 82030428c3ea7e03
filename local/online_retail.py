"""`firn online-retail`: a year of real sales, one file a day, through S3, pipe and graph; then the sums of the files against gold's.

The data is not part of the project: UCI Machine Learning Repository, "Online Retail" (Chen, D., 2015), as daily CSV extracts.
"""

from __future__ import annotations

import argparse
import csv
import tarfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from local.pipeline_runs import BUCKET, drop_and_wait, install, query, set_up
from local.place import NotRunning, Place
from local.show import print_table

PIPELINE = "online_retail"


def run(place: Place, arguments: argparse.Namespace) -> int:
    extracts = Path(arguments.extracts)
    if not extracts.exists():
        raise NotRunning(f"{extracts} is not there. It should be the folder, or the .tar.xz, with the daily CSV extracts.")
    start = time.monotonic()
    if place.state() is None:
        place.up(arguments.port, arguments.s3_port)
    if not is_installed(place):
        set_up(place)
        install(place)
    place.snow("sql", "-q", f"CALL firn.config.apply_packaged('{PIPELINE}')")
    files = daily_files(extracts, place.folder / "online_retail")[: arguments.days]
    print(f"{time.monotonic() - start:5.1f} s  account and pipeline are ready; {len(files)} daily files to send")
    expected = totals_of_files(files)
    sent = time.monotonic()
    s3 = place.s3().client("s3")
    for file in files:
        s3.upload_file(str(file), BUCKET, f"{prefix(place)}{file.name}")
    seconds = drop_and_wait(place, PIPELINE, {"sales": expected["rows"]})
    print(f"{time.monotonic() - start:5.1f} s  through the graph, {time.monotonic() - sent:.1f} s after the first file, {seconds:.1f} s after the last")
    found = totals_of_account(place)
    print_table(["count", "in the files", "in the account"], [(name, expected[name], found[name]) for name in expected])
    wrong = [name for name in expected if expected[name] != found[name]]
    print("every count and sum is the same" if not wrong else "different: " + ", ".join(wrong))
    return 1 if wrong else 0


def is_installed(place: Place) -> bool:
    with place.connect() as connection, connection.cursor() as cursor:
        return bool(cursor.execute("SHOW APPLICATIONS").fetchall())


def prefix(place: Place) -> str:
    """Where the pipeline file says its files are."""
    import yaml

    from local.place import ROOT

    spec = yaml.safe_load((ROOT / "app" / "pipelines" / f"{PIPELINE}.yml").read_text())
    return spec["sources"]["sales"]["files"]["prefix"]


def daily_files(extracts: Path, folder: Path) -> list[Path]:
    """The CSV files in order of their days, unpacked if need be."""
    if extracts.is_dir():
        return sorted(extracts.rglob("*.csv"))
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(extracts) as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.csv"))


def totals_of_files(files: list[Path]) -> dict[str, Any]:
    """Counts and sums over all lines of the files, with the csv module and decimals: nothing of the pipeline is used."""
    invoices, codes, customers = set(), set(), set()
    rows, amount = 0, Decimal(0)
    for file in files:
        with file.open(newline="", encoding="utf-8") as text:
            for line in csv.DictReader(text):
                rows += 1
                amount += Decimal(line["Quantity"]) * Decimal(line["UnitPrice"])
                invoices.add(line["InvoiceNo"])
                codes.add(line["StockCode"])
                customers.add(line["CustomerID"])
    return {"rows": rows, "invoices": len(invoices), "products": len(codes), "customers": len(customers - {""}), "amount": amount}


def totals_of_account(place: Place) -> dict[str, Any]:
    one = lambda sql: query(place, sql)[0]["n"]  # noqa: E731
    return {
        "rows": int(one("SELECT SUM(rows_read) AS n FROM firn.control.pipeline_log WHERE pipeline = 'online_retail' AND step = 'load sales' AND status = 'succeeded'") or 0),
        "invoices": int(one("SELECT COUNT(*) AS n FROM firn.gold.invoices")),
        "products": int(one("SELECT COUNT(*) AS n FROM firn.gold.products")),
        "customers": int(one("SELECT COUNT(DISTINCT customer_id) AS n FROM firn.gold.fact_sales")),
        "amount": Decimal(str(one("SELECT SUM(revenue) AS n FROM firn.gold.monthly_revenue_by_country"))),
    }
