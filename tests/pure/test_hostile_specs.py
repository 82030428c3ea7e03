"""Hundreds of broken and hostile pipeline files: each is refused with a line to look at, none with a traceback."""

from __future__ import annotations

import ast
import copy
import random
import re
import time
from pathlib import Path

import pytest
import spec_file
import spec_keys
import yaml
from test_spec_pages import PLACES, WHOLE

ROOT = Path(__file__).resolve().parents[2]
RETAIL = (ROOT / "app" / "pipelines" / "retail.yml").read_text(encoding="utf-8")
INJECTIONS = (
    "x; drop table silver.customers",
    "x' or '1'='1",
    'x"; DROP SCHEMA gold CASCADE; --',
    "(select max(spec) from control.pipeline_spec)",
    "1) union all select 2 from information_schema.tables where (1=1",
    "a, b from control.ledger --",
    "system$abort_session(1)",
    "core.run_pipeline('retail')",
    "current_user()",
    "/* */ x",
    "$$ x $$",
    "x\\'; drop table y; --",
    "{{ jinja }}",
)


def refused(text: str) -> list:
    """Its problems; none when it is taken.  Anything else than a refusal is an error of ours."""
    try:
        spec_file.parse(text, "hostile.yml")
    except spec_file.SpecRefused as error:
        last = text.count("\n") + 1
        assert error.problems
        for problem in error.problems:
            assert 1 <= problem.line <= last, (problem, last)
            assert problem.message and problem.path
        assert all(re.match(r"hostile\.yml:\d+: ", line) for line in str(error).splitlines())
        return list(error.problems)
    return []


def places(node: object, path: tuple = ()):
    """Every scalar and every name of the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key), "name"
            yield from places(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from places(value, (*path, number))
    else:
        yield path, "value"


def put(text: str | dict, path: tuple, value: str, kind: str) -> str:
    file = copy.deepcopy(yaml.load(text, Loader=yaml.BaseLoader) if isinstance(text, str) else text)
    here = file
    for step in path[:-1]:
        here = here[step]
    if kind == "name":
        here[value] = here.pop(path[-1])
    else:
        here[path[-1]] = value
    return yaml.dump(file, sort_keys=False, allow_unicode=True, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


def is_free(path: tuple) -> bool:
    """Free text: comments, what a map makes of a text, constants of cleanings and checks, examples."""
    return "comment" in path or "tests" in path or any(word in path for word in ("map", "otherwise", "default", "clean"))


def test_what_would_be_sql_is_refused_in_every_field():
    whole = yaml.load(RETAIL, Loader=yaml.BaseLoader)
    taken, tried = [], 0
    every_second = list(places(whole))[::2]  # the other half has the same kinds of fields
    for number, (path, kind) in enumerate(every_second):
        if is_free(path if kind == "value" else path[:-1]):
            continue
        hostile = INJECTIONS[number % len(INJECTIONS)]
        tried += 1
        if not refused(put(whole, path, hostile, kind)):
            taken.append((path, kind, hostile))
    assert tried > 150
    assert not taken


@pytest.mark.parametrize("hostile", INJECTIONS)
@pytest.mark.parametrize("key", ["delete_when", "prefix", "format", "effective_at", "schedule", "zone", "formats", "path", "transform", "type"])
def test_no_injection_is_taken_in_the_fields_that_reach_sql(key, hostile):
    part = next(part for part in ("source", "files", "column", "pipeline") if key in spec_keys.keys_of(part))
    column = {"zone": "updated_at", "formats": "born_on"}.get(key)
    path = (*PLACES[part][:-1], column, key) if column else (*PLACES[part], key)
    assert refused(put(WHOLE, path, hostile, "value"))


def test_free_text_stays_text():
    """What is taken as text is quoted where it becomes SQL; a comment may say anything."""
    import ddl

    hostile = "it's; drop table x; --\\"
    spec = spec_file.parse(put(WHOLE, ("facts", "fact_orders", "comment"), hostile, "value"))
    statement = next(line for line in ddl.table_statements(spec) if "gold.fact_orders" in line)
    assert "COMMENT = 'it''s; drop table x; --\\\\'" in statement


def mutations(count: int):
    """Files that went wrong in an editor: lines gone, doubled, moved in, cut; words swapped; marks put in."""
    chance = random.Random(7)
    lines = RETAIL.splitlines()
    words = re.findall(r"\w+", RETAIL)
    for _ in range(count):
        made = list(lines)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(made))
            kind = chance.randrange(8)
            if kind == 0:
                made.pop(at)
            elif kind == 1:
                made.insert(at, made[at])
            elif kind == 2:
                made[at] = "  " * chance.randint(1, 3) + made[at]
            elif kind == 3:
                made[at] = made[at][: chance.randint(0, len(made[at]))]
            elif kind == 4:
                made[at] = re.sub(r"\w+", lambda _: chance.choice(words), made[at], count=1)
            elif kind == 5:
                spot = chance.randint(0, len(made[at]))
                made[at] = made[at][:spot] + chance.choice("{}[]:,'\"&*!|>%@`#\t\x00é—") + made[at][spot:]
            elif kind == 6:
                made[at] = made[at].replace(":", "", 1)
            else:
                other = chance.randrange(len(made))
                made[at], made[other] = made[other], made[at]
        yield "\n".join(made)


def test_generated_faults_never_give_a_traceback_and_most_are_found():
    found = [bool(refused(text)) for text in mutations(250)]
    assert sum(found) >= 200, f"{sum(found)} of {len(found)} were refused"


@pytest.mark.parametrize("text", [
    pytest.param("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]", id="aliases of aliases"),
    pytest.param("pipeline: x\n<<: {a: 1}", id="a merge"),
    pytest.param("pipeline: x\npipeline: y", id="a key twice"),
    pytest.param(RETAIL.replace("    key: [customer_id]\n", "    key: [customer_id]\n    key: [name]\n"), id="a key twice, deep"),
    pytest.param(RETAIL.replace("    overlap: 24 hours\n", "    overlap: 24 hours\n    overlap: 25 hours\n", 1), id="a key twice, and nothing else"),
    pytest.param(RETAIL.replace("      name:   ", "      NAME: {}\n      name:   "), id="a column twice, in capitals"),
    pytest.param("[" * 50_000, id="fifty thousand lists"),
    pytest.param("a: " + "{b: " * 5_000, id="five thousand mappings"),
    pytest.param("pipeline: x\n" + "a" * 5_000_000, id="five million characters"),
    pytest.param("pipeline: x\n---\npipeline: y", id="two documents"),
    pytest.param("? [a, b]\n: c", id="a list for a key"),
    pytest.param("pipeline: !!python/object/apply:os.system [ls]", id="a tag"),
    pytest.param("\ud800", id="half a character"),
    pytest.param("pipeline: x\x07", id="a bell"),
    pytest.param("pipeline: 99999999999999999999\nsources: 1", id="numbers for names"),
    pytest.param("version: 3\n" + RETAIL, id="a form to come"),
    pytest.param("version: one\n" + RETAIL, id="a form in a word"),
    pytest.param(RETAIL.replace("10 seconds", "99999999999999999999 days", 1), id="a schedule beyond time"),
    pytest.param(RETAIL.replace("overlap: 24 hours", "overlap: -1 hours", 1), id="an overlap below zero"),
    pytest.param(RETAIL.replace("age between 0 and 120", "(" * 3_000 + "age" + ")" * 3_000), id="three thousand brackets"),
    pytest.param(RETAIL.replace("age between 0 and 120", "age > 0 or " * 3_000 + "age > 0"), id="an endless expression"),
    pytest.param(RETAIL.replace("  customers:", f"  {'c' * 200}:", 1), id="a name of 200 characters"),
])  # fmt: skip
def test_what_harms_readers_is_refused_at_once(text):
    start = time.process_time()
    if "((((" in text:
        refused(text)  # deep, and one expression: taken or refused, but quickly
    else:
        assert refused(text)
    assert time.process_time() - start < 2


def test_files_of_the_first_form_are_read_and_later_ones_say_what_to_do():
    assert spec_file.parse("version: 1\n" + RETAIL) == spec_file.parse(RETAIL)
    [problem] = [item for item in refused("version: 3\n" + RETAIL) if item.path == "version"]
    assert "upgrade the app first" in problem.message and problem.line == 1


def test_two_hundred_sources_of_fifty_columns_are_read_and_checked_in_two_seconds():
    lines = ["pipeline: big", "sources:"]
    for number in range(200):
        lines += [f"  source_{number}:", f"    files: {{prefix: s{number}/, format: csv}}", "    key: [c0]", "    effective_at: c1", "    columns:"]
        lines += ["      c0: {type: integer}", "      c1: {type: timestamp}"]
        lines += [f"      c{column}: {{type: text, clean: [trim, lower, empty_to_null], map: {{R: Regular}}}}" for column in range(2, 50)]
        lines += ["    checks:", *[f"      ok_{column}: c{column} is not null and c{column} <> 'x'" for column in range(2, 12)]]
    text = "\n".join(lines)
    start = time.process_time()

    assert len(spec_file.parse(text).sources) == 200

    assert time.process_time() - start < 2, "processor time, as other programs run beside the tests"


def test_the_engine_has_no_word_of_a_domain():
    """Customers, orders and invoices are for pipeline files; the engine knows sources, dimensions and facts."""
    domain = re.compile(r"\b(customers?|orders?_id|order_line|invoices?|products?|inventory|stock_code|sku|retail)\b")
    wrong = []
    for path in sorted((ROOT / "procedures").glob("*.py")):
        if path.stem in ("spec_keys", "transform_example"):
            continue  # examples for people
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            words = [node.id] if node.__class__.__name__ == "Name" else [node.attr] if node.__class__.__name__ == "Attribute" else []
            words += [node.name] if node.__class__.__name__ in ("FunctionDef", "ClassDef") else []
            words += [node.arg] if node.__class__.__name__ == "arg" else []
            wrong += [f"{path.name}:{node.lineno}: {word}" for word in words if domain.search(word.lower().replace("_", " "))]
    assert not wrong
