"""What `firn doctor` looks for in an account: a flat list of small functions, facts in, findings out.

None of them asks anything; what a check cannot know, because its facts could not be had, it says nothing about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from local.doctor_facts import Applied, Facts, Row
from local.doctor_findings import NOTE, WRONG, Finding, Hand, gist, listed, plural
from local.rig import taskgraph
from local.setup_sql import Source, names

Check = Callable[[Facts, Hand], Iterator[Finding]]
CLOCK = dt.timedelta(minutes=1)
HUNG = dt.timedelta(hours=1)  # what Snowflake gives a task, unless told otherwise; nothing of Firn's is silent for so long
WAITED = dt.timedelta(days=7)  # rows in quarantine that nobody has decided about
STALE_SOON = dt.timedelta(days=2)
SWEPT_LATE = dt.timedelta(days=1)  # past retention
MISSED = 3  # schedules


# --- the application


def application_is_installed(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.application is None and "application" not in facts.blind:
        run = "snow app run --connection " + hand.connection if hand.connection else hand.firn("snow", "app", "run")
        yield Finding("application", facts.app, f"there is no application of this name that role {facts.role} can see", "installed", (run,))


def application_is_whole(facts: Facts, hand: Hand) -> Iterator[Finding]:
    state = str((facts.application or {}).get("upgrade_state") or "")
    if facts.application and state and state not in ("COMPLETE", "UPGRADE_STATE_COMPLETE"):
        again = f"snow app run --connection {hand.connection}" if hand.connection else hand.firn("snow", "app", "run")
        yield Finding("application", facts.app, f"its upgrade is {state}", "an upgrade that has ended", (hand.sql(f"DESC APPLICATION {facts.app}"), again))


def a_pipeline_is_applied(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.application and not facts.applied and "pipelines" not in facts.blind:
        first = next(iter(facts.packaged), "retail")
        yield Finding("specs", facts.app, "no pipeline is applied", "at least one", (hand.sql(f"CALL {facts.app}.config.apply_packaged('{first}')"),))


def applied_files_are_those_of_this_clone(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """A packaged file that was changed and not applied since: the account goes on with the one before."""
    for one in facts.applied:
        packaged = facts.packaged.get(one.name)
        if packaged in (None, one.sha256):
            continue
        if packaged in one.earlier:
            yield Finding(
                "specs", one.name, f"version {one.version} is applied, and app/pipelines/{one.name}.yml of this clone is an earlier one", "the same file",
                (hand.sql(f"CALL {facts.app}.config.export_spec('{one.name}')"),), NOTE,
            )  # fmt: skip
            continue
        run = f"snow app run --connection {hand.connection}" if hand.connection else hand.firn("snow", "app", "run")
        yield Finding(
            "specs", one.name, f"app/pipelines/{one.name}.yml differs from version {one.version}, applied {one.applied_at:%Y-%m-%d %H:%M} UTC",
            "the file of this clone, applied", (hand.firn("plan", f"app/pipelines/{one.name}.yml"), run, hand.sql(f"CALL {facts.app}.config.apply_packaged('{one.name}')")),
        )  # fmt: skip


def applied_files_can_be_read(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for one in facts.applied:
        if one.fault:
            yield Finding("specs", one.name, f"version {one.version} cannot be read by this clone: {one.fault}", "a clone as new as the application",
                          (hand.sql(f"CALL {facts.app}.config.export_spec('{one.name}')"),))  # fmt: skip


# --- bronze, and what the application may do with it


def bronze_is_bound(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.application and "binding" not in facts.blind and not facts.binding:
        yield Finding("bindings", "control.binding", "no row", "database and schema of the landing tables", (hand.sql(f"CALL {facts.app}.config.bind_bronze('firn_landing', 'bronze')"),))


def bronze_tables_are_there(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.binding is None or "bronze tables" in facts.blind:
        return
    where = ".".join(facts.binding)
    for one, source in sources(facts):
        if source.name not in facts.bronze:
            yield Finding("bindings", f"{where}.{source.name}", "no such table", f"the landing table of source {source.name}", (hand.script(f"05_sources_{one.name}.sql"),))
            continue
        missing = needed(source) - facts.bronze[source.name]
        if missing:
            columns = ", ".join(f"{name} VARCHAR" for name in sorted(missing))
            yield Finding("bindings", f"{where}.{source.name}", f"no column {listed(sorted(missing))}", f"every column that source {source.name} reads",
                          (hand.sql(f"ALTER TABLE {where}.{source.name} ADD COLUMN {columns}"),))  # fmt: skip


def application_may_read_bronze(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """SELECT to load, DELETE to sweep, USAGE on the way there, SELECT on a stream that starts a graph."""
    if facts.binding is None or "grants to the application" in facts.blind:
        return
    database, schema = facts.binding
    ways = [("USAGE", database, f"DATABASE {database}"), ("USAGE", f"{database}.{schema}", f"SCHEMA {database}.{schema}")]
    for one, source in sources(facts):
        table = f"{database}.{schema}.{source.name}"
        if source.name in facts.bronze:
            ways += [("SELECT", table, f"TABLE {table}"), ("DELETE", table, f"TABLE {table}")]
        if one.spec.when == "arrival":
            stream = f"{database}.{schema}.{source.stream}"
            ways.append(("SELECT", stream, f"STREAM {stream}"))
    for privilege, name, named in ways:
        if not any((held, name.upper()) in facts.app_grants for held in (privilege, "ALL", "OWNERSHIP")):
            yield Finding("privileges", name, f"application {facts.app} has no {privilege} on it", f"{privilege} granted",
                          (hand.sql(f"GRANT {privilege} ON {named} TO APPLICATION {facts.app}"),))  # fmt: skip


def manifest_privileges_are_granted(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for privilege, granted in facts.app_privileges.items():
        if not granted:
            yield Finding("privileges", facts.app, f"{privilege} is not granted", "every privilege of the manifest", (hand.sql(f"GRANT {privilege} ON ACCOUNT TO APPLICATION {facts.app}"),))


def application_roles_are_granted(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for role, to in (("app_admin", "firn_transformer"), ("app_reader", "firn_reader")):
        if role in facts.role_holders and not facts.role_holders[role]:
            yield Finding("roles", f"{facts.app}.{role}", "granted to nobody", "granted to the roles of those who need it", (hand.sql(f"GRANT APPLICATION ROLE {facts.app}.{role} TO ROLE {to}"),))


def reader_reaches_gold(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if facts.application is None or {"application roles", "gold"} & set(facts.blind):
        return
    app = facts.app.upper()
    seen = {name.removeprefix(f"{app}.GOLD.").lower() for privilege, _, name in facts.reader_grants if privilege == "SELECT"}
    hidden = sorted(facts.gold - seen)
    if hidden:
        yield Finding("roles", f"{facts.app}.app_reader", f"cannot read {listed([f'gold.{name}' for name in hidden])}", "SELECT on every table of gold", apply_again(facts, hand))


def reader_reaches_no_more(facts: Facts, hand: Hand) -> Iterator[Finding]:
    app = facts.app.upper()
    for privilege, kind, name in sorted(facts.reader_grants):
        usual = (privilege == "USAGE" and name == f"{app}.GOLD") or (privilege == "SELECT" and name.startswith(f"{app}.GOLD."))
        if not usual:
            yield Finding("roles", f"{facts.app}.app_reader", f"has {privilege} on {kind.lower()} {name.lower()}", "gold and nothing else",
                          (hand.sql(f"SHOW GRANTS TO APPLICATION ROLE {facts.app}.app_reader"), *apply_again(facts, hand)))  # fmt: skip


# --- the task graph


def tasks_are_there(facts: Facts, hand: Hand) -> Iterator[Finding]:
    if "tasks" in facts.blind:
        return
    for one in read(facts):
        missing = [name for name in planned(one) if name.upper() not in tasks(facts)]
        if missing:
            yield Finding("tasks", one.name, f"no task {listed(missing)}", f"the {len(planned(one))} tasks of its graph", apply_again(facts, hand, one.name))


def tasks_are_started(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """The root first: while it is suspended nothing of the graph runs."""
    for one in read(facts):
        for name in planned(one):
            task = tasks(facts).get(name.upper())
            if task and str(task["state"]).lower() != "started":
                root = name == planned(one)[0]
                expected = "started: while the root is suspended nothing runs by itself" if root else "started: a suspended task is passed over"
                yield Finding("tasks", f"{facts.app}.tasks.{name}", str(task["state"]).lower(), expected, resume(facts, hand, one, name))


def schedules_are_those_of_the_file(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for one in read(facts):
        for planned_task in [*taskgraph.plan(one.spec), *([look] if (look := taskgraph.look(one.spec)) else [])]:
            task = tasks(facts).get(planned_task.name.upper())
            if task and planned_task.schedule and plain(task["schedule"]) != plain(planned_task.schedule):
                yield Finding("tasks", f"{facts.app}.tasks.{planned_task.name}", f"its schedule is {task['schedule'] or 'none'}", f"{planned_task.schedule}, as {one.name} says", apply_again(facts, hand, one.name))


def newest_task_runs_did_not_fail(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for one in read(facts):
        for name in planned(one):
            run = facts.task_runs.get(name.upper())
            if run and run["state"] == "FAILED":
                yield Finding("tasks", f"{facts.app}.tasks.{name}", f"its newest run failed at {run['completed_time']:%Y-%m-%d %H:%M} UTC: {gist(run['error_message'])}", "a run that succeeds",
                              (hand.sql(f"SELECT run_id, step, error FROM {facts.app}.control.pipeline_log WHERE pipeline = '{one.name}' AND status = 'failed' ORDER BY started_at DESC LIMIT 5"),))  # fmt: skip


def roots_run(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """Started and silent: a root that never ran, or not since three of its schedules."""
    if {"task history", "tasks"} & set(facts.blind):
        return
    for one in read(facts):
        root = taskgraph.plan(one.spec)[0]
        task = tasks(facts).get(root.name.upper())
        every = seconds(root.schedule)
        if not task or str(task["state"]).lower() != "started" or not every:
            continue
        run = facts.task_runs.get(root.name.upper())
        last = naive(run["completed_time"]) if run else naive(one.applied_at)
        if facts.now - last > max(MISSED * dt.timedelta(seconds=every), dt.timedelta(minutes=2)):
            since = f"last at {last:%Y-%m-%d %H:%M:%S} UTC" if run else f"never, since {one.name} was applied at {last:%Y-%m-%d %H:%M:%S} UTC"
            yield Finding("tasks", f"{facts.app}.tasks.{root.name}", f"it ran {since}", f"every {root.schedule}",
                          (hand.sql(f"EXECUTE TASK {facts.app}.tasks.{root.name}"), hand.sql(f"SELECT * FROM TABLE({facts.app}.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => '{root.name.upper()}'))")))  # fmt: skip


# --- the pipelines' own words


def runs_have_ended(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """Who has the turn; and runs that began, and of which nothing has been heard for an hour."""
    for run in facts.open_runs:
        last = run["last_at"] or run["begun_at"]
        what = f"run {run['run_id']} ({run['what'] or 'run'}) began at {run['begun_at']:%Y-%m-%d %H:%M:%S} UTC; its last word was {run['last_step']} at {last:%H:%M:%S}"
        see = hand.sql(f"SELECT step, status, started_at, ended_at, error FROM {facts.app}.control.pipeline_log WHERE run_id = '{run['run_id']}' ORDER BY started_at")
        if facts.now - last > HUNG:
            yield Finding("runs", run["pipeline"], f"{what}, {(facts.now - last)} ago", "an end: it hangs or was killed", (see, hand.sql(f"CALL {facts.app}.core.resume('{run['run_id']}')")))
        else:
            yield Finding("runs", run["pipeline"], f"{what}; it has the turn", "its end, by itself", (see,), NOTE)


def steps_ended_well(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for step in facts.failed_steps:
        again = f", for the {step['tries']}th time in this run" if step["tries"] > 1 else ""
        yield Finding("runs", f"{step['pipeline']}: {step['step']}", f"failed at {step['ended_at']:%Y-%m-%d %H:%M} UTC{again}: {gist(step['error'])}", "a step that succeeds",
                      (hand.sql(f"CALL {facts.app}.core.resume('{step['run_id']}')"),))  # fmt: skip


def rows_add_up(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for row in facts.unbalanced:
        yield Finding("accounts", f"{row['pipeline']}: {row['step']}", f"of {plural(int(row['rows_read']), 'row')} read in run {row['run_id']}, {abs(int(row['rows_unexplained']))} are unexplained",
                      "read = written + duplicate + superseded + quarantined + held", (hand.sql(f"CALL {facts.app}.core.reconcile('{row['pipeline']}')"),))  # fmt: skip


def alerts_are_over(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for alert in facts.alerts:
        level = NOTE if alert["severity"] == "warning" else WRONG
        yield Finding("alerts", f"{alert['pipeline']}: {alert['kind']} of {alert['subject']}", f"open since {alert['happened_at']:%Y-%m-%d %H:%M} UTC: {alert['message']}", "no open alert",
                      (hand.sql(f"SELECT * FROM {facts.app}.control.alerts WHERE subject = {names.text(alert['subject'])} ORDER BY happened_at DESC"),), level)  # fmt: skip


def rows_do_not_wait_for_ever(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for row in facts.waiting:
        old = facts.now - row["oldest_at"] > WAITED
        yield Finding("quarantine", f"{row['pipeline']}: {row['source']}", f"{plural(int(row['row_count']), 'row')} in quarantine, the oldest since {row['oldest_at']:%Y-%m-%d %H:%M} UTC",
                      f"a decision within {WAITED.days} days: replay, correct or discard",
                      (hand.sql(f"SELECT check_name, waiting_count FROM {facts.app}.control.quarantine_summary WHERE source = '{row['source']}'"),
                       hand.sql(f"CALL {facts.app}.core.replay_quarantine('{row['source']}', dry_run => TRUE)")), WRONG if old else NOTE)  # fmt: skip


def targets_are_fresh(facts: Facts, hand: Hand) -> Iterator[Finding]:
    for row in facts.late:
        newest = f"the newest arrival of {row['source']} is of {row['lets']:%Y-%m-%d %H:%M:%S} UTC" if row["lets"] else f"nothing of {row['source']} has ever arrived"
        yield Finding("freshness", f"{row['pipeline']}: {row['target']}", newest, f"no older than {dt.timedelta(seconds=int(row['allowed_seconds']))}", (hand.firn("pipes", "status", row["source"], asks=True),))


def marks_are_not_ahead(facts: Facts, hand: Hand) -> Iterator[Finding]:
    """LETS is the newest arrival that was read: never later than now, nor than what the ledger and bronze have seen."""
    for mark in facts.marks:
        if not mark["lets"] or not mark["source"]:
            continue
        seen = max([at for at in (mark["newest_taken"], mark["newest_in_bronze"]) if at], default=None)
        rewind = seen or facts.now
        todo = (hand.sql(f"CALL {facts.app}.core.rewind('{mark['source']}', '{rewind:%Y-%m-%d %H:%M:%S}'::TIMESTAMP_NTZ)"),)
        subject, at = f"{mark['pipeline']}: {mark['step']}", f"{mark['lets']:%Y-%m-%d %H:%M:%S} UTC"
        if mark["lets"] > facts.now + CLOCK:
            yield Finding("marks", subject, f"LETS is {at}, later than now ({facts.now:%Y-%m-%d %H:%M:%S}): rows that arrive until then may be passed over", "the newest arrival", todo)
        elif seen and mark["lets"] > seen:
            yield Finding("marks", subject, f"LETS is {at}, ahead of the newest row that was taken or waits ({seen:%Y-%m-%d %H:%M:%S})", "the newest arrival", todo)


def bronze_is_swept(facts: Facts, hand: Hand) -> Iterator[Finding]:
    kept = {(one.name, source.name): one.spec.bronze_retention for one, source in sources(facts)}
    for mark in facts.marks:
        retention = kept.get((mark["pipeline"], mark["source"]))
        oldest = mark["oldest_in_bronze"]
        if retention and oldest and facts.now - oldest > retention + SWEPT_LATE:
            yield Finding("retention", f"{mark['pipeline']}: {mark['source']}", f"bronze holds rows of {oldest:%Y-%m-%d %H:%M} UTC", f"none older than {retention.days} days: the sweep takes what the ledger has",
                          (hand.sql(f"CALL {facts.app}.core.run_step('{mark['pipeline']}', 'sweep', '')"), hand.sql(f"CALL {facts.app}.core.reconcile('{mark['pipeline']}')")))  # fmt: skip


def clocks_agree(facts: Facts, hand: Hand) -> Iterator[Finding]:
    apart = abs(facts.machine_now - facts.now)
    if apart > CLOCK:
        yield Finding("clock", "this machine", f"its clock and the account's are {apart} apart", f"less than {CLOCK}: extracts and requests to AWS are dated by it", ("timedatectl status",))


# --- small


def apply_again(facts: Facts, hand: Hand, pipeline: str = "") -> tuple[str, ...]:
    """Applying makes tables, grants and tasks as the file says; of a packaged file one call, of another with its text."""
    todo = []
    for one in facts.applied:
        if pipeline in ("", one.name):
            packaged = f"CALL {facts.app}.config.apply_packaged('{one.name}')"
            todo.append(hand.sql(packaged if one.name in facts.packaged else f"CALL {facts.app}.config.export_spec('{one.name}')"))
    return tuple(todo)


def resume(facts: Facts, hand: Hand, one: Applied, name: str) -> tuple[str, ...]:
    root = planned(one)[0]
    task = f"ALTER TASK {facts.app}.tasks.{name} RESUME"
    if name == root:
        return (hand.sql(task),)
    return (hand.sql(f"ALTER TASK {facts.app}.tasks.{root} SUSPEND"), hand.sql(task), hand.sql(f"ALTER TASK {facts.app}.tasks.{root} RESUME"))


def read(facts: Facts) -> list[Applied]:
    return [one for one in facts.applied if one.spec]


def sources(facts: Facts) -> Iterator[tuple[Applied, Source]]:
    return ((one, source) for one in read(facts) for source in one.spec.sources)


def needed(source: Source) -> set[str]:
    """The columns that a load reads."""
    values = {"record"} if source.format == "json" else {(c.received_as or c.name).lower() for c in source.columns if not c.expression}
    return values | {f"_{name}" for name in names.PROVENANCE}


def planned(one: Applied) -> list[str]:
    """Names of the tasks of a pipeline, the root first."""
    look = taskgraph.look(one.spec)
    return [task.name for task in taskgraph.plan(one.spec)] + ([look.name] if look else [])


def tasks(facts: Facts) -> dict[str, Row]:
    return {row["name"].upper(): row for row in facts.tasks}


def plain(schedule: str | None) -> float:
    return seconds(schedule or "")


def seconds(schedule: str) -> float:
    """
    >>> seconds("10 seconds"), seconds("1 MINUTE"), seconds("")
    (10.0, 60.0, 0.0)
    """
    number, _, unit = schedule.strip().upper().partition(" ")
    units = {"S": 1, "M": 60, "H": 3600}
    return float(number) * units[unit[:1]] if number.isdigit() and unit[:1] in units else 0.0


def naive(at: dt.datetime) -> dt.datetime:
    return at.astimezone(dt.UTC).replace(tzinfo=None) if at.tzinfo else at


CHECKS: tuple[Check, ...] = (
    application_is_installed,
    application_is_whole,
    a_pipeline_is_applied,
    applied_files_are_those_of_this_clone,
    applied_files_can_be_read,
    bronze_is_bound,
    bronze_tables_are_there,
    application_may_read_bronze,
    manifest_privileges_are_granted,
    application_roles_are_granted,
    reader_reaches_gold,
    reader_reaches_no_more,
    tasks_are_there,
    tasks_are_started,
    schedules_are_those_of_the_file,
    newest_task_runs_did_not_fail,
    roots_run,
    runs_have_ended,
    steps_ended_well,
    rows_add_up,
    alerts_are_over,
    rows_do_not_wait_for_ever,
    targets_are_fresh,
    marks_are_not_ahead,
    bronze_is_swept,
    clocks_agree,
)
