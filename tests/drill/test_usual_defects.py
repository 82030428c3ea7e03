"""What the usual published procedure gets wrong (MD5 of concatenated columns, MERGE by batch, LETS from changed rows), through the real steps."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.rig import rigged

CRM = """
pipeline: crm
schedule: 10 seconds
sources:
  customers:
    files: {prefix: crm/customers/, format: csv}
    key: [customer_id]
    effective_at: updated_at
    columns:
      customer_id: {type: integer}
      city:        {type: text, clean: [trim, empty_to_null]}
      segment:     {type: text}
      updated_at:  {type: timestamp}
    checks:
      segment_is_known: segment in ('A', 'B')
dimensions:
  dim_customer: {from: customers, tracked: [city, segment]}
"""
HEADER = "customer_id,city,segment,updated_at\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with rigged(tmp_path_factory.mktemp("defects") / "rig", CRM) as made:
        yield made


def delivered(rig, *rows):
    """One file with these rows, loaded and taken to the dimension; gives what the load step counted."""
    rig.load("customers", HEADER + "\n".join(rows) + "\n")
    counts = rig.step("load", "customers")
    rig.step("dimension", "dim_customer")
    return counts


def versions(rig, customer):
    found = rig.query("SELECT city, segment, valid_from, valid_to, is_current FROM gold.dim_customer WHERE customer_id = ? ORDER BY valid_from", [customer])
    return [(v["city"], v["segment"], v["valid_from"].day, v["valid_to"] and v["valid_to"].day, v["is_current"]) for v in found]


def lets(rig):
    return rig.query("SELECT lets FROM control.parameter_control WHERE step = 'load customers'")[0]["lets"]


def test_the_second_change_of_a_customer_leaves_one_current_row(rig):
    for day, city in ((1, "Oslo"), (2, "Rome"), (3, "Lyon")):
        delivered(rig, f"1,{city},A,2024-01-0{day} 00:00:00")

    assert versions(rig, 1) == [("Oslo", "A", 1, 2, False), ("Rome", "A", 2, 3, False), ("Lyon", "A", 3, None, True)]


def test_an_unchanged_re_delivery_opens_nothing(rig):
    delivered(rig, "2,Oslo,A,2024-01-01 00:00:00")

    again = delivered(rig, "2,Oslo,A,2024-01-01 00:00:00")
    later = delivered(rig, "2,Oslo,A,2024-01-05 00:00:00")  # the same values, confirmed later

    assert (again["read"], again["duplicate"], again["written"]) == (1, 1, 0)
    assert (later["read"], later["written"]) == (1, 1), "that nothing changed is remembered: a late event may need it"
    assert versions(rig, 2) == [("Oslo", "A", 1, None, True)]


def test_an_attribute_that_becomes_null_is_a_change_and_so_is_the_way_back(rig):
    for day, city in ((1, "Oslo"), (2, ""), (3, "Oslo")):
        delivered(rig, f"3,{city},A,2024-01-0{day} 00:00:00")

    assert versions(rig, 3) == [("Oslo", "A", 1, 2, False), (None, "A", 2, 3, False), ("Oslo", "A", 3, None, True)]


def test_two_versions_of_a_new_key_in_one_batch_are_two_versions(rig):
    delivered(rig, "4,Rome,B,2024-01-02 00:00:00", "4,Oslo,A,2024-01-01 00:00:00")

    assert versions(rig, 4) == [("Oslo", "A", 1, 2, False), ("Rome", "B", 2, None, True)]


@pytest.mark.parametrize("rows", [
    pytest.param(["5,Oslo,A,2024-01-01 00:00:00"], id="nothing new in it"),
    pytest.param(["6,Oslo,no such segment,2024-01-01 00:00:00"], id="all of it quarantined"),
])
def test_lets_moves_on_a_batch_that_changes_nothing(rig, rows):
    delivered(rig, "5,Oslo,A,2024-01-01 00:00:00")
    before = lets(rig)

    counts = delivered(rig, *rows)

    assert counts["written"] == 0 and counts["read"] == 1
    assert lets(rig) == rig.clock == before + dt.timedelta(minutes=1)
    assert rig.step("load", "customers")["status"] == "nothing new", "the batch was taken for good"
