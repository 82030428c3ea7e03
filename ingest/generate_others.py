"""The ERP's inventory, as JSON lines, and the web shop's events, as Parquet."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.generate_feed import Feed, Plan, Rates, late, picked, texts, timestamps, with_copies
from ingest.generate_pools import CATEGORIES, Pools

EVENT_TYPES = ("page_view", "search", "add_to_cart", "checkout")
PAGES = ("/", "/cart", "/checkout", "/help", "/products", "/search")
VISITS_A_SESSION = 4


def inventory(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> Feed:
    """Every product on the first day, then those whose price, category or stock changed."""
    size = len(pools.skus)
    price_cents = pools.price_cents.copy()
    category = np.array([CATEGORIES.index(name) for name in pools.categories])
    everything = np.ones(size, dtype=bool)
    parts = []
    for day in range(plan.days + 1):
        changed = everything if day == 0 else picked(rng, everything, rates.changed_products)
        who = np.flatnonzero(changed)
        if day:
            dearer = who[rng.random(len(who)) < 0.4]
            price_cents[dearer] = price_cents[dearer] * 104 // 100 + 1
            moved = who[rng.random(len(who)) < 0.05]
            category[moved] = (category[moved] + 1) % len(CATEGORIES)
        parts.append(
            {
                "key": who,
                "day": np.full(len(who), day),
                "at": plan.second_of(rng, day, len(who)),
                "price_cents": price_cents[who],
                "category": category[who],
                "stock": rng.integers(0, 500, len(who)),
            }
        )
    records = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # The first row of a product stays sound, so that orders find it.
    eligible = records["day"] > 0
    records["day"] = late(rng, records["day"], eligible, rates.late, plan.days)
    for name in ("null_key", "unit_price_as_text", "unit_price_not_a_number", "padded_product"):
        records[name] = picked(rng, eligible, getattr(rates, name))
    failed = {
        "sku_is_given": records["null_key"],
        "unit_price_is_number": records["unit_price_not_a_number"],
        "price_is_positive": records["unit_price_not_a_number"],  # NULL is not positive
    }
    passes = ~np.logical_or.reduce(list(failed.values()))
    arrival_record, arrival_day, is_copy = with_copies(rng, records["day"], passes, rates.duplicate, plan.days)
    clean = {name: records[name] for name in ("key", "at", "price_cents", "category")}
    clean |= {"is_tombstone": np.zeros(len(clean["at"]), dtype=bool), "tie": clean["price_cents"]}
    return Feed(
        name="inventory",
        prefix="erp/inventory",
        at=records["at"],
        arrival_record=arrival_record,
        arrival_day=arrival_day,
        is_copy=is_copy,
        failed=failed,
        clean=clean,
        lines=_documents(records, pools),
    )


def _documents(records: dict[str, np.ndarray], pools: Pools) -> pa.Array:
    moments = timestamps(records["at"]).to_pylist()
    documents = []
    for number, product in enumerate(records["key"].tolist()):
        price: float | str = int(records["price_cents"][number]) / 100
        if records["unit_price_as_text"][number]:
            price = f"{price:.2f}"
        if records["unit_price_not_a_number"][number]:
            price = "on request"
        name = pools.product_names[product]
        supplier, country = pools.suppliers[product]
        documents.append(
            json.dumps(
                {
                    "sku": None if records["null_key"][number] else pools.skus[product],
                    "name": f" {name}  " if records["padded_product"][number] else name,
                    "category": CATEGORIES[records["category"][number]],
                    "unit_price": price,
                    "stock": str(records["stock"][number]),
                    "supplier": {"name": supplier, "country": country},
                    "updated_at": moments[number],
                },
                ensure_ascii=False,
            )
        )
    return pa.array(documents)


def web_events(plan: Plan, rates: Rates, pools: Pools, rng: np.random.Generator) -> Feed:
    """Visits, about a third of them by nobody known: an event without a customer passes."""
    size = max(10, round(plan.customers * plan.visits_per_customer))
    business_day = plan.business_days(rng, size)
    at = plan.second_of(rng, business_day, size)
    everything = np.ones(size, dtype=bool)
    customer = 1 + (rng.random(size) ** 2 * plan.customers).astype(np.int64)
    anonymous = picked(rng, everything, rates.anonymous)
    day = late(rng, np.maximum(business_day, 0), everything, rates.late, plan.days)
    failed = {"event_id_is_given": picked(rng, everything, rates.null_key)}
    arrival_record, arrival_day, is_copy = with_copies(rng, day, ~failed["event_id_is_given"], rates.duplicate, plan.days)
    number = pc.utf8_lpad(pa.array(np.arange(1, size + 1)).cast(pa.string()), 9, "0")
    session = pa.array(rng.integers(0, size // VISITS_A_SESSION + 1, size)).cast(pa.string())
    table = pa.table(
        {
            "event_id": pc.if_else(
                pa.array(failed["event_id_is_given"]), pa.scalar(None, pa.string()), pc.binary_join_element_wise("e", number, "")
            ),
            "customer_id": pa.array(customer, mask=anonymous),
            "event_type": texts(rng.choice(len(EVENT_TYPES), size, p=(0.6, 0.2, 0.15, 0.05)), list(EVENT_TYPES)),
            "page": texts(rng.integers(0, len(PAGES), size), list(PAGES)),
            "occurred_at": pa.array(at * 1_000_000).cast(pa.timestamp("us")),
            "session_id": pc.binary_join_element_wise("s", pc.utf8_lpad(session, 8, "0"), ""),
        }
    )
    return Feed(
        name="web_events",
        prefix="web/events",
        at=at,
        arrival_record=arrival_record,
        arrival_day=arrival_day,
        is_copy=is_copy,
        failed=failed,
        clean={"key": np.where(anonymous, -1, customer), "at": at},
        table=table,
    )
