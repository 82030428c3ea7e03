"""`make demo` is the front door: the same command, run to its end, and the README's transcript held against what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.place import ROOT, Place, free_port


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Place, subprocess.CompletedProcess[str]]:
    place = Place(tmp_path_factory.mktemp("demo") / "account")
    ports = ["--port", str(free_port()), "--s3-port", str(free_port())]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "demo", *ports],
        cwd=ROOT, text=True, capture_output=True, timeout=400,
    )  # fmt: skip
    yield place, done
    place.down()


def transcript() -> list[str]:
    """The README's blocks of the demo's output, cut where the README leaves something out."""
    block = re.search(r"\$ make demo\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    return [part.strip("\n") for part in block.split("…\n")]


def timeless(line: str) -> str:
    """Without seconds and ports, which differ each time."""
    line = re.sub(r"\d+\.\d s\b", "S", line.strip())
    return re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", line)


def test_the_demo_ends_well_and_every_count_is_what_the_generator_made(demo):
    _, done = demo

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"\n  \d+ counts, 0 differ\n", done.stdout)


def test_the_readme_shows_what_the_demo_prints(demo):
    printed = [timeless(line) for line in demo[1].stdout.splitlines()]
    steps, *results = transcript()

    for line in steps.split("\n\n")[0].splitlines():
        assert timeless(line) in printed
    for result in results:
        for line in result.splitlines():
            assert timeless(line) in printed, line


def test_the_readmes_run_log_has_the_demos_row_counts(demo):
    """How many runs it takes and how events fall into batches depends on the clock; what the loads read and made of it does not."""
    printed = demo[1].stdout
    shown = re.findall(r"^  load (\w+) +\d+ +(.+?) +[\d.]+$", transcript()[0], re.MULTILINE)
    assert len(shown) == 5
    for source, numbers in shown:
        assert re.search(rf"^  load {source} +\d+ +{re.sub(' +', ' +', numbers)} +[\d.]+$", printed, re.MULTILINE), source


@pytest.mark.parametrize("words", [
    ["status"],
    ["sql", "select month, revenue from gold.monthly_metrics order by month"],
    ["sql", "--json", "select * from control.quarantine limit 1"],
    ["snow", "sql", "-q", "CALL firn.core.run_pipeline('retail')"],
], ids=lambda words: words[0])
def test_the_commands_the_readme_names_afterwards_work(demo, words):
    place, _ = demo
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), *words], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


EXAMPLES = re.findall(r'^\$ \.venv/bin/firn sql "(select .+ where customer_id = .+)"\n((?:[^$`].*\n)+)', (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("sql", "shown"), EXAMPLES, ids=[f"{sql.split(' from ')[1].split()[0]} {sql.split('customer_id = ')[1][0]}" for sql, _ in EXAMPLES])
def test_the_readmes_worked_examples_are_what_the_demo_made(demo, sql, shown):
    place, _ = demo
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(place.folder), "sql", sql], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert len(EXAMPLES) == 4
    assert done.stdout == shown


def test_the_demo_does_not_empty_a_folder_it_did_not_make(tmp_path: Path):
    (tmp_path / "mine").write_text("keep me")
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "local", "--data", str(tmp_path), "demo"], cwd=ROOT, text=True, capture_output=True, timeout=60)

    assert done.returncode == 1
    assert "did not make" in done.stderr
    assert (tmp_path / "mine").exists()
