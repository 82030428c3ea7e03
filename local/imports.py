"""Writes the IMPORTS of every procedure in app/sql from what its handler's module comes to import: `make imports`.

Snowflake takes no folder of modules, each file is listed; the lists are long and the same, so a program keeps them.
"""

from __future__ import annotations

import re
from pathlib import Path

from local.lint_app import imported

MANY = re.compile(r"IMPORTS = \(([^)]*)\)(?=\nHANDLER = '(\w+)\.)")


def needed(module: str, procedures: Path) -> list[str]:
    """The module and every module of the folder it comes to import, in the order of their names."""
    ours = {path.stem for path in procedures.glob("*.py")}
    found, waiting = {module}, [module]
    while waiting:
        new = imported(procedures / f"{waiting.pop()}.py") & ours - found
        found |= new
        waiting += new
    if "transforming" in found:  # loads by name what pipeline files name
        found |= {name for name in ours if name.startswith("transform_")}
    return sorted(found)


def listed(text: str, procedures: Path) -> str:
    """The script with its IMPORTS as they must be; files that are no module, such as pipelines, stay."""

    def write(match: re.Match[str]) -> str:
        modules = [f"/procedures/{name}.py" for name in needed(match[2], procedures)]
        others = [file for file in re.findall(r"'([^']+)'", match[1]) if not file.startswith("/procedures/")]
        files = ",\n".join(f"    '{file}'" for file in modules + others)
        return f"IMPORTS = (\n{files}\n)"

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
