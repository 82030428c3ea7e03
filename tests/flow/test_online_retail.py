"""A year of real sales through S3, pipe and graph. Skipped where the data is not: it is not part of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from local.pipeline_runs import query
from local.place import ROOT, Place, free_port

EXTRACTS = Path(os.environ.get("FIRN_ONLINE_RETAIL") or ROOT.parent / "shared" / "data" / "online_retail" / "online_retail_by_day.tar.xz")
pytestmark = pytest.mark.skipif(not EXTRACTS.exists(), reason="the Online Retail extracts are not here (FIRN_ONLINE_RETAIL names them)")


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("year") / "account")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "online-retail", str(EXTRACTS), "--port", str(free_port()), "--s3-port", str(free_port())],
        cwd=ROOT, text=True, capture_output=True, timeout=500,
    )  # fmt: skip
    yield place, done
    place.down()


def test_every_line_of_the_year_is_accounted_for_and_the_sums_are_the_files(year):
    place, done = year
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every count and sum is the same" in done.stdout

    account = query(
        place,
        "SELECT SUM(rows_read) AS r, SUM(rows_written) AS w, SUM(rows_duplicate) AS d, SUM(rows_superseded) AS s, SUM(rows_quarantined) AS q, SUM(rows_held) AS h "
        "FROM firn.control.pipeline_log WHERE pipeline = 'online_retail' AND step = 'load sales' AND status = 'succeeded'",
    )[0]
    assert int(account["r"]) == 541_909
    assert account["r"] == account["w"] + account["d"] + account["s"] + account["q"] + account["h"]
    bronze = query(place, "SELECT COUNT(*) AS n, COUNT(DISTINCT _file_name) AS files FROM firn_landing.bronze.sales")[0]
    assert (bronze["n"], bronze["files"]) == (541_909, 305)


def test_the_totals_of_the_datas_own_description_hold(year):
    place, _ = year
    one = lambda sql: next(iter(query(place, sql)[0].values()))  # noqa: E731

    assert one("SELECT COUNT(*) FROM firn.gold.invoices") == 25_900
    assert one("SELECT COUNT(*) FROM firn.gold.products") == 4_070
    assert one("SELECT COUNT(DISTINCT country) FROM firn.gold.monthly_revenue_by_country") == 38
    for table, column in (("fact_sales", "amount"), ("invoices", "amount"), ("products", "amount"), ("monthly_revenue_by_country", "revenue")):
        assert str(one(f"SELECT SUM({column}) FROM firn.gold.{table}")) == "9747747.9340"


# --- the same numbers by pandas, from the files alone


@pytest.fixture(scope="module")
def lines(year) -> pd.DataFrame:
    """Every line of the year; money in ten-thousandths."""
    place, _ = year
    files = sorted((place.folder / "online_retail").rglob("*.csv")) or sorted(EXTRACTS.rglob("*.csv"))
    read = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files], ignore_index=True)
    price = read["UnitPrice"].map(lambda text: int(Decimal(text) * 10_000))
    return read.assign(
        amount=read["Quantity"].astype("int64") * price, quantity=read["Quantity"].astype("int64"), at=pd.to_datetime(read["InvoiceDate"]),
        month=read["InvoiceDate"].str[:7] + "-01", invoice_no=read["InvoiceNo"].str.strip().str.upper(), stock_code=read["StockCode"].str.strip(),
        country=read["Country"].str.strip(), customer_id=pd.to_numeric(read["CustomerID"]).astype("Int64"),
    )  # fmt: skip


def by_month_and_country(lines: pd.DataFrame) -> pd.DataFrame:
    groups = lines.groupby(["month", "country"])
    return groups.agg(revenue=("amount", "sum"), invoices=("invoice_no", "nunique"), customers=("customer_id", "nunique"))


def by_invoice(lines: pd.DataFrame) -> pd.DataFrame:
    return lines.groupby("invoice_no").agg(invoiced_at=("at", "min"), lines=("at", "count"), quantity=("quantity", "sum"), amount=("amount", "sum"))


def by_stock_code(lines: pd.DataFrame) -> pd.DataFrame:
    groups = lines.groupby("stock_code")
    return groups.agg(first_sold_at=("at", "min"), last_sold_at=("at", "max"), lines=("at", "count"), quantity=("quantity", "sum"), amount=("amount", "sum"))


@pytest.mark.parametrize(("table", "computed", "money"), [
    ("monthly_revenue_by_country", by_month_and_country, "revenue"), ("invoices", by_invoice, "amount"), ("products", by_stock_code, "amount"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_every_number_of_the_year_is_what_pandas_makes_of_the_files(year, lines, table, computed, money):
    expected = computed(lines).reset_index()
    columns = list(expected.columns)

    found = query(year[0], f"SELECT {', '.join(columns)} FROM firn.gold.{table}")

    told = {tuple(str(int(row[name] * 10_000) if name == money else row[name]) for name in columns) for row in found}
    assert len(found) == len(expected) and told == {tuple(map(str, row)) for row in expected.itertuples(index=False)}


def test_the_type_1_dimension_has_every_stock_code_once_with_its_latest_description(year, lines):
    found = query(year[0], "SELECT stock_code, description FROM firn.gold.dim_item WHERE stock_code IS NOT NULL AND is_current AND NOT is_inferred")
    described = lines.assign(description=lines["Description"].str.strip())
    described = described[described["description"] != ""].sort_values(["at", "description"])
    latest = described.groupby("stock_code")["description"].last()

    assert len(found) == len({row["stock_code"] for row in found}) == lines["stock_code"].nunique()
    wrong = [row for row in found if row["description"] != latest.get(row["stock_code"])]
    assert len(wrong) <= len(found) // 100, wrong[:5]  # ties of one instant are decided by content, all columns of it
