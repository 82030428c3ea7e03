"""Rule 20: after every step the versions of the touched keys are looked at, and a fault takes the step back."""

from __future__ import annotations

import pytest

from tests.history import streams


def laid(account, *events):
    account.reset("plain")
    account.put("plain", list(events))
    account.step("plain")


def state(account):
    return account.bench.duck("SELECT * FROM firn.gold.dim_plain ORDER BY ALL"), account.bench.duck(
        "SELECT step, last_batch FROM firn.control.parameter_control WHERE step = 'dimension dim_plain'"
    )


TWICE = "INSERT INTO firn.gold.dim_plain SELECT * REPLACE (plain_version_key + 900 AS plain_version_key) FROM firn.gold.dim_plain WHERE id = 1"
BREAKS = [
    pytest.param(TWICE + " AND is_current", "two versions overlap", id="rule 20: the current version twice"),
    pytest.param(
        "UPDATE firn.gold.dim_plain SET valid_to = valid_from WHERE id = 1 AND NOT is_current", "ends before it begins", id="rule 20: no length"
    ),
    pytest.param(
        "UPDATE firn.gold.dim_plain SET valid_to = valid_to + INTERVAL 15 DAY WHERE id = 1 AND NOT is_current AND city = 'A'",
        "two versions overlap",
        id="rule 20: overlap",
    ),
    pytest.param(
        "UPDATE firn.gold.dim_plain SET city = 'B' WHERE id = 1 AND city = 'A'", "repeats the one before", id="rule 20: two alike in a row"
    ),
    pytest.param(
        "UPDATE firn.gold.dim_plain SET is_current = TRUE WHERE id = 1 AND NOT is_current", "contradict each other", id="rule 20: closed and current, a second one"
    ),
]


@pytest.mark.parametrize(("broken", "fault"), BREAKS)
def test_a_fault_raises_names_the_key_and_rolls_back(account, broken, fault):
    """Versions before the last one stand on the short way: a step that finds them broken must not build on them."""
    laid(account, streams.event("plain", 10, id=1, city="A"), streams.event("plain", 20, id=1, city="B"), streams.event("plain", 10, id=2, city="A"))
    account.bench.duck(broken)
    before = state(account)
    account.put("plain", [streams.event("plain", 30, id=1, city="C"), streams.event("plain", 30, id=2, city="C")])

    with pytest.raises(Exception, match=fault) as raised:
        account.step("plain")

    assert type(raised.value).__name__ == "HistoryBroken"
    assert {key for key, _ in raised.value.faults} == {(1,)}
    assert "core.rebuild('dim_plain'" in str(raised.value)
    assert state(account) == before, "nothing was written"
    assert account.bench.duck("SELECT status FROM firn.control.pipeline_log ORDER BY started_at DESC LIMIT 1") == [("failed",)]

    assert account.rebuild("plain")["versions"] != {"added": 0, "removed": 0, "moved": 0, "altered": 0}
    account.step("plain")
    assert [v["city"] for v in account.versions("plain") if v["id"] == 1] == ["A", "B", "C"], "a rebuild mends it"


def test_type_1_of_the_stream_is_the_current_versions_of_type_2(account):
    """Rule 20, its last part, on the frame itself: a current version that is not the last state is a fault."""
    import dimension_step
    import history
    import history_events

    dimension, _ = streams.declared("plain")
    laid(account, streams.event("plain", 10, id=1, city="A"), streams.event("plain", 10, id=2, city="A"))
    session = account.bench.session
    account.bench.duck("""
        INSERT INTO firn.stage.dim_plain (id, city, valid_from, opens, is_new, shows, is_last, is_gone)
        VALUES (1, 'B', '2024-02-01', TRUE, TRUE, TRUE, TRUE, FALSE), (2, 'A', '2024-02-01', FALSE, TRUE, TRUE, TRUE, TRUE), (3, 'A', '2024-02-01', TRUE, TRUE, TRUE, TRUE, FALSE)""")
    staged = session.table(dimension.stage)
    standing = history_events.of_keys(session.table(dimension.table), dimension_step.scope_of(staged, dimension), dimension.key)

    found = {row["ID"]: row["KEY_FAULT"] for row in history.broken(standing, staged, dimension).collect() if row["KEY_FAULT"]}

    account.reset("plain")
    assert found == {
        1: "the current version is not the last state",
        2: "a current version, though the key is gone",
        3: "no current version, though the key is there",
    }
