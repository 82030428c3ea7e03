"""The handlers that SQL calls: arguments become objects, one step runs, its log is written, counts go back."""

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import applying
import budgets
import explaining
import faults
import materialized
import names
import rebuilding
import reconciling
import replaying
import rewinding
import runlog
import spec_file
import sweeping
import tagging
import taskgraph
import telling
import turns
import upkeep
import watermark
from expressions import unknown
from runlog import StepResult
from runs import Run, utc_now
from snowflake.snowpark import Session
from snowflake.snowpark.exceptions import SnowparkSQLException
from steps import STEPS


class StepUnknown(LookupError):
    """A step that does not exist was called."""

    error_class = "contract"

    def __init__(self, pipeline: str, step: str, known: Sequence[str]) -> None:
        self.pipeline, self.step = pipeline, step
        super().__init__(f"{pipeline}: {unknown('step', step, known)}")


class RunFailed(RuntimeError):
    """A run in which steps failed; what the other steps did is committed."""

    def __init__(self, run_id: str, failures: dict[str, str]) -> None:
        self.run_id, self.failures = run_id, failures
        lines = "\n".join(f"  {step}: {error}" for step, error in failures.items())
        super().__init__(
            f"Run {run_id}: {len(failures)} step(s) failed; the next run takes up what they left, or now: CALL core.resume('{run_id}')\n{lines}"
        )


@tagging.cleared
def run_pipeline(session: Session, pipeline: str | None = None) -> dict[str, Any]:
    """Runs every step of a pipeline, or of every pipeline applied, in the order of its task graph."""
    wanted = [pipeline] if pipeline else list(applied_names(session))
    runs = [run_all(open_run(session, name, str(uuid.uuid4()))) for name in wanted]
    return runs[0] if len(runs) == 1 else {"runs": runs}


@tagging.cleared
def run_step(session: Session, pipeline: str, step: str, target: str) -> dict[str, Any]:
    """Runs one step: what a task of the graph calls."""
    run_id, by = graph_run_id(session)
    run = open_run(session, pipeline, run_id, by)
    known = [title_of(task.step, task.target) for task in taskgraph.plan(run.pipeline)]
    if title_of(step, target) not in known:  # before it is in the log: an alert about no step would never be over
        raise StepUnknown(pipeline, title_of(step, target), known)
    if by == "task":
        return run_one(run, step, target)
    with announced(run, title_of(step, target)):
        return run_one(run, step, target, is_asked=True)


@tagging.cleared
def resume(session: Session, run_id: str) -> dict[str, Any]:
    """Takes up a failed run: the steps that failed, were skipped or never came to an end, in the order of the plan."""
    pipeline, newest = runlog.latest(quick(session), run_id)
    run = open_run(session, pipeline, run_id)
    what = json.loads(newest["begin"]["DETAIL"])["what"] if "begin" in newest else "run"
    left = [task for task in taskgraph.plan(run.pipeline) if is_left(task, newest, what)]
    steps: list[dict[str, Any]] = []
    if left:
        with announced(run, what):
            steps = run_tasks(run, left, is_asked=True)
    return {"run_id": run_id, "pipeline": pipeline, "status": "succeeded" if left else "nothing to resume", "steps": steps}


def is_left(task: taskgraph.Task, newest: dict[str, Any], what: str) -> bool:
    """Whether a run has not brought a step to an end; a run of one step has only that one to bring there."""
    title = title_of(task.step, task.target)
    if task.step in ("begin", "finish") or (what != "run" and title not in newest):
        return False
    return title not in newest or newest[title]["STATUS"] not in ("succeeded", "nothing new")


@tagging.cleared
def rewind(session: Session, source: str, to_at: datetime, dry_run: bool = False) -> dict[str, Any]:
    """Takes the rows of a source that arrived after a moment again; with `dry_run`, says what that would change."""
    run = run_of_source(session, source)
    with announced(run, f"rewind {source}"):
        return logged(run, f"rewind {source}", lambda: rewinding.rewind(run, source, to_at, dry_run))


@tagging.cleared
def reconcile(session: Session, pipeline: str | None = None) -> dict[str, Any]:
    """Holds bucket, bronze, ledger, silver, quarantine and gold against one another; raises when they do not agree."""
    wanted = [pipeline] if pipeline else list(applied_names(session))
    found = [reconciled(open_run(session, name, str(uuid.uuid4()))) for name in wanted]
    return found[0] if len(found) == 1 else {"pipelines": found}


def reconciled(run: Run) -> dict[str, Any]:
    with announced(run, "reconcile"):
        return logged(run, "reconcile", lambda: reconciling.reconcile(run))


@tagging.cleared
def rebuild(session: Session, dimension: str, from_at: datetime | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Recomputes a dimension from silver and says what it changes; with `dry_run`, what it would change."""
    for name, (_, _, spec) in applying.current(quick(session)).items():
        if dimension in {known.name for known in spec.dimensions}:
            run = open_run(session, name, str(uuid.uuid4()))
            with announced(run, f"rebuild {dimension}"):
                return rebuilding.rebuild(run, dimension, from_at, dry_run)
    known = sorted(known.name for _, _, spec in applying.current(session).values() for known in spec.dimensions)
    raise LookupError(f"No dimension `{dimension}`. Dimensions are: {', '.join(known) or 'none'}")


@tagging.cleared
def replay_quarantine(session: Session, source: str, check_name: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Waiting rows of a source through the load's door again; with `dry_run`, which would pass."""
    run = run_of_source(session, source)
    if dry_run:
        return replaying.replay(run, source, check_name, dry_run)
    with announced(run, f"replay {source}"):
        return logged(run, f"replay {source}", lambda: replaying.replay(run, source, check_name, dry_run))


@tagging.cleared
def correct_quarantine(session: Session, quarantine_id: str, corrected: Any) -> dict[str, Any]:
    """Gives one waiting row other values, as its file should have held them."""
    if not quarantine_id:
        raise LookupError("No quarantine_id was given; it is NULL. Ids are in control.quarantine, column quarantine_id.")
    source = quarantine_id.partition("/")[0]
    return replaying.correct(run_of_source(session, source), source, quarantine_id, corrected)


@tagging.cleared
def discard_quarantine(session: Session, source: str, selected: str, reason: str) -> dict[str, Any]:
    """Gives up the waiting rows of a check, or one row."""
    return replaying.discard(run_of_source(session, source), source, selected, reason)


@tagging.cleared
def restore_quarantine(session: Session, source: str, selected: str, reason: str) -> dict[str, Any]:
    """Takes discarded rows back."""
    return replaying.restore(run_of_source(session, source), source, selected, reason)


@tagging.cleared
def explain_row(session: Session, table: str, key: dict[str, Any]) -> dict[str, Any]:
    """Where a row of gold comes from, down to the line of the file; `key` names its grain, natural key or group."""
    name = table.lower().removeprefix("gold.")
    known = {made: pipeline for pipeline, (_, _, spec) in applying.current(quick(session)).items() for made in explaining.tables(spec)}
    if name not in known:
        raise LookupError(f"No rows of `{table}` come from files. Tables that do: {', '.join(sorted(known)) or 'none'}")
    return explaining.explain(open_run(session, known[name], str(uuid.uuid4())), name, key)


@tagging.cleared
def enable_materialized_views(session: Session, kpi: str | None = None) -> dict[str, Any]:
    """Materialized views of the KPIs by period, or of one KPI: the legal ones are made, the others explained."""
    return of_every_pipeline(session, kpi, materialized.enable)


@tagging.cleared
def disable_materialized_views(session: Session, kpi: str | None = None) -> dict[str, Any]:
    return of_every_pipeline(session, kpi, materialized.disable)


def of_every_pipeline(session: Session, kpi: str | None, work: Callable[[Run, str | None], dict[str, Any]]) -> dict[str, Any]:
    """What `work` says of each pipeline that has the KPI, or of all when none is named."""
    specs = {name: spec for name, (_, _, spec) in applying.current(quick(session)).items()}
    known = {made.name: name for name, spec in specs.items() for made in spec.kpis}
    if kpi and kpi not in known:
        raise LookupError(f"No KPI `{kpi}`. KPIs are: {', '.join(sorted(known)) or 'none'}")
    return {name: work(open_run(session, name, str(uuid.uuid4())), kpi) for name in specs if not kpi or known[kpi] == name}


def apply_packaged(session: Session, pipeline: str, unless_dropped: bool = False) -> dict[str, Any]:
    """Applies a pipeline file that ships with the app; with `unless_dropped` not one that somebody dropped."""
    if unless_dropped and not applying.is_applied(quick(session), pipeline) and applying.newest_version(session, pipeline):
        return {"pipeline": pipeline, "changed": False, "dropped": f"CALL config.apply_packaged('{pipeline}') brings it back"}
    return applying.apply(quick(session), applying.packaged(pipeline), f"{pipeline}.yml", utc_now())


def renew_pipelines(session: Session) -> dict[str, str]:
    """Applies every applied pipeline again, as it was applied: what an upgrade does for their tables."""
    return applying.renew(quick(session), utc_now())


def apply_spec(session: Session, text: str, dry_run: bool = False) -> dict[str, Any]:
    """Applies a pipeline file given as text; with `dry_run`, says what that would change."""
    return applying.apply(quick(session), text, "spec", utc_now(), dry_run)


def export_spec(session: Session, pipeline: str, version: int | None = None) -> str:
    """The text of an applied pipeline file."""
    return applying.export(quick(session), pipeline, version)


def drop_pipeline(session: Session, pipeline: str, with_data: bool = False) -> dict[str, Any]:
    """Stops a pipeline; its data stays unless `with_data`."""
    return applying.drop(quick(session), pipeline, with_data)


def bind_bronze(session: Session, database_name: str, schema_name: str) -> str:
    """Says where the landing tables are."""
    database_name, schema_name = names.identifier(database_name), names.identifier(schema_name)
    session.sql(
        "UPDATE control.binding SET database_name = ?, schema_name = ?, bound_at = ?",
        params=[database_name, schema_name, utc_now()],
    ).collect()
    return f"bronze is {database_name}.{schema_name}"


def run_all(run: Run) -> dict[str, Any]:
    """Every step of the plan, and the run in a word."""
    done = run_tasks(run, taskgraph.plan(run.pipeline))
    return {**done[-1], "steps": [item for item in done if "step" in item]}


def run_tasks(run: Run, tasks: Sequence[taskgraph.Task], *, is_asked: bool = False) -> list[dict[str, Any]]:
    """Steps in the order of the plan; a step whose predecessor failed is skipped, the others go on."""
    done: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    blocked: set[str] = set()
    for task in tasks:
        title = title_of(task.step, task.target)
        if blocked & set(task.after) and not task.is_finalizer:
            blocked.add(task.name)
            attribute(run, title)
            done.append(run.log(StepResult(title, utc_now(), status="skipped")).counts())
            continue
        try:
            done.append(run_one(run, task.step, task.target, is_asked=is_asked))
        except Exception as error:  # logged by run_one; the other branches of the graph still run
            blocked.add(task.name)
            failures[title] = str(error)
    if failures:
        raise RunFailed(run.run_id, failures)
    return done


def run_one(run: Run, step: str, target: str, *, is_asked: bool = False) -> dict[str, Any]:
    """One step; when it fails for a passing reason it is tried again.  Asked for by name, it asks after no budget."""
    return logged(run, title_of(step, target), lambda: moved(run, step, target, is_asked))


def logged(run: Run, title: str, movement: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a movement gives; when it fails for good, its row in the log is written after the rollback, on its own."""
    attribute(run, title)
    started_at = utc_now()
    try:
        done = faults.retried(movement)
    except Exception as error:
        seconds = (utc_now() - started_at).total_seconds()
        told, fault = explained(run, title, error, seconds)
        telling.failed(run.pipeline.name, run.run_id, title, seconds, told, fault.error_class)
        said = f"{type(told).__name__}: {told}"
        run.log(StepResult(title, started_at, status="failed", error=said, error_class=fault.error_class))
        if told is error:
            raise
        raise told from error
    telling.ended(run.pipeline.name, run.run_id, title, (utc_now() - started_at).total_seconds(), done)
    return done


def explained(run: Run, title: str, error: Exception, seconds: float) -> tuple[Exception, faults.Fault]:
    """The error in words that say what to do, where the server's own do not."""
    fault = faults.classify(error)
    if fault.is_lock:
        others = turns.holders(run.session, run.pipeline.name, run.run_id)
        return turns.TurnTaken(run.pipeline.name, title, seconds, others), fault
    if not fault.advice:
        return error, fault
    return faults.ContractBroken(title, missing_columns(run, title) or str(error), fault.advice), fault


def missing_columns(run: Run, title: str) -> str:
    """The columns a load needs and bronze does not have, which neither the server nor the client names."""
    for source in run.pipeline.sources:
        if source.step == title:
            try:
                asked = run.session.sql(f"SELECT * FROM {run.bronze_name(source)} LIMIT 0")  # not the frame's own: it may be remembered
                there = {column.strip('"').lower() for column in asked.columns}
            except SnowparkSQLException:  # the table itself is not there; the error says so
                return ""
            missing = sorted(watermark.needed(source) - there)
            return f"{run.bronze_name(source)} has no column {', '.join(missing)}." if missing else ""
    return ""


def moved(run: Run, step: str, target: str, is_asked: bool = False) -> dict[str, Any]:
    waiting = None if is_asked else budgets.left_out(run, step, title_of(step, target))
    if waiting is not None:
        return run.log(waiting).counts()
    if step == "begin":
        return upkeep.begin(run)
    if step == "finish":
        return upkeep.finish(run)
    if step == "sweep":
        return sweeping.sweep(run).counts()
    return STEPS[step](run, target).counts()


@contextmanager
def announced(run: Run, what: str) -> Iterator[None]:
    """Says in the log what is called by hand, so that whoever waits for its turn is told; and when it is over."""
    attribute(run, "begin")
    upkeep.begin(run, what)
    try:
        yield
    finally:
        attribute(run, "finish")
        upkeep.finish(run, what)


def attribute(run: Run, title: str) -> None:
    """What follows is this step of this run, to whoever reads the account's QUERY_HISTORY."""
    tagging.mark(run.session, taskgraph.query_tag(run.pipeline.name, title, run.run_id))


def title_of(step: str, target: str) -> str:
    return f"{step} {target}".strip()


def run_of_source(session: Session, source: str) -> Run:
    """A run of its own in the pipeline that has the source; sources of two pipelines never share a name."""
    specs = {name: spec for name, (_, _, spec) in applying.current(quick(session)).items()}
    for name, spec in specs.items():
        if source in {known.name for known in spec.sources}:
            return open_run(session, name, str(uuid.uuid4()))
    raise LookupError(unknown("source", source, [known.name for spec in specs.values() for known in spec.sources]))


def quick(session: Session) -> Session:
    """The session with fewer questions to the server: frames know their columns from how they were built."""
    # The client warns that the setting is experimental; said by every process, it would fill terminals and event tables.
    logging.getLogger("snowflake.snowpark").addFilter(is_news)
    session.reduce_describe_query_enabled = True
    return session


def is_news(record: logging.LogRecord) -> bool:
    return "reduce_describe_query_enabled" not in record.getMessage()


def applied_names(session: Session) -> list[str]:
    found = session.sql(f"SELECT pipeline FROM {applying.SPEC} WHERE is_current ORDER BY pipeline").collect()
    return [row["PIPELINE"] for row in found]


def open_run(session: Session, pipeline: str, run_id: str, by: str = "call") -> Run:
    """A run of the pipeline as it is applied now."""
    tagging.mark(session, taskgraph.query_tag(pipeline, "open", run_id))
    found = quick(session).sql(
        "SELECT spec.version, spec.spec, binding.database_name, binding.schema_name "
        f"FROM {applying.SPEC} AS spec CROSS JOIN control.binding AS binding WHERE spec.pipeline = ? AND spec.is_current",
        params=[pipeline],
    ).collect()
    if not found:
        known = ", ".join(applied_names(session)) or "none"
        raise LookupError(f"No pipeline `{pipeline}` is applied. Applied: {known}. To apply a packaged one: "
                          f"CALL config.apply_packaged('{pipeline}')")
    row = found[0]
    spec = spec_file.parse(row["SPEC"], f"{pipeline}.yml")
    return Run(session, spec, run_id, int(row["VERSION"]), (row["DATABASE_NAME"], row["SCHEMA_NAME"]), by)


def graph_run_id(session: Session) -> tuple[str, str]:
    """The id that all tasks of one run of the graph share, `task`; outside a task, a new one, `call`."""
    try:
        found = session.sql("SELECT SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID') AS run_id").collect()
    except SnowparkSQLException:  # https://docs.snowflake.com/en/sql-reference/functions/system_task_runtime_info
        return str(uuid.uuid4()), "call"
    run_id = found[0]["RUN_ID"]
    return (str(run_id), "task") if run_id else (str(uuid.uuid4()), "call")
