"""Pages that show rows show the rows that come: their files go through the application, their statements are asked."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
import spec_file

from local.cli import main
from local.place import ROOT
from local.rig import Rig
from local.show import answer_text
from local.spec_test import results
from tests.pages import disagreements
from tests.rig import RETAIL, rigged


def test_every_row_of_the_concepts_is_what_the_tables_hold(tmp_path: Path):
    with rigged(tmp_path / "rig", RETAIL) as rig:
        rig.clock = dt.datetime(2024, 3, 11)
        count, found = disagreements(rig, (ROOT / "docs/concepts.md").read_text(encoding="utf-8"))

    assert count == 11
    assert found == []


def test_the_quickstart_typed_as_it_stands_gives_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """All but `firn try` itself, whose way through S3, pipe and graph is tests/flow/test_try.py; the account here is a rig."""
    text = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
    orders, instead = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("csv", "yaml"))
    monkeypatch.chdir(tmp_path)
    Path("cafe").mkdir()
    Path("cafe/orders.csv").write_text(orders)
    assert main(["new", "cafe", "--from", "cafe", "--to", "cafe.yml"]) == 0
    spec = Path("cafe.yml").read_text().partition("    checks:\n")[0] + instead
    Path("cafe.yml").write_text(spec)
    capsys.readouterr()
    assert main(["validate", "cafe.yml"]) == 0
    assert f"$ .venv/bin/firn validate cafe.yml\n{capsys.readouterr().out}" in text
    typed = re.findall(r'^\$ \.venv/bin/firn --data \.firn-try sql "(.*)"\n((?:(?![$`]).*\n)*)', text, re.MULTILINE)

    with rigged(tmp_path / "rig", spec) as rig:
        rig.load("orders", orders, file="cafe/orders/orders.csv")
        rig.run()
        found = [(sql, shown(rig, sql)) for sql, _ in typed]

    assert [(sql, answer) for sql, answer in found if "CALL" not in sql] == [
        (sql, answer.rstrip()) for sql, answer in typed if "CALL" not in sql
    ]
    called = [json.loads(answer) for sql, answer in found if "CALL" in sql]
    assert [answer.get("failed_checks") for answer in called[:2]] == [[], {}]
    assert called[2]["status"] == "succeeded" and called[3]["checks"]["evaluated"]["amount_is_positive"] == "passed"


def test_the_file_of_the_walk_to_a_new_pipeline_is_right_its_example_holds_and_its_mistake_is_told_as_shown():
    text = (ROOT / "docs/new-pipeline.md").read_text(encoding="utf-8")
    spec = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("pipeline:"))
    told = re.search(r"```text\n(shop.yml.*?), …\n", text)[1]

    with pytest.raises(spec_file.SpecRefused) as refused:
        spec_file.parse(spec.replace("quantity:    {type: integer", "quantity:    {type: int"), "shop.yml")

    assert str(refused.value).startswith(told)
    assert [(example.name, wrong) for example, wrong in results(spec_file.parse(spec), spec)] == [
        ("a cancelled line is subtracted, by the clock of London", [])
    ]


def shown(rig: Rig, sql: str) -> str:
    """As `firn sql` prints it."""
    if sql.startswith("CALL"):
        return rig.account.answer(rig.account.session("FIRN", "CONTROL"), sql)[0][0]
    rows = rig.query(sql)
    return answer_text(list(rows[0]), [list(row.values()) for row in rows])
