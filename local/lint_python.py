"""Mistakes in the handlers: what owner's rights or an open transaction do not bear."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from local.lint_app import BLOCKED
from local.lint_findings import Finding, found

# Methods of the client that make temporary objects, use stages or run beside the procedure.
CLIENT = {
    "cache_result": "makes a temporary table",
    "write_pandas": "makes a temporary stage",
    "create_or_replace_temp_view": "makes a temporary view",
    "create_temp_view": "makes a temporary view",
    "to_pandas_batches": "brings rows to the client",
    "collect_nowait": "runs beside the procedure",
    "use_role": "sends USE",
    "use_schema": "sends USE",
    "use_database": "sends USE",
    "use_warehouse": "sends USE",
}
SQL = re.compile(r"\s*(USE|ALTER\s+SESSION|SET|PUT|GET)\s+\S", re.IGNORECASE)
TEMPORARY = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?(LOCAL\s+|GLOBAL\s+)?(TEMP|TEMPORARY|VOLATILE)\s", re.IGNORECASE)
TRUNCATE_BRONZE = re.compile(r"\s*TRUNCATE\s+(TABLE\s+)?\S*bronze", re.IGNORECASE)
REFERENCE = re.compile(r"reference\s*\(\s*'", re.IGNORECASE)


def python_findings(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "procedures").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(root).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from _call_findings(name, node)
        for line, text in _texts(tree):
            yield from _text_findings(name, line, text)
        yield from _spliced_references(name, tree)


def _call_findings(file: str, call: ast.Call) -> Iterator[Finding]:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if method in CLIENT:
        yield found("client-session", file, call.lineno, f"{method}() {CLIENT[method]}.")
    if method in ("put", "get", "put_stream", "get_stream") and _is_file(call.func):
        yield found("client-session", file, call.lineno, f"session.file.{method}() uses a stage.")
    if _value(keywords.get("block")) is False:
        yield found("client-session", file, call.lineno, f"{method}(block=False) runs beside the procedure.")
    if _value(keywords.get("table_type")) in ("temp", "temporary"):
        yield found("temporary-object", file, call.lineno, f"{method}(table_type='temporary')")
    if method == "insert_into" or (method == "save_as_table" and _creates(keywords)):
        yield found("append-creates", file, call.lineno, f"{method}() may create its table.")
    if method == "table" and call.args and REFERENCE.search(_text(call.args[0])):
        yield found("reference-as-table", file, call.lineno, "session.table() refuses a reference.")


def _creates(keywords: dict[str | None, ast.expr]) -> bool:
    return _value(keywords.get("mode")) == "append" and _value(keywords.get("table_exists")) is not True


def _is_file(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Attribute) and function.value.attr == "file"


def _text_findings(file: str, line: int, text: str) -> Iterator[Finding]:
    if match := SQL.match(text):
        rule = "use-statement" if match[1].upper() == "USE" else "client-session"
        # Plain words begin like this too; SQL goes on in capitals or with a name of ours.
        if match[1].isupper():
            yield found(rule, file, line, text.strip()[:60])
    if TEMPORARY.match(text):
        yield found("temporary-object", file, line, text.strip()[:60])
    if TRUNCATE_BRONZE.match(text):
        yield found("bronze-emptied", file, line, text.strip()[:60])
    for function in sorted(BLOCKED):
        if f"{function}(" in text.upper():
            yield found("blocked-function", file, line, f"{function}()")


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String constants that are not docstrings; of an f-string the whole, with {} for its parts."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in documents | inside and _text(node):
            yield node.lineno, _text(node)


def _spliced_references(file: str, tree: ast.AST) -> Iterator[Finding]:
    """A name put between the quotes of reference('…') in a function that compares no name with a list."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        nodes = list(ast.walk(function))
        compares = any(isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn) for node in nodes)
        for node in nodes:
            if isinstance(node, ast.JoinedStr) and re.search(r"reference\s*\(\s*'\{\}", _text(node), re.IGNORECASE) and not compares:
                yield found("reference-spliced", file, node.lineno, f"{function.name}() takes any name.")


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def _value(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None
