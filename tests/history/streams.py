"""Event streams: shuffled, late, duplicated, tied, full of NULLs, with deletions and returns, cut into batches."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

import spec_file
from hypothesis import strategies as st
from specs import Dimension, Pipeline, Source

Batch = list[dict[str, Any]]
SPEC = (Path(__file__).parent / "dimensions.yml").read_text()
NAMES = ("plain", "policies", "partial", "ignoring", "recording", "absent", "truncated", "extracts", "whole", "counted", "latest")
ALONE = ("plain", "policies", "ignoring", "counted", "latest")  # of which a key's current version tells all, event by event
DECLARED = ("shop", "id", "city", "kind", "name", "first_name", "note", "area", "revision", "changed_at", "op")
KEYS_OF_A_STREAM = 10


@cache
def pipeline() -> Pipeline:
    return spec_file.parse(SPEC, "dimensions.yml")


def declared(name: str) -> tuple[Dimension, Source]:
    return pipeline().dimension(f"dim_{name}"), pipeline().source(name)


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, 1) + dt.timedelta(days=number - 1)


def event(source_name: str, number: int, op: str = "U", /, **values: Any) -> dict[str, Any]:
    """One event of a source on a day (a number, where changes are counted); what is not given is NULL."""
    _, source = declared(source_name)
    row: dict[str, Any] = {**dict.fromkeys(DECLARED), "revision": 1, "shop": "a", **values}
    absent = row.pop("absent", ())
    if source.sequence_type == "integer":
        row["revision"] = row["effective_at"] = number
    else:
        row["changed_at"] = row["effective_at"] = day(number)
    row |= {"op": op, "is_deleted": op == "D"}
    if source.truncate_when:
        row["is_truncate"] = op == "T"
    if source.remembers_absence:
        row |= {"absent_columns": "".join(f",{column}," for column in sorted(absent))} | dict.fromkeys(absent)
    if op == "T":
        row |= {"shop": None, "id": None}
    return row


def events(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Few keys, few instants and few values, so that ties and repetitions are common."""
    _, source = declared(name)
    kinds = ["U", "U", "U", "U", "D"] if source.delete_when else ["U"]
    kinds += ["T"] if source.truncate_when else []
    words = {
        "id": st.integers(1, 3),
        "shop": st.sampled_from(["a", "b"]),
        "city": st.sampled_from(["A", "B", None]),
        "kind": st.sampled_from([1, 2, None]),
        "name": st.sampled_from(["x", "y", None]),
        "first_name": st.sampled_from(["p", "q", None]),
        "note": st.sampled_from(["m", "n", None]),
        "area": st.sampled_from(["N", "S", None]),
        "revision": st.integers(1, 2),
    }
    if source.remembers_absence:
        words["absent"] = st.sets(st.sampled_from(["city", "name", "first_name", "note"]), max_size=3)
    return st.builds(lambda number, op, **rest: event(name, number, op, **rest), st.integers(1, 7), st.sampled_from(kinds), **words)


@st.composite
def streams(draw: st.DrawFn, name: str, most_events: int = 10, batches: int = 3) -> list[Batch]:
    """One stream, cut into batches: each event in one of them, some in two, a batch now and then again as a whole."""
    cut: list[Batch] = [[] for _ in range(batches)]
    for made in draw(st.lists(events(name), min_size=1, max_size=most_events)):
        cut[draw(st.integers(0, batches - 1))].append(made)
    if draw(st.integers(0, 4)) == 0:
        cut.append(list(cut[draw(st.integers(0, batches - 1))]))
    return cut


def together(many: list[list[Batch]]) -> list[Batch]:
    """Streams side by side, each with keys of its own."""
    length = max(len(stream) for stream in many)
    batches: list[Batch] = [[] for _ in range(length)]
    for number, stream in enumerate(many):
        for batch, rows in zip(batches, stream, strict=False):
            batch += [{**row, "id": None if row["id"] is None else row["id"] + KEYS_OF_A_STREAM * number} for row in rows]
    return batches


def in_order(batches: list[Batch], name: str) -> list[Batch]:
    """The same events as a feed that keeps its order: of each key its first life, the nth event in the nth batch.

    Of the events of one instant the first stays.
    """
    dimension, _ = declared(name)
    lives: dict[tuple[Any, ...], dict[Any, dict[str, Any]]] = {}
    for row in (row for batch in batches for row in batch):
        lives.setdefault(tuple(row[column] for column in dimension.key), {}).setdefault(row["effective_at"], row)
    fed: list[Batch] = []
    for life in lives.values():
        for number, row in enumerate(life[at] for at in sorted(life)):
            fed += [[]] * (number == len(fed))
            fed[number] = [*fed[number], row]
            if row["is_deleted"]:
                break
    return fed
