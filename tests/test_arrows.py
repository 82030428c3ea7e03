"""Who may import whom: the arrows of the house, read from the imports themselves.

pipeline → steps, applying, upkeep → watermark, runlog, writing → names
                                   → cleaning, history, facts, measures → specs → names
ingest → (nothing of procedures)     local → the plan and the specs     nothing → tests
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BOTTOM = {"names", "expressions", "sql_functions", "formats", "faults", "told"}
SPECS = {
    *("specs", "spec_columns", "spec_keys", "spec_nodes", "spec_yaml"),
    *("spec_source", "spec_checks", "spec_examples", "spec_file"),
}
PURE = {
    *("cleaning", "cleaning_words", "checking", "history", "history_events", "history_fast", "facts", "measures"),
    *("taskgraph", "validity", "transform_example", "transforming", "quarantine", "catalogue", "calendars"),
}
STATEMENTS = {"ddl", "changes"}  # SQL text made from specs; sends nothing
INPUT_OUTPUT = {"filing", "tagging", "telling", "writing", "watermark", "runlog", "turns"}
STEPS = {"arrival", "budgets", "dimension_step", "rebuilding", "fact_step", "duplicates", "runs", "loading", "steps", "applying", "upkeep", "replaying", "explaining", "provenance", "materialized", "reconciling", "rewinding", "sweeping", "alerting"}
HANDLERS = {"pipeline"}

# Layer → what its modules may import besides one another.
ARROWS = (
    (BOTTOM, set()),
    (SPECS, BOTTOM),
    (PURE, SPECS | BOTTOM),
    (STATEMENTS, PURE | SPECS | BOTTOM),
    (INPUT_OUTPUT, SPECS | BOTTOM),
    (STEPS, INPUT_OUTPUT | STATEMENTS | PURE | SPECS | BOTTOM),
    (HANDLERS, STEPS | INPUT_OUTPUT | STATEMENTS | PURE | SPECS | BOTTOM),
)
LAYER_OF = {module: layer for layer, _ in ARROWS for module in layer}
ALLOWED = {module: layer | below for layer, below in ARROWS for module in layer}

# What local may know of the code it runs: the plan and the specs, and their parser.
KNOWN_TO_LOCAL = {"taskgraph", "catalogue"} | SPECS | BOTTOM

PROCEDURES = {path.stem for path in (ROOT / "procedures").glob("*.py")}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, with dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    """First parts of imports; `procedures.x` counts as x."""
    return {name.removeprefix("procedures.").split(".")[0] for name in imports(path)}


def test_every_procedure_module_has_a_layer():
    assert not PROCEDURES - set(LAYER_OF), "modules without a place in ARROWS"


@pytest.mark.parametrize("module", sorted(PROCEDURES & set(LAYER_OF)))
def test_a_procedure_module_imports_only_what_lies_below(module):
    wrong = tops(ROOT / "procedures" / f"{module}.py") & (PROCEDURES | {"local", "ingest", "tests"}) - ALLOWED[module]
    assert not wrong, "; ".join(f"{module} → {other}" for other in sorted(wrong))


@pytest.mark.parametrize("module", sorted(PROCEDURES & (PURE | SPECS | BOTTOM | STATEMENTS)))
def test_a_pure_module_never_sees_a_session(module):
    seen = {name for name in imports(ROOT / "procedures" / f"{module}.py") if name.endswith(".Session")}
    assert not seen, f"{module} → Session"


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        pytest.param("ingest", PROCEDURES | {"local", "tests"}, id="ingest"),
        pytest.param("local", PROCEDURES - KNOWN_TO_LOCAL | {"tests"}, id="local"),
    ],
)
def test_a_package_beside_the_procedures_keeps_away_from_them(folder, forbidden):
    wrong = [
        f"{path.relative_to(ROOT)} → {other}" for path in sorted((ROOT / folder).rglob("*.py")) for other in sorted(tops(path) & forbidden)
    ]
    assert not wrong, "; ".join(wrong)


def test_module_names_of_procedures_are_their_own():
    """Imports of a procedure lie in one folder: a module may not hide a package of Snowflake's environment."""
    assert not PROCEDURES & {"snowflake", "yaml", "pandas", "numpy", "json", "types", "stats", "time", "local", "ingest"}
