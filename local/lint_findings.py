"""Every rule of the lint: where Snowflake says it, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

DOCS = "https://docs.snowflake.com/en/"
APPS = "developer-guide/native-apps/"
CLI = "developer-guide/snowflake-cli/native-apps/"


class Rule(NamedTuple):
    page: str
    fix: str


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake: where, which rule, what was found, and what to do."""

    file: str
    line: int
    rule: str
    message: str
    fix: str

    @property
    def page(self) -> str:
        return DOCS + RULES[self.rule].page

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.rule}]\n    {self.fix}\n    {self.page}"


def found(rule: str, file: str, line: int, message: str) -> Finding:
    return Finding(file, line, rule, message, RULES[rule].fix)


def together(*parts: Iterable[Finding]) -> list[Finding]:
    return sorted({finding for part in parts for finding in part})


RULES: dict[str, Rule] = {
    # snowflake.yml
    "definition-version": Rule(CLI + "project-definitions", "Write definition_version: 2."),
    "manifest-at-root": Rule(APPS + "manifest-overview", "Map the manifest with dest: ./"),
    "artifact-missing": Rule(CLI + "bundle-app", "Correct src: nothing matches it."),
    "artifact-directory": Rule(CLI + "bundle-app", "List files by glob: a folder carries its __pycache__ along."),
    "artifact-collision": Rule(CLI + "bundle-app", "Give one of the files another name or place."),
    "annotation-processor": Rule(CLI + "bundle-app", "Remove the processor; write CREATE PROCEDURE by hand."),
    "debug-with-manifest-2": Rule(CLI + "project-definitions", "Remove `debug:`: the second `snow app run` fails with 93362."),
    "app-yml": Rule(APPS + "manifest-reference", "Rename the file."),
    # manifest.yml
    "manifest-version": Rule(APPS + "manifest-reference", "Write manifest_version: 2; it grants EXECUTE TASK at install."),
    "setup-script-missing": Rule(APPS + "manifest-reference", "Ship the file that artifacts.setup_script names."),
    "description-too-long": Rule(APPS + "manifest-reference", "Say it in 200 characters."),
    "unquoted-off": Rule(APPS + "manifest-reference", 'Write "OFF" in quotes: YAML reads OFF as false.'),
    "event-sharing": Rule(APPS + "event-definition", "Write sharing: OPTIONAL."),
    "reference-type": Rule(
        APPS + "requesting-refs",
        "Only tables, views, functions, warehouses, secrets and API or external access "
        "integrations can be bound, each with its own privileges; grant the rest to the application.",
    ),
    "reference-callback": Rule(APPS + "requesting-refs", "Create the procedure that register_callback names."),
    "task-privilege": Rule(APPS + "requesting-privs", "Ask for EXECUTE TASK, and for EXECUTE MANAGED TASK where a task is serverless."),
    "changed-in-patch": Rule(APPS + "update-app-develop", "Release a new version: a patch cannot change privileges or references."),
    # setup script
    "use-statement": Rule(APPS + "creating-setup-script", "Name every object with its schema instead."),
    "callers-rights": Rule(APPS + "creating-setup-script", "Write EXECUTE AS OWNER."),
    "import-from-stage": Rule(APPS + "creating-setup-script", "Ship the file with the app and import it as '/folder/file.py'."),
    "temporary-object": Rule(APPS + "limitations", "Keep the rows in a table of schema stage and empty it."),
    "blocked-function": Rule(APPS + "adding-application-logic", "Do without it: the call is an error inside an application."),
    "unqualified-name": Rule(APPS + "creating-setup-script", "Write schema.name: a setup script has no current schema."),
    "import-path": Rule(APPS + "adding-application-logic", "Begin the path with a slash; it starts at the root of the version."),
    "import-not-shipped": Rule(APPS + "adding-application-logic", "Add the file to the artifacts of snowflake.yml."),
    "import-clash": Rule(APPS + "adding-application-logic", "Imports land in one folder: give each file a name of its own."),
    "import-incomplete": Rule(APPS + "adding-application-logic", "Add the module to IMPORTS."),
    "import-outside-versioned-schema": Rule(APPS + "adding-application-logic", "Create it in a versioned schema."),
    "handler-missing": Rule("sql-reference/sql/create-procedure", "Name a function of an imported module: 'module.function'."),
    "pinned-package": Rule("sql-reference/sql/create-procedure", "Leave the version out: a version may leave the channel."),
    "old-runtime": Rule("developer-guide/python-runtime-support-policy", "Write RUNTIME_VERSION = '3.11'."),
    "task-in-versioned-schema": Rule(APPS + "versioned-schema", "Create tasks in a plain schema."),
    "state-replaced": Rule(APPS + "versioned-schema", "CREATE … IF NOT EXISTS, then ALTER … ADD COLUMN IF NOT EXISTS."),
    "state-dropped": Rule(APPS + "versioned-schema", "Leave it: the script runs again at each upgrade."),
    "state-in-versioned-schema": Rule(APPS + "versioned-schema", "Create it in a plain schema, so that it outlives the version."),
    "not-repeatable": Rule(APPS + "creating-setup-script", "Write IF NOT EXISTS, OR REPLACE or OR ALTER: the script runs again."),
    "task-left-suspended": Rule(
        "sql-reference/sql/create-task", "ALTER TASK … RESUME after the last change: a replaced task is suspended."
    ),
    "root-not-suspended": Rule("user-guide/tasks-graphs", "ALTER TASK IF EXISTS <root> SUSPEND before the graph is touched."),
    "task-body": Rule("sql-reference/sql/create-task", "Make the body one CALL of a procedure."),
    "task-schema": Rule("user-guide/tasks-graphs", "Put all tasks of a graph into one schema."),
    "task-calls-table": Rule("sql-reference/sql/create-task", "Return VARIANT or VARCHAR from a procedure that a task calls."),
    "predecessor-case": Rule("sql-reference/functions/system_get_predecessor_return_value", "Write the task's name in capitals."),
    "script-missing": Rule("sql-reference/sql/execute-immediate-from", "Correct the path; it begins with ./ or / and is shipped."),
    "script-unused": Rule(APPS + "creating-setup-script", "Run it from setup.sql, or delete it."),
    "outside-object": Rule(APPS + "creating-setup-script", "Create it in setup_sql, outside the application."),
    "account-role": Rule(APPS + "creating-setup-script", "Use APPLICATION ROLE: an application knows no other."),
    # procedures
    "client-session": Rule("developer-guide/stored-procedure/stored-procedures-rights", "Not allowed with owner's rights."),
    "append-creates": Rule(
        "sql-reference/transactions",
        'Write save_as_table(…, mode="append", table_exists=True): without it the client may send CREATE TABLE, which commits.',
    ),
    "reference-as-table": Rule(APPS + "requesting-refs", "Create a view over the reference and read that."),
    "reference-spliced": Rule(APPS + "requesting-refs", "Compare the name with a list of the manifest's references first."),
    # setup_sql
    "pipe-replaced": Rule("user-guide/data-load-snowpipe-manage", "CREATE PIPE IF NOT EXISTS: a replaced pipe forgets what it loaded."),
    "pipe-clock": Rule("sql-reference/sql/create-pipe", "Use METADATA$START_SCAN_TIME: CURRENT_TIMESTAMP can be hours early."),
    "pipe-transform": Rule(
        "sql-reference/functions/validate_pipe_load",
        "MATCH_BY_COLUMN_NAME with INCLUDE_METADATA: "
        "rejected lines of a transforming pipe cannot be looked up. JSON as one VARIANT is the exception.",
    ),
    "bronze-emptied": Rule("sql-reference/sql/truncate-table", "DELETE the rows: TRUNCATE and REPLACE forget which files were loaded."),
    "stream-replaced": Rule("sql-reference/sql/create-stream", "CREATE STREAM IF NOT EXISTS: a replaced stream loses its place."),
    "integration-replaced": Rule(
        "sql-reference/sql/create-storage-integration",
        "CREATE … IF NOT EXISTS: a replaced integration has another external id, and the bucket no longer trusts it.",
    ),
    "unquoted-block": Rule(
        "developer-guide/snowflake-cli/sql/execute-sql",
        "Make the body one CALL, or put it between $$: the script is cut at the first semicolon.",
    ),
}
