"""What was taken of a file is known for good: late rows are counted as late, swept files are folded and still recognised (rules 31, 32)."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.load.conftest import BRONZE, START, Shop

YEARS_AGO = dt.datetime(2020, 1, 1)
TWO = "1 Paris 2024-01-01, 2 Rome 2024-01-02"


def files(shop: Shop) -> list[tuple]:
    columns = "file_name, content_key, first_row, last_row, rows_taken, rows_duplicate"
    return shop.rows(f"SELECT {columns} FROM firn.control.file_ledger ORDER BY 1, 2")


def ledger(shop: Shop) -> int:
    return shop.rows("SELECT count(*) FROM firn.control.ledger")[0][0]


def sweep(shop: Shop) -> dict:
    return shop.step("sweep", "")


@pytest.mark.parametrize("lets", [None, "a load before it"], ids=["the first load has no late rows", "below LETS less the overlap"])
def test_rows_below_lets_less_the_overlap_are_taken_and_counted_as_late(shop, lets):
    if lets:
        shop.put("9 Oslo 2024-01-01", file="new.csv", content="N", at=START)
        shop.step("load", "people")
    shop.put(TWO, at=START - dt.timedelta(hours=2))
    sweep_sees = shop.bench.step("shop", "sweep", "")["counts"]["status"]

    counts = shop.step("load", "people")

    assert (counts["read"], counts["written"]) == (2, 2)
    assert shop.log("load people")["detail"]["late"] == (2 if lets else 0)
    assert sweep_sees


def test_a_swept_file_becomes_one_row_that_is_kept(shop):
    shop.put(TWO, at=YEARS_AGO)
    shop.put("1 Paris 2024-01-01, 2 Rome 2024-01-02", file="again.csv", at=YEARS_AGO)
    shop.step("load", "people")

    sweep(shop)

    assert shop.rows(f"SELECT count(*) FROM {BRONZE}") == [(0,)]
    assert files(shop) == [("a.csv", "A", 1, 2, 2, 0), ("again.csv", "A", None, None, 0, 2)]
    assert ledger(shop) == 0


@pytest.mark.parametrize(
    ("file", "content", "duplicate", "written"),
    [
        pytest.param("a.csv", "A", 2, 0, id="under its own name"),
        pytest.param("other.csv", "A", 2, 0, id="under another name"),
        pytest.param("a.csv", "B", 0, 2, id="the name with another content is another file"),
    ],
)
def test_a_file_sent_again_years_later_is_known_by_its_content(shop, file, content, duplicate, written):
    shop.put(TWO, at=YEARS_AGO)
    shop.step("load", "people")
    sweep(shop)
    shop.rows("DELETE FROM firn.silver.people")  # nothing else can know these rows
    shop.put(TWO, file=file, content=content)

    counts = shop.step("load", "people")

    assert (counts["read"], counts["duplicate"], counts["written"]) == (2, duplicate, written)


def test_the_rest_of_a_file_that_was_folded_is_taken_and_folded_to_it(shop):
    shop.put(TWO, at=YEARS_AGO)
    shop.step("load", "people")
    sweep(shop)
    shop.put(f"{TWO}, 3 Bonn 2024-01-03", at=YEARS_AGO + dt.timedelta(days=1))
    counts = shop.step("load", "people")
    assert (counts["duplicate"], counts["written"]) == (2, 1)

    sweep(shop)

    assert files(shop) == [("a.csv", "A", 1, 3, 3, 2)]
    assert ledger(shop) == 0


@pytest.mark.parametrize(
    "arrived",
    [
        pytest.param([("1 Paris 2024-01-01", 1, YEARS_AGO), ("2 Rome 2024-01-02", 3, YEARS_AGO)], id="a gap in what was taken"),
        pytest.param([(TWO, 1, YEARS_AGO), ("3 Bonn 2024-01-03", 3, dt.datetime(2100, 1, 1))], id="a part of it is not past retention"),
    ],
)
def test_a_file_that_a_range_cannot_speak_for_stays_in_the_ledger(shop, arrived):
    for rows, first, at in arrived:
        shop.put(rows, first=first, at=at)
    shop.step("load", "people")

    sweep(shop)

    assert files(shop) == []
    assert ledger(shop) == 2
