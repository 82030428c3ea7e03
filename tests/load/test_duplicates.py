"""What says nothing new is found: in the batch, in silver, NULLs being equal (rules 5 and 27), by `duplicates.mark` as by `with_outcome`."""

from __future__ import annotations

import cleaning
import pytest
import watermark
from runs import Run

from tests.load.conftest import START, Shop

CASES = [
    pytest.param("", "1 Paris 2024-01-01", "1 event", id="never seen"),
    pytest.param("1 Paris 2024-01-01", "1 Paris 2024-01-01", "1 duplicate", id="equal to an event in silver"),
    pytest.param("1 Paris 2024-01-01", "1 Rome 2024-01-01", "1 event", id="another value at the same instant"),
    pytest.param("1 Paris 2024-01-01", "1 Paris 2024-01-02", "1 event", id="the same value at another instant"),
    pytest.param("1 Paris 2024-01-01", "2 Paris 2024-01-01", "1 event", id="another key"),
    pytest.param("", "1 Paris 2024-01-01, 1 Paris 2024-01-01", "1 event, 2 duplicate", id="twice in the batch: the first stands"),
    pytest.param("", "1 Paris 2024-01-01, 1 Rome 2024-01-01", "1 event, 2 event", id="two values at one instant are two events"),
    pytest.param("1 Paris 2024-01-01", "1 Rome 2024-01-01, 1 Paris 2024-01-01, 1 Rome 2024-01-01", "1 event, 2 duplicate, 3 duplicate", id="both"),
    pytest.param("", "1 - 2024-01-01, 1 - 2024-01-01", "1 quarantined, 2 quarantined", id="rows that fail stay what they are"),
]


def put_in_hand(shop: Shop, known: str, batch: str) -> Run:
    """`known` in silver, `batch` in stage, decided upon but for what is a duplicate."""
    import loading
    import pipeline as handlers
    from runlog import StepResult

    if known:
        shop.put(known, content="known")
        shop.step("load", "people")
    shop.put(batch, file="b.csv", content="new")
    run = handlers.open_run(shop.bench.session, "shop", "test")
    loading.fetch(run, run.pipeline.source("people"), run.mark("load people"), StepResult("load people", START))
    return run


@pytest.mark.parametrize(("known", "batch", "expected"), CASES)
def test_what_becomes_of_a_row(shop, known, batch, expected):
    import duplicates

    run = put_in_hand(shop, known, batch)
    source = run.pipeline.source("people")
    bronze = watermark.plain_batch(run.bronze(source), watermark.in_hand(run.session, "shop", source), source)
    said = cleaning.with_outcome(cleaning.checked(cleaning.typed(bronze, source), source), run.session.table(source.silver), source)
    by_frames = sorted((row["ROW_NUMBER"], row["OUTCOME"]) for row in said.collect())

    marked = duplicates.mark(run.session, source)

    found = shop.rows("SELECT row_number, outcome FROM firn.stage.people ORDER BY 1")
    assert ", ".join(f"{number} {outcome}" for number, outcome in found) == expected
    assert marked == expected.count("duplicate")
    assert found == by_frames


def test_null_equals_null(shop):
    import duplicates

    run = put_in_hand(shop, "", "1 - 2024-01-01, 1 - 2024-01-01")
    shop.rows("UPDATE firn.stage.people SET outcome = 'event'")  # as if no check minded the city

    assert duplicates.mark(run.session, run.pipeline.source("people")) == 1
