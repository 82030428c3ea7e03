"""What the dimension must be: rebuilt from all events in plain Python, in two ways that know nothing of one another.

An event is a row of silver as a dictionary: the source's columns, effective_at, is_deleted, and is_truncate and
absent_columns where the source has them.  Slow and obvious on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from specs import Dimension, Source

Event = dict[str, Any]
Version = dict[str, Any]
TRUNCATE, UPSERT, TOMBSTONE = range(3)


def is_absent(event: Event, column: str) -> bool:
    return f",{column}," in (event.get("absent_columns") or "")


def kind_of(event: Event) -> int:
    return TRUNCATE if event.get("is_truncate") else TOMBSTONE if event["is_deleted"] else UPSERT


def rank(event: Event, column: str) -> tuple[Any, ...]:
    """absent < null < booleans < numbers < text (rule 2)."""
    value = event[column]
    if is_absent(event, column):
        return (0,)
    if value is None:
        return (1,)
    return (2 if isinstance(value, bool) else 4 if isinstance(value, str) else 3, value)


def order(event: Event, source: Source) -> tuple[Any, ...]:
    """Sequence, kind, content by column name (rule 2)."""
    content = sorted({*source.key, *(column.name for column in source.columns)})
    finer = [rank(event, column) for column in source.finer]
    return (event["effective_at"], *finer, kind_of(event), *[rank(event, column) for column in content])


def key_of(event: Event, dimension: Dimension) -> tuple[Any, ...]:
    return tuple(event[column] for column in dimension.key)


def says(event: Event, column: str, dimension: Dimension) -> bool:
    """Whether an event says what a column is (rules 22 and 23)."""
    if kind_of(event) != UPSERT or is_absent(event, column):
        return False
    return event[column] is not None or not dimension.ignore_nulls


def in_order(versions: Iterable[Version], dimension: Dimension) -> list[Version]:
    return sorted(versions, key=lambda version: ([version[column] for column in dimension.key], version["valid_from"]))


# --- the first way: walk through the events of a key and keep the state


def walked(events: list[Event], dimension: Dimension, source: Source) -> list[Version]:
    """Versions by walking along time, event by event."""
    keys = {key_of(event, dimension) for event in events if None not in key_of(event, dimension)}
    truncations = [event for event in events if event.get("is_truncate")]
    found: list[Version] = []
    for key in keys:
        own = [event for event in events if key_of(event, dimension) == key]
        first = min(event["effective_at"] for event in own)
        own += [event for event in truncations if event["effective_at"] >= first]
        own.sort(key=lambda event: order(event, source))
        if source.is_snapshot:
            own = with_missing(own, events, source)
        if dimension.on_delete == "ignore":
            own = [event for event in own if kind_of(event) == UPSERT]
        found += walk(key, own, dimension)
    return in_order(found, dimension)


def with_missing(own: list[Event], events: list[Event], source: Source) -> list[Event]:
    """The events of a key, and a tombstone after each that the next extract of its scope does not repeat."""
    completed: list[Event] = []
    for event in own:
        if completed and completed[-1]["effective_at"] == event["effective_at"]:
            completed.pop()
        completed.append(event)
    made = []
    for event, following in zip(completed, [*completed[1:], None], strict=True):
        made.append(event)
        scope = [event[column] for column in source.snapshot_scope]
        later = [
            other["effective_at"]
            for other in events
            if [other[c] for c in source.snapshot_scope] == scope and other["effective_at"] > event["effective_at"]
        ]
        if later and (following is None or following["effective_at"] > min(later)):
            made.append({**event, "effective_at": min(later), "is_deleted": True})
    return made


def walk(key: tuple[Any, ...], own: list[Event], dimension: Dimension) -> list[Version]:
    """One key: state after each instant, versions where it changes."""
    versions: list[Version] = []
    state: dict[str, Any] | None = None  # values while the key lives
    first: dict[str, Any] = {}
    latest: dict[str, Any] = {}
    life: dict[str, Any] | None = None
    open_version: Version | None = None
    for at, together in groupby(own, key=lambda event: event["effective_at"]):
        for event in together:
            if kind_of(event) == UPSERT:
                life = dict.fromkeys(dimension.values) if life is None else dict(life)
                for column in dimension.values:
                    if says(event, column, dimension):
                        life[column] = event[column]
            else:
                life = None
        if life is not None:
            for column in dimension.original:
                said = [e for e in own if e["effective_at"] <= at and outlives(e, own, dimension, column, at)]
                if column not in first and said:
                    first[column] = life[column]
            latest = life
        before, state = state, life
        changed = (before is None) != (state is None) or (
            state is not None and any(state[c] != before[c] for c in dimension.tracked)  # type: ignore[index]
        )
        if changed:
            if open_version is not None:
                open_version["valid_to"] = at
            open_version = None
            if state is not None or (dimension.keeps_deletions and before is not None):
                values = state if state is not None else before
                open_version = {"valid_from": at, "valid_to": None, "is_deleted": state is None}
                open_version |= {c: values[c] for c in (*dimension.tracked, *dimension.version)}  # type: ignore[index]
                versions.append(open_version)
        elif state is not None and open_version is not None:
            open_version |= {column: state[column] for column in dimension.version}
    for version in versions:
        version |= dict(zip(dimension.key, key, strict=True))
        version |= {column: latest.get(column) for column in dimension.overwritten}
        version |= {column: first.get(column) for column in dimension.original}
        version |= {f"current_{column}": latest.get(column) for column in dimension.current}
        if not dimension.keeps_deletions:
            del version["is_deleted"]
    return versions


def outlives(event: Event, own: list[Event], dimension: Dimension, column: str, at: Any) -> bool:
    """Whether an event says something of a column that still holds at a moment: no tombstone came between."""
    if not says(event, column, dimension):
        return False
    after = own[own.index(event) + 1 :]
    return not any(kind_of(other) != UPSERT and other["effective_at"] <= at for other in after)


# --- the second way: what was true at a moment, asked of all events anew for every moment


def asked(events: list[Event], dimension: Dimension, source: Source) -> list[Version]:
    """Versions as the unbroken runs of moments at which the same was true."""
    keys = {key_of(event, dimension) for event in events if None not in key_of(event, dimension)}
    found: list[Version] = []
    for key in keys:
        mine = [e for e in events if key_of(e, dimension) == key or e.get("is_truncate")]
        moments = sorted({e["effective_at"] for e in (events if source.is_snapshot else mine)})
        states = [(at, true_at(at, mine, events, dimension, source)) for at in moments]
        states = with_deletions(states, dimension)
        runs = [list(run) for _, run in groupby(states, key=lambda pair: seen(pair[1], dimension))]
        living = [state for _, state in states if state and not state["is_deleted"]]
        for run, following in zip(runs, [*runs[1:], None], strict=True):
            (start, state), (_, last) = run[0], run[-1]
            if state is None:
                continue
            version = dict(zip(dimension.key, key, strict=True))
            version |= {"valid_from": start, "valid_to": following[0][0] if following else None}
            version |= {c: state[c] for c in dimension.tracked}
            version |= {c: (state if state["is_deleted"] else last)[c] for c in dimension.version}
            version |= {c: living[-1][c] for c in dimension.overwritten}
            version |= {c: next((s[c] for s in living if c in s["said"]), None) for c in dimension.original}
            version |= {f"current_{c}": living[-1][c] for c in dimension.current}
            version |= {"is_deleted": state["is_deleted"]} if dimension.keeps_deletions else {}
            found.append(version)
    return in_order(found, dimension)


def seen(state: dict[str, Any] | None, dimension: Dimension) -> Any:
    """As much of a state as makes a version."""
    return None if state is None else (state["is_deleted"], *[state[column] for column in dimension.tracked])


def true_at(at: Any, mine: list[Event], events: list[Event], dimension: Dimension, source: Source) -> dict[str, Any] | None:
    """The values of a key at a moment, None when it is not there; `said` names the columns something was said of."""
    heard = sorted((e for e in mine if e["effective_at"] <= at), key=lambda e: order(e, source), reverse=True)
    if dimension.on_delete == "ignore":
        heard = [e for e in heard if kind_of(e) == UPSERT]
    if not heard or kind_of(heard[0]) != UPSERT:
        return None
    if source.is_snapshot and dimension.on_delete != "ignore":
        last, scope = heard[0]["effective_at"], [heard[0][c] for c in source.snapshot_scope]
        if any(last < e["effective_at"] <= at and [e[c] for c in source.snapshot_scope] == scope for e in events):
            return None
    ends = next((i for i, e in enumerate(heard) if kind_of(e) != UPSERT), len(heard))
    values: dict[str, Any] = {"is_deleted": False, "said": set()}
    for column in dimension.values:
        said = [e[column] for e in heard[:ends] if says(e, column, dimension)]
        values[column] = said[0] if said else None
        values["said"] |= {column} if said else set()
    return values


def with_deletions(states: list[tuple[Any, Any]], dimension: Dimension) -> list[tuple[Any, Any]]:
    """Where deletions are versions: absence, once the key was there, is the state before it, deleted."""
    if not dimension.keeps_deletions:
        return states
    made: list[tuple[Any, Any]] = []
    for at, state in states:
        if state is None and made and made[-1][1] is not None:
            state = {**made[-1][1], "is_deleted": True}
        made.append((at, state))
    return made
