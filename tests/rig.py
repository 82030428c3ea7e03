"""The whole application in a few seconds, for tests of what the steps do to rows: `local.rig.Rig`, made once and copied.

    @pytest.fixture(scope="module")
    def rig(tmp_path_factory):
        with rigged(tmp_path_factory.mktemp("rig"), SHOP) as made:
            yield made

    def test_a_file_becomes_events(rig):
        rig.load("customers", '''
            customer_id,name,updated_at
            1,Ada,2024-01-01 00:00:00
        ''')
        rig.step("load", "customers")
        assert rig.query("SELECT name FROM silver.customers") == [{"name": "Ada"}]

To make one takes 2.4 s, to copy one 0.1 s, the first call of a procedure 1.5 s (its process starts); see tests/account/test_rig.py.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from local.rig import ROOT, Rig

RETAIL = (ROOT / "app/pipelines/retail.yml").read_text(encoding="utf-8")
ONLINE_RETAIL = (ROOT / "app/pipelines/online_retail.yml").read_text(encoding="utf-8")


def rigged(folder: Path, spec: str = RETAIL, procedures: dict[str, str] | None = None) -> Rig:
    """A rig of its own in an empty folder, with this pipeline applied and bronze empty.

    `procedures`: whole files that replace those of the tree, {"watermark.py": "…"}; see `damaged`.
    """
    shutil.copytree(template(spec, tuple(sorted((procedures or {}).items()))), folder, dirs_exist_ok=True)
    return Rig(folder)


def damaged(module: str, before: str, after: str) -> dict[str, str]:
    """A copy of procedures/<module>.py with one text replaced everywhere; an error when the text is not there."""
    text = (ROOT / "procedures" / f"{module}.py").read_text(encoding="utf-8")
    assert before in text, f"procedures/{module}.py no longer says: {before}"
    return {f"{module}.py": text.replace(before, after)}


def state(rig: Rig, *tables: str, without: Sequence[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of tables, sorted, less some columns: what two runs can be compared by."""
    found = {}
    for table in tables:
        rows = rig.query(f"SELECT * FROM {table}")
        found[table] = sorted((tuple(v for c, v in row.items() if c not in without) for row in rows), key=repr)
    return found


@cache
def template(spec: str, procedures: tuple[tuple[str, str], ...]) -> Path:
    """A closed rig to copy, made once per test session."""
    name = hashlib.sha256(repr((spec, procedures)).encode()).hexdigest()[:12]
    folder = templates() / name
    Rig(folder, spec, dict(procedures)).close()
    return folder


@cache
def templates() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="firn-rigs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
