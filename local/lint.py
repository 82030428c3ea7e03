"""Finds what would fail an install or an upgrade on a real account, before one is at hand.

    python -m local.lint [FOLDER] [--released OLD_MANIFEST]

reads snowflake.yml, app/, procedures/ and setup_sql/ and prints each mistake with its place, what
to do, and the page of Snowflake's documentation.  What is not there yet is passed over.
The rules are in `lint_findings.RULES`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from local.lint_app import setup_findings
from local.lint_bundle import bundle_findings, manifest_findings
from local.lint_findings import RULES, Finding, together
from local.lint_landing import landing_findings
from local.lint_python import python_findings

__all__ = ["RULES", "Finding", "findings"]


def findings(root: Path, released: Mapping[str, Any] | None = None) -> list[Finding]:
    """All mistakes below `root`, by file and line.

    `released` is the manifest of the last release: privileges and references may not differ from
    it while the version's name stays.
    """
    return together(
        bundle_findings(root),
        manifest_findings(root, released),
        setup_findings(root),
        python_findings(root),
        landing_findings(root),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.lint", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--released", type=Path, help="manifest.yml of the last release")
    given = parser.parse_args(arguments)
    released = yaml.safe_load(given.released.read_text(encoding="utf-8")) if given.released else None
    mistakes = findings(given.folder.resolve(), released)
    for mistake in mistakes:
        print(mistake)
    print(f"{len(mistakes)} mistakes, {len(RULES)} rules" if mistakes else f"No mistakes, {len(RULES)} rules")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
