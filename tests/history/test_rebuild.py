"""core.rebuild: recomputed from silver, told before it is done.

That there is nothing to do after any history of batches is a property, and stands in test_streams.
"""

from __future__ import annotations

import pytest

from tests.history import streams
from tests.history.test_streams import NOTHING


def spoilt(account):
    """Three keys; then one version lost, one too many, one that ends elsewhere, one with another value."""
    account.reset("policies")
    events = [
        streams.event("policies", day, id=key, city=city, name="x") for key in (1, 2, 3, 4) for day, city in ((10, "A"), (20, "B"))
    ]
    account.put("policies", events)
    account.step("policies")
    right = account.versions("policies")
    duck, table = account.bench.duck, "firn.gold.dim_policies"
    duck(f"DELETE FROM {table} WHERE id = 1 AND NOT is_current")
    duck(f"INSERT INTO {table} SELECT * REPLACE (policies_version_key + 900 AS policies_version_key, '2023-01-01'::TIMESTAMP AS valid_from, '2023-02-01'::TIMESTAMP AS valid_to) FROM {table} WHERE id = 2 AND NOT is_current")
    duck(f"UPDATE {table} SET valid_to = valid_to - INTERVAL 1 DAY WHERE id = 3 AND NOT is_current")
    duck(f"UPDATE {table} SET name = 'z' WHERE id = 4 AND is_current")
    return right


def test_a_rebuild_says_what_it_will_change_and_then_changes_it(account):
    right = spoilt(account)
    wrong = account.versions("policies")

    told = account.rebuild("policies", dry_run=True)

    assert told["versions"] == {"added": 1, "removed": 1, "moved": 1, "altered": 1}
    assert len(told["examples"]) == 4
    assert account.versions("policies") == wrong, "a dry run changes nothing"
    assert account.bench.duck("SELECT count(*) FROM firn.stage.dim_policies") == [(0,)]

    assert account.rebuild("policies")["versions"] == told["versions"]
    assert account.versions("policies") == right
    assert account.rebuild("policies", dry_run=True)["versions"] == NOTHING
    assert account.bench.duck("SELECT count(*) > 0 FROM firn.control.changed_window WHERE dimension = 'dim_policies'") == [(True,)]


def test_a_rebuild_from_a_time_looks_at_keys_with_events_since(account):
    spoilt(account)
    account.put("policies", [streams.event("policies", 30, id=4, city="B", name="x")])

    told = account.rebuild("policies", from_at=streams.day(25), dry_run=True)

    assert told["versions"] == {**NOTHING, "altered": 1}


def test_keys_keep_their_durable_key_and_facts_need_not_move(account):
    """Rule 35: versions come and go, the durable key of a natural key stays."""
    spoilt(account)
    before = account.bench.duck("SELECT DISTINCT id, policies_key FROM firn.gold.dim_policies WHERE id IS NOT NULL ORDER BY id")

    account.rebuild("policies")

    assert account.bench.duck("SELECT DISTINCT id, policies_key FROM firn.gold.dim_policies WHERE id IS NOT NULL ORDER BY id") == before
    assert account.bench.duck("SELECT count(*) = count(DISTINCT policies_version_key) FROM firn.gold.dim_policies") == [(True,)]


def test_a_dimension_nobody_knows(account):
    with pytest.raises(LookupError, match="No dimension `dim_nothing`. Dimensions are: dim_absent, "):
        account.handlers.rebuild(account.bench.session, "dim_nothing")
