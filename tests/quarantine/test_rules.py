"""Rules 9, 10 and 11: what a bad row carries, and what stops a source before anything is written."""

from __future__ import annotations

import json

import pytest

from tests.quarantine.rig import SPEC, Shop


@pytest.fixture
def declared(shop: Shop):
    """The shop under a spec with something replaced, and under its own again afterwards."""
    yield lambda old, new: shop.apply(SPEC.replace(old, new))
    shop.apply(SPEC)


def test_rule_9_a_check_that_is_null_has_failed_and_a_row_carries_every_check_it_failed(shop):
    file = shop.load("customers", "1 Paris 30 U 2024-01-01", "- averyveryverylongcityname abc U 2024-01-02", "3 Oslo - U 2024-01-03")

    missing_age, worst = shop.rows("SELECT * FROM control.quarantine ORDER BY row_number DESC")

    assert json.loads(missing_age["failed_checks"]) == ["age_in_range"]
    assert json.loads(worst["failed_checks"]) == ["id_is_given", "age_is_integer", "age_in_range", "city_is_short"]
    assert json.loads(worst["row_values"]) == {
        "id": None, "city": "averyveryverylongcityname", "years": "abc", "op": "U", "changed_at": "2024-01-02",
    }  # fmt: skip
    run = shop.rows("SELECT run_id, batch_no, spec_version FROM control.pipeline_log WHERE step = 'load customers'")[0]
    assert {key: worst[key] for key in run} == run
    assert (worst["file_name"], worst["row_number"], worst["content_key"]) == (file, 2, f"content of {file}")
    assert worst["quarantine_id"] == f"customers/content of {file}/2"
    assert worst["status"] == "waiting"


def test_rule_9_a_tombstone_needs_its_key_and_its_time_and_nothing_else(shop):
    shop.load("customers", "1 - - D 2024-01-01", "- - - D 2024-01-01", "2 - - D -")

    assert shop.waiting("customers", "failed_checks, row_number") == [('["id_is_given"]', 2), ('["changed_at_is_given"]', 3)]


def test_rule_9_of_a_record_its_values_are_kept_as_they_came(shop):
    record = {"sku": "a", "price": -1.10, "supplier": {"name": "S", "since": 1999}, "other": [1, None], "changed_at": "2024-01-01"}
    shop.load("parts", record, "[1, 2]", "7")

    assert [json.loads(text) for text in shop.waiting("parts", "row_values")] == [record, [1, 2], 7]


def test_rule_10_a_batch_that_is_refused_changes_nothing(shop, declared):
    declared("age_in_range: age between 0 and 120", "age_in_range: {expect: age between 0 and 120, otherwise: stop}")
    shop.load("customers", "1 Paris 30 U 2024-01-01")
    before = shop.everything()
    shop.arrive("customers", "2 Rome 30 U 2024-01-01", "3 Rome 300 U 2024-01-01")

    with pytest.raises(RuntimeError, match="age_in_range"):
        shop.step("load", "customers")

    assert shop.everything() == before
    assert [row["status"] for row in shop.rows("SELECT status FROM control.pipeline_log WHERE step = 'load customers' ORDER BY started_at")] == ["succeeded", "failed"]


def test_rule_11_stop_if_stops_a_source_before_anything_is_written_and_says_the_numbers(shop, declared):
    declared("    delete_when: op = 'D'\n", "    delete_when: op = 'D'\n    stop_if: quarantined > 50%\n")
    before = shop.everything()
    shop.arrive("customers", "1 Paris 30 U 2024-01-01", "2 Rome 200 U 2024-01-01", "3 Rome 300 U 2024-01-01")

    with pytest.raises(RuntimeError, match="2 of 3 rows failed a check, more than 50%"):
        shop.step("load", "customers")
    assert shop.everything() == before

    shop.load("customers", "4 Bern 40 U 2024-01-01")  # half is not more than half

    assert len(shop.waiting("customers")) == 2
    assert shop.rows("SELECT COUNT(*) AS n FROM silver.customers") == [{"n": 2}]


def test_rule_11_a_check_that_warns_lets_the_row_pass_and_counts_it(shop):
    shop.load("customers", "1 Nowhere 30 U 2024-01-01")

    assert shop.waiting("customers") == []
    assert json.loads(shop.rows("SELECT detail FROM control.pipeline_log WHERE step = 'load customers'")[0]["detail"])["warned_checks"] == {"city_is_known": 1}
