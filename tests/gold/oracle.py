"""What gold must be, from all events received, in plain Python: slow, obvious, and knowing nothing of the engine.

An event is a row of silver as a dictionary.  Gold is told without surrogate keys, whose numbers depend on who came first:
a fact names the version it points to by (natural key, valid_from), or by the word for the standing member.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

Event = dict[str, Any]
Told = list[dict[str, Any]]
CONTENT = {
    "customers": ("city", "customer_id", "name", "op"),
    "products": ("op", "sku", "title"),
    "orders": ("customer_id", "line_no", "op", "order_id", "ordered_at", "price", "quantity", "region", "sku", "status"),
}


def order(source: str, event: Event) -> tuple[Any, ...]:
    """Time, then a tombstone above a value, then content column by column, NULL lowest (rule 2)."""
    content = [(event[column] is not None, event[column] if event[column] is not None else 0) for column in CONTENT[source]]
    return (event["effective_at"], event["is_deleted"], *content)


def versions(source: str, key: str, tracked: tuple[str, ...], events: Iterable[Event]) -> dict[Any, list[Event]]:
    """Of each key that ever lived, its versions in order of time: walk along time and open one where something changes."""
    told: dict[Any, list[Event]] = {}
    for value in {event[key] for event in events}:
        state: Event | None = None
        own = sorted((event for event in events if event[key] == value), key=lambda event: order(source, event))
        last_of_instant = {event["effective_at"]: event for event in own}
        found: list[Event] = []
        for at, event in last_of_instant.items():
            living = None if event["is_deleted"] else event
            opens = living is not None and (state is None or any(living[column] != state[column] for column in tracked))
            if found and found[-1]["valid_to"] is None and (opens or living is None):
                found[-1]["valid_to"] = at
            if opens:
                found.append({key: value, **{column: living[column] for column in tracked}, "valid_from": at, "valid_to": None})
            state = living
        if found:
            told[value] = found
    return told


def pointed(key: Any, at: dt.datetime | None, known: dict[Any, list[Event]]) -> Any:
    """Where a fact points: rules 35 and 36."""
    if key is None or at is None:
        return "unknown"
    if key not in known:
        return (key, "inferred")
    for version in known[key]:
        if version["valid_from"] <= at and (version["valid_to"] is None or at < version["valid_to"]):
            return (key, version["valid_from"])
    return "early" if at < known[key][0]["valid_from"] else "gap"


def gold(events: dict[str, list[Event]]) -> dict[str, Told]:
    """Every table of gold that depends on a fact."""
    customers = versions("customers", "customer_id", ("city",), events["customers"])
    products = versions("products", "sku", (), events["products"])
    facts: Told = []
    for grain in {(event["order_id"], event["line_no"]) for event in events["orders"]}:
        own = [event for event in events["orders"] if (event["order_id"], event["line_no"]) == grain]
        last = max(own, key=lambda event: order("orders", event))
        if last["is_deleted"] or last["status"] == "draft":
            continue
        kept = {name: last[name] for name in ("order_id", "line_no", "customer_id", "sku", "quantity", "price", "region", "status", "ordered_at")}
        amount = None if last["quantity"] is None or last["price"] is None else last["quantity"] * last["price"]
        facts.append({
            **kept,
            "amount": amount,
            "customer": pointed(last["customer_id"], last["ordered_at"], customers),
            "product": pointed(last["sku"], last["ordered_at"], products),
        })  # fmt: skip
    named = {"customer_id": customers, "sku": products}
    inferred = {column: {fact[column] for fact in facts} - known.keys() - {None} for column, known in named.items()}
    return {
        "fact_orders": facts,
        "inferred": [{"column": column, "key": key} for column, keys in inferred.items() for key in keys],
        "monthly": monthly(facts),
        "by_region": by_region(facts),
    }


def month_of(at: dt.datetime | None) -> dt.date | None:
    return dt.date(at.year, at.month, 1) if at else None


def monthly(facts: Told) -> Told:
    counted = [fact for fact in facts if fact["status"] not in ("cancelled", None)]
    groups = {month_of(fact["ordered_at"]) for fact in counted}
    lines = {month: [fact for fact in counted if month_of(fact["ordered_at"]) == month] for month in groups}
    return [{"month": month, **revenue(own), "orders": len({fact["order_id"] for fact in own}), **customers(own)} for month, own in lines.items()]


def by_region(facts: Told) -> Told:
    lines = {region: [fact for fact in facts if fact["region"] == region] for region in {fact["region"] for fact in facts}}
    return [{"region": region, **revenue(own), **customers(own)} for region, own in lines.items()]


def revenue(facts: Told) -> dict[str, Decimal | None]:
    amounts = [fact["amount"] for fact in facts if fact["amount"] is not None]
    return {"revenue": sum(amounts, Decimal(0)) if amounts else None}


def customers(facts: Told) -> dict[str, int]:
    return {"customers": len({fact["customer_id"] for fact in facts} - {None})}
