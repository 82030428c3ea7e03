"""A pipeline file becomes tables, control rows and tasks; applying it again changes nothing."""

import hashlib
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import ddl
import spec_file
import watermark
import writing
from snowflake.snowpark import Session
from specs import Dimension, Pipeline
from taskgraph import plan

SPEC = "control.pipeline_spec"


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
    """The applied pipelines: version, hash and spec of each."""
    found = session.sql(f"SELECT pipeline, version, sha256, spec FROM {SPEC} WHERE is_current ORDER BY pipeline").collect()
    return {
        row["PIPELINE"]: (int(row["VERSION"]), row["SHA256"], spec_file.parse(row["SPEC"], f"{row['PIPELINE']}.yml"))
        for row in found
    }


def apply(session: Session, text: str, file: str, now: datetime) -> dict[str, Any]:
    """Applies a pipeline file: refuses it whole when anything is wrong with it, before the first change."""
    pipeline = spec_file.parse(text, file)
    applied = current(session)
    refuse_taken_tables(pipeline, {name: spec for name, (_, _, spec) in applied.items() if name != pipeline.name})
    version, old_hash, before = applied.get(pipeline.name, (0, "", None))
    for statement in ddl.table_statements(pipeline, before):
        session.sql(statement).collect()
    for dimension in pipeline.dimensions:
        session.sql(ddl.standing_members(pipeline, dimension)).collect()
    if pipeline.calendar:
        session.sql(ddl.unknown_day(pipeline)).collect()
    new_hash = hashlib.sha256(text.encode()).hexdigest()
    with writing.transaction(session):
        add_control_rows(session, pipeline, now)
        if new_hash != old_hash:
            version += 1
            record(session, pipeline.name, version, new_hash, text, now)
            for step in changed_steps(pipeline, before):
                set_back(session, pipeline.name, step)
    for statement in ddl.task_statements(pipeline, before):
        session.sql(statement).collect()
    return {"pipeline": pipeline.name, "version": version, "changed": new_hash != old_hash, "tasks": len(plan(pipeline))}


def refuse_taken_tables(pipeline: Pipeline, others: dict[str, Pipeline]) -> None:
    wanted = ddl.tables(pipeline).keys()
    for name, other in others.items():
        for table in sorted(wanted & ddl.tables(other).keys()):
            raise TableTaken(table, name)


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
