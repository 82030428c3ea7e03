"""The plan of a pipeline: which step runs after which.  Pure; the SQL that makes the tasks and the local scheduler
both start from it."""

import json
from dataclasses import dataclass

from specs import Pipeline, Source


@dataclass(frozen=True)
class Task:
    """One step of a pipeline: the call its task makes, and the tasks it waits for.

    The root has a schedule, or streams whose rows start it, and waits for nothing; the finalizer waits for all, whether
    they succeeded or not.
    """

    name: str
    step: str
    target: str
    after: tuple[str, ...] = ()
    schedule: str = ""
    streams: tuple[str, ...] = ()
    is_finalizer: bool = False


def plan(pipeline: Pipeline) -> list[Task]:
    """The tasks of a pipeline, each after those it waits for.

    Loads wait for the root, a dimension for the load of its source, a fact for its source and its dimensions, a KPI
    for its fact, the sweep for everything.
    """

    def task(step: str, target: str, after: list[str]) -> Task:
        return Task(task_name(pipeline, step, target), step, target, tuple(dict.fromkeys(after)))

    on_arrival = pipeline.when == "arrival"
    root = Task(
        task_name(pipeline, "begin"),
        "begin",
        "",
        schedule="" if on_arrival else pipeline.schedule,
        streams=tuple(source.stream for source in pipeline.sources) if on_arrival else (),
    )
    loads = {
        source.name: task("load", source.name, [task_name(pipeline, "load", name) for name in source.references] or [root.name])
        for source in in_order(pipeline)
    }
    dimensions = {
        dimension.name: task("dimension", dimension.name, [loads[dimension.source].name])
        for dimension in pipeline.dimensions
    }
    facts = {
        fact.name: task(
            "fact",
            fact.name,
            [loads[fact.source].name, *[dimensions[lookup.dimension].name for lookup in fact.lookups]],
        )
        for fact in pipeline.facts
    }
    measures = [task("measure", kpi.name, [facts[kpi.fact].name]) for kpi in pipeline.kpis]
    middle = [*loads.values(), *dimensions.values(), *facts.values(), *measures]
    waited_for = {name for item in middle for name in item.after}
    sweep = task("sweep", "", [item.name for item in middle if item.name not in waited_for])
    finish = Task(task_name(pipeline, "finish"), "finish", "", (root.name,), is_finalizer=True)
    return [root, *middle, sweep, finish]


def in_order(pipeline: Pipeline) -> list[Source]:
    """Sources, each after those its checks look for; otherwise as the file has them."""
    ordered: list[Source] = []

    def place(source: Source) -> None:
        if source not in ordered:
            for name in source.references:
                place(pipeline.source(name))
            ordered.append(source)

    for source in pipeline.sources:
        place(source)
    return ordered


def look(pipeline: Pipeline) -> Task | None:
    """Beside a graph that runs on arrival: the whole run on the schedule, for what its streams missed.

    A stream that has gone stale starts nothing any more; the ledger still knows which rows were not taken.
    """
    if pipeline.when != "arrival":
        return None
    return Task(task_name(pipeline, "look"), "look", "", schedule=pipeline.schedule)


def query_tag(pipeline: str, step: str, run_id: str = "") -> str:
    """What a statement is tagged with, as JSON; a task, which does not know its run, says pipeline and step.

    >>> query_tag("shop", "load orders", "r1")
    '{"app":"firn","pipeline":"shop","step":"load orders","run_id":"r1"}'
    """
    said = {"app": "firn", "pipeline": pipeline, "step": step, **({"run_id": run_id} if run_id else {})}
    return json.dumps(said, separators=(",", ":"))


def task_name(pipeline: Pipeline, step: str, target: str = "") -> str:
    """Tasks of all pipelines share a schema, so each carries the name of its pipeline."""
    return "_".join(part for part in (pipeline.name, step, target) if part)
