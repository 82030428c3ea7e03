"""Input that a feed should not send: quarantined or refused by name, and never a wrong history.

The table is in docs/history.md.  Rows go through the real load step, as text in bronze, and then through the dimension step.
"""

from __future__ import annotations

from typing import Any

import applying
import pytest
import spec_file
from runs import utc_now

from tests.conftest import alone

FEED = """
pipeline: feed
schedule: 1 hour
sources:
  people:
    files: {prefix: people/, format: csv}
    key: [id]
    effective_at: changed_at
    delete_when: op = 'D'
    truncate_when: op = 'T'
    columns:
      id:         {type: text}
      city:       {type: text}
      changed_at: {type: timestamp}
      op:         {type: text}
  strict_people:
    files: {prefix: strict/, format: csv}
    key: [id]
    effective_at: changed_at
    strict: true
    columns: {id: {type: text}, city: {type: text}, changed_at: {type: timestamp}, op: {type: text}}
  named_people:
    files: {prefix: named/, format: csv}
    key: [id]
    effective_at: changed_at
    stop_if: quarantined > 50%
    columns: {id: {type: text}, city: {type: text, required: true}, changed_at: {type: timestamp}, op: {type: text}}
  extracts_of_people:
    files: {prefix: extracts/, format: csv}
    key: [id]
    snapshot: {as_of: changed_at}
    columns: {id: {type: text}, city: {type: text}, changed_at: {type: timestamp}, op: {type: text}}
  absent_people:
    files: {prefix: absent/, format: json}
    key: [id]
    effective_at: changed_at
    absent: carry
    columns: {id: {type: text}, city: {type: text}, changed_at: {type: timestamp}, op: {type: text}}
dimensions:
  dim_people: {from: people, tracked: [city]}
  dim_strict_people: {from: strict_people, tracked: [city]}
  dim_named_people: {from: named_people, tracked: [city]}
  dim_extracts_of_people: {from: extracts_of_people, tracked: [city]}
  dim_absent_people: {from: absent_people, tracked: [city]}
"""
SOURCES = ("people", "strict_people", "named_people", "extracts_of_people", "absent_people")
PEOPLE = "dim_people: {from: people, tracked: [city]}"
PROVENANCE = "_file_name VARCHAR, _row_number NUMBER, _content_key VARCHAR, _modified_at TIMESTAMP_NTZ, _loaded_at TIMESTAMP_NTZ"


class Feed:
    """One source with its dimension, from bronze on."""

    def __init__(self, account: Any, source: str) -> None:
        self.account, self.source, self.files = account, source, 0
        self.run = account.handlers.open_run(account.bench.session, "feed", "test")

    def send(self, *lines: str) -> dict[str, Any]:
        """One file: lines of `id, city, changed_at, op`; a blank field is NULL; then load and dimension."""
        self.files += 1
        for number, line in enumerate(lines, 1):
            fields = [field.strip() or None for field in line.split(",")]
            place = [f"{self.source}-{self.files}.csv", number, f"{self.source} {self.files}"]
            self.account.bench.duck(
                f"INSERT INTO firn_landing.bronze.{self.source} (id, city, changed_at, op, _file_name, _row_number, _content_key, _modified_at, _loaded_at) "
                f"VALUES (?, ?, ?, ?, ?, ?, ?, now()::TIMESTAMP, TIMESTAMP '2024-06-01' + INTERVAL ({self.files}) MINUTE)",
                [*fields, *[None] * (4 - len(fields)), *place],
            )
        return self.take()

    def take(self) -> dict[str, Any]:
        counts = self.account.handlers.run_one(self.run, "load", self.source)
        self.account.handlers.run_one(self.run, "dimension", f"dim_{self.source}")
        return counts

    def history(self) -> list[str]:
        """`key city from-to`, with days of January 2024."""
        sql = f"SELECT id, city, day(valid_from), day(valid_to) FROM firn.gold.dim_{self.source} WHERE id IS NOT NULL ORDER BY id, valid_from"
        return [f"{key} {city} {begin}-{end or ''}" for key, city, begin, end in self.account.bench.duck(sql)]

    def quarantined(self) -> list[str]:
        sql = f"SELECT array_to_string(failed_checks::VARCHAR[], ',') FROM firn.control.quarantine WHERE source = '{self.source}' ORDER BY row_number"
        return [failed.replace('"', "") for (failed,) in self.account.bench.duck(sql)]


@pytest.fixture(scope="module")
def applied(dimensions) -> Any:
    admin = dimensions.bench.account.session()
    for sql in ("CREATE DATABASE IF NOT EXISTS firn_landing", "CREATE SCHEMA IF NOT EXISTS firn_landing.bronze"):
        dimensions.bench.account.answer(admin, sql)
    for source in SOURCES:
        columns = "record VARIANT" if source == "absent_people" else "id VARCHAR, city VARCHAR, changed_at VARCHAR, op VARCHAR"
        dimensions.bench.account.answer(admin, f"CREATE TABLE firn_landing.bronze.{source} ({columns}, {PROVENANCE})")
    with alone(dimensions.bench.session):
        applying.apply(dimensions.bench.session, FEED, "feed.yml", utc_now())
    return dimensions


@pytest.fixture
def feed(account, applied):
    def opened(source: str) -> Feed:
        dimension = spec_file.parse(FEED, "feed.yml").dimension(f"dim_{source}")
        for sql in (
            f"DELETE FROM firn_landing.bronze.{source}",
            f"DELETE FROM firn.silver.{source}",
            f"DELETE FROM firn.gold.{dimension.name} WHERE {dimension.durable_key} > 0",
            "DELETE FROM firn.control.ledger",
            "DELETE FROM firn.control.quarantine",
            "UPDATE firn.control.parameter_control SET last_batch = 0, lets = NULL WHERE pipeline = 'feed' AND step <> 'pipeline'",
        ):
            account.bench.duck(sql)
        return Feed(account, source)

    return opened


BAD_ROWS = [
    pytest.param(", Rome, 2024-01-20", "id_is_given", id="a null in the key"),
    pytest.param("1, Rome, ", "changed_at_is_given", id="a null in the sequence"),
    pytest.param("1, Rome, the day before", "changed_at_is_timestamp", id="a sequence that does not parse"),
    pytest.param("1, Rome, 2124-01-20", "changed_at_is_near", id="an event a century in the future"),
    pytest.param("1, , 2124-01-20, D", "changed_at_is_near", id="a tombstone a century in the future"),
    pytest.param(", , 2124-01-20, T", "changed_at_is_near", id="a truncation a century in the future"),
    pytest.param(", , soon, T", "changed_at_is_timestamp", id="a truncation whose time does not parse"),
    pytest.param("k" * 16_385 + ", Rome, 2024-01-20", "id_is_short", id="a key longer than 16 K"),
]


@pytest.mark.parametrize(("line", "check"), BAD_ROWS)
def test_bad_input_waits_in_quarantine_and_the_rest_loads(feed, line, check):
    people = feed("people")
    people.send("1, Oslo, 2024-01-10", "2, Bern, 2024-01-10")

    counts = people.send(line, "1, Paris, 2024-01-20")

    assert (counts["written"], counts["quarantined"]) == (1, 1)
    assert people.quarantined() == [check]
    assert people.history() == ["1 Oslo 10-20", "1 Paris 20-", "2 Bern 10-"]


def test_a_key_of_16_k_and_an_event_of_next_year_are_no_bad_input(feed):
    people = feed("people")

    counts = people.send("k" * 16_384 + ", Rome, 2024-01-20", "1, Oslo, 2025-01-10")

    assert counts["quarantined"] == 0
    assert len(people.history()) == 2


def test_bad_input_two_truncate_events_are_two_ends(feed):
    """Both are remembered: the one that comes late ends what was there before it."""
    people = feed("people")
    people.send("1, Oslo, 2024-01-01", ", , 2024-01-20, T", ", , 2024-01-20, T")
    assert people.history() == ["1 Oslo 1-20"]

    people.send(", , 2024-01-10, T", "1, Rome, 2024-01-15", "2, Bern, 2024-01-05")

    assert people.history() == ["1 Oslo 1-10", "1 Rome 15-20", "2 Bern 5-10"]


@pytest.mark.parametrize(("line", "check"), BAD_ROWS[:3])
def test_rule_8_strict_bad_input_stops_the_batch(feed, line, check):
    people = feed("strict_people")
    people.send("1, Oslo, 2024-01-10")

    with pytest.raises(Exception, match=check) as stopped:
        people.send("2, Bern, 2024-01-10", line)

    assert type(stopped.value).__name__ == "SourceStopped"
    assert people.history() == ["1 Oslo 10-"]


def test_a_row_of_a_snapshot_that_cannot_be_read_stops_it(feed):
    """Held back, it would look like a key that is gone."""
    people = feed("extracts_of_people")
    people.send("1, Oslo, 2024-01-10", "2, Bern, 2024-01-10")

    with pytest.raises(Exception, match="id_is_given"):
        people.send("1, Oslo, 2024-01-20", ", Bern, 2024-01-20")

    assert people.history() == ["1 Oslo 10-", "2 Bern 10-"], "2 is not gone"


def test_bad_input_a_renamed_column_stops_a_source_that_requires_it(feed):
    """In a CSV a column that is missing arrives as NULL: who tracks a column says that it is required."""
    people = feed("named_people")
    people.send("1, Oslo, 2024-01-10", "2, Bern, 2024-01-10")

    with pytest.raises(Exception, match="2 of 2 rows failed a check"):
        people.send("1, , 2024-01-20", "2, , 2024-01-20")

    assert people.history() == ["1 Oslo 10-", "2 Bern 10-"]


def test_rule_23_a_column_absent_from_records_says_nothing_through_the_load(feed):
    """A renamed column of JSON records carries on where absence is remembered; a null is a value."""
    people = feed("absent_people")

    def send(number: int, record: str) -> None:
        people.account.bench.duck(
            "INSERT INTO firn_landing.bronze.absent_people (record, _file_name, _row_number, _content_key, _loaded_at) "
            "VALUES (?, ?, 1, ?, TIMESTAMP '2024-06-01' + INTERVAL (?) MINUTE)", [record, f"{number}.json", f"absent {number}", number])
        people.take()

    send(1, '{"id": "1", "city": "Oslo", "changed_at": "2024-01-01"}')
    send(2, '{"id": "1", "town": "Rome", "changed_at": "2024-01-10"}')
    send(3, '{"id": "1", "city": null, "changed_at": "2024-01-20"}')

    assert people.history() == ["1 Oslo 1-20", "1 None 20-"]


def test_bad_input_a_spec_whose_tracked_column_is_gone_is_refused():
    with pytest.raises(spec_file.SpecRefused, match="unknown column `town`"):
        spec_file.parse(FEED.replace(PEOPLE, PEOPLE.replace("city", "town")), "feed.yml")


def test_a_dimension_that_no_longer_tracks_a_column_is_made_again_from_all_events(feed):
    """Versions that differed in nothing else become one; the column stays in the table, empty."""
    people = feed("people")
    both = FEED.replace(PEOPLE, PEOPLE.replace("city", "city, op"))
    applying.apply(people.account.bench.session, both, "feed.yml", utc_now())
    people.run = people.account.handlers.open_run(people.account.bench.session, "feed", "test")
    people.send("1, Oslo, 2024-01-01, a", "1, Oslo, 2024-01-10, b", "1, Rome, 2024-01-20, b")
    assert people.history() == ["1 Oslo 1-10", "1 Oslo 10-20", "1 Rome 20-"]

    applying.apply(people.account.bench.session, FEED, "feed.yml", utc_now())
    people.run = people.account.handlers.open_run(people.account.bench.session, "feed", "test")
    people.account.handlers.run_one(people.run, "dimension", "dim_people")

    assert people.history() == ["1 Oslo 1-20", "1 Rome 20-"]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        pytest.param("{from: extracts_of_people, tracked: [city]}", "{from: extracts_of_people, tracked: [city], ignore_nulls: true}", "its NULLs are values", id="partial extracts"),
        pytest.param("dim_absent_people: {from: absent_people, tracked: [city]}", "dim_absent_people: {from: absent_people, tracked: [city]}\n"
                     "facts:\n  fact_people: {from: people, lookups: {who: {dimension: dim_strict_people, by: id}}}", "no time can be looked up", id="a lookup into counted changes"),
    ],
)
def test_specs_that_promise_what_no_history_can_hold(right, wrong, said):
    counted = FEED.replace("strict: true\n    columns: {id: {type: text}, city: {type: text}, changed_at: {type: timestamp}", "strict: true\n    columns: {id: {type: text}, city: {type: text}, changed_at: {type: integer}")
    assert right in counted

    with pytest.raises(spec_file.SpecRefused, match=said):
        spec_file.parse(counted.replace(right, wrong), "feed.yml")
