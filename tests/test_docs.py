"""What the README and the docs say can be typed, called, asked or opened is there. The demo's commands run in tests/flow/test_demo.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local.place import ROOT
from local.rig import Rig
from tests.operating.watching import run_script, watched
from tests.rig import ONLINE_RETAIL, RETAIL, rigged
from tests.said import (
    anchors,
    blocks,
    call_faults,
    file_faults,
    firn_faults,
    link_faults,
    make_faults,
    snow_faults,
    statements,
    tables_declared,
    tables_named,
    typed,
)

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "app/README.md", *sorted((ROOT / "docs").glob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_every_command_is_one_the_program_takes(page: Path):
    text = page.read_text(encoding="utf-8")

    assert [*firn_faults(text), *make_faults(text), *snow_faults(text)] == []


@every_page
def test_every_procedure_named_is_there_and_takes_what_it_is_given(page: Path):
    assert list(call_faults(page.read_text(encoding="utf-8"))) == []


@every_page
def test_every_link_and_file_named_is_there(page: Path):
    text = page.read_text(encoding="utf-8")

    assert [*link_faults(page, text), *file_faults(text)] == []


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rigged(tmp_path_factory.mktemp("docs") / "rig", RETAIL) as made:
        watched(made.account)  # pages ask what the administrator's scripts make, too
        run_script(made.account, "13_cost")
        made.account.usage.flush()
        yield made


@every_page
def test_every_question_can_be_asked_and_every_table_named_is_there(retail: Rig, page: Path):
    text = page.read_text(encoding="utf-8")
    kinds = ("tables", "views")  # Snowflake's `tables` shows views too, the local account's does not
    found = [row for kind in kinds for row in retail.query(f"SELECT table_schema, table_name FROM information_schema.{kind}")]
    there = {f"{row['table_schema']}.{row['table_name']}".lower() for row in found}
    declared = tables_declared(text) | tables_declared(f"```yaml\n{ONLINE_RETAIL}\n```")

    assert sorted(tables_named(text) - there - declared) == []
    for statement in statements(text):
        if tables_named(statement) <= there:  # those of a page's own pipeline file are asked in tests/test_pages.py
            retail.query(statement)


@pytest.mark.parametrize(("line", "fault"), [
    pytest.param("```\n$ .venv/bin/firn stauts\n```", "invalid choice: 'stauts'", id="a command that is none"),
    pytest.param("```\nfirn up --prot 1      starts it\n```", "--prot", id="an option that is none, in a list of commands"),
    pytest.param("```\n$ .venv/bin/firn try shop.yml\n```", "--files", id="an option that is needed"),
    pytest.param("say `firn plann FILE` first", "plann", id="a command in running text"),
    pytest.param("say `firn plan` first", "", id="a command in running text may be cut short"),
    pytest.param("```\n$ make dmeo\n```", "no such target", id="a target that is none"),
    pytest.param("say `make dmeo`", "no such target", id="a target in running text"),
    pytest.param("```\n$ snow sql -f setup_sql/01_rolls.sql\n```", "no file setup_sql/01_rolls.sql", id="a script that is none"),
    pytest.param("```sql\nCALL core.rerun('shop');\n```", "no such procedure", id="a procedure that is none"),
    pytest.param("`CALL core.rewind('customers')`", "needs to_at", id="an argument that is needed"),
    pytest.param("`CALL core.rewind('customers', 'x', TRUE, 1)`", "takes 3 arguments, not 4", id="an argument too many"),
    pytest.param("`core.rebuild(…, dry => TRUE)`", "takes no argument dry", id="an argument of another name"),
    pytest.param("`core.rewind(source, to_at [, dry_run])`", "", id="an argument that may be left out"),
    pytest.param("[page](docs/none.md)", "no such file", id="a link to no file"),
    pytest.param("[page](docs/history.md#none)", "no such heading", id="a link to no heading"),
    pytest.param("see `tests/none.py`", "no such file", id="a path"),
])  # fmt: skip
def test_what_cannot_be_typed_called_or_opened_is_found(line, fault):
    page = ROOT / "README.md"

    found = [*firn_faults(line), *make_faults(line), *snow_faults(line), *call_faults(line), *link_faults(page, line), *file_faults(line)]

    assert len(found) == bool(fault)
    assert fault in "".join(found)


def test_what_cannot_be_asked_is_found(retail: Rig):
    wrong = '```sql\nSELECT no_such_column FROM control.alerts;\n```\n`control.alarms`\n```\n$ .venv/bin/firn sql "select revenu from gold.monthly_metrics"\n```'

    asked = list(statements(wrong))

    assert len(asked) == 2 and tables_named(wrong) == {"control.alerts", "control.alarms", "gold.monthly_metrics"}
    for statement in asked:
        with pytest.raises(Exception, match="(?i)no_such_column|revenu"):
            retail.query(statement)


def test_the_pages_are_read_and_not_passed_over():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

    assert len(list(typed(text))) > 50 and len(list(statements(text))) > 20 and len(blocks(text, "sql")) > 20
    assert {"make", "snow", ".venv/bin/firn"} <= {command.split()[0] for command in typed(text)}
    assert "one-run-writes-at-a-time" in anchors(ROOT / "docs/operations-recovery.md")


def test_the_excerpt_of_the_pipeline_file_says_what_the_file_says():
    excerpt = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1])
    whole = yaml.safe_load(RETAIL)

    def within(part, full):
        if isinstance(part, dict):
            return all(key in full and within(value, full[key]) for key, value in part.items())
        return part == full

    assert within(excerpt, whole)
