"""A pipeline file becomes tables, control rows and tasks; applying it again changes nothing."""

import hashlib
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import changes
import ddl
import spec_file
import transforming
import watermark
import writing
from snowflake.snowpark import Session
from specs import Dimension, Pipeline
from taskgraph import look, plan

SPEC, FRESHNESS = "control.pipeline_spec", "control.freshness_allowed"
# Where rows of one pipeline are kept beside its tables; the log and the specs stay when it goes.
OWN_ROWS = (
    *("control.parameter_control", "control.ledger", "control.file_ledger", "control.loads_in_hand"),
    *("control.quarantine", "control.quarantine_correction", "control.quarantine_decision", "control.changed_window"),
    *("control.freshness_allowed", "control.alerts", "control.reconciliation"),
)


class TableTaken(ValueError):
    """A table the spec asks for belongs to another pipeline."""

    def __init__(self, table: str, owner: str) -> None:
        self.table, self.owner = table, owner
        super().__init__(f"{table} belongs to pipeline `{owner}`. Give the source, dimension, fact or KPI another name.")


def packaged(pipeline: str) -> str:
    """The text of a pipeline file that ships with the app; the procedure names it among its IMPORTS."""
    folder = sys._xoptions.get("snowflake_import_directory") or str(Path(__file__).parent)
    file = Path(str(folder)) / f"{pipeline}.yml"
    if not pipeline.isidentifier() or not file.is_file():
        known = ", ".join(sorted(path.stem for path in Path(str(folder)).glob("*.yml")))
        raise LookupError(f"No pipeline `{pipeline}` is packaged with this app. Packaged are: {known}")
    return file.read_text(encoding="utf-8")


def current(session: Session) -> dict[str, tuple[int, str, Pipeline]]:
    """The applied pipelines: version, hash and spec of each, less those that this release refuses: they stop no other."""
    found = session.sql(f"SELECT pipeline, version, sha256, spec FROM {SPEC} WHERE is_current ORDER BY pipeline").collect()
    return {row["PIPELINE"]: (int(row["VERSION"]), row["SHA256"], spec) for row in found if (spec := readable(row["PIPELINE"], row["SPEC"]))}


def readable(name: str, text: str) -> Pipeline | None:
    """A kept pipeline file, or nothing where it is of a form that is not read any more."""
    try:
        return spec_file.parse(text, f"{name}.yml")
    except spec_file.SpecRefused:
        return None


def is_applied(session: Session, name: str) -> bool:
    return bool(session.sql(f"SELECT 1 FROM {SPEC} WHERE is_current AND pipeline = ?", params=[name]).collect())


def apply(session: Session, text: str, file: str, now: datetime, dry_run: bool = False) -> dict[str, Any]:
    """Applies a pipeline file: refuses it whole when anything is wrong with it, before the first change.

    What is missing is created, what changed is altered where that is safe; what would lose rows or values raises
    LosesData.  With `dry_run` it says what it would do.
    """
    pipeline = spec_file.parse(text, file)
    for source in pipeline.sources:
        if source.transform:
            transforming.function_of(source.transform)
    applied, there = current(session), tables_there(session)
    refuse_taken_tables(session, pipeline, applied, there)
    version, old_hash, before = applied.get(pipeline.name, (0, "", None))
    new_hash = hashlib.sha256(text.encode()).hexdigest()
    is_changed = new_hash != old_hash
    tables = changes.table_changes(pipeline, before, there)
    planned = [*tables, *changes.task_changes(pipeline, before), *changes.grant_changes(pipeline, there)]
    again = changed_steps(pipeline, before) if is_changed else []
    last = version or newest_version(session, pipeline.name)
    result = {
        "pipeline": pipeline.name,
        "version": last + 1 if is_changed else version,
        "sha256": new_hash,
        "changed": is_changed,
        "tasks": len(plan(pipeline)),
        "dry_run": dry_run,
        "changes": [{"kind": item.kind, "object": item.object, "detail": item.detail} for item in planned],
        "computed_again": again,
    }
    if dry_run:
        return result
    for statement in (*(line for item in tables for line in item.statements), *ddl.table_statements(pipeline, before)):
        session.sql(statement).collect()
    for dimension in pipeline.dimensions:
        session.sql(ddl.standing_members(pipeline, dimension)).collect()
    if pipeline.calendar:
        session.sql(ddl.unknown_day(pipeline)).collect()
    with writing.transaction(session):
        add_control_rows(session, pipeline, now)
        allow_freshness(session, pipeline)
        if is_changed:
            record(session, pipeline.name, last + 1, new_hash, text, now)
            for step in again:
                set_back(session, pipeline.name, step)
    replace_tasks(session, pipeline, before)
    return result


def renew(session: Session, now: datetime) -> dict[str, str]:
    """Applies every applied pipeline again, word for word, so that a new release finds the tables and columns it asks for.

    Stage tables that a release before had and this one does not are dropped: they hold nothing between runs.
    Gives: by pipeline `renewed`, or the first line of what is in the way.  One that cannot be renewed keeps its tables and
    fails in its own steps, saying so: an error here would take the upgrade back from the pipelines that can.
    """
    outcomes = {}
    for name in [row["PIPELINE"] for row in session.sql(f"SELECT pipeline FROM {SPEC} WHERE is_current ORDER BY pipeline").collect()]:
        try:
            apply(session, export(session, name), f"{name}.yml", now)
            outcomes[name] = "renewed"
        except Exception as error:
            outcomes[name] = f"not renewed: {str(error).splitlines()[0]}"
    if set(outcomes.values()) <= {"renewed"}:
        named = {table for _, _, pipeline in current(session).values() for table in ddl.tables(pipeline)}
        for table in changes.unnamed_stages(tables_there(session), named):
            session.sql(changes.drop_table(table)).collect()
    return outcomes


def bound(session: Session) -> tuple[str, str]:
    """Database and schema of the landing tables."""
    row = session.sql("SELECT database_name, schema_name FROM control.binding").collect()[0]
    return row["DATABASE_NAME"], row["SCHEMA_NAME"]


def tables_there(session: Session) -> dict[str, dict[str, str]]:
    """The tables of the app's schemas of state, with their columns and types."""
    found = session.sql(
        "SELECT table_schema, table_name, column_name, data_type, numeric_precision, numeric_scale "
        "FROM information_schema.columns WHERE table_schema IN ('STAGE', 'SILVER', 'GOLD', 'CONTROL')"
    ).collect()
    tables: dict[str, dict[str, str]] = {}
    for row in found:
        kind = row["DATA_TYPE"]
        if kind == "NUMBER":
            kind = f"NUMBER({row['NUMERIC_PRECISION']},{row['NUMERIC_SCALE']})"
        columns = tables.setdefault(f"{row['TABLE_SCHEMA']}.{row['TABLE_NAME']}".lower(), {})
        columns[row["COLUMN_NAME"].lower()] = kind
    return tables


def newest_version(session: Session, pipeline: str) -> int:
    """The highest version a pipeline ever had, also one that was dropped since."""
    row = session.sql(f"SELECT MAX(version) AS newest FROM {SPEC} WHERE pipeline = ?", params=[pipeline]).collect()[0]
    return int(row["NEWEST"] or 0)


def root_state(session: Session, root: str) -> str:
    """`started`, `suspended`, or nothing when there is no such task."""
    found = session.sql("SHOW TASKS IN SCHEMA tasks").collect()
    return next((row["state"] for row in found if row["name"].lower() == root.lower()), "")


def replace_tasks(session: Session, pipeline: Pipeline, before: Pipeline | None) -> None:
    """Replaces the graph; it runs afterwards unless somebody had suspended it.  An error leaves it as it ran before."""
    root = plan(pipeline)[0].name
    state = root_state(session, root)
    try:
        for statement in ddl.task_statements(pipeline, before, bound(session), resume=state != "suspended"):
            session.sql(statement).collect()
    except Exception:
        if state == "started":
            session.sql(ddl.resume_task(root)).collect()
        raise


def export(session: Session, pipeline: str, version: int | None = None) -> str:
    """The text of a pipeline file as it was applied: the current version, or one by its number."""
    which = "is_current" if version is None else "version = ?"
    params = [pipeline] if version is None else [pipeline, version]
    found = session.sql(f"SELECT spec FROM {SPEC} WHERE pipeline = ? AND {which}", params=params).collect()
    if not found:
        rows = session.sql(f"SELECT pipeline, version FROM {SPEC} ORDER BY pipeline, version").collect()
        known = ", ".join(f"{row['PIPELINE']} {row['VERSION']}" for row in rows) or "none"
        raise LookupError(f"No pipeline `{pipeline}`{'' if version is None else f' of version {version}'}. Versions there are: {known}")
    return found[0]["SPEC"]


def drop(session: Session, pipeline: str, with_data: bool = False) -> dict[str, Any]:
    """Stops a pipeline and removes its tasks.  Its tables and its place in bronze stay, unless `with_data`.

    Applied again, a pipeline whose data was kept goes on where it stood.  The log and the versions always stay.
    """
    applied = current(session)
    if pipeline not in applied and not with_data:
        raise LookupError(f"No pipeline `{pipeline}` is applied. Applied: {', '.join(applied) or 'none'}")
    text = export(session, pipeline, None if pipeline in applied else newest_version(session, pipeline))
    spec = spec_file.parse(text, f"{pipeline}.yml")
    graph = [*plan(spec), *([watcher] if (watcher := look(spec)) else [])]
    session.sql(ddl.suspend_task(graph[0].name)).collect()
    for task in reversed(graph):
        session.sql(ddl.drop_task(task.name)).collect()
    taken = {table for name, (_, _, other) in applied.items() if name != pipeline for table in ddl.tables(other)}
    gone = [table for table in tables_ever(session, pipeline) if table not in taken] if with_data else []
    for table in gone:
        session.sql(changes.drop_table(table)).collect()
    with writing.transaction(session):
        session.sql(f"UPDATE {SPEC} SET is_current = FALSE WHERE pipeline = ?", params=[pipeline]).collect()
        for table in OWN_ROWS if with_data else ():
            session.sql(f"DELETE FROM {table} WHERE pipeline = ?", params=[pipeline]).collect()
    kept = [] if with_data else [table for table in ddl.tables(spec) if not table.startswith("stage.")]
    return {"pipeline": pipeline, "tasks_dropped": len(graph), "tables_dropped": gone, "tables_kept": kept}


def tables_ever(session: Session, pipeline: str) -> list[str]:
    """The tables of all versions of a pipeline: what a later one does not name any more was kept."""
    rows = session.sql(f"SELECT spec FROM {SPEC} WHERE pipeline = ? ORDER BY version", params=[pipeline]).collect()
    specs = [spec for row in rows if (spec := readable(pipeline, row["SPEC"]))]
    return list(dict.fromkeys(table for spec in specs for table in ddl.tables(spec)))


def refuse_taken_tables(
    session: Session, pipeline: Pipeline, applied: dict[str, tuple[int, str, Pipeline]], there: dict[str, dict[str, str]]
) -> None:
    """Raises TableTaken for tables of another pipeline, or of a dropped one whose data was kept."""
    wanted = ddl.tables(pipeline).keys()
    for name, (_, _, other) in applied.items():
        for table in sorted(wanted & ddl.tables(other).keys()) if name != pipeline.name else ():
            raise TableTaken(table, name)
    # What it has already is its own, though a pipeline dropped with its data once had a table of that name.
    own = ddl.tables(applied[pipeline.name][2]).keys() if pipeline.name in applied else set()
    for name, other in dropped(session, {*applied, pipeline.name}).items():
        for table in sorted((wanted & ddl.tables(other).keys() & there.keys()) - own):
            raise TableTaken(table, name)


def dropped(session: Session, others: set[str]) -> dict[str, Pipeline]:
    """The last specs of pipelines that are not applied any more."""
    rows = session.sql(
        f"SELECT pipeline, spec FROM {SPEC} QUALIFY ROW_NUMBER() OVER (PARTITION BY pipeline ORDER BY version DESC) = 1"
    ).collect()
    kept = {row["PIPELINE"]: readable(row["PIPELINE"], row["SPEC"]) for row in rows if row["PIPELINE"] not in others}
    return {name: spec for name, spec in kept.items() if spec}


def add_control_rows(session: Session, pipeline: Pipeline, now: datetime) -> None:
    """One row per step, and the row `pipeline` that is the lock and counts the batches."""
    parts: list[Any] = [*pipeline.sources, *pipeline.dimensions, *pipeline.facts, *pipeline.kpis]
    for step in ("pipeline", *(part.step for part in parts), "sweep"):
        session.sql(
            f"INSERT INTO {watermark.CONTROL} (pipeline, step, last_batch, status, updated_at) "
            "SELECT ?, ?, 0, 'new', ? WHERE NOT EXISTS "
            f"(SELECT 1 FROM {watermark.CONTROL} WHERE pipeline = ? AND step = ?)",
            params=[pipeline.name, step, now, pipeline.name, step],
        ).collect()
    for source in pipeline.sources:
        session.sql(
            f"UPDATE {watermark.CONTROL} SET source = ?, overlap_seconds = ? WHERE pipeline = ? AND step = ?",
            params=[source.name, int(source.overlap.total_seconds()), pipeline.name, source.step],
        ).collect()


def allow_freshness(session: Session, pipeline: Pipeline) -> None:
    """How old each target may be, beside the source it depends on; what the file no longer names goes."""
    session.sql(f"DELETE FROM {FRESHNESS} WHERE pipeline = ?", params=[pipeline.name]).collect()
    for target, allowed in pipeline.freshness.items():
        source = source_behind(pipeline, target)
        if source:
            session.sql(
                f"INSERT INTO {FRESHNESS} (pipeline, target, source, allowed_seconds) SELECT ?, ?, ?, ?",
                params=[pipeline.name, target, source, int(allowed.total_seconds())],
            ).collect()


def source_behind(pipeline: Pipeline, target: str) -> str | None:
    """The source whose arrivals a source, dimension, fact or KPI depends on."""
    behind = {source.name: source.name for source in pipeline.sources}
    behind |= {item.name: item.source for item in (*pipeline.dimensions, *pipeline.facts)}
    behind |= {kpi.name: behind[kpi.fact] for kpi in pipeline.kpis}
    return behind.get(target)


def record(session: Session, pipeline: str, version: int, sha256: str, text: str, now: datetime) -> None:
    session.sql(f"UPDATE {SPEC} SET is_current = FALSE WHERE pipeline = ? AND is_current", params=[pipeline]).collect()
    session.sql(
        f"INSERT INTO {SPEC} (pipeline, version, sha256, applied_at, applied_by, spec, is_current) "
        "SELECT ?, ?, ?, ?, CURRENT_USER(), ?, TRUE",
        params=[pipeline, version, sha256, now, text],
    ).collect()


def changed_steps(pipeline: Pipeline, before: Pipeline | None) -> list[str]:
    """Steps that must look at everything again, because what they make is declared otherwise than before."""
    if before is None:
        return []
    kinds: list[Callable[[Pipeline], tuple[Any, ...]]] = [
        lambda spec: spec.dimensions,
        lambda spec: spec.facts,
        lambda spec: spec.kpis,
    ]
    changed = [item for kind in kinds for item in kind(pipeline) if item not in kind(before)]
    dimensions = {item.name for item in changed if isinstance(item, Dimension)}
    facts = {item.name for item in pipeline.facts if item in changed or {k.dimension for k in item.lookups} & dimensions}
    return [
        item.step
        for item in (*pipeline.dimensions, *pipeline.facts, *pipeline.kpis)
        if item in changed or item.name in facts or getattr(item, "fact", "") in facts
    ]


def set_back(session: Session, pipeline: str, step: str) -> None:
    session.sql(
        f"UPDATE {watermark.CONTROL} SET last_batch = 0 WHERE pipeline = ? AND step = ?", params=[pipeline, step]
    ).collect()
