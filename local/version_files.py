"""Files of an application's version, by their path from its root: those and no others."""

from __future__ import annotations

from pathlib import Path


def file_in(folder: Path, path: str) -> Path | None:
    """The file that a path names below the folder; None when there is none, or when the path leads out of it."""
    root = folder.resolve()
    place = (root / path.removeprefix("./").lstrip("/")).resolve()
    return place if place.is_relative_to(root) and place.is_file() else None
