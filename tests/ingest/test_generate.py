"""The generator's truth against a slow reader that opens the files and applies the rules one row at a time.

It reads them as a pipe does, cleans as app/pipelines/retail.yml says, and counts with dictionaries.
"""

import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.generate import Rates, Truth, generate, main

WAVES = ("wave1", "wave2")
PREFIXES = {"customers": "crm/customers", "inventory": "erp/inventory", "web_events": "web/events", "orders": "shop/orders"}
TYPES = {"R": "Regular", "REG": "Regular", "REGULAR": "Regular", "VIP": "Premium", "PREMIUM": "Premium"}
AFTER_EACH_WAVE = pytest.mark.parametrize("waves", [pytest.param(WAVES[:1], id="wave 1"), pytest.param(WAVES, id="both waves")])
COUNTRIES = {"USA": "US", "UNITED STATES": "US", "GERMANY": "DE", "": None}


# -- reading and cleaning, one row at a time


def received(path: Path) -> list[dict]:
    """Rows as a pipe delivers them: a short line's missing fields are NULL, surplus fields are dropped."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = path.read_bytes().decode()
    if path.suffix == ".json":
        return [json.loads(line) for line in text.splitlines()]
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    return [{name: line[at] or None if at < len(line) else None for at, name in enumerate(header)} for line in lines]


def moment(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def customer(row: dict) -> tuple[dict, set[str]]:
    age = (row["age"] or "").strip()
    is_whole = re.fullmatch(r"-?\d+", age) is not None
    email = (row["email"] or "").strip().lower()
    country = (row["country"] or "").strip().upper()
    clean = {
        "key": row["customer_id"],
        "at": moment(row["updated_at"]),
        "is_tombstone": row["op"] == "D",
        "name": (row["name"] or "").strip(),
        "email": email,
        "age": age,
        "gender": (row["gender"] or "").strip().upper()[:1],
        "customer_type": TYPES.get((row["customer_type"] or "").strip().upper(), "Unknown"),
        "city": (row["city"] or "").strip() or None,
        "country": COUNTRIES.get(country, country),
    }
    return clean, failures(
        {
            "customer_id_is_given": row["customer_id"] is not None,
            "updated_at_is_given": row["updated_at"] is not None,
            "updated_at_is_timestamp": row["updated_at"] is None or clean["at"] is not None,
            "email_is_valid": re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", email) is not None,
            "age_is_integer": age == "" or is_whole,
            "age_in_range": is_whole and 0 <= int(age) <= 120,
        }
    )


def product(row: dict) -> tuple[dict, set[str]]:
    try:
        price = Decimal(str(row["unit_price"]))
    except ArithmeticError:
        price = None
    clean = {
        **row,
        "supplier": tuple(row["supplier"].values()),
        "name": row["name"].strip(),
        "unit_price": price,
        "key": row["sku"],
        "at": moment(row["updated_at"]),
        "is_tombstone": False,
        "stock": int(row["stock"]),
    }
    return clean, failures(
        {
            "sku_is_given": row["sku"] is not None,
            "unit_price_is_number": price is not None,
            "price_is_positive": price is not None and price > 0,
        }
    )


def web_event(row: dict) -> tuple[dict, set[str]]:
    return row, failures({"event_id_is_given": row["event_id"] is not None})


def order(row: dict) -> tuple[dict, set[str]]:
    clean = {**row, "quantity": int(row["quantity"]), "at": moment(row["updated_at"]), "ordered_at": moment(row["ordered_at"])}
    return clean, failures(
        {
            "order_id_is_given": row["order_id"] is not None,
            "quantity_is_positive": clean["quantity"] > 0,
            "ordered_at_is_timestamp": clean["ordered_at"] is not None,
            "updated_at_is_given": row["updated_at"] is not None,
        }
    )


CLEANED = {"customers": customer, "inventory": product, "web_events": web_event, "orders": order}


def failures(checks: dict[str, bool]) -> set[str]:
    return {name for name, holds in checks.items() if not holds}


class Reading:
    """What the files of some waves come to: counts per wave, and the distinct events in the end."""

    def __init__(self, folder: Path, source: str, waves: tuple[str, ...]):
        self.counts = {}
        self.events = []
        known, taken = set(), set()
        for wave in waves:
            count = defaultdict(int)
            by_check = defaultdict(int)
            for path in sorted((folder / wave / PREFIXES[source]).iterdir()):
                rows = received(path)
                count["rows"] += len(rows)
                content = hashlib.sha256(path.read_bytes()).digest()
                if content in taken:
                    count["duplicates"] += len(rows)
                    count["resent"] += len(rows)
                    continue
                taken.add(content)
                for row in rows:
                    clean, failed = CLEANED[source](row)
                    identity = tuple(sorted(clean.items(), key=lambda item: item[0]))
                    if failed:
                        count["quarantined"] += 1
                        for check in failed:
                            by_check[check] += 1
                    elif identity in known:
                        count["duplicates"] += 1
                    else:
                        known.add(identity)
                        count["events"] += 1
                        self.events.append(clean)
            self.counts[wave] = {**count, "by_check": dict(by_check)}


def histories(events: list[dict], tracked: tuple[str, ...]) -> dict[str, list[tuple]]:
    """key → versions (values, from, to), by walking through each key's events in time."""
    by_key = defaultdict(list)
    for event in events:
        by_key[event["key"]].append(event)
    told = {}
    for key, of_key in by_key.items():
        outcome = {}  # per instant; a tombstone counts most, then the greater city
        for event in sorted(of_key, key=lambda event: (event["at"], event["is_tombstone"], event.get("city") or "")):
            outcome[event["at"]] = event
        versions, values = [], None
        for at, event in outcome.items():
            now = None if event["is_tombstone"] else tuple(event[column] for column in tracked)
            if now != values:
                if values is not None:
                    versions[-1] = (*versions[-1][:2], at)
                if now is not None:
                    versions.append((now, at, None))
            values = now
        told[key] = versions
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("retail")


@pytest.fixture(scope="module")
def truth(folder) -> Truth:
    return generate(folder, seed=11, customers=600, days=4)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# -- the truth is true


@pytest.mark.parametrize("source", list(PREFIXES))
def test_rows_duplicates_quarantine_and_events_are_as_told(folder, truth, source):
    counts = Reading(folder, source, WAVES).counts
    for wave in WAVES:
        told = truth.sources[source][wave]
        for name in ("rows", "duplicates", "resent", "quarantined", "events"):
            assert counts[wave].get(name, 0) == told[name], (wave, name)
        told_checks = {check: count for check, count in told["quarantined_by_check"].items() if count}
        assert counts[wave]["by_check"] == told_checks
        assert told["rows"] == told["duplicates"] + told["quarantined"] + told["events"]


@AFTER_EACH_WAVE
@pytest.mark.parametrize(
    ("source", "dimension", "tracked"),
    [
        ("customers", "dim_customer", ("city", "country", "customer_type")),
        ("inventory", "dim_product", ("unit_price",)),
    ],
)
def test_versions_are_as_told(folder, truth, source, dimension, tracked, waves):
    history = histories(Reading(folder, source, waves).events, tracked)
    versions = [version for of_key in history.values() for version in of_key]
    told = truth.after[waves[-1]][dimension]

    assert told["keys"] == len(history)
    assert told["versions"] == len(versions)
    assert told["current"] == sum(to is None for _, _, to in versions)
    for key, versions_told in told.get("histories", {}).items():
        assert [
            (tuple(version[column] for column in tracked), moment(version["valid_from"]), moment(version["valid_to"]))
            for version in versions_told
        ] == history[key]


@AFTER_EACH_WAVE
def test_orders_and_numbers_are_as_told(folder, truth, waves):
    reading = {source: Reading(folder, source, waves).events for source in PREFIXES}
    lines = {}
    for event in sorted(reading["orders"], key=lambda event: event["at"]):
        lines[event["order_id"], event["line_no"]] = event
    told = truth.after[waves[-1]]

    assert told["fact_orders"]["lines"] == len(lines)
    assert told["fact_orders"]["superseded"] == len(reading["orders"]) - len(lines)
    assert Decimal(told["fact_orders"]["revenue"]) == sum(amount(line) for line in lines.values())
    counted = [line for line in lines.values() if line["status"] != "cancelled"]
    assert brief(told["monthly_metrics"]) == by_month(counted)
    for region, numbers in told["orders_by_region"].items():
        assert brief(numbers) == by_month([line for line in counted if line["region"].lower() == region])

    visits = [(str(event["occurred_at"].date().replace(day=1)), event["customer_id"]) for event in reading["web_events"]]
    for month, numbers in told["monthly_active_users"].items():
        assert numbers["events"] == sum(at == month for at, _ in visits)
        assert numbers["active_users"] == len({who for at, who in visits if at == month and who is not None})

    ordering = {line["customer_id"] for line in lines.values()} - {None}
    visiting = {str(who) for _, who in visits if who is not None}
    crm = {event["key"] for event in reading["customers"]}
    assert told["dim_customer"]["inferred"] == len(ordering - crm)
    assert told["dim_customer"]["inferred_with_web_events"] == len((ordering | visiting) - crm)
    skus = {event["key"] for event in reading["inventory"]}
    assert told["dim_product"]["inferred"] == len({line["sku"] for line in lines.values()} - skus)


@AFTER_EACH_WAVE
def test_what_order_lines_find_in_the_dimension_is_as_told(folder, truth, waves):
    history = histories(Reading(folder, "customers", waves).events, ("city", "country", "customer_type"))
    lines = {}
    for event in sorted(Reading(folder, "orders", waves).events, key=lambda event: event["at"]):
        lines[event["order_id"], event["line_no"]] = event
    found = defaultdict(int)
    for line in lines.values():
        found[finding(history.get(line["customer_id"]), line)] += 1
    assert {name: count for name, count in truth.after[waves[-1]]["fact_orders"]["customers_found"].items() if count} == found


def finding(versions: list[tuple] | None, line: dict) -> str:
    if line["customer_id"] is None:
        return "nobody"
    if versions is None:
        return "inferred"
    if line["ordered_at"] < versions[0][1]:
        return "early"
    is_valid = any(start <= line["ordered_at"] and (end is None or line["ordered_at"] < end) for _, start, end in versions)
    return "version" if is_valid else "gap"


def amount(line: dict) -> Decimal:
    return line["quantity"] * Decimal(line["unit_price"])


def brief(numbers: dict) -> dict:
    return {month: (Decimal(of["revenue"]), of["orders"], of["customers"]) for month, of in numbers.items()}


def by_month(lines: list[dict]) -> dict:
    months = defaultdict(list)
    for line in lines:
        months[str(date(line["ordered_at"].year, line["ordered_at"].month, 1))].append(line)
    return {
        month: (
            sum(amount(line) for line in of_month),
            len({line["order_id"] for line in of_month}),
            len({line["customer_id"] for line in of_month} - {None}),
        )
        for month, of_month in months.items()
    }


# -- what the runs are made of


def test_the_same_arguments_give_the_same_bytes(folder, truth, tmp_path):
    again = generate(tmp_path, seed=11, customers=600, days=4)
    assert files_of(tmp_path) == files_of(folder)
    assert Truth.read(folder / "truth.json") == truth == again
    assert generate(tmp_path, seed=12, customers=600, days=4).sources != truth.sources


def test_every_fault_occurs_in_a_small_run(folder, truth):
    for source in PREFIXES:
        checks = {check for wave in WAVES for check, count in truth.sources[source][wave]["quarantined_by_check"].items() if count}
        assert checks == set(truth.sources[source]["wave1"]["quarantined_by_check"])
    texts = [path.read_bytes() for path in folder.rglob("*.csv")]
    lines = [line for text in texts for line in text.decode().splitlines()]
    assert any(b"\r\n" in text for text in texts) and any(b"\r\n" not in text for text in texts)
    assert any(not text.endswith(b"\n") for text in texts)
    assert any('""' in line for line in lines) and any(', Jr."' in line for line in lines)
    assert any("USA" in line for line in lines) and any(", premium ," in line for line in lines)
    assert any(line.endswith(",surplus") for line in lines)
    after = truth.after["wave2"]
    assert list(after["monthly_metrics"]) == ["2024-01-01", "2024-02-01", "2024-03-01"]
    assert after["dim_customer"]["deleted"] > 0 and after["fact_orders"]["superseded"] > 0
    assert all(after["fact_orders"]["customers_found"].values())


def test_a_file_sent_again_has_the_bytes_of_the_first(folder, truth):
    resent = [entry for entry in truth.files if "same_as" in entry]
    assert {entry["source"] for entry in resent} == {"customers", "orders"}
    for entry in resent:
        assert entry["path"] != entry["same_as"]
        assert (folder / entry["path"]).read_bytes() == (folder / entry["same_as"]).read_bytes()


def test_the_files_told_are_the_files_there(folder, truth):
    assert sorted(entry["path"] for entry in truth.files) == [name for name in files_of(folder) if name != "truth.json"]


def test_wave_2_splits_a_run_of_equal_values(truth):
    first, second = (truth.after[wave]["dim_customer"]["histories"]["1"] for wave in WAVES)
    assert len(first) == 1 and [version["city"] for version in second] == [first[0]["city"], second[1]["city"], first[0]["city"]]


def test_without_faults_every_row_is_an_event(tmp_path):
    none = Rates(**{name: 0.0 for name in Rates.__dataclass_fields__ if name not in ("changed_customers", "changed_products")})
    truth = generate(tmp_path, customers=100, days=2, rates=none)
    for waves in truth.sources.values():
        for told in waves.values():
            assert told["quarantined"] == 0 and told["duplicates"] == told["resent"]


@pytest.mark.parametrize("days", [1, 2, 9])
def test_any_number_of_days_makes_that_many_days_of_files(tmp_path, days):
    truth = generate(tmp_path, customers=50, days=days, products=20)
    stamps = {Path(entry["path"]).stem.split("_")[1] for entry in truth.files if entry["wave"] == "wave1"}
    assert len(stamps) == days


def test_a_quote_that_never_closes_ends_its_file_and_is_told(tmp_path):
    truth = generate(tmp_path, customers=50, days=1, rates=Rates(unclosed_quotes=0.5))
    rejecting = [entry for entry in truth.files if "rejected" in entry]
    assert rejecting
    for entry in rejecting:
        lines = (tmp_path / entry["path"]).read_bytes().splitlines()
        assert len(lines) == 1 + entry["rows"] + entry["rejected"]
        assert lines[-1] == b'1,"never closed'


def test_a_second_run_replaces_the_first(tmp_path):
    generate(tmp_path, customers=50, days=4)
    truth = generate(tmp_path, customers=50, days=2)
    assert len(files_of(tmp_path)) == len(truth.files) + 1


def test_waves_that_are_not_ours_are_left_alone(tmp_path):
    (tmp_path / "wave1").mkdir()
    with pytest.raises(FileExistsError, match="Nothing was written"):
        generate(tmp_path, customers=50)


def test_too_few_customers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 20 customers"):
        generate(tmp_path, customers=3)


def test_the_command_tells_what_it_wrote(tmp_path, capsys):
    main([str(tmp_path), "--customers", "50", "--days", "2", "--seed", "3"])
    assert "customers   wave1" in capsys.readouterr().out
    assert (tmp_path / "truth.json").exists()
