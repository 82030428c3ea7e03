"""The sales table of the demo: seeded, with the faults it says, and a truth that is counted from the lines alone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ingest.generate_sales import sales, sales_truth


def test_the_same_seed_gives_the_same_lines_and_another_gives_others():
    assert sales(seed=7) == sales(seed=7)
    assert sales(seed=7) != sales(seed=8)


def test_more_days_add_lines_and_change_none():
    three = sales(days=3)

    assert sales(days=5)[: len(three)] == three


@pytest.mark.parametrize("fault", [
    pytest.param(lambda line: line.invoice_no.startswith("C") and line.quantity < 0, id="cancellation"),
    pytest.param(lambda line: line.customer_id is None, id="no customer"),
    pytest.param(lambda line: line.description is None and line.unit_price == 0, id="given away, without a description"),
    pytest.param(lambda line: line.description != (line.description or "").strip(), id="padded description"),
    pytest.param(lambda line: line.stock_code in ("POST", "M", "BANK CHARGES"), id="charge"),
    pytest.param(lambda line: any(mark in (line.description or "") for mark in ',"%É'), id="characters that CSV and SQL care about"),
])
def test_the_table_has_the_faults_of_real_ones(fault):
    assert any(fault(line) for line in sales())


def test_the_truth_takes_the_latest_description_and_adds_up():
    lines = sales()
    truth = sales_truth(lines)

    renamed = {line.stock_code for line in lines if line.description and line.description.strip() != truth["products"][line.stock_code][3]}
    assert renamed, "some codes are called otherwise from the fourth day on"
    for table in ("invoices", "products"):
        assert sum(row[0] for row in truth[table].values()) == truth["lines"] == len(lines)
        assert sum((row[2] for row in truth[table].values()), Decimal(0)) == truth["amount"]
