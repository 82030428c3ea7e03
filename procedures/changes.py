"""What applying a pipeline file would do to tables and tasks: nothing is lost, or it is refused."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ddl
import names
from specs import Pipeline
from taskgraph import plan

NUMERIC = re.compile(r"NUMBER\((\d+),(\d+)\)")
Tables = Mapping[str, Mapping[str, str]]  # table -> column -> type, as the account has them


class LosesData(ValueError):
    """A pipeline file that cannot be applied without losing rows or values that are there."""

    def __init__(self, pipeline: str, reasons: list[str]) -> None:
        self.pipeline, self.reasons = pipeline, tuple(reasons)
        lines = "\n".join(f"  {reason}" for reason in reasons)
        super().__init__(
            f"{pipeline}: applying this would lose data, so nothing was changed.\n{lines}\n"
            f"Give the part another name, or let its data go first: CALL config.drop_pipeline('{pipeline}', TRUE)"
        )


@dataclass(frozen=True)
class Change:
    """One change: what is done to which object, why, and the statements that do it before tables are created."""

    kind: str  # create, add column, widen, make anew, keep, replace, drop
    object: str
    detail: str = ""
    statements: tuple[str, ...] = ()


def type_of(declared: str) -> str:
    """A type as the information schema gives it.

    >>> type_of("NUMBER NOT NULL"), type_of("VARCHAR"), type_of("NUMBER(12, 2)")
    ('NUMBER(38,0)', 'TEXT', 'NUMBER(12,2)')
    """
    plain = declared.upper().split(" NOT NULL")[0].replace(" ", "")
    return {"VARCHAR": "TEXT", "NUMBER": "NUMBER(38,0)"}.get(plain, plain)


def widens(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new, and Snowflake changes it in place.

    >>> widens("NUMBER(12,2)", "NUMBER(18,2)"), widens("NUMBER(12,2)", "NUMBER(18,4)")
    (True, False)
    """
    before, after = NUMERIC.fullmatch(old), NUMERIC.fullmatch(new)
    return bool(before and after and before[2] == after[2] and int(after[1]) >= int(before[1]))


def alter_type(table: str, column: str, type_name: str) -> str:
    """A column made wider.

    >>> alter_type("silver.orders", "amount", "NUMBER(18,2)")
    'ALTER TABLE silver.orders ALTER COLUMN amount SET DATA TYPE NUMBER(18,2)'
    """
    return f"ALTER TABLE {names.qualified(*table.split('.'))} ALTER COLUMN {names.identifier(column)} SET DATA TYPE {type_of(type_name)}"


def drop_table(table: str) -> str:
    return f"DROP TABLE IF EXISTS {names.qualified(*table.split('.'))}"


def computed(pipeline: Pipeline) -> set[str]:
    """Tables that hold nothing that is not in silver or in the batch in hand: they can be made anew."""
    derived = {item.table for item in (*pipeline.facts, *pipeline.kpis)} | {kpi.touched for kpi in pipeline.kpis}
    return derived | {table for table in ddl.tables(pipeline) if table.startswith("stage.")}


def table_changes(pipeline: Pipeline, before: Pipeline | None, there: Tables) -> list[Change]:
    """What happens to each table; raises LosesData with every reason why one cannot be."""
    made: list[Change] = []
    reasons = list(changed_keys(pipeline, before))
    anew = computed(pipeline)
    old_keys = {table: key for table, (_, key, _) in ddl.tables(before).items()} if before else {}
    for table, (columns, key, _) in ddl.tables(pipeline).items():
        if table not in there:
            made.append(Change("create", table))
            continue
        held = there[table]
        gone = sorted(held.keys() - columns.keys())
        changed = {name: (held[name], type_of(kind)) for name, kind in columns.items() if name in held and held[name] != type_of(kind)}
        added = [name for name in columns if name not in held]
        is_other_key = table in old_keys and old_keys[table] != key
        if table in anew and (is_other_key or gone or any(not widens(*types) for types in changed.values())):
            detail = "computed again from silver" if not table.startswith(("stage.", "control.")) else "holds nothing between runs"
            made.append(Change("make anew", table, detail, (drop_table(table),)))
            continue
        for name, (old, new) in changed.items():
            if widens(old, new):
                made.append(Change("widen", f"{table}.{name}", f"{old} to {new}", (alter_type(table, name, columns[name]),)))
            else:
                reasons.append(f"{table}.{name} is {old} and would be {new}")
        made += [Change("add column", f"{table}.{name}", columns[name], (ddl.add_column(table, name, columns[name]),)) for name in added]
        made += [Change("keep", f"{table}.{name}", "the file does not name it any more") for name in gone]
    if reasons:
        raise LosesData(pipeline.name, reasons)
    if before:
        for table in sorted(ddl.tables(before).keys() - ddl.tables(pipeline).keys()):
            if table in there and not table.startswith("stage."):
                made.append(Change("keep", table, "the file does not name it any more"))
        made += [Change("drop", table, "earlier releases put numbers there in hand", (drop_table(table),)) for table in numbers_in_hand(before, there)]
    return made


def numbers_in_hand(before: Pipeline, there: Tables) -> list[str]:
    """The stage tables of KPIs, which earlier releases made: known by their columns, which no other stage table has."""
    own = {names.qualified("stage", kpi.name): before.kpi_types(kpi).keys() for kpi in before.kpis}
    return [table for table, columns in own.items() if table in there and there[table].keys() == columns]


def changed_keys(pipeline: Pipeline, before: Pipeline | None) -> Iterator[str]:
    """What tells one thing from another cannot change under rows that are there."""
    if before is None:
        return
    for old_items, items in ((before.sources, pipeline.sources), (before.dimensions, pipeline.dimensions)):
        old = {item.name: item.key for item in old_items}
        for item in items:
            if item.name in old and old[item.name] != item.key:
                yield f"the key of {item.name} is ({', '.join(old[item.name])}) and would be ({', '.join(item.key)})"


def task_changes(pipeline: Pipeline, before: Pipeline | None) -> list[Change]:
    """What happens to tasks; all of a graph are replaced together."""
    new = {task.name: task for task in plan(pipeline)}
    old = {task.name: task for task in plan(before)} if before else {}
    made = [Change("create", f"tasks.{name}") for name in new if name not in old]
    made += [
        Change("replace", f"tasks.{name}", f"after {', '.join(task.after)}" if task.after else task.schedule)
        for name, task in new.items()
        if name in old and old[name] != task
    ]
    return made + [Change("drop", f"tasks.{name}") for name in old if name not in new]


def grant_changes(pipeline: Pipeline, there: Tables) -> list[Change]:
    """Rights that are given with new tables, here and by the administrator."""
    made = [
        Change("grant", f"SELECT on {table} to {role}")
        for table in ddl.tables(pipeline)
        for role in ((ddl.ADMIN, ddl.READER) if table.startswith("gold.") else (ddl.ADMIN,))
        if table not in there
    ]
    new = [source.name for source in pipeline.sources if source.silver not in there]
    return made + [Change("grant", f"SELECT, DELETE on bronze.{name} to the application", "by the administrator: firn setup-sql") for name in new]
