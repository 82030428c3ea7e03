"""From the text of a pipeline file to a `Pipeline`, or to everything that is wrong with it at once."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

import names
import specs
from expressions import unknown
from spec_nodes import Entries, Made, Node, Problem, SpecRefused, read_yaml

SHARE = re.compile(r"quarantined\s*>\s*(\d{1,3})\s*%")


def parse(text: str, file: str = "pipeline") -> specs.Pipeline:
    """The pipeline a file declares; raises SpecRefused with every problem found."""
    problems: list[Problem] = []
    pipeline = read_pipeline(read_yaml(text, file, problems))
    if problems:
        raise SpecRefused(file, problems)
    return pipeline


def all_of(read: Callable[[str, Node], Made]) -> Callable[[Node], tuple[Made, ...]]:
    """A reader for `name: {…}` entries."""

    def entries(node: Node) -> tuple[Made, ...]:
        for word, entry in node.mapping().items():
            if not names.plain(word):
                entry.wrong(f"`{word}` cannot be a name: expected letters, digits, underscores; no SQL word")
        return tuple(read(word, entry) for word, entry in node.mapping().items())

    return entries


def read_pipeline(root: Node) -> specs.Pipeline:
    file = Entries(root)
    retention = Entries(file.get("retention", lambda node: node, Node({}, "retention", 1, root.problems)))
    sources = file.need("sources", all_of(read_source), ())
    by_name = {source.name: source for source in sources}
    dimensions = file.get("dimensions", all_of(lambda name, node: read_dimension(name, node, by_name)), ())
    dims = {dimension.name: dimension for dimension in dimensions}
    calendar = file.get("calendar", Node.name, "")
    facts = file.get("facts", all_of(lambda name, node: read_fact(name, node, by_name, dims, calendar)), ())
    outline = specs.Pipeline("outline", "", sources, dimensions, facts)
    pipeline = specs.Pipeline(
        name=file.need("pipeline", Node.name, "unnamed"),
        comment=file.get("comment", Node.text, ""),
        schedule=file.get("schedule", read_schedule, "1 minute"),
        when=file.get("when", lambda node: node.one_of(specs.WHEN, "when"), "schedule"),
        bronze_retention=retention.get("bronze", Node.duration, timedelta(days=7)),
        log_retention=retention.get("log", Node.duration, timedelta(days=90)),
        sources=sources,
        dimensions=dimensions,
        facts=facts,
        calendar=calendar,
        kpis=file.get("kpis", all_of(lambda name, node: read_kpi(name, node, outline)), ()),
        freshness=file.get("freshness", lambda node: {k: v.duration() for k, v in node.mapping().items()}, {}),
    )
    retention.close()
    file.close()
    return pipeline


def read_schedule(node: Node) -> str:
    known = len(node.problems)
    if node.duration() < timedelta(seconds=10) and len(node.problems) == known:
        node.wrong(f"found `{node.value}`; the shortest schedule of a task is 10 seconds")
    return node.text()


def read_source(name: str, node: Node) -> specs.Source:
    source = Entries(node)
    files = Entries(source.need("files", lambda item: item, Node({}, f"{node.path}.files", node.line, node.problems)))
    columns = source.need("columns", all_of(read_column), ())
    plain = [column.name for column in columns if not column.expression]
    known = [column.name for column in columns]
    for column in columns:
        entry = node.mapping()["columns"].mapping()[column.name]
        if column.expression:
            entry.mapping()["expression"].expression([*plain, *names.PROVENANCE])
        if column.name in names.RESERVED_BY_FIRN:
            entry.wrong(f"`{column.name}` is a column Firn adds itself; give yours another name and say `from:`")
    snapshot = Entries(node.mapping()["snapshot"]) if "snapshot" in node.mapping() else None
    source.asked.append("snapshot")
    if snapshot:
        sequence = snapshot.need("as_of", lambda item: item.columns(known), ()) or ("",)
    else:
        sequence = source.need("effective_at", lambda item: item.columns(known), ()) or ("",)
    made = specs.Source(
        name=name,
        prefix=files.need("prefix", Node.text, ""),
        format=files.need("format", lambda item: item.one_of(specs.FORMATS, "format"), "csv"),
        key=source.need("key", lambda item: item.columns([*known, *names.PROVENANCE]), ()),
        effective_at=sequence[0],
        finer=sequence[1:],
        is_snapshot=snapshot is not None,
        snapshot_scope=snapshot.get("scope", lambda item: item.columns(known), ()) if snapshot else (),
        truncate_when=source.get("truncate_when", lambda item: item.expression(known), ""),
        strict=source.get("strict", Node.yes, False),
        absent=source.get("absent", lambda item: item.one_of(specs.ABSENT, "word"), "null"),
        delete_when=source.get("delete_when", lambda item: item.expression(known), ""),
        overlap=source.get("overlap", Node.duration, timedelta(hours=24)),
        stop_if=source.get("stop_if", read_share, None),
        columns=columns,
        checks=source.get("checks", all_of(lambda word, item: read_check(word, item, known)), ()),
        comment=source.get("comment", Node.text, ""),
    )
    files.close()
    source.close()
    if snapshot:
        snapshot.close()
    check_history(made, node)
    return made


def check_history(made: specs.Source, node: Node) -> None:
    """What a source says of time and absence must fit together."""
    if made.effective_at and made.types().get(made.effective_at) not in ("timestamp", "date", "integer", None):
        place = node.mapping().get("effective_at", node)
        place.wrong(f"`{made.effective_at}` must be a timestamp, a date or an integer that counts")
    if made.remembers_absence and made.format != "json":
        node.mapping()["absent"].wrong("only of a JSON record is known what it does not hold; a file of rows fills in NULL")
    if made.is_snapshot and made.truncate_when:
        node.mapping()["truncate_when"].wrong("a snapshot tells by itself what is gone")


def read_share(node: Node) -> float | None:
    match = SHARE.fullmatch(node.text())
    if match is None:
        node.wrong(f"found `{node.value}`, expected `quarantined > 20%`")
        return None
    return int(match[1]) / 100


def read_column(name: str, node: Node) -> specs.Column:
    column = Entries(node)
    made = specs.Column(
        name=name.lower(),
        type=column.get("type", read_type, "text"),
        path=tuple(column.get("path", Node.text, "").split(".")) if "path" in column.entries else (),
        received_as=column.get("from", Node.name, ""),
        clean=column.get("clean", lambda item: item.columns(specs.CLEANING, "cleaning"), ()),
        mapping=column.get("map", read_mapping, {}),
        otherwise=column.get("otherwise", text_or_null, None),
        has_otherwise="otherwise" in column.entries,
        formats=column.get("formats", Node.words, ()),
        default=column.get("default", Node.text, None),
        expression=column.get("expression", Node.text, ""),
        required=column.get("required", Node.yes, False),
        comment=column.get("comment", Node.text, ""),
    )
    column.asked.append("path")
    if made.has_otherwise and not made.mapping:
        node.wrong("`otherwise` says what a value outside `map` becomes, and there is no `map`")
    column.close()
    return made


def read_type(node: Node) -> str:
    word = node.text()
    if word and not specs.is_type(word):
        node.wrong(unknown("type", word, [*specs.TYPES, "number(p,s)"]))
        return "text"
    return word


def read_mapping(node: Node) -> Mapping[str, str | None]:
    return {word: text_or_null(entry) for word, entry in node.mapping().items()}


def text_or_null(node: Node) -> str | None:
    return None if node.value is None else node.text()


def read_check(name: str, node: Node, columns: Collection[str]) -> specs.Check:
    if not isinstance(node.value, dict):
        return specs.Check(name, node.expression(columns))
    check = Entries(node)
    made = specs.Check(
        name=name,
        expect=check.need("expect", lambda item: item.expression(columns), ""),
        otherwise=check.get("otherwise", lambda item: item.one_of(specs.OUTCOMES, "outcome"), "quarantine"),
    )
    check.close()
    return made


def read_from(entries: Entries, what: str, known: Collection[str]) -> str:
    return entries.need("from", lambda item: item.one_of(known, what), "")


def read_dimension(name: str, node: Node, sources: Mapping[str, specs.Source]) -> specs.Dimension:
    dimension = Entries(node)
    source = sources.get(read_from(dimension, "source", sources))
    known = source.types() if source else {}
    made = specs.Dimension(
        name=name,
        source=source.name if source else "",
        key=dimension.get("key", lambda item: item.columns(known), source.key if source else ()),
        tracked=dimension.get("tracked", lambda item: item.columns(known), ()),
        overwritten=dimension.get("overwritten", lambda item: item.columns(known), ()),
        on_delete=dimension.get("on_delete", lambda item: item.one_of(specs.ON_DELETE, "mode"), "close"),
        original=dimension.get("original", lambda item: item.columns(known), ()),
        version=dimension.get("version", lambda item: item.columns(known), ()),
        current=dimension.get("current", lambda item: item.columns(known), ()),
        ignore_nulls=dimension.get("ignore_nulls", Node.yes, False),
        comment=dimension.get("comment", Node.text, ""),
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


def read_measure(columns: Collection[str]) -> Callable[[str, Node], specs.Measure]:
    def measure(name: str, node: Node) -> specs.Measure:
        if not isinstance(node.value, dict):
            return specs.Measure(name, node.expression(columns))
        entry = Entries(node)
        made = specs.Measure(
            name=name,
            expression=entry.need("expression", lambda item: item.expression(columns), ""),
            type=entry.get("type", read_type, "number"),
            comment=entry.get("comment", Node.text, ""),
        )
        entry.close()
        return made

    return measure


def read_fact(
    name: str, node: Node, sources: Mapping[str, specs.Source], dimensions: Mapping[str, specs.Dimension], calendar: str = ""
) -> specs.Fact:
    fact = Entries(node)
    source = sources.get(read_from(fact, "source", sources))
    known = source.types() if source else {}
    at = fact.get("at", lambda item: (*item.columns(known), "")[0], source.effective_at if source else "")

    def lookup(word: str, item: Node) -> specs.Lookup:
        entry = Entries(item)
        made = specs.Lookup(
            name=word,
            dimension=entry.need("dimension", lambda part: part.one_of(dimensions, "dimension"), ""),
            by=entry.need("by", lambda part: part.columns(known), ()),
            as_of=entry.get("as_of", lambda part: (*part.columns(known), "")[0], at),
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
        grain=fact.get("grain", lambda item: item.columns(known), source.key if source else ()),
        at=at,
        lookups=fact.get("lookups", all_of(lookup), ()),
        keep=fact.get("keep", lambda item: item.columns(known), ()),
        measures=fact.get("measures", all_of(read_measure(known)), ()),
        where=fact.get("where", lambda item: item.expression(known), ""),
        comment=fact.get("comment", Node.text, ""),
        calendar=calendar,
    )
    fact.close()
    if calendar and "date_key" in {*made.from_source(), *(measure.name for measure in made.measures)}:
        node.wrong(f"`date_key` is the column that points to `{calendar}`; give yours another name")
    return made


def read_kpi(name: str, node: Node, outline: specs.Pipeline) -> specs.Kpi:
    kpi = Entries(node)
    facts = {fact.name: fact for fact in outline.facts}
    fact = facts.get(read_from(kpi, "fact", facts))
    known = outline.fact_types(fact) if fact and fact.source else {}
    made = specs.Kpi(
        name=name,
        fact=fact.name if fact else "",
        period=kpi.get("period", lambda item: item.one_of(specs.PERIODS, "period"), ""),
        by=kpi.get("by", lambda item: item.columns(known), ()),
        measures=kpi.need("measures", all_of(read_measure(known)), ()),
        where=kpi.get("where", lambda item: item.expression(known), ""),
        comment=kpi.get("comment", Node.text, ""),
    )
    kpi.close()
    if not made.groups:
        node.wrong("expected a `period`, columns in `by`, or both")
    return made
