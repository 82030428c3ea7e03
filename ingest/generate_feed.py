"""What the four feeds share: the plan in days, the rates of faults, and rows that arrive in files.

A feed keeps two things apart. *Records* are what a source has to say, each once, with the checks
each will fail. *Arrivals* say in which day's file each record lies: later than it should, or
twice. Counting both gives the truth without reading a file again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DAY = 86_400


@dataclass(frozen=True)
class Rates:
    """Share of rows with each fault. A rate above 0 gives one row at least, however small the run.

    Rows are drawn without replacement per fault and independently between faults, so one row can
    fail several checks, as in life.
    """

    # customers: these rows wait in quarantine
    bad_email: float = 0.015
    blank_email: float = 0.01
    age_out_of_range: float = 0.01
    text_age: float = 0.005
    unparsable_updated_at: float = 0.003
    # customers: these rows are mended by cleaning
    padded_name: float = 0.02
    padded_email: float = 0.03
    gender_spelling: float = 0.2
    type_spelling: float = 0.15
    unknown_type: float = 0.01
    country_spelling: float = 0.1
    blank_country: float = 0.01
    # orders
    quantity_not_positive: float = 0.004
    unparsable_ordered_at: float = 0.002
    unknown_sku: float = 0.003
    unknown_customer: float = 0.004
    no_customer: float = 0.002
    # inventory
    unit_price_as_text: float = 0.1
    unit_price_not_a_number: float = 0.01
    padded_product: float = 0.05
    # web events
    anonymous: float = 0.3
    # every feed
    null_key: float = 0.002
    duplicate: float = 0.01  # the same row again, in the same file or a later one
    near_duplicate: float = 0.002  # customers: same key and instant, another city
    late: float = 0.02  # arrives in a later day's file than it belongs to
    out_of_order: float = 0.1  # not in its place in time inside its file
    # change of the sources, per day
    changed_customers: float = 0.04
    deleted_customers: float = 0.004
    returned_customers: float = 0.3  # of those deleted before
    changed_products: float = 0.25
    # files and lines
    short_line: float = 0.002  # the last fields are missing
    long_line: float = 0.002  # one field too many
    crlf_files: float = 0.3
    unfinished_files: float = 0.3  # no line end after the last line
    unclosed_quotes: float = 0.0  # a last line that opens a quote for good: COPY rejects it (or the file, by ON_ERROR)


@dataclass(frozen=True)
class Plan:
    """Days in seconds since 1970, UTC. Wave 1 is `days` days of files; wave 2 is the day after.

    Day 0 also brings the past: `past_days` of orders and visits before it.
    """

    customers: int
    days: int
    start: date
    past_days: int = 60
    products: int = 200
    orders_per_customer: float = 1.0
    visits_per_customer: float = 2.0
    rows_per_file: int = 200_000

    @property
    def start_at(self) -> int:
        return int(np.datetime64(self.start, "s").astype(np.int64))

    @property
    def newcomers(self) -> int:
        """Customers who sign up on the day of wave 2; orders may know them before the CRM does."""
        return max(2, self.customers // 50)

    def stamp(self, day: int) -> str:
        return str(np.datetime64(self.start) + day).replace("-", "")

    def second_of(self, rng: np.random.Generator, day: int | np.ndarray, size: int) -> np.ndarray:
        """Seconds inside working hours of the given days, 06:00 to 22:00."""
        return self.start_at + day * DAY + rng.integers(6 * 3600, 22 * 3600, size)

    def business_days(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Days of orders and visits: three fifths in the past, the rest in the days of the files."""
        is_past = rng.random(size) < 0.6
        past = rng.integers(-self.past_days, 0, size)
        return np.where(is_past, past, rng.integers(0, self.days + 1, size))


@dataclass
class Feed:
    """One source: its records, the checks each record fails, and where each arrives."""

    name: str
    prefix: str
    at: np.ndarray  # seconds; the order of rows inside a file
    arrival_record: np.ndarray  # position of a record, per row of a file
    arrival_day: np.ndarray
    is_copy: np.ndarray  # the row repeats a record that has arrived before it
    failed: Mapping[str, np.ndarray]  # check → records that fail it
    clean: Mapping[str, np.ndarray] = field(default_factory=dict)
    lines: pa.Array | None = None  # CSV and JSON: one text per record
    table: pa.Table | None = None  # Parquet: one row per record

    @property
    def passes(self) -> np.ndarray:
        return ~np.logical_or.reduce(list(self.failed.values()))


def picked(rng: np.random.Generator, eligible: np.ndarray, rate: float) -> np.ndarray:
    """A mask with `rate` of the eligible rows, one at least where the rate is above 0."""
    mask = np.zeros(len(eligible), dtype=bool)
    positions = np.flatnonzero(eligible)
    if rate > 0 and len(positions):
        count = min(len(positions), max(1, round(rate * len(positions))))
        mask[rng.choice(positions, count, replace=False, shuffle=False)] = True
    return mask


def late(rng: np.random.Generator, day: np.ndarray, eligible: np.ndarray, rate: float, last: int) -> np.ndarray:
    """Days of arrival: some rows come in the next day's file, as many in that of wave 2."""
    chosen = np.flatnonzero(picked(rng, eligible & (day < last), rate))
    arrival = day.copy()
    arrival[chosen] = np.where(rng.random(len(chosen)) < 0.5, day[chosen] + 1, last)
    return arrival


def with_copies(
    rng: np.random.Generator, day: np.ndarray, eligible: np.ndarray, rate: float, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals of every record, then of the exact duplicates: the same day's file or a later one.

    Only rows that pass are repeated: whether a bad row that comes twice waits twice is no matter of truth.
    """
    copied = np.flatnonzero(picked(rng, eligible, rate))
    copy_day = np.minimum(day[copied] + rng.integers(0, 3, len(copied)), last)
    record = np.concatenate([np.arange(len(day)), copied])
    is_copy = np.zeros(len(record), dtype=bool)
    is_copy[len(day) :] = True
    return record, np.concatenate([day, copy_day]), is_copy


def rows_of_day(feed: Feed, day: int, rng: np.random.Generator, out_of_order: float) -> np.ndarray:
    """Positions of the records in one day's files, in time except for a few."""
    records = feed.arrival_record[feed.arrival_day == day]
    records = records[np.argsort(feed.at[records], kind="stable")]
    moved = np.flatnonzero(picked(rng, np.ones(len(records), dtype=bool), out_of_order))
    records[moved] = records[rng.permutation(moved)]
    return records


def texts(positions: np.ndarray, pool: pa.Array | list[str]) -> pa.Array:
    """The pool's text at each position."""
    values = pool if isinstance(pool, pa.Array) else pa.array(pool)
    return values.take(pa.array(positions))


def timestamps(seconds: np.ndarray) -> pa.Array:
    """'2024-03-01 08:15:00', UTC."""
    return pa.array(seconds).cast(pa.timestamp("s")).cast(pa.string())


def numbers(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.string())


def where(mask: np.ndarray, chosen: Callable[[np.ndarray], pa.Array] | str, otherwise: pa.Array) -> pa.Array:
    """The text `chosen` where the mask says so; a function is told the positions, so that what is rare is made for few rows only.

    >>> where(np.array([False, True, False]), lambda at: numbers(at * 10), pa.array(["a", "b", "c"])).to_pylist()
    ['a', '10', 'c']
    """
    if isinstance(chosen, str):
        return pc.if_else(pa.array(mask), chosen, otherwise)
    positions = np.flatnonzero(mask)
    order = np.arange(len(mask))
    order[positions] = len(mask) + np.arange(len(positions))
    return pa.concat_arrays([otherwise, chosen(positions)]).take(pa.array(order)) if len(positions) else otherwise


def shortened(fields: list[pa.Array | pa.Scalar], at: np.ndarray) -> list[pa.Array | pa.Scalar]:
    """These rows of every field; a scalar stands for all rows."""
    return [field.take(pa.array(at)) if isinstance(field, pa.Array) else field for field in fields]
