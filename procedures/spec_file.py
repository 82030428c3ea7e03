"""From the text of a pipeline file to a `Pipeline`, or to everything that is wrong with it at once."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta

import names
import specs
from expressions import unknown
from spec_checks import check_references
from spec_examples import read_examples
from spec_nodes import Entries, Node, Problem, SpecRefused, TooManyProblems
from spec_source import all_of, read_source
from spec_yaml import read_yaml

__all__ = ["SpecRefused", "parse", "read_pipeline"]


def parse(text: str, file: str = "pipeline") -> specs.Pipeline:
    """The pipeline a file declares; raises SpecRefused with every problem found."""
    problems: list[Problem] = []
    try:
        pipeline = read_pipeline(read_yaml(text, file, problems))
    except TooManyProblems:
        last = max(problem.line for problem in problems)
        more = Problem("pipeline", last, f"more than {len(problems)} problems; what comes after them was not read")
        raise SpecRefused(file, [*problems, more]) from None
    if problems:
        raise SpecRefused(file, problems)
    return pipeline


def read_pipeline(root: Node) -> specs.Pipeline:
    file = Entries(root, "pipeline")
    check_version(file)
    retention = Entries(file.made("retention", lambda node: node, Node({}, "retention", 1, [])), "retention")
    sources = file.made("sources", all_of(read_source), ())
    if "sources" in file.entries and not sources and isinstance(file.entries["sources"].value, dict | None):
        file.entries["sources"].wrong("found nothing, expected a source")
    by_name = {source.name: source for source in sources}
    check_references(by_name, root)
    dimensions = file.made("dimensions", all_of(lambda name, node: read_dimension(name, node, by_name)), ())
    dims = {dimension.name: dimension for dimension in dimensions}
    calendar = file.read("calendar")
    facts = file.made("facts", all_of(lambda name, node: read_fact(name, node, by_name, dims, calendar)), ())
    outline = specs.Pipeline("outline", "", sources, dimensions, facts)
    pipeline = specs.Pipeline(
        name=file.read("pipeline") or "unnamed",
        comment=file.read("comment"),
        schedule=file.made("schedule", read_schedule, "1 minute"),
        when=file.read("when"),
        budget=file.read("budget"),
        bronze_retention=retention.read("bronze"),
        log_retention=retention.read("log"),
        quarantine_retention=retention.read("quarantine"),
        sweep_limit=retention.read("rows_per_sweep"),
        sources=sources,
        dimensions=dimensions,
        facts=facts,
        calendar=calendar,
        kpis=file.made("kpis", all_of(lambda name, node: read_kpi(name, node, outline)), ()),
        freshness=file.made("freshness", lambda node: {k: v.duration() for k, v in node.mapping().items()}, {}),
    )
    retention.close()
    file.close()
    check_tables(pipeline, file)
    return replace(pipeline, tests=file.made("tests", lambda node: read_examples(node, pipeline), ()))


def check_version(file: Entries) -> None:
    """Files of form 1, which has no `version`, mean the same in form 2."""
    node = file.entries.get("version")
    if node is None or node.value in specs.FILE_VERSIONS:
        return
    if isinstance(node.value, str) and node.value.isdecimal() and int(node.value[:9]) > int(specs.FILE_VERSIONS[-1]):
        newest = specs.FILE_VERSIONS[-1]
        node.wrong(f"the file has form {node.value[:9]}, this version of the app reads up to {newest}: upgrade the app first")
    else:
        node.wrong(f"found `{node.value}`, expected {' or '.join(specs.FILE_VERSIONS)}; a file without `version` has form 1")


def check_tables(pipeline: specs.Pipeline, file: Entries) -> None:
    """Every part has tables of its own name; two parts may not have the same."""
    own: dict[str, str] = {}
    for part, items in (("sources", pipeline.sources), ("dimensions", pipeline.dimensions), ("facts", pipeline.facts), ("kpis", pipeline.kpis)):
        for item in items:
            made = {item.name} | {f"{item.name}_{word}" for word in TABLES_BESIDE.get(part, ())}
            node = next(entry for word, entry in file.entries[part].mapping().items() if word.lower() == item.name)
            for name in sorted(made & own.keys()):
                node.wrong(f"`{name}` is a table of {own[name]} already; give it another name")
            own |= dict.fromkeys(made, f"{part}.{item.name}")
    made = {item.name for item in (*pipeline.sources, *pipeline.dimensions, *pipeline.facts, *pipeline.kpis)}
    for word, entry in file.entries["freshness"].mapping().items() if "freshness" in file.entries else ():
        if word not in made:
            entry.wrong(unknown("table", word, made))


TABLES_BESIDE = {"dimensions": ("changes",), "facts": ("touched",)}


def read_schedule(node: Node) -> str:
    """In seconds, minutes or hours, as a task takes it."""
    known = len(node.problems)
    every = node.duration()
    if len(node.problems) > known:
        return "1 minute"
    if every < timedelta(seconds=10):
        node.wrong(f"found `{node.value}`; the shortest schedule of a task is 10 seconds")
    if every > timedelta(days=8):
        node.wrong(f"found `{node.value}`; the longest schedule of a task is 8 days")
    return f"{every.days * 24} hours" if "day" in node.text() else node.text()


def read_from(entries: Entries, what: str, known: Collection[str]) -> str:
    entry = entries.present("from")
    return "" if entry is None else entry.one_of(known, what)


def check_columns(node: Node, columns: Collection[str], made: str) -> None:
    """A table has one column of a name, and none that Firn adds."""
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            node.wrong(f"{made} would have two columns `{column}`")
        if column in names.RESERVED_BY_FIRN - set(names.PROVENANCE):
            node.wrong(f"`{column}` is a column Firn adds itself; give yours another name")
        seen.add(column)


def read_dimension(name: str, node: Node, sources: Mapping[str, specs.Source]) -> specs.Dimension:
    dimension = Entries(node, "dimension")
    source = sources.get(read_from(dimension, "source", sources))
    known = source.types() if source else {}
    made = specs.Dimension(
        name=name,
        source=source.name if source else "",
        key=dimension.read("key", known) or (source.key if source else ()),
        tracked=dimension.read("tracked", known),
        overwritten=dimension.read("overwritten", known),
        on_delete=dimension.read("on_delete"),
        original=dimension.read("original", known),
        version=dimension.read("version", known),
        current=dimension.read("current", known),
        ignore_nulls=dimension.read("ignore_nulls"),
        comment=dimension.read("comment"),
    )
    dimension.close()
    policies = [*made.key, *made.values]
    for column in sorted({column for column in policies if policies.count(column) > 1}):
        node.wrong(f"`{column}` is named twice among key, tracked, overwritten, original and version")
    for column in sorted(set(made.current) - set(made.tracked)):
        node.mapping()["current"].wrong(f"`{column}` is not tracked; `current` adds the latest value of a tracked column")
    if made.ignore_nulls and source and source.is_snapshot:
        node.mapping()["ignore_nulls"].wrong("an extract says all there is: its NULLs are values")
    for column in sorted(set(made.current_columns) & set(policies)):
        node.mapping()["current"].wrong(f"the source has a column `{column}` already")
    return made


def read_measure(columns: Collection[str], aggregates: bool = False) -> Callable[[str, Node], specs.Measure]:
    def measure(name: str, node: Node) -> specs.Measure:
        if not isinstance(node.value, dict):
            return specs.Measure(name, node.expression(columns, aggregates))
        entry = Entries(node, "measure")
        expression = entry.made("expression", lambda item: item.expression(columns, aggregates), "")
        made = specs.Measure(name=name, expression=expression, type=entry.read("type"), comment=entry.read("comment"))
        entry.close()
        return made

    return measure


def read_fact(
    name: str, node: Node, sources: Mapping[str, specs.Source], dimensions: Mapping[str, specs.Dimension], calendar: str = ""
) -> specs.Fact:
    fact = Entries(node, "fact")
    source = sources.get(read_from(fact, "source", sources))
    known = source.types() if source else {}
    at = fact.read("at", known) or (source.effective_at if source else "")

    def lookup(word: str, item: Node) -> specs.Lookup:
        entry = Entries(item, "lookup")
        made = specs.Lookup(
            name=word,
            dimension=entry.made("dimension", lambda part: part.one_of(dimensions, "dimension"), ""),
            by=entry.read("by", known),
            as_of=entry.read("as_of", known) or at,
        )
        entry.close()
        key = dimensions[made.dimension].key if made.dimension in dimensions else made.by
        looked_into = sources.get(dimensions[made.dimension].source) if made.dimension in dimensions else None
        if looked_into and looked_into.sequence_type != "timestamp":
            item.wrong(f"{made.dimension} counts its changes and does not date them: no time can be looked up in it")
        if key and len(key) != len(made.by):
            item.wrong(f"`by` has {len(made.by)} columns, the key of {made.dimension} {len(key)}: {', '.join(key)}")
        return made

    made = specs.Fact(
        name=name,
        source=source.name if source else "",
        grain=fact.read("grain", known) or (source.key if source else ()),
        at=at,
        lookups=fact.made("lookups", all_of(lookup), ()),
        keep=fact.read("keep", known),
        measures=fact.made("measures", all_of(read_measure(known)), ()),
        where=fact.read("where", known),
        comment=fact.read("comment"),
        calendar=calendar,
    )
    fact.close()
    if calendar and "date_key" in {*made.from_source(), *(measure.name for measure in made.measures)}:
        node.wrong(f"`date_key` is the column that points to `{calendar}`; give yours another name")
    own_keys = [key for item in made.lookups for key in (item.durable_key, item.version_key)]
    copies = {f"{prefix}_{column}": column for prefix in ("touched", "old", "placed", "gone") for column in made.grain}
    for column in (*made.from_source(), *(measure.name for measure in made.measures)):
        if column in copies:
            node.wrong(f"`{column}` is what Firn calls its own copy of `{copies[column]}`; give yours another name")
    check_columns(node, [*made.from_source(), *own_keys, *(measure.name for measure in made.measures)], name)
    return made


def read_kpi(name: str, node: Node, outline: specs.Pipeline) -> specs.Kpi:
    kpi = Entries(node, "kpi")
    facts = {fact.name: fact for fact in outline.facts}
    fact = facts.get(read_from(kpi, "fact", facts))
    known = outline.fact_types(fact) if fact and fact.source else {}
    made = specs.Kpi(
        name=name,
        fact=fact.name if fact else "",
        period=kpi.read("period"),
        by=kpi.read("by", known),
        measures=kpi.made("measures", all_of(read_measure(known, aggregates=True)), ()),
        where=kpi.read("where", known),
        comment=kpi.read("comment"),
    )
    kpi.close()
    check_columns(node, [*made.groups, *(measure.name for measure in made.measures)], name)
    if not made.groups:
        node.wrong("expected a `period`, columns in `by`, or both")
    return made
