"""Writes the IMPORTS of every procedure in app/sql from what its handler's module comes to import: `make imports`.

Snowflake takes no folder of modules, each file is listed; the lists are long and the same, so a program keeps them.
"""

from __future__ import annotations

import re
from pathlib import Path

from local.lint_app import imported

MANY = re.compile(r"IMPORTS = \([^)]*\)\nHANDLER = '(\w+)\.\w+'")


def needed(module: str, procedures: Path) -> list[str]:
    """The module and every module of the folder it comes to import, in the order of their names."""
    ours = {path.stem for path in procedures.glob("*.py")}
    found, waiting = {module}, [module]
    while waiting:
        new = imported(procedures / f"{waiting.pop()}.py") & ours - found
        found |= new
        waiting += new
    return sorted(found)


def listed(text: str, procedures: Path) -> str:
    """The script with its IMPORTS as they must be."""

    def write(match: re.Match[str]) -> str:
        files = ",\n".join(f"    '/procedures/{name}.py'" for name in needed(match[1], procedures))
        return match[0].replace(match[0].split("\nHANDLER")[0], f"IMPORTS = (\n{files}\n)")

    return MANY.sub(write, text)


def main(root: Path) -> None:
    for path in sorted((root / "app" / "sql").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        wanted = listed(text, root / "procedures")
        if wanted != text:
            path.write_text(wanted, encoding="utf-8")
            print(f"written: {path.relative_to(root)}")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1])
