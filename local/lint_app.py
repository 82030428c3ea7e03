"""Mistakes in the setup script: what an install or an upgrade refuses, and what it would lose."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from local import lint_bundle
from local.lint_findings import Finding, found
from local.lint_sql import Statement, objects_used, statements

RUNTIMES = {"3.11", "3.12", "3.13", "3.14"}
BLOCKED = {
    *("CURRENT_WAREHOUSE", "CURRENT_IP_ADDRESS", "CURRENT_AVAILABLE_ROLES", "CURRENT_SECONDARY_ROLES"),
    *("ALL_USER_NAMES", "GET_USERS_FOR_COLLABORATION", "SYSTEM$ALLOWLIST"),
}
STATE = {"TABLE", "DYNAMIC TABLE", "SCHEMA", "SEQUENCE", "STAGE", "STREAM", "APPLICATION ROLE"}
OUTSIDE = {
    *("PIPE", "DATABASE", "WAREHOUSE", "USER", "SHARE", "RESOURCE MONITOR", "EXTERNAL VOLUME", "APPLICATION PACKAGE"),
    *("INTEGRATION", "API INTEGRATION", "NOTIFICATION INTEGRATION", "SECURITY INTEGRATION", "STORAGE INTEGRATION"),
}


def setup_findings(root: Path) -> Iterator[Finding]:
    """Findings over setup.sql and every script it runs, in the order in which they run."""
    if not (root / "app" / "setup.sql").is_file():
        return
    missing: list[Finding] = []
    script = list(_in_order(root, "/setup.sql", missing, []))
    yield from missing
    reached = {statement.file for statement in script} | {"app/setup.sql"}
    for path in sorted((root / "app" / "sql").glob("*.sql")):
        name = path.relative_to(root).as_posix()
        if name not in reached and path.read_text(encoding="utf-8").strip():
            yield found("script-unused", name, 1, "No script runs this one.")
            script += statements(name, path.read_text(encoding="utf-8"))
    yield from script_findings(script)
    yield from _code_findings(script, lint_bundle.shipped(root), root)
    yield from _manifest_findings(script, root)


def script_findings(script: Sequence[Statement]) -> Iterator[Finding]:
    """The rules that need nothing but the statements, in the order in which they run."""
    versioned = {statement.created.name[-1] for statement in script if statement.created and statement.created.kind == "VERSIONED SCHEMA"}
    for statement in script:
        yield from _statement_findings(statement, versioned)
    yield from _task_findings(script)


def _in_order(root: Path, place: str, missing: list[Finding], above: list[str]) -> Iterator[Statement]:
    """Statements of a shipped script, each EXECUTE IMMEDIATE FROM replaced by what it runs."""
    ships = lint_bundle.shipped(root) or {f"/{path.relative_to(root / 'app').as_posix()}": path for path in (root / "app").rglob("*.sql")}
    file = ships.get(place, root / "app" / place.lstrip("/"))
    name = file.relative_to(root).as_posix()
    for statement in statements(name, file.read_text(encoding="utf-8")):
        if not statement.starts("EXECUTE", "IMMEDIATE", "FROM"):
            yield statement
            continue
        wanted = statement.tokens[3].text.strip("'")
        inner = _resolved(PurePosixPath(place).parent, wanted)
        if inner in ships and inner not in above:
            yield from _in_order(root, inner, missing, [*above, inner])
        else:
            missing.append(found("script-missing", name, statement.line, f"{wanted} is not among the files that ship."))


def _resolved(folder: PurePosixPath, wanted: str) -> str:
    parts: list[str] = []
    for part in (folder / wanted).parts[1:]:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/" + "/".join(parts)


def _statement_findings(statement: Statement, versioned: set[str]) -> Iterator[Finding]:
    file, line, upper = statement.file, statement.line, statement.upper

    if upper[0] == "USE":
        yield found("use-statement", file, line, " ".join(upper[:3]))
    if statement.has("EXECUTE", "AS", "CALLER"):
        yield found("callers-rights", file, line, "A procedure with caller's rights.")
    for token in statement.tokens:
        if token.text.upper() in BLOCKED:
            yield found("blocked-function", file, token.line, f"{token.text}()")
    for name in objects_used(statement):
        if len(name.name) == 1:
            yield found("unqualified-name", file, name.line, f"{name.kind} {name.name[0]} has no schema.")
    if upper[0] in ("GRANT", "REVOKE") and (statement.has("TO", "ROLE") or statement.has("TO", "DATABASE", "ROLE")):
        yield found("account-role", file, line, "A grant to a role of the account.")
    if upper[:2] == ("ALTER", "TABLE") and statement.has("ADD", "COLUMN") and not statement.has("ADD", "COLUMN", "IF", "NOT", "EXISTS"):
        yield found("not-repeatable", file, line, "ADD COLUMN without IF NOT EXISTS.")
    yield from _case_findings(statement)
    if statement.named and upper[0] == "DROP" and statement.named.kind in STATE:
        yield found("state-dropped", file, line, f"DROP {statement.named.kind} {'.'.join(statement.named.name)}")
    if statement.created:
        yield from _creation_findings(statement, versioned)


def _creation_findings(statement: Statement, versioned: set[str]) -> Iterator[Finding]:
    created, upper, file, line = statement.created, statement.upper, statement.file, statement.line
    assert created is not None
    kind, name = created.kind, ".".join(created.name)
    is_versioned = len(created.name) > 1 and created.name[0] in versioned
    if {"TEMP", "TEMPORARY", "VOLATILE"} & set(upper[1:6]):
        yield found("temporary-object", file, line, f"{kind} {name} is temporary.")
    if kind in OUTSIDE or (kind == "STAGE" and statement.has("URL", "=")):
        yield found("outside-object", file, line, f"An application cannot create {kind} {name}.")
    if kind in ("ROLE", "DATABASE ROLE"):
        yield found("account-role", file, line, f"{kind} {name}")
    if kind in STATE and statement.replaces:
        yield found("state-replaced", file, line, f"CREATE OR REPLACE {kind} {name}")
    elif not (statement.replaces or statement.starts("CREATE", "OR", "ALTER") or statement.has("IF", "NOT", "EXISTS")):
        yield found("not-repeatable", file, line, f"CREATE {kind} {name} fails the second time.")
    if kind == "TASK" and is_versioned:
        yield found("task-in-versioned-schema", file, line, f"Task {name}.")
    if kind in ("TABLE", "DYNAMIC TABLE", "SEQUENCE", "STREAM", "STAGE") and is_versioned:
        yield found("state-in-versioned-schema", file, line, f"{kind} {name}.")
    if kind in ("PROCEDURE", "FUNCTION") and statement.texts("IMPORTS") and not is_versioned:
        yield found("import-outside-versioned-schema", file, line, f"{kind} {name} has IMPORTS.")
    for package in statement.texts("PACKAGES"):
        if "=" in package.text or "<" in package.text or ":" in package.text:
            yield found("pinned-package", file, package.line, package.text)
    place = statement.place_of("RUNTIME_VERSION", "=")
    if place >= 0:
        rest = "".join(token.text for token in statement.tokens[place + 2 : place + 5])
        version = rest.strip("'") if rest.startswith("'") else rest
        if not any(version.startswith(runtime) for runtime in RUNTIMES):
            yield found("old-runtime", file, statement.tokens[place].line, f"Python {version[:4].strip(chr(39))}")


def _case_findings(statement: Statement) -> Iterator[Finding]:
    """SYSTEM$GET_PREDECESSOR_RETURN_VALUE, in the statement or in a body between quotes."""
    wanted = "SYSTEM$GET_PREDECESSOR_RETURN_VALUE"
    for place, token in enumerate(statement.tokens):
        if token.text.upper() == wanted and place + 2 < len(statement.tokens):
            name = statement.tokens[place + 2]
            if name.kind == "text" and name.text != name.text.upper():
                yield found("predecessor-case", statement.file, name.line, f"{name.text} names no task.")
        elif token.kind == "text" and wanted in token.text.upper() and token.text.startswith("$$"):
            for inner in statements(statement.file, "\n" * (token.line - 1) + token.text[2:-2]):
                yield from _case_findings(inner)


def _task_findings(script: Sequence[Statement]) -> Iterator[Finding]:
    """Suspend the root, replace, resume: in this order, for each graph."""
    last_made: dict[tuple[str, ...], int] = {}
    resumed: dict[tuple[str, ...], int] = {}
    suspended: dict[tuple[str, ...], int] = {}
    all_resumed = -1
    returns_table = {
        statement.created.name
        for statement in script
        if statement.created and statement.created.kind == "PROCEDURE" and statement.has("RETURNS", "TABLE")
    }
    for number, statement in enumerate(script):
        named = statement.named
        if any("SYSTEM$TASK_DEPENDENTS_ENABLE" in token.text.upper() for token in statement.tokens):
            all_resumed = number
        if not named or named.kind != "TASK":
            continue
        if statement.starts("ALTER") and statement.upper[-1] == "RESUME":
            resumed[named.name] = number
        if statement.starts("ALTER") and statement.upper[-1] == "SUSPEND":
            suspended[named.name] = number
        if statement.starts("CREATE"):
            last_made[named.name] = number
            yield from _graph_findings(statement, named.name, returns_table)
            if statement.replaces and not statement.has("AFTER") and not statement.has("FINALIZE") and named.name not in suspended:
                yield found("root-not-suspended", statement.file, statement.line, f"Task {'.'.join(named.name)} is replaced as it runs.")
    for name, number in last_made.items():
        if max(resumed.get(name, -1), all_resumed) < number:
            yield found("task-left-suspended", script[number].file, script[number].line, f"Task {'.'.join(name)} is never resumed.")


def _graph_findings(statement: Statement, name: tuple[str, ...], returns_table: set[tuple[str, ...]]) -> Iterator[Finding]:
    file = statement.file
    body = statement.place_of("AS", start=3)
    if body >= 0 and statement.upper[body + 1] != "CALL":
        yield found("task-body", file, statement.tokens[body].line, f"Task {'.'.join(name)} runs {statement.tokens[body + 1].text}.")
    elif body >= 0 and statement.name_at(body + 2) in returns_table:
        yield found("task-calls-table", file, statement.tokens[body].line, f"{'.'.join(statement.name_at(body + 2))} returns a TABLE.")
    place = statement.place_of("AFTER")
    while 0 <= place < body:
        other = statement.name_at(place + 1)
        if other and other[:-1] != name[:-1]:
            yield found("task-schema", file, statement.line, f"{'.'.join(name)} runs after {'.'.join(other)}.")
        place += 2 * len(other)
        if not other or place >= body or statement.tokens[place].text != ",":
            break


def _code_findings(script: Sequence[Statement], ships: Mapping[str, Path], root: Path) -> Iterator[Finding]:
    """Imports and handlers against the files that ship."""
    for statement in script:
        if not statement.created or statement.created.kind not in ("PROCEDURE", "FUNCTION"):
            continue
        modules: dict[str, Path] = {}
        for token in statement.texts("IMPORTS"):
            where = (statement.file, token.line)
            if token.text.startswith("@"):
                yield found("import-from-stage", *where, token.text)
            elif not token.text.startswith("/"):
                yield found("import-path", *where, f"{token.text} has no leading slash.")
            elif token.text not in ships:
                yield found("import-not-shipped", *where, f"{token.text} is not among the artifacts.")
            elif PurePosixPath(token.text).stem in modules:
                yield found("import-clash", *where, f"{token.text} has the name of another import.")
            else:
                modules[PurePosixPath(token.text).stem] = ships[token.text]
        handler = statement.texts("HANDLER")
        if modules and handler and "." in handler[0].text:
            yield from _handler_findings(statement, handler[0].text, modules, root)


def _handler_findings(statement: Statement, handler: str, modules: Mapping[str, Path], root: Path) -> Iterator[Finding]:
    module, _, function = handler.rpartition(".")
    line = next(token.line for token in statement.texts("HANDLER"))
    if module not in modules or function not in _defined(modules[module]):
        yield found("handler-missing", statement.file, line, f"{handler} is not in the imports.")
        return
    ours = {path.stem for path in (root / "procedures").glob("*.py")}
    needed, waiting = {module}, [module]
    while waiting:
        for other in sorted(imported(modules[waiting.pop()]) & ours - needed):
            needed.add(other)
            if other in modules:
                waiting.append(other)
            else:
                yield found("import-incomplete", statement.file, line, f"{handler} comes to import {other}.py, which is not in IMPORTS.")


def imported(path: Path) -> set[str]:
    """First parts of the modules a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _defined(path: Path) -> set[str]:
    if path.suffix != ".py":
        return set()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return functions | {alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}


def _manifest_findings(script: Sequence[Statement], root: Path) -> Iterator[Finding]:
    """What the manifest has to ask for, or names, because of the script."""
    manifest = lint_bundle.manifest_of(root)
    if not manifest:
        return
    text = (root / "app" / "manifest.yml").read_text(encoding="utf-8")
    tasks = [statement for statement in script if statement.created and statement.created.kind == "TASK"]
    wanted = {"EXECUTE TASK"} if tasks else set()
    wanted |= {"EXECUTE MANAGED TASK"} if any(not statement.has("WAREHOUSE", "=") for statement in tasks) else set()
    for privilege in sorted(wanted - lint_bundle.privileges(manifest)):
        yield found("task-privilege", "app/manifest.yml", lint_bundle.line_of(text, "privileges"), f"{privilege} is not asked for.")
    procedures = {".".join(statement.created.name) for statement in script if statement.created and statement.created.kind == "PROCEDURE"}
    for reference, settings in lint_bundle.references(manifest).items():
        callback = str(settings.get("register_callback", "")).lower()
        if callback not in procedures:
            line = lint_bundle.line_of(text, reference)
            yield found("reference-callback", "app/manifest.yml", line, f"{reference}: no procedure {callback or 'is named'}.")
