"""A year of real sales through S3, pipe and graph. Skipped where the data is not: it is not part of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
