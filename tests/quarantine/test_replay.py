"""Rows that wait go through the door again, corrected or under another spec; or are given up, and can be taken back."""

from __future__ import annotations

import json
import threading

import pytest
from quarantine import CorrectionRefused
from replaying import NothingWaits, RowDecided

from tests.conftest import alone
from tests.quarantine.rig import SPEC, Shop

TOO_OLD = "age_in_range: age between 0 and 120"


def place(file: str, row: int) -> str:
    return f"{file.rsplit('_', 1)[0]}/content of {file}/{row}"


@pytest.fixture
def old_people(shop: Shop):
    """A spec that knows older people; afterwards the shop's own again."""
    yield lambda: shop.apply(SPEC.replace(TOO_OLD, "age_in_range: age between 0 and 250"))
    shop.apply(SPEC)


@pytest.fixture
def three_waiting(shop: Shop) -> str:
    """One customer in silver, three in quarantine: too old, far too old, and too old in too long a city."""
    return shop.load(
        "customers", "1 Paris 30 U 2024-01-01", "2 Rome 200 U 2024-01-01", "3 Bern 300 U 2024-01-01", "4 averyveryverylongcityname 200 U 2024-01-01"
    )


def test_a_dry_run_says_which_rows_would_pass_now_and_changes_nothing(shop, three_waiting, old_people):
    old_people()
    before = shop.everything()

    found = shop.replay("customers", dry_run=True)

    assert (found["read"], found["written"], found["quarantined"]) == (3, 1, 2)
    assert found["checks"] == {"age_in_range": {"waited": 3, "pass_now": 1}, "city_is_short": {"waited": 1, "pass_now": 0}}
    assert found["failed_checks"] == {"age_in_range": 1, "city_is_short": 1}
    assert found["passing_ids"] == [place(three_waiting, 2)]
    assert shop.everything() == before
    assert shop.rows("SELECT COUNT(*) AS n FROM control.pipeline_log WHERE step LIKE 'replay%'") == [{"n": 0}]


def test_rows_that_pass_now_join_silver_from_the_quarantine_alone_with_the_place_they_came_from(shop, three_waiting, old_people):
    shop.answer("DELETE FROM firn_landing.bronze.customers")  # long swept
    old_people()

    done = shop.replay("customers")

    assert (done["read"], done["written"], done["duplicate"], done["quarantined"]) == (3, 1, 0, 2)
    events = shop.rows("SELECT id, age, file_name, row_number, content_key, loaded_at FROM silver.customers ORDER BY id")
    assert [(row["id"], row["age"], row["row_number"]) for row in events] == [(1, 30, 1), (2, 200, 2)]
    first, replayed = ({**row, "id": 0, "age": 0, "row_number": 0} for row in events)
    assert first == replayed
    log = shop.rows("SELECT * FROM control.pipeline_log WHERE step = 'replay customers'")[0]
    assert [log[f"rows_{name}"] for name in ("read", "written", "duplicate", "superseded", "quarantined", "held")] == [3, 1, 0, 0, 2, 0]
    assert log["run_id"] == done["run_id"]


def test_a_row_that_still_fails_keeps_its_first_checks_and_gets_the_newest_with_the_spec_that_says_so(shop, three_waiting, old_people):
    version = shop.version()
    old_people()
    shop.replay("customers")

    row = shop.rows(f"SELECT * FROM control.quarantine WHERE quarantine_id = '{place(three_waiting, 4)}'")[0]

    assert (json.loads(row["failed_checks"]), row["spec_version"]) == (["age_in_range", "city_is_short"], version)
    assert (json.loads(row["newest_checks"]), row["newest_spec_version"]) == (["city_is_short"], version + 1)
    assert (row["status"], row["checked_at"] is None) == ("waiting", False)


def test_a_released_row_stays_in_the_quarantine_and_says_who_when_and_in_which_run(shop, three_waiting, old_people):
    old_people()
    done = shop.replay("customers")

    row = shop.rows(f"SELECT * FROM control.quarantine WHERE quarantine_id = '{place(three_waiting, 2)}'")[0]
    decision = shop.rows("SELECT * FROM control.quarantine_decision")

    assert (row["status"], row["released_as"], row["decided_run_id"], row["decided_by"]) == ("released", "event", done["run_id"], "LOCAL")
    assert [(d["decision"], d["row_count"], d["decided_by"], d["run_id"]) for d in decision] == [("released", 1, "LOCAL", done["run_id"])]


def test_a_second_replay_moves_nothing(shop, three_waiting, old_people):
    old_people()
    shop.replay("customers")
    before = shop.everything()

    again = shop.replay("customers")

    assert (again["read"], again["written"], again["quarantined"]) == (2, 0, 2)
    assert shop.everything() == before


def test_with_nothing_waiting_nothing_is_written(shop):
    shop.load("customers", "1 Paris 30 U 2024-01-01")

    assert shop.replay("customers")["read"] == 0
    assert shop.rows("SELECT status, batch_no FROM control.pipeline_log WHERE step LIKE 'replay%'") == [{"status": "nothing new", "batch_no": None}]


def test_the_rows_of_one_check_are_replayed_and_the_others_stay_as_they_are(shop, three_waiting, old_people):
    old_people()

    done = shop.replay("customers", "city_is_short")

    assert (done["read"], done["written"], done["quarantined"]) == (1, 0, 1)
    assert len(shop.waiting("customers")) == 3


def test_a_row_waits_for_the_checks_it_failed_when_it_was_last_looked_at(shop, three_waiting, old_people):
    old_people()
    shop.replay("customers")

    assert shop.replay("customers", "age_in_range", dry_run=True)["checks"] == {"age_in_range": {"waited": 1, "pass_now": 0}}
    assert shop.handlers.discard_quarantine(shop.session, "customers", "age_in_range", "typing errors")["discarded"] == 1


def test_a_check_nobody_knows_is_refused_with_the_nearest_that_is(shop, three_waiting):
    with pytest.raises(NothingWaits, match="did you mean `age_in_range`"):
        shop.replay("customers", "age_in_rage")


def test_a_source_nobody_knows_is_refused_with_the_nearest_that_is(shop):
    with pytest.raises(LookupError, match="did you mean `customers`"):
        shop.replay("costumers")


def test_a_replayed_row_that_came_again_in_the_meantime_is_a_duplicate(shop, three_waiting, old_people):
    old_people()
    shop.load("customers", "2 Rome 200 U 2024-01-01")

    done = shop.replay("customers")

    assert (done["read"], done["written"], done["duplicate"], done["quarantined"]) == (3, 0, 1, 2)
    assert shop.rows(f"SELECT status, released_as FROM control.quarantine WHERE quarantine_id = '{place(three_waiting, 2)}'") == [
        {"status": "released", "released_as": "duplicate"}
    ]


def test_two_waiting_rows_that_say_the_same_become_one_event(shop, old_people):
    shop.load("customers", "2 Rome 200 U 2024-01-01", "2 Rome 200 U 2024-01-01")
    old_people()

    done = shop.replay("customers")

    assert (done["read"], done["written"], done["duplicate"]) == (2, 1, 1)


# --- correcting


def test_a_corrected_row_passes_with_its_new_values_and_keeps_the_ones_it_came_with(shop, three_waiting):
    told = shop.correct(place(three_waiting, 4), {"age": 20, "city": "Lima"})

    assert told["failed_checks"] == []
    assert shop.replay("customers")["passing_ids"] == [place(three_waiting, 4)]
    assert shop.rows("SELECT city, age FROM silver.customers WHERE id = 4") == [{"city": "Lima", "age": 20}]
    row = shop.rows(f"SELECT row_values, corrected_values FROM control.quarantine WHERE quarantine_id = '{place(three_waiting, 4)}'")[0]
    assert json.loads(row["row_values"])["years"] == "200"
    assert json.loads(row["corrected_values"])["years"] == "20"


def test_every_correction_is_recorded_with_the_values_before_it(shop, three_waiting):
    shop.correct(place(three_waiting, 2), '{"age": "x"}')
    last = shop.correct(place(three_waiting, 2), {"age": None, "city": "it's \\ \"Rome\""})

    found = shop.rows("SELECT column_name, old_value, new_value, corrected_by, run_id FROM control.quarantine_correction ORDER BY corrected_at, column_name")

    assert [(r["column_name"], json.loads(r["old_value"]), json.loads(r["new_value"])) for r in found] == [
        ("age", "200", "x"),
        ("age", "x", None),
        ("city", "Rome", "it's \\ \"Rome\""),
    ]
    assert {r["corrected_by"] for r in found} == {"LOCAL"}
    assert found[-1]["run_id"] == last["run_id"]
    assert last["failed_checks"] == ["age_in_range"]


@pytest.mark.parametrize(("values", "why"), [
    pytest.param({"aeg": "3"}, "did you mean `age`", id="a column nobody declared"),
    pytest.param({"age": {"years": 3}}, "expected a text", id="a value no file of rows could hold"),
    pytest.param("age = 3", "no JSON", id="a text that is no JSON"),
    pytest.param("[1]", "expected", id="JSON that is no object"),
    pytest.param({}, "expected", id="nothing"),
])  # fmt: skip
def test_a_correction_that_cannot_be_meant_is_refused_and_changes_nothing(shop, three_waiting, values, why):
    with pytest.raises(CorrectionRefused, match=why):
        shop.correct(place(three_waiting, 2), values)

    assert shop.rows("SELECT COUNT(*) AS n FROM control.quarantine WHERE corrected_values IS NOT NULL") == [{"n": 0}]


def test_a_row_that_is_released_or_not_there_cannot_be_corrected(shop, three_waiting, old_people):
    old_people()
    shop.replay("customers")

    with pytest.raises(RowDecided, match="is released"):
        shop.correct(place(three_waiting, 2), {"age": "3"})
    with pytest.raises(LookupError, match="No row"):
        shop.correct("customers/never/1", {"age": "3"})
    with pytest.raises(LookupError, match="is NULL"):
        shop.handlers.correct_quarantine(shop.session, None, {"age": "3"})


def test_a_record_is_corrected_inside_and_what_it_does_not_say_stays_unsaid(shop):
    """A key that is absent carries the value before it; a correction changes what it names and nothing around it."""
    shop.load("parts", {"sku": "a", "price": 5, "supplier": {"name": "S"}, "changed_at": "2024-01-01"})
    file = shop.load("parts", {"sku": "a", "price": -2, "supplier": {"since": 1999}, "changed_at": "2024-02-01"}, "[1]")

    shop.correct(place(file, 1), {"price": 12.50})
    shop.correct(place(file, 2), {"sku": "b", "supplier": "T", "changed_at": "2024-02-01"})
    done = shop.replay("parts")
    shop.to_gold()

    assert done["written"] == 2
    assert shop.rows("SELECT sku, price, supplier, absent_columns FROM silver.parts WHERE file_name <> 'parts_1' ORDER BY sku")[-2:] == [
        {"sku": "a", "price": 12.5, "supplier": None, "absent_columns": ",supplier,,extra,"},
        {"sku": "b", "price": None, "supplier": "T", "absent_columns": ",price,,extra,"},
    ]
    assert [(r["price"], r["supplier"]) for r in shop.rows("SELECT price, supplier FROM gold.dim_part WHERE sku = 'a' ORDER BY valid_from")] == [
        (5, "S"), (12.5, "S"),
    ]  # fmt: skip


def test_a_late_row_is_put_in_its_place_and_facts_and_numbers_heal(shop):
    shop.load("customers", "1 Paris 30 U 2024-01-01", "1 Rome 300 U 2024-02-01", "1 Oslo 31 U 2024-03-01")
    shop.load("orders", "10 1 5.00 2024-02-10", "11 1 -7.00 2024-02-11")
    shop.to_gold()
    before = shop.fact_cities()

    (rome,), (refund,) = shop.waiting("customers"), shop.waiting("orders")
    shop.correct(rome, {"age": "31"})
    shop.correct(refund, {"amount": "7.00"})
    shop.replay("customers")
    shop.replay("orders")
    shop.to_gold()

    assert before == [(10, "Paris", 5)]
    assert shop.fact_cities() == [(10, "Rome", 5), (11, "Rome", 7)]
    assert shop.rows("SELECT revenue FROM gold.revenue_by_month") == [{"revenue": 12}]


# --- giving up


def test_discarded_rows_are_counted_with_a_reason_and_can_be_taken_back(shop, three_waiting, old_people):
    given_up = shop.handlers.discard_quarantine(shop.session, "customers", "city_is_short", "test data of the CRM")
    old_people()

    assert given_up["discarded"] == 1
    assert shop.replay("customers")["read"] == 2
    row = shop.rows("SELECT status, reason, decided_by FROM control.quarantine WHERE status = 'discarded'")
    assert row == [{"status": "discarded", "reason": "test data of the CRM", "decided_by": "LOCAL"}]

    back = shop.handlers.restore_quarantine(shop.session, "customers", place(three_waiting, 4), "they were real")

    assert back["restored"] == 1
    assert place(three_waiting, 4) in shop.waiting("customers")
    decisions = shop.rows("SELECT decision, selected, reason, row_count FROM control.quarantine_decision ORDER BY decided_at")
    assert [tuple(d.values()) for d in decisions] == [
        ("discarded", "city_is_short", "test data of the CRM", 1),
        ("released", None, None, 1),
        ("restored", place(three_waiting, 4), "they were real", 1),
    ]


@pytest.mark.parametrize(("selected", "reason", "why"), [
    pytest.param("age_in_range", " ", "for a reason", id="no reason"),
    pytest.param("age_in_rang", "x", "did you mean `age_in_range`", id="a check no row waits for"),
    pytest.param("customers/never/1", "x", "age_in_range 3, city_is_short 1", id="a row that is not there"),
])  # fmt: skip
def test_what_is_not_meant_is_not_discarded(shop, three_waiting, selected, reason, why):
    with pytest.raises((ValueError, LookupError), match=why):
        shop.handlers.discard_quarantine(shop.session, "customers", selected, reason)

    assert len(shop.waiting("customers")) == 3


# --- all or nothing, one at a time


@pytest.mark.parametrize("movement", ["note", "record_decision", "count"])
def test_a_replay_that_breaks_in_the_middle_leaves_everything_as_it_was(shop, three_waiting, old_people, monkeypatch, movement):
    import replaying

    old_people()
    before = shop.everything()

    def broken(*_: object) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(replaying, movement, broken)
    with pytest.raises(OSError, match="power"):
        shop.replay("customers")

    assert shop.everything() == before
    assert shop.rows("SELECT COUNT(*) AS n FROM stage.customers") == [{"n": 0}]
    assert shop.rows("SELECT status, error FROM control.pipeline_log WHERE step = 'replay customers'") == [
        {"status": "failed", "error": "OSError: the power went"}
    ]


def test_a_correction_waits_for_a_replay_that_is_under_way(shop, three_waiting, old_people, monkeypatch):
    """Else a row could join silver with its old values after its correction was accepted."""
    import replaying

    old_people()
    other = shop.bench.connect(shop.bench.port)
    done: list[str] = []
    noted = replaying.note

    def correcting() -> None:
        with alone(other):
            try:
                shop.handlers.correct_quarantine(other, place(three_waiting, 2), {"age": "20"})
                done.append("corrected")
            except Exception as error:  # what the caller of the second session sees
                done.append(type(error).__name__)

    second = threading.Thread(target=correcting)

    def note(*arguments: object) -> None:
        second.start()
        second.join(1)
        assert not done, "the correction did not wait"
        noted(*arguments)

    monkeypatch.setattr(replaying, "note", note)
    shop.replay("customers")
    second.join()

    assert done == ["RowDecided"]
    other.close()
