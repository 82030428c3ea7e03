"""Every row that is read is accounted for, and a row that is lost or doubled on the way turns the run red (issue 4).

Each test damages one function of a step: it loses a row, or gives one twice.  What was read is counted in bronze, what
was written by the server, so the two cannot agree by having the same fault.
"""

from __future__ import annotations

import dimension_step
import facts
import history
import history_events
import loading
import measures
import pytest
import snowflake.snowpark.functions as F
import watermark
import writing
from runlog import AccountsUnbalanced

from tests.load.conftest import STEPS, Shop

FOUR = "1 Paris 2024-01-01, 2 Rome 2024-01-02, 3 - 2024-01-03, 1 Paris 2024-01-01"  # two events, one that fails, one copy


def one_lost(rows):
    """The same rows without that of line 1, or of line 3 where line 1 is none of them."""
    return rows.filter(F.col(line_of(rows)) != F.lit(1))


def one_doubled(rows):
    return rows.union_all(rows.filter(F.col(line_of(rows)) == F.lit(1)))


def line_of(rows) -> str:
    return next(name for name in rows.columns if name.lower() in ("_row_number", "row_number", "first_row"))


def damaged(monkeypatch, module, function: str, damage) -> None:
    sound = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *arguments, **named: damage(sound(*arguments, **named)))


def nothing_was_written(shop: Shop) -> bool:
    tables = ("silver.people", "control.quarantine", "control.ledger", "stage.people", "control.loads_in_hand")
    return all(shop.rows(f"SELECT COUNT(*) FROM firn.{table}") == [(0,)] for table in tables)


def test_a_load_counts_each_row_once(shop):
    shop.put(FOUR)

    counts = shop.step("load", "people")

    assert {name: counts[name] for name in ("read", "written", "duplicate", "quarantined", "superseded", "held")} == {
        "read": 4, "written": 2, "duplicate": 1, "quarantined": 1, "superseded": 0, "held": 0,
    }  # fmt: skip


LOAD = [
    pytest.param(watermark, "plain_batch", "4", "{}", id="taking the rows of bronze"),
    pytest.param(loading, "typed", "4", "{}", id="typing"),
    pytest.param(loading, "judged", "4", "{}", id="checking"),
    pytest.param(loading, "screened", "4", "{}", id="deciding"),
    pytest.param(loading, "events", "'read': 4, 'written': {}", "2", id="writing to silver"),
    pytest.param(watermark, "ranges", "'loads taken': 1, 'loads entered whole': 0", "", id="entering in the ledger"),
]


@pytest.mark.parametrize(("module", "function", "shown", "sound"), LOAD)
@pytest.mark.parametrize(("damage", "difference"), [(one_lost, -1), (one_doubled, 1)], ids=["one row lost", "one row doubled"])
def test_a_load_that_loses_or_doubles_a_row_is_red(shop, monkeypatch, module, function, shown, sound, damage, difference):
    shop.put(FOUR)
    damaged(monkeypatch, module, function, damage)

    with pytest.raises(AccountsUnbalanced) as raised:
        shop.step("load", "people")

    expected = {"4": f"'in bronze': 4, 'read': {4 + difference}"}.get(shown, shown.format(2 + difference))
    assert expected in str(raised.value)
    assert nothing_was_written(shop)
    assert shop.log("load people")["status"] == "failed"


NEW, AGAIN = "first words", "a correction among them"
GOLD = [
    pytest.param("fact", "fact_moves", NEW, facts, "shaped", id="what new events say"),
    pytest.param("fact", "fact_moves", NEW, facts, "found", id="pointing new facts to versions"),
    pytest.param("fact", "fact_moves", AGAIN, facts, "grains_of", id="the grains to look at"),
    pytest.param("fact", "fact_moves", AGAIN, facts, "outcomes", id="the last word on each grain"),
    pytest.param("fact", "fact_moves", AGAIN, facts, "found", id="pointing to versions"),
    pytest.param("fact", "fact_moves", AGAIN, writing, "missing", id="adding facts"),
    pytest.param("measure", "moves_by_month", NEW, measures, "numbers", id="computing numbers"),
    pytest.param("measure", "moves_by_month", AGAIN, measures, "numbers", id="computing numbers again"),
    pytest.param("measure", "moves_by_month", AGAIN, writing, "differing", id="adding numbers"),
]


@pytest.mark.parametrize(("step", "target", "words", "module", "function"), GOLD)
@pytest.mark.parametrize("damage", ["one row lost", "one row doubled"])
def test_facts_and_numbers_that_lose_or_double_a_row_are_red(shop, monkeypatch, step, target, words, module, function, damage):
    if words == AGAIN:
        shop.put("1 Nice 2024-01-09, 9 Nice 2024-01-09", file="first.csv", content="first")
        for first in STEPS:
            shop.step(*first)
    shop.put("1 Paris 2024-01-10, 2 Rome 2024-02-02, 3 Bonn 2024-02-03")
    for earlier in STEPS[: [name for name, _ in STEPS].index(step)]:
        shop.step(*earlier)
    tables = "SELECT (SELECT COUNT(*) FROM firn.gold.fact_moves), (SELECT COUNT(*) FROM firn.gold.moves_by_month)"
    before = shop.rows(tables)

    def broken(rows):
        # The last: of numbers one that is new. A change of one that stands, lost, leaves it as it was; that only core.reconcile sees.
        one = rows.sort(*[F.col(column).desc() for column in rows.columns]).limit(1)
        return rows.subtract(one) if damage == "one row lost" else rows.union_all(one)

    damaged(monkeypatch, module, function, broken)

    with pytest.raises(AccountsUnbalanced):
        shop.step(step, target)

    assert shop.rows(tables) == before


HISTORY = [
    pytest.param(history_events, "kept", id="what the versions are made of"),
    pytest.param(history, "marked", id="the part each event plays"),
]


@pytest.mark.parametrize(("module", "function"), HISTORY)
@pytest.mark.parametrize("damage", ["one row lost", "one row doubled"])
def test_a_dimension_that_loses_or_doubles_an_event_is_red(shop, monkeypatch, module, function, damage):
    shop.put("1 Paris 2024-01-01, 1 Rome 2024-01-02, 1 Bonn 2024-01-03, 2 Oslo 2024-01-01")
    shop.step("load", "people")

    def broken(rows):
        one = F.col("city") == F.lit("Rome")
        return rows.filter(~one) if damage == "one row lost" else rows.union_all(rows.filter(one))

    damaged(monkeypatch, module, function, broken)

    with pytest.raises((AccountsUnbalanced, dimension_step.HistoryBroken)):
        shop.step("dimension", "dim_person")

    assert shop.rows("SELECT COUNT(*) FROM firn.gold.dim_person WHERE person_version_key > 0") == [(0,)]


def test_an_event_that_an_older_one_of_its_instant_outdoes_is_superseded(shop):
    shop.put("1 Rome 2024-01-01")
    for step in STEPS[:2]:
        shop.step(*step)
    shop.put("1 Bonn 2024-01-01", file="b.csv", content="B")  # at one instant the greater text has the word
    shop.step("load", "people")

    counts = shop.step("dimension", "dim_person")

    assert (counts["read"], counts["written"], counts["superseded"]) == (1, 0, 1)


def test_what_a_later_event_of_its_grain_outdid_is_superseded_and_a_number_that_stands_is_no_new_one(shop):
    shop.put("1 Paris 2024-01-01, 1 Rome 2024-01-02, 2 Bonn 2024-02-03")
    for step in STEPS[:3]:
        counts = shop.step(*step)
    assert (counts["read"], counts["written"], counts["superseded"]) == (3, 2, 1)
    shop.step(*STEPS[3])
    shop.put("2 Oslo 2024-02-04", file="b.csv", content="B")
    for step in STEPS[:3]:
        shop.step(*step)

    counts = shop.step(*STEPS[3])

    assert (counts["read"], counts["written"], counts["duplicate"]) == (1, 0, 1), "February has one move, as before"


def test_events_that_stand_twice_in_silver_double_no_row_of_a_load(shop):
    shop.put("1 Paris 2024-01-01")
    shop.step("load", "people")
    shop.rows("INSERT INTO firn.silver.people SELECT * FROM firn.silver.people")
    shop.put("1 Paris 2024-01-01, 2 Rome 2024-01-02", file="b.csv", content="B")

    counts = shop.step("load", "people")

    assert (counts["read"], counts["duplicate"], counts["written"]) == (2, 1, 1)


def test_entries_of_the_ledger_that_overlap_are_found_out_before_they_double_a_row(shop):
    shop.put("1 Paris 2024-01-01, 2 Rome 2024-01-02")
    shop.step("load", "people")
    shop.rows("INSERT INTO firn.control.ledger SELECT * FROM firn.control.ledger")
    shop.put("1 Paris 2024-01-01, 2 Rome 2024-01-02", file="again.csv")

    with pytest.raises(AccountsUnbalanced, match="'in bronze': 2, 'read': 4"):
        shop.step("load", "people")


def test_a_load_asks_little_of_the_server(shop):
    """Round trips, the client's own questions included; an account answers each in tens of milliseconds."""
    shop.put(FOUR)
    busy = shop.bench.step("shop", "load", "people")
    idle = shop.bench.step("shop", "load", "people")

    assert busy["run"] + busy["described"] <= 20
    assert idle["run"] + idle["described"] <= 6
