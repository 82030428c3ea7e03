"""The pipeline as the console draws it: its steps, what each reads, and the keys of its dimensions, from the applied spec."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

COLUMNS = ("load", "dimension", "fact", "measure", "sweep")


@dataclass(frozen=True)
class Step:
    """One step: its name in the log, the column it is drawn in, its place there, and the steps it reads from."""

    name: str
    column: int
    place: int
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What the console needs of a spec.  `keys`: per dimension, its source and key columns with their types."""

    steps: tuple[Step, ...]
    keys: dict[str, tuple[str, dict[str, str]]]
    kpis: dict[str, dict[str, Any]]
    tracked: dict[str, tuple[str, ...]]
    columns: dict[str, tuple[str, ...]]  # per source, those it receives
    schedule_seconds: int


def read(text: str) -> Plan:
    """The plan of a spec that was accepted when it was applied.

    >>> plan = read("pipeline: p\\nsources: {a: {key: [id], columns: {id: {type: integer}}}}\\ndimensions: {dim_a: {from: a, tracked: [x]}}")
    >>> [step.name for step in plan.steps], plan.keys
    (['load a', 'dimension dim_a', 'sweep'], {'dim_a': ('a', {'id': 'integer'})})
    """
    said = yaml.safe_load(text) or {}
    parts = {kind: said.get(kind) or {} for kind in ("sources", "dimensions", "facts", "kpis")}
    found = [(0, f"load {name}", ()) for name in parts["sources"]]
    found += [(1, f"dimension {name}", (f"load {node['from']}",)) for name, node in parts["dimensions"].items()]
    for name, node in parts["facts"].items():
        looked_up = {f"dimension {lookup['dimension']}" for lookup in (node.get("lookups") or {}).values()}
        found.append((2, f"fact {name}", (f"load {node['from']}", *sorted(looked_up))))
    found += [(3, f"measure {name}", (f"fact {node['from']}",)) for name, node in parts["kpis"].items()]
    found.append((4, "sweep", ()))
    places: dict[int, int] = {}
    steps = []
    for column, name, reads in found:
        steps.append(Step(name, column, places.get(column, 0), reads))
        places[column] = places.get(column, 0) + 1
    return Plan(
        tuple(steps),
        {name: (node["from"], key_types(parts["sources"].get(node["from"]) or {})) for name, node in parts["dimensions"].items()},
        dict(parts["kpis"]),
        {name: tuple(node.get("tracked") or ()) for name, node in parts["dimensions"].items()},
        {name: received(node) for name, node in parts["sources"].items()},
        seconds(said.get("schedule") or "1 minute"),
    )


def key_types(source: dict[str, Any]) -> dict[str, str]:
    columns = source.get("columns") or {}
    key = source.get("key") or []
    return {name: str((columns.get(name) or {}).get("type", "text")) for name in ([key] if isinstance(key, str) else key)}


def received(source: dict[str, Any]) -> tuple[str, ...]:
    """The columns a file of the source holds; one with an expression is computed from them."""
    return tuple(name for name, node in (source.get("columns") or {}).items() if "expression" not in (node or {}))


def seconds(text: Any) -> int:
    """`15 minutes` in seconds.

    >>> seconds("15 minutes")
    900
    """
    amount, unit = str(text).split()
    return int(amount) * {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit.removesuffix("s")]


def typed(value: str, kind: str) -> Any:
    """What a reader typed, as the key's type; the text itself where it is none.

    >>> typed("42", "integer"), typed("1.50", "number(12,2)"), typed("x", "integer")
    (42, Decimal('1.50'), 'x')
    """
    try:
        return int(value) if kind.startswith("integer") else Decimal(value) if is_number(kind) else value
    except (ArithmeticError, ValueError):
        return value


def is_number(kind: str) -> bool:
    return kind.startswith(("integer", "number"))
