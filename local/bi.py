"""Writes app/bi from the pipeline files: for each a semantic view and a Power BI project, of the tables gold has: `python -m local.bi`.

Nothing of it ships with the application: the semantic view is run by who owns a schema for it, the project is opened on a desk.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "procedures") not in sys.path:
    sys.path.append(str(ROOT / "procedures"))

import spec_file  # noqa: E402

from local import bi_power, bi_semantic  # noqa: E402


def files(pipeline_file: Path) -> dict[str, str]:
    """What belongs into app/bi for one pipeline: path below it → text."""
    pipeline = spec_file.parse(pipeline_file.read_text(encoding="utf-8"), pipeline_file.name)
    texts = {"semantic_view.sql": bi_semantic.view(pipeline), **bi_power.project(pipeline)}
    return {f"{pipeline.name}/{path}": text for path, text in texts.items()}


def wanted(root: Path = ROOT) -> dict[str, str]:
    """Everything of app/bi."""
    return {path: text for file in sorted((root / "app" / "pipelines").glob("*.yml")) for path, text in files(file).items()}


def main(root: Path = ROOT) -> None:
    folder = root / "app" / "bi"
    if folder.exists():
        shutil.rmtree(folder)
    for path, text in wanted(root).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    print(f"written: {len(wanted(root))} files below app/bi")


if __name__ == "__main__":
    main()
