"""Where a row of gold comes from: back through versions and events to the line of the file, and what it beat on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import cleaning
import facts
import measures
import snowflake.snowpark.functions as F
from provenance import checks_of, events_of, other_arrivals, place, plain, runs_of, spot, values, why_beaten, with_key
from runs import Run
from specs import Dimension, Fact, Kpi, Lookup, Pipeline, Source

SHOWN = 20  # rows of a list, where there may be many
STANDING = {facts.UNKNOWN: "unknown", facts.GAP: "gap", facts.EARLY: "early"}


class KeyRefused(ValueError):
    """The key given to explain_row does not name a row of the table."""

    def __init__(self, table: str, wanted: Sequence[str], given: Sequence[str]) -> None:
        self.table, self.wanted, self.given = table, tuple(wanted), tuple(given)
        shape = ", ".join(f"'{column}': …" for column in wanted)
        super().__init__(
            f"{table} is known by {', '.join(wanted)}; given: {', '.join(given) or 'nothing'}. "
            f"CALL core.explain_row('{table}', {{{shape}}})"
        )


def explain(run: Run, name: str, key: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is known of how a row of gold came to be, or of why it is not there."""
    given = {column.lower(): value for column, value in key.items()}
    pipeline = run.pipeline
    if name in {fact.name for fact in pipeline.facts}:
        told = of_fact(run, pipeline.fact(name), given)
    elif name in {dimension.name for dimension in pipeline.dimensions}:
        told = of_dimension(run, pipeline.dimension(name), given)
    else:
        told = of_kpi(run, pipeline.kpi(name), given)
    return plain({"table": f"gold.{name}", "pipeline": pipeline.name, "key": given, **told})


def tables(pipeline: Pipeline) -> list[str]:
    """The tables of gold whose rows come from files."""
    return [part.name for part in (*pipeline.dimensions, *pipeline.facts, *pipeline.kpis)]


def refuse_other_keys(table: str, wanted: Sequence[str], given: Mapping[str, Any], also: Sequence[str] = ()) -> None:
    if not set(wanted) <= set(given) or set(given) - set(wanted) - set(also):
        raise KeyRefused(table, wanted, list(given))


# --- facts


def of_fact(run: Run, fact: Fact, key: Mapping[str, Any]) -> dict[str, Any]:
    refuse_other_keys(fact.table, fact.grain, key)
    source = run.pipeline.source(fact.source)
    types = run.pipeline.fact_types(fact)
    stands = [values(row) for row in with_key(run.session.table(fact.table), key, types).collect()]
    events, log = events_of(run, source, fact.grain, key)
    others = other_arrivals(run, source, key, events)
    received = others.pop("as_received")
    told: dict[str, Any] = {"found": bool(stands)}
    if not stands:
        told["why_not"] = why_no_fact(events, others, fact, source)
    if events:
        winner = events[0]
        loaded_by = log.get(int(winner["batch_no"]))
        told["comes_from"] = place(winner, source, log) | {"as_received": received.get(spot(winner), "swept from bronze")}
        told["checks"] = checks_of(run, source, winner, loaded_by)
        beaten = [place(event, source, log) | {"why": why_beaten(event, winner, source)} for event in events[1:]]
        told |= {"beat": beaten[:SHOWN], "beat_count": len(beaten)}
    told |= others
    if stands:
        row = stands[0]
        told["row"] = row
        told["versions"] = {lookup.name: version_of(run, lookup, row) for lookup in fact.lookups}
        told["written_by"] = runs_of(run, fact.step, [int(row["batch_no"])]).get(int(row["batch_no"]))
    return told


def why_no_fact(events: Sequence[Mapping[str, Any]], others: Mapping[str, Any], fact: Fact, source: Source) -> str:
    """Why there is no fact of this grain."""
    if events and events[0]["is_deleted"]:
        return f"its last event is a tombstone of {events[0]['effective_at']}"
    if events:
        return f"its last event is left out by: {fact.where}" if fact.where else f"it is in silver and waits for the step `{fact.step}`"
    if others["quarantined"]:
        return "all that came for it waits in quarantine"
    return "it is in bronze and waits for its load" if others["waiting"] else f"no file of {source.name} has named it"


def version_of(run: Run, lookup: Lookup, row: Mapping[str, Any]) -> dict[str, Any]:
    """The version a fact points to, and why this one."""
    dimension = run.pipeline.dimension(lookup.dimension)
    number, at = int(row[lookup.version_key]), row[lookup.as_of]
    by = {column: row[column] for column in lookup.by}
    table = run.session.table(dimension.table)
    of_key = [values(item) for item in table.filter(F.col(dimension.durable_key) == F.lit(int(row[lookup.durable_key]))).sort("valid_from").collect()]
    versions = [item for item in of_key if item[dimension.version_key] > 0]
    chosen = next((item for item in versions if item[dimension.version_key] == number), None)
    told = {"dimension": dimension.name, "by": by, "as_of": {lookup.as_of: at}, "version_key": number}
    if chosen is None:
        return told | {"chosen": STANDING.get(number), "why": why_standing(number, by, at, versions), "known": spans(versions)}
    batch = int(chosen["batch_no"])
    if chosen["is_inferred"]:
        why = "only facts have named this key: an inferred member, until its first event comes"
    else:
        why = f"valid_from {chosen['valid_from']} <= {lookup.as_of} {at} < valid_to {chosen['valid_to'] or 'open'}"
    others = [item for item in versions if item is not chosen]
    return told | {"chosen": chosen, "why": why, "other_versions": spans(others), "written_by": runs_of(run, dimension.step, [batch]).get(batch)}


def spans(versions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"valid_from": item["valid_from"], "valid_to": item["valid_to"]} for item in versions[:SHOWN]]


def why_standing(number: int, by: Mapping[str, Any], at: Any, versions: Sequence[Mapping[str, Any]]) -> str:
    if number == facts.UNKNOWN:
        return "the fact names no key" if None in by.values() else "the fact has no time to look the key up at"
    if number == facts.EARLY:
        return f"{at} is before the first version, which begins {versions[0]['valid_from']}" if versions else "before the first version"
    ended = [item["valid_to"] for item in versions if item["valid_to"] is not None and item["valid_to"] <= at]
    return f"the key was gone at {at}: its version before ended {max(ended)}" if ended else f"the key was gone at {at}"


# --- dimensions


def of_dimension(run: Run, dimension: Dimension, key: Mapping[str, Any]) -> dict[str, Any]:
    """All versions of a key, or with valid_from the one; and every event of the key with what it did."""
    refuse_other_keys(dimension.table, dimension.key, key, also=("valid_from",))
    source = run.pipeline.source(dimension.source)
    own = {column: key[column] for column in dimension.key}
    types = {**source.types(), "valid_from": source.sequence_type}
    found = [values(row) for row in with_key(run.session.table(dimension.table), own, types).sort("valid_from").collect()]
    events, log = events_of(run, source, dimension.key, own)
    others = other_arrivals(run, source, own, events)
    received = others.pop("as_received")
    asked = str(key["valid_from"]) if "valid_from" in key else None
    versions = [version for version in found if asked is None or str(version["valid_from"]).startswith(asked)]
    told_events = []
    for event in events[:SHOWN]:
        did = what_it_did(event, events, found)
        told_events.append(place(event, source, log) | {"did": did, "as_received": received.get(spot(event), "swept from bronze")})
    why_not = "only facts have named it" if found and not events else f"no file of {source.name} has named it"
    return {
        "found": bool(versions),
        **({} if events else {"why_not" if not versions else "why_inferred": why_not}),
        "versions": versions,
        "written_by": list(runs_of(run, dimension.step, sorted({int(version["batch_no"]) for version in versions})).values()),
        "events": told_events,
        "event_count": len(events),
        "checks": checks_of(run, source, events[0], log.get(int(events[0]["batch_no"]))) if events else None,
        **others,
    }


def what_it_did(event: Mapping[str, Any], events: Sequence[Mapping[str, Any]], versions: Sequence[Mapping[str, Any]]) -> str:
    """The part an event plays in the history of its key."""
    at = event["effective_at"]
    first_of_instant = next(item for item in events if item["effective_at"] == at)
    if first_of_instant is not event:
        return "outweighed by another event of the same instant"
    if any(version["valid_from"] == at for version in versions):
        return "opened the version that begins then"
    if event["is_deleted"]:
        closed = any(version["valid_to"] == at for version in versions)
        return "closed the version that ends then" if closed else "found the key gone already; it is remembered"
    return "changed no tracked column; it is remembered, and an older event arriving later ends here"


# --- KPIs


def of_kpi(run: Run, kpi: Kpi, key: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers as they stand, as they come out when computed now, and the facts behind them."""
    refuse_other_keys(kpi.table, kpi.groups, key)
    fact = run.pipeline.fact(kpi.fact)
    types = run.pipeline.kpi_types(kpi)
    stands = [values(row) for row in with_key(run.session.table(kpi.table), key, types).collect()]
    now = [values(row) for row in with_key(measures.measured(run.session.table(fact.table), kpi, fact, None), key, types).collect()]
    behind = run.session.table(fact.table)
    if kpi.where:
        behind = behind.filter(cleaning.sql_column(kpi.where))
    if kpi.period:
        behind = behind.with_column(kpi.period, measures.period_of(fact.at, kpi.period))
    behind = with_key(behind, key, types)
    columns = [measure.name for measure in kpi.measures]
    written_by = {}
    if stands:
        batch = int(stands[0]["batch_no"])
        written_by = {"written_by": runs_of(run, kpi.step, [batch]).get(batch)}
    return {
        "found": bool(stands),
        "row": stands[0] if stands else None,
        "computed_now": now[0] if now else None,
        "agrees": [[row[name] for name in columns] for row in stands] == [[row[name] for name in columns] for row in now],
        "means": {measure.name: measure.expression for measure in kpi.measures},
        **({"where": kpi.where} if kpi.where else {}),
        "fact": fact.table,
        "fact_count": behind.count(),
        "facts": [values(row) for row in behind.sort(*fact.grain).select(*fact.grain).limit(SHOWN).collect()],
        **written_by,
    }
