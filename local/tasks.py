"""Tasks and their graphs: CREATE, ALTER, EXECUTE TASK, SHOW, TASK_HISTORY. Who runs them when: scheduler.py.

docs.snowflake.com/en/sql-reference/sql/create-task, alter-task, execute-task, …/user-guide/tasks-graphs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local.answer import Answer, status, table
from local.catalog import Thing
from local.errors import failed, missing, refused, syntax
from local.packages import liked
from local.reader import Reader
from local.scheduler import History, Scheduler, run_graph

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

__all__ = ["Scheduler"]
UNITS = {"SECOND": 1, "S": 1, "MINUTE": 60, "M": 60, "HOUR": 3600, "H": 3600}
SHORTEST_SECONDS = 10
LONGEST_SECONDS = 11520 * 60
OPTIONS = {
    "WAREHOUSE", "SCHEDULE", "CONFIG", "ALLOW_OVERLAPPING_EXECUTION", "USER_TASK_TIMEOUT_MS", "SUSPEND_TASK_AFTER_NUM_FAILURES", "ERROR_INTEGRATION",
    "SUCCESS_INTEGRATION", "COMMENT", "TASK_AUTO_RETRY_ATTEMPTS", "USER_TASK_MANAGED_INITIAL_WAREHOUSE_SIZE", "USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS",
    "TARGET_COMPLETION_INTERVAL", "SERVERLESS_TASK_MIN_STATEMENT_SIZE", "SERVERLESS_TASK_MAX_STATEMENT_SIZE", "LOG_LEVEL", "FINALIZE", "LOCK_TIMEOUT", "QUERY_TAG",
}  # fmt: skip


def create_task(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("CREATE")
    replace = reader.words("OR", "REPLACE")
    reader.words("OR", "ALTER")
    reader.expect("TASK")
    lenient = reader.words("IF", "NOT", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    before = account.catalog.get("task", name, database=database, schema=schema)
    if before and lenient:
        return status(f"{name} already exists, statement succeeded.")
    if before and not replace:
        raise syntax(f"Object '{name}' already exists.")
    if account.catalog.get("versioned schema", schema, database=database):
        raise refused(f"Task {name}: tasks are not allowed in a versioned schema.")
    if before:
        require_suspended_root(account, before)
    said: dict[str, Any] = {}
    after: list[str] = []
    condition = None
    while not reader.done and not reader.words("AS"):
        if reader.words(","):  # between session parameters
            continue
        if reader.words("AFTER"):
            after.append(predecessor(account, session, reader, schema))
            while reader.words(","):
                after.append(predecessor(account, session, reader, schema))
        elif reader.words("WHEN"):
            start = reader.position()
            while not reader.done and not reader.starts("AS"):
                reader.token()
            condition = reader.sql[start : reader.position()].strip()
        elif reader.peek() in OPTIONS and reader.peek(1) == "=":
            key = reader.token().text.upper()
            reader.expect("=")
            said[key.lower()] = ".".join(reader.name()) if key == "FINALIZE" else reader.value()
        else:
            raise syntax(f"syntax error at '{reader.peek()}': unexpected in CREATE TASK")
    body = reader.rest()
    if not body:
        raise syntax(f"Task {name}: AS <statement> is missing")
    if body.upper().startswith("CALL") and ";" in body:
        raise syntax(f"Task {name}: the body must be one statement")
    seconds = interval_seconds(said.get("schedule"))
    if after and said.get("schedule"):
        raise refused(f"Task {name} cannot have both a schedule and predecessors.")
    if condition and not after and seconds is None and not said.get("warehouse") and not said.get("target_completion_interval"):
        raise refused(f"Task {name}: a serverless task without a schedule needs TARGET_COMPLETION_INTERVAL.")
    if int(said.get("user_task_minimum_trigger_interval_in_seconds", SHORTEST_SECONDS)) < SHORTEST_SECONDS:
        raise syntax(f"Task {name}: USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS is at least {SHORTEST_SECONDS}.")
    finalizes = said.pop("finalize", None)
    if finalizes:
        finalizes = ".".join(session.resolve(tuple(finalizes.split("."))))
        root = find(account, tuple(finalizes.split(".")))
        others = [t for t in graph(account, root) if t.get("finalizes") == finalizes and t.name != name]
        if others:
            raise failed(f"Root task {finalizes} already has a finalizer: {others[0].name}.")
        require_suspended_root(account, root)
    account.catalog.put(
        "task", name, database=database, schema=schema, state="suspended", after=after, condition=condition, body=body,
        seconds=seconds, finalizes=finalizes, owner=session.role, failures=0, **said,
    )  # fmt: skip
    return status(f"Task {name} successfully created.")


def predecessor(account: Account, session: Session, reader: Reader, schema: str) -> str:
    full = session.resolve(reader.name())
    if full[1] != schema:
        raise refused(f"Task {'.'.join(full)}: all tasks of a graph must be in one schema.")
    task = find(account, full)
    require_suspended_root(account, root_of(account, task))
    return ".".join(full)


def interval_seconds(schedule: str | None) -> int | None:
    """'10 SECONDS' → 10. Cron schedules are refused here: the local account has intervals only."""
    if schedule is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*([A-Z]+?)S?\s*", schedule.upper())
    if schedule.upper().strip().startswith("USING CRON"):
        raise refused("SCHEDULE = 'USING CRON …': the local account has interval schedules only ('10 SECONDS', '5 MINUTES', '1 HOUR').")
    if not match or match[2] not in UNITS:
        raise syntax(f"invalid value [{schedule}] for parameter 'SCHEDULE'")
    seconds = int(match[1]) * UNITS[match[2]]
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise syntax(f"invalid value [{schedule}] for parameter 'SCHEDULE': between 10 seconds and 11520 minutes")
    return seconds


# --- looking things up


def find(account: Account, full: tuple[str, ...]) -> Thing:
    task = account.catalog.get("task", full[2], database=full[0], schema=full[1])
    if task is None:
        raise missing("Task", ".".join(full))
    return task


def root_of(account: Account, task: Thing) -> Thing:
    if task.get("finalizes"):
        return find(account, tuple(task["finalizes"].split(".")))
    while task["after"]:
        parent = account.catalog.get("task", task["after"][0].split(".")[2], database=task.database, schema=task.schema)
        if parent is None:
            return task
        task = parent
    return task


def graph(account: Account, root: Thing) -> list[Thing]:
    """The root, then its descendants so that each comes after its predecessors; the finalizer last."""
    others = [t for t in account.catalog.find("task", database=root.database, schema=root.schema) if t.name != root.name]
    ordered, names = [root], {root.full_name}
    grew = True
    while grew:
        grew = False
        for task in others:
            if task.full_name not in names and task["after"] and set(task["after"]) <= names:
                ordered.append(task)
                names.add(task.full_name)
                grew = True
    return ordered + [t for t in others if t.get("finalizes") == root.full_name]


def require_suspended_root(account: Account, task: Thing) -> None:
    root = root_of(account, task)
    if root["state"] == "started":
        raise refused(f"Unable to update graph with root task {root.full_name} since that root task is not suspended.")


# --- statements


def alter_task(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("ALTER", "TASK")
    lenient = reader.words("IF", "EXISTS")
    full = session.resolve(reader.name())
    task = account.catalog.get("task", full[2], database=full[0], schema=full[1])
    if task is None:
        if lenient:
            return status("Statement executed successfully.")
        raise missing("Task", ".".join(full))
    if reader.words("RESUME"):
        is_root = not task["after"] and not task.get("finalizes")
        if is_root and task["seconds"] is None and not task["condition"]:
            raise refused(f"Cannot resume task {task.name}: it has neither a schedule nor a condition nor predecessors.")
        if not is_root:
            require_suspended_root(account, task)
        account.catalog.change(task, state="started", failures=0, resumed_at=account.clock().isoformat())
    elif reader.words("SUSPEND"):
        account.catalog.change(task, state="suspended")
    elif reader.words("SET"):
        require_suspended_root(account, task)
        said = {key.lower(): value for key, value in reader.options().items()}
        if "schedule" in said:
            said["seconds"] = interval_seconds(said["schedule"])
        account.catalog.change(task, **said)
    elif reader.words("MODIFY", "AS"):
        require_suspended_root(account, task)
        account.catalog.change(task, body=reader.rest())
    elif reader.words("ADD", "AFTER"):
        require_suspended_root(account, task)
        account.catalog.change(task, after=[*task["after"], predecessor(account, session, reader, full[1])])
    elif reader.words("REMOVE", "AFTER"):
        require_suspended_root(account, task)
        gone = ".".join(session.resolve(reader.name()))
        account.catalog.change(task, after=[a for a in task["after"] if a != gone])
    else:
        raise syntax(f"syntax error at '{reader.peek()}': ALTER TASK … RESUME | SUSPEND | SET | MODIFY AS | ADD AFTER | REMOVE AFTER")
    return status("Statement executed successfully.")


def drop_task(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("DROP", "TASK")
    lenient = reader.words("IF", "EXISTS")
    database, schema, name = session.resolve(reader.name())
    task = account.catalog.get("task", name, database=database, schema=schema)
    if task is None:
        if lenient:
            return status("Drop statement executed successfully.")
        raise missing("Task", name)
    require_suspended_root(account, task)
    account.catalog.drop("task", name, database=database, schema=schema)
    return status(f"{name} successfully dropped.")


def show_tasks(account: Account, session: Session, reader: Reader) -> Answer:
    reader.expect("SHOW", "TASKS")
    found = liked(account, reader, "task")
    scope: tuple[str, ...] = ()
    if reader.words("IN"):
        kind = "SCHEMA" if reader.words("SCHEMA") else "DATABASE" if reader.words("DATABASE") or reader.words("APPLICATION") else "ACCOUNT"
        if kind == "ACCOUNT":
            reader.words("ACCOUNT")
        else:
            scope = session.resolve_schema(reader.name()) if kind == "SCHEMA" else reader.name()
    rows = [
        (t.created_at, t.name, t.database, t.schema, t["owner"], t.get("comment", ""), t.get("warehouse"), t.get("schedule"), ", ".join(t["after"]), t["state"], t["body"], t["condition"], t.get("finalizes"))
        for t in found
        if scope == (t.database, t.schema)[: len(scope)]
    ]
    return table("created_on name database_name schema_name owner comment warehouse schedule predecessors state definition condition finalize", rows)


def execute_task(account: Account, session: Session, reader: Reader, params: Any = None) -> Answer:
    """Runs the graph now, in the background, whether or not the root is suspended, as EXECUTE TASK does."""
    reader.expect("EXECUTE", "TASK")
    root = find(account, session.resolve(reader.name()))
    if root["after"]:
        raise refused(f"Task {root.name} is not a root task.")
    retry = reader.words("RETRY", "LAST")
    account_runs = history(account)
    if retry and (last := account_runs.last_run(root.full_name)) and last["state"] != "FAILED":
        raise refused(f"Task {root.name}: the last graph run did not fail; there is nothing to retry.")
    run_graph(account, root, account.clock(), retry=retry, wait=False)
    return status(f"Task {root.name} is scheduled to run immediately.")


def dependents_enable(account: Account, session: Session, name: str) -> str:
    for task in reversed(graph(account, find(account, session.resolve(Reader(name).name())))):
        account.catalog.change(task, state="started", resumed_at=account.clock().isoformat())
    return "Statement executed successfully."


def suspend_all(account: Account, database: str) -> None:
    for task in account.catalog.find("task", database=database):
        account.catalog.change(task, state="suspended")
    history(account).wait_idle(database)


def history(account: Account) -> History:
    if not hasattr(account, "history"):
        account.history = History(account.folder / "task_history.sqlite3")  # type: ignore[attr-defined]
    return account.history  # type: ignore[attr-defined]


# --- functions inside a task run


def runtime_info(account: Account, session: Session, what: str) -> str | None:
    if session.task is None:
        raise failed(f"SYSTEM$TASK_RUNTIME_INFO('{what}') can only be called in a task run.")
    known = {
        "CURRENT_TASK_NAME": session.task.name,
        "CURRENT_ROOT_TASK_NAME": session.task.root,
        "CURRENT_TASK_GRAPH_RUN_GROUP_ID": session.task.run_id,
        "CURRENT_TASK_GRAPH_ORIGINAL_SCHEDULED_TIMESTAMP": session.task.scheduled_at.strftime("%Y-%m-%d %H:%M:%S.%f +0000"),
    }
    if what.upper() not in known:
        raise failed(f"SYSTEM$TASK_RUNTIME_INFO: the local account does not know '{what}'.")
    return known[what.upper()]


def set_return_value(account: Account, session: Session, value: str) -> str:
    if session.task is None:
        raise failed("SYSTEM$SET_RETURN_VALUE can only be called in a task run.")
    session.task.return_value = str(value)
    return "Statement executed successfully."


def predecessor_return_value(account: Account, session: Session, name: str | None = None) -> str | None:
    if session.task is None:
        raise failed("SYSTEM$GET_PREDECESSOR_RETURN_VALUE can only be called in a task run.")
    values = session.task.predecessor_values
    if name is None and len(values) == 1:
        return next(iter(values.values()))
    if name not in values:
        raise failed(f"SYSTEM$GET_PREDECESSOR_RETURN_VALUE: '{name}' is not a predecessor (names are upper case: {', '.join(values) or 'none'}).")
    return values[name]


def task_history(account: Account, session: Session, arguments: dict[str, Any]) -> Answer:
    rows = history(account).rows(arguments.get("TASK_NAME"), int(arguments.get("RESULT_LIMIT") or 100))
    columns = "query_id name database_name schema_name state error_code error_message scheduled_time:timestamp_ltz query_start_time:timestamp_ltz completed_time:timestamp_ltz root_task_name run_id graph_run_group_id attempt_number:fixed return_value"
    return table(columns, rows)


STATEMENTS = {
    ("CREATE", "TASK"): create_task,
    ("ALTER", "TASK"): alter_task,
    ("DROP", "TASK"): drop_task,
    ("SHOW", "TASKS"): show_tasks,
    ("EXECUTE", "TASK"): execute_task,
}
FUNCTIONS = {
    "SYSTEM$TASK_RUNTIME_INFO": runtime_info,
    "SYSTEM$SET_RETURN_VALUE": set_return_value,
    "SYSTEM$GET_PREDECESSOR_RETURN_VALUE": predecessor_return_value,
    "SYSTEM$TASK_DEPENDENTS_ENABLE": dependents_enable,
}
TABLE_FUNCTIONS = {"TASK_HISTORY": task_history}
