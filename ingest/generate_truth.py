"""What the files must come to, counted from the records and not from the files.

Written apart from the pipeline on purpose: it shares no code with it, so that both being wrong in
the same way takes two mistakes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ingest.generate_customers import STORY_CUSTOMERS
from ingest.generate_feed import Feed, Plan
from ingest.generate_orders import CANCELLED, NOBODY, REGIONS, STATUSES
from ingest.generate_pools import COUNTRIES, CUSTOMER_TYPES, Pools

WAVES = ("wave1", "wave2")
OPEN = np.iinfo(np.int64).max

# A change in one of these opens a version.
TRACKED = {"customers": ("city", "country", "customer_type"), "inventory": ("price_cents",)}


@dataclass(frozen=True)
class Truth:
    """The outcome of both waves, as plain data; `truth.json` holds the same.

    parameters  what `generate` was called with
    files       one entry per file: wave, source, path, rows that COPY reads; `rejected` lines that it
                does not (ON_ERROR = CONTINUE); `same_as` for one sent again
    sources     source → wave → rows = duplicates + quarantined + events, each of that wave alone;
                `resent` is the part of `duplicates` that a whole file sent again brings
    after       wave → state of gold when all files up to that wave are in: dim_customer,
                dim_product, fact_orders, fact_web_events, and the three tables of numbers by
                month.  Money is text with two decimals, a month its first day, a region lower case.
    """

    parameters: dict[str, Any]
    files: list[dict[str, Any]]
    sources: dict[str, dict[str, dict[str, Any]]]
    after: dict[str, dict[str, dict[str, Any]]]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Truth:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Versions(NamedTuple):
    """One entry per version, ordered by key and time; `valid_to` is OPEN while current."""

    key: np.ndarray
    valid_from: np.ndarray
    valid_to: np.ndarray
    record: np.ndarray


def source_truth(feed: Feed, days: int, resent_rows: int) -> dict[str, dict[str, Any]]:
    """Rows of each wave and what becomes of them; a file sent again counts as duplicates, bad rows and all."""
    passes = feed.passes
    first_wave = feed.arrival_day < days
    told: dict[str, dict[str, Any]] = {}
    events_total = 0
    for wave, in_wave in zip(WAVES, (first_wave, ~first_wave), strict=True):
        records = feed.arrival_record[in_wave & ~feed.is_copy]
        copies = int((in_wave & feed.is_copy).sum())
        resent = resent_rows if wave == WAVES[1] else 0
        events = int(passes[records].sum())
        events_total += events
        told[wave] = {
            "rows": len(records) + copies + resent,
            "duplicates": copies + resent,
            "resent": resent,
            "quarantined": len(records) - events,
            "quarantined_by_check": {check: int(mask[records].sum()) for check, mask in feed.failed.items()},
            "events": events,
            "events_total": events_total,
        }
    return told


def state_after(
    wave: str, feeds: Mapping[str, Feed], plan: Plan, pools: Pools, tracked: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Dimensions, facts and numbers when all files up to `wave` are in."""
    last_day = plan.days - 1 if wave == WAVES[0] else plan.days
    events = {name: _events(feed, last_day) for name, feed in feeds.items()}
    by_customer = versions(events["customers"], tracked["customers"])
    by_product = versions(events["inventory"], tracked["inventory"])
    facts = _latest_lines(events["orders"])
    known_customers = _different(events["customers"]["key"])
    known_products = _different(events["inventory"]["key"])
    customers_seen = _different(facts["key"][facts["key"] != NOBODY])
    inferred_customers = _missing(customers_seen, known_customers)
    visitors = events["web_events"]["key"]
    return {
        "dim_customer": _dimension(by_customer, known_customers)
        | {
            "inferred": len(inferred_customers),
            "inferred_with_web_events": len(
                _missing(_different(np.concatenate([customers_seen, visitors[visitors >= 0]])), known_customers)
            ),
            "histories": _histories(by_customer, events["customers"], pools),
        },
        "dim_product": _dimension(by_product, known_products) | {"inferred": len(_missing(_different(facts["sku"]), known_products))},
        "fact_orders": _totals(facts, np.ones(len(facts["at"]), dtype=bool))
        | {
            "superseded": len(events["orders"]["at"]) - len(facts["at"]),
            "by_status": {name: _totals(facts, facts["status"] == number) for number, name in enumerate(STATUSES)},
            "customers_found": _found(facts, by_customer, inferred_customers),
        },
        "fact_web_events": {"events": len(visitors)},
        "monthly_metrics": _by_month(facts),
        "orders_by_region": {name.lower(): _by_month(facts, facts["region"] == number) for number, name in enumerate(REGIONS)},
        "monthly_active_users": _visitors_by_month(events["web_events"]["at"], visitors),
    }


def versions(events: Mapping[str, np.ndarray], tracked: Sequence[str]) -> Versions:
    """History of every key: one outcome per instant, a version where a tracked value differs or the key was gone.

    At one instant a tombstone outweighs values, and of two values the greater `tie` stands.
    """
    key, at, gone = events["key"], events["at"], events["is_tombstone"]
    order = np.lexsort((events["tie"], gone, at, key))
    is_last = np.append((np.diff(key[order]) != 0) | (np.diff(at[order]) != 0), True)
    order = order[is_last]
    key, at, gone = key[order], at[order], gone[order]
    same_key = np.append(False, key[1:] == key[:-1])
    was_gone = np.append(True, gone[:-1])
    differs = np.zeros(len(order), dtype=bool)
    for column in tracked:
        values = events[column][order]
        differs |= np.append(True, values[1:] != values[:-1])
    opens = ~gone & (~same_key | was_gone | differs)
    visible = np.flatnonzero(opens | gone)
    next_of_key = np.append(key[visible][1:] == key[visible][:-1], False)
    ends = np.where(next_of_key, np.append(at[visible][1:], OPEN), OPEN)
    opening = opens[visible]
    chosen = visible[opening]
    return Versions(key[chosen], at[chosen], ends[opening], order[chosen])


def _events(feed: Feed, last_day: int) -> dict[str, np.ndarray]:
    """The records that pass and have arrived by `last_day`: what silver holds."""
    arrived = feed.arrival_day[: len(feed.at)] <= last_day
    there = feed.passes & arrived
    return {name: values[there] for name, values in feed.clean.items()}


def _dimension(history: Versions, known: np.ndarray) -> dict[str, int]:
    """`versions` and `current` count members of the source; inferred ones and member -1 come on top."""
    current = int((history.valid_to == OPEN).sum())
    return {"keys": len(known), "versions": len(history.key), "current": current, "deleted": len(known) - current}


def _histories(history: Versions, events: Mapping[str, np.ndarray], pools: Pools) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for customer in STORY_CUSTOMERS:
        for position in np.flatnonzero(history.key == customer):
            record = history.record[position]
            told.setdefault(str(customer), []).append(
                {
                    "valid_from": _text(history.valid_from[position]),
                    "valid_to": None if history.valid_to[position] == OPEN else _text(history.valid_to[position]),
                    "city": pools.cities[int(events["city"][record])].as_py(),
                    "country": COUNTRIES[events["country"][record]],
                    "customer_type": CUSTOMER_TYPES[events["customer_type"][record]],
                }
            )
    return told


def _latest_lines(events: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The last change of each order line."""
    order = np.lexsort((events["at"], events["line"]))
    last = order[np.append(np.diff(events["line"][order]) != 0, True)]
    return {name: values[last] for name, values in events.items()}


def _totals(facts: Mapping[str, np.ndarray], chosen: np.ndarray) -> dict[str, Any]:
    """Of some order lines: `customers` are the distinct ones, unknown ones too, nobody not."""
    customers = facts["key"][chosen]
    cents = facts["quantity"][chosen] * facts["price_cents"][chosen]
    return {
        "lines": int(chosen.sum()),
        "orders": _distinct(facts["order"][chosen]),
        "customers": _distinct(customers[customers != NOBODY]),
        "quantity": int(facts["quantity"][chosen].sum()),
        "revenue": _money(cents.sum()),
    }


def _by_month(facts: Mapping[str, np.ndarray], chosen: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """Totals by month of `ordered_at`, cancelled lines left out; a month without lines is not there."""
    counts = facts["status"] != CANCELLED if chosen is None else (facts["status"] != CANCELLED) & chosen
    month = _months(facts["ordered_at"])
    return {f"{name}-01": _totals(facts, counts & (month == number)) for number, name in _named(month[counts])}


def _visitors_by_month(seconds: np.ndarray, visitor: np.ndarray) -> dict[str, dict[str, int]]:
    month = _months(seconds)
    return {
        f"{name}-01": {
            "active_users": _distinct(visitor[(month == number) & (visitor >= 0)]),
            "events": int((month == number).sum()),
        }
        for number, name in _named(month)
    }


def _found(facts: Mapping[str, np.ndarray], history: Versions, inferred: np.ndarray) -> dict[str, int]:
    """Lines by what they find in dim_customer as of `ordered_at`.

    version: the one valid then; early: before the customer's first version; gap: while deleted;
    inferred: a customer the CRM never named; nobody: no customer on the line (member -1).
    """
    key, at = facts["key"], facts["ordered_at"]
    earliest = min(int(at.min()), int(history.valid_from.min()))
    width = max(int(at.max()), int(history.valid_from.max())) - earliest + 2
    beginnings = history.key * width + history.valid_from - earliest
    place = np.searchsorted(beginnings, key * width + at - earliest, side="right") - 1
    has_begun = (place >= 0) & (history.key[place] == key)
    is_valid = has_begun & (at < history.valid_to[place])
    is_inferred = np.isin(key, inferred, kind="table")
    is_nobody = key == NOBODY
    return {
        "version": int(is_valid.sum()),
        "early": int((~has_begun & ~is_inferred & ~is_nobody).sum()),
        "gap": int((has_begun & ~is_valid).sum()),
        "inferred": int(is_inferred.sum()),
        "nobody": int(is_nobody.sum()),
    }


def _months(seconds: np.ndarray) -> np.ndarray:
    """Months since January 1970."""
    return seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _named(months: np.ndarray) -> list[tuple[int, str]]:
    """The months that occur, with their names: '2024-03'."""
    return [(int(number), str(np.datetime64(int(number), "M"))) for number in np.flatnonzero(np.bincount(months))]


def _different(numbers: np.ndarray) -> np.ndarray:
    """The numbers that occur; they are small and not negative, so marking them beats hashing them."""
    is_there = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=bool)
    is_there[numbers] = True
    return np.flatnonzero(is_there)


def _missing(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Those of `wanted` that are not `known`; either has each number once."""
    return np.setdiff1d(wanted, known, assume_unique=True)


def _distinct(numbers: np.ndarray) -> int:
    return len(_different(numbers))


def _money(cents: int) -> str:
    return f"{int(cents) // 100}.{int(cents) % 100:02d}"


def _text(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s")).replace("T", " ")
