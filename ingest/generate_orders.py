"""The shop's orders: one row per order line and change of it, as CSV."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.generate_customers import BAD_TIMESTAMPS
from ingest.generate_feed import DAY, Feed, Plan, Rates, late, numbers, picked, shortened, texts, timestamps, where, with_copies
from ingest.generate_pools import Pools

HEADER = "order_id,line_no,customer_id,sku,quantity,unit_price,currency,region,status,ordered_at,updated_at"
FIELDS_OF_A_SHORT_LINE = 10  # up to ordered_at: updated_at is missing

STATUSES = ("placed", "completed", "cancelled", "returned")
PLACED, COMPLETED, CANCELLED, RETURNED = range(4)
REGIONS = ("AMER", "APAC", "EMEA", "LATAM")
NOBODY = -1
UNKNOWN_SKUS = tuple(f"SKU-9{number:04d}" for number in range(1, 8))
FIRST_ORDER = 100_001


def orders(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> Feed:
    """A feed of order lines; one currency, so that amounts may be added.

    A line of the past comes once, with what became of it; a line of these days comes when it is
    placed and again when it is completed, cancelled or returned.  A customer or sku that nobody
    knows is no fault of the row: it passes, and becomes an inferred member.
    """
    lines = _order_lines(plan, rates, pools, rng)
    records = _changes(lines, plan, rng)
    line = records["line"]
    eligible = np.ones(len(line), dtype=bool)
    records["day"] = late(rng, records["day"], eligible, rates.late, plan.days)
    for name in ("null_key", "quantity_not_positive", "unparsable_ordered_at", "short_line", "long_line"):
        records[name] = picked(rng, eligible, getattr(rates, name))
    failed = {
        "order_id_is_given": records["null_key"],
        "quantity_is_positive": records["quantity_not_positive"],
        "ordered_at_is_timestamp": records["unparsable_ordered_at"],
        "updated_at_is_given": records["short_line"],
    }
    passes = ~np.logical_or.reduce(list(failed.values()))
    arrival_record, arrival_day, is_copy = with_copies(rng, records["day"], passes, rates.duplicate, plan.days)
    clean = {name: values[line] for name, values in lines.items() if name != "day"} | {
        name: records[name] for name in ("line", "at", "status", "quantity")
    }
    return Feed(
        name="orders",
        prefix="shop/orders",
        at=records["at"],
        arrival_record=arrival_record,
        arrival_day=arrival_day,
        is_copy=is_copy,
        failed=failed,
        clean=clean,
        lines=_lines(records, clean, pools, rng),
    )


def _order_lines(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One to three lines an order; a few customers order much."""
    size = max(10, round(plan.customers * plan.orders_per_customer))
    day = plan.business_days(rng, size)
    customer = 1 + (rng.random(size) ** 2 * plan.customers).astype(np.int64)
    everyone = np.ones(size, dtype=bool)
    # Half of these sign up in wave 2, the others never do.
    unknown = picked(rng, everyone, rates.unknown_customer)
    customer[unknown] = plan.customers + 1 + rng.integers(0, 2 * plan.newcomers, int(unknown.sum()))
    customer[picked(rng, everyone, rates.no_customer)] = NOBODY
    count = rng.choice([1, 2, 3], size, p=(0.5, 0.3, 0.2))
    first_line = np.cumsum(count) - count
    order = np.repeat(np.arange(size), count)
    sku = (rng.random(len(order)) ** 1.5 * len(pools.skus)).astype(np.int64)
    price_cents = pools.price_cents[sku] * rng.choice([100, 90], len(order), p=(0.9, 0.1)) // 100
    unknown_sku = picked(rng, np.ones(len(order), dtype=bool), rates.unknown_sku)
    sku[unknown_sku] = len(pools.skus) + rng.integers(0, len(UNKNOWN_SKUS), int(unknown_sku.sum()))
    return {
        "order": order,
        "line_no": np.arange(len(order)) - np.repeat(first_line, count) + 1,
        "key": customer[order],
        "sku": sku,
        "price_cents": price_cents,
        "region": rng.choice(len(REGIONS), size, p=(0.35, 0.15, 0.4, 0.1))[order],
        "ordered_at": plan.second_of(rng, day, size)[order],
        "day": day[order],
    }


def _changes(lines: dict[str, np.ndarray], plan: Plan, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What becomes of each line, at most once a day."""
    size = len(lines["order"])
    day, ordered_at = lines["day"], lines["ordered_at"]
    quantity = 1 + (rng.random(size) ** 3 * 9).astype(np.int64)
    position = np.arange(size)
    is_past = day < 0
    past = position[is_past]
    settled_at = ordered_at[past] + rng.integers(3600, 10 * DAY, len(past))
    past_status = rng.choice([COMPLETED, CANCELLED, RETURNED], len(past), p=(0.85, 0.07, 0.08))
    parts = [
        (past, np.minimum(settled_at, plan.start_at - 1), past_status, quantity[past], 0),
        (position[~is_past], ordered_at[~is_past], PLACED, quantity[~is_past], day[~is_past]),
    ]
    # Lines of these days are settled a day or two later; some are delivered short.
    settled_day = day + rng.integers(1, 3, size)
    settled = position[~is_past & (settled_day <= plan.days) & (rng.random(size) < 0.8)]
    status = rng.choice([COMPLETED, CANCELLED], len(settled), p=(0.9, 0.1))
    delivered = np.where(rng.random(len(settled)) < 0.03, np.maximum(quantity[settled] - 1, 1), quantity[settled])
    arrives = settled_day[settled]
    parts.append((settled, plan.second_of(rng, arrives, len(settled)), status, delivered, arrives))
    # Lines of the past come back.
    back = past[picked(rng, past_status == COMPLETED, 0.05)]
    back_day = rng.integers(0, plan.days + 1, len(back))
    parts.append((back, plan.second_of(rng, back_day, len(back)), RETURNED, quantity[back], back_day))
    return {
        name: np.concatenate([np.broadcast_to(part[number], len(part[0])) for part in parts])
        for number, name in enumerate(("line", "at", "status", "quantity", "day"))
    }


def _lines(records: dict[str, np.ndarray], clean: dict[str, np.ndarray], pools: Pools, rng: np.random.Generator) -> pa.Array:
    size = len(clean["at"])
    draw = rng.integers(0, 12, size)
    customer = clean["key"]
    cents = texts(clean["price_cents"] % 100, [f"{number:02d}" for number in range(100)])
    fields = [
        where(records["null_key"], "", numbers(clean["order"] + FIRST_ORDER)),
        numbers(clean["line_no"]),
        where(customer == NOBODY, "", numbers(customer)),
        texts(clean["sku"], [*pools.skus, *UNKNOWN_SKUS]),
        where(records["quantity_not_positive"], lambda at: numbers(-(draw[at] % 3)), numbers(clean["quantity"])),
        pc.binary_join_element_wise(numbers(clean["price_cents"] // 100), cents, "."),
        pa.scalar("USD"),
        texts(clean["region"], list(REGIONS)),
        texts(clean["status"], list(STATUSES)),
        where(records["unparsable_ordered_at"], lambda at: texts(draw[at] % len(BAD_TIMESTAMPS), list(BAD_TIMESTAMPS)), timestamps(clean["ordered_at"])),
        timestamps(clean["at"]),
    ]
    whole = pc.binary_join_element_wise(*fields, ",")
    lines = where(records["long_line"], lambda at: pc.binary_join_element_wise(whole.take(pa.array(at)), "surplus", ","), whole)
    return where(records["short_line"], lambda at: pc.binary_join_element_wise(*shortened(fields[:FIELDS_OF_A_SHORT_LINE], at), ","), lines)
