"""The administrator's SQL comes from the pipeline files: committed as made, and nothing of a file gets into it unchecked."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from local import setup_sql
from local.place import ROOT, NotRunning

PIPELINES = ROOT / "app" / "pipelines"
MADE = setup_sql.packaged(PIPELINES.glob("*.yml"))


@pytest.mark.parametrize("name", MADE)
def test_the_committed_script_is_what_the_pipeline_file_gives(name):
    committed = (ROOT / "setup_sql" / name).read_text(encoding="utf-8")

    assert committed == MADE[name], "firn setup-sql app/pipelines/*.yml --folder setup_sql"


def test_no_script_of_a_pipeline_that_is_gone_stays_behind():
    there = {path.name for path in (ROOT / "setup_sql").glob("*.sql") if "Made by" in path.read_text(encoding="utf-8")}

    assert there == set(MADE)


def made(folder: Path, text: str) -> dict[str, str]:
    (folder / "one.yml").write_text(text)
    arguments = argparse.Namespace(files=[folder / "one.yml"], folder=folder)
    setup_sql.run(None, arguments)
    return {path.name[:2]: path.read_text() for path in folder.glob("*.sql")}


SPEC = """
pipeline: one
sources:
  things:
    comment: {comment}
    files: {{prefix: "{prefix}", format: csv}}
    key: [id]
    effective_at: at
    columns:
      id: {{type: text, from: {column}}}
      at: {{type: timestamp}}
"""


def test_a_prefix_that_sql_would_not_read_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(NotRunning, match="prefix"):
        made(tmp_path, SPEC.format(comment="x", prefix="old things/it's/", column="ID"))

    assert not list(tmp_path.glob("*.sql"))


def test_a_comment_stays_one_comment(tmp_path):
    scripts = made(tmp_path, SPEC.format(comment='"of\\nDROP TABLE x;"', prefix="things/", column="ID"))

    assert "-- things, CSV: of DROP TABLE x;." in scripts["05"].splitlines()


@pytest.mark.parametrize("column", ["'my id'", "'id; DROP TABLE x'", "select"])
def test_a_column_that_needs_quotes_is_refused_and_nothing_is_written(tmp_path, column):
    with pytest.raises(NotRunning):
        made(tmp_path, SPEC.format(comment="x", prefix="things/", column=column))

    assert not list(tmp_path.glob("*.sql"))


def test_every_source_has_table_pipe_rights_check_and_end(tmp_path):
    scripts = made(tmp_path, SPEC.format(comment="x", prefix="things/", column="ID"))

    for script, words in {
        "05": ("CREATE TABLE IF NOT EXISTS firn_landing.bronze.things (", "CREATE PIPE IF NOT EXISTS firn_landing.bronze.things_pipe"),
        "07": ("GRANT SELECT, DELETE ON TABLE firn_landing.bronze.things TO APPLICATION firn;",),
        "90": ("SYSTEM$PIPE_STATUS('firn_landing.bronze.things_pipe')", "TABLE_NAME => 'firn_landing.bronze.things'"),
        "98": ("DROP PIPE IF EXISTS firn_landing.bronze.things_pipe;", "DROP TABLE IF EXISTS firn_landing.bronze.things;"),
    }.items():
        for text in words:
            assert text in scripts[script]
