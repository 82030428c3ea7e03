"""Mistakes in snowflake.yml and manifest.yml, and the list of what ships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from local.lint_findings import Finding, found

DESCRIPTION_LENGTH = 200
LEVELS = ("log_level", "trace_level", "metric_level", "log_event_level")
BINDABLE = {
    "TABLE": {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES"},
    "VIEW": {"SELECT", "REFERENCES"},
    "EXTERNAL TABLE": {"SELECT", "REFERENCES"},
    "FUNCTION": {"USAGE"},
    "PROCEDURE": {"USAGE"},
    "WAREHOUSE": {"MODIFY", "MONITOR", "USAGE", "OPERATE"},
    "API INTEGRATION": {"USAGE"},
    "EXTERNAL ACCESS INTEGRATION": {"USAGE"},
    "SECRET": {"USAGE", "READ"},
}


def line_of(text: str, wanted: str) -> int:
    """The first line with a text, 1 where there is none."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if wanted in line), 1)


def artifacts(root: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """The package's artifacts as (src, dest, processors); a bare path keeps its place."""
    definition = _yaml(root / "snowflake.yml")
    listed = []
    for entity in (definition.get("entities") or {}).values():
        if entity.get("type") != "application package":
            continue
        for artifact in entity.get("artifacts") or []:
            if isinstance(artifact, str):
                listed.append((artifact, "", ()))
            else:
                names = tuple(item if isinstance(item, str) else item["name"] for item in artifact.get("processors") or [])
                listed.append((artifact["src"], artifact.get("dest", ""), names))
    return listed


def shipped(root: Path) -> dict[str, Path]:
    """Path on the stage, from its root with a slash → file of the repository."""
    return {place: path for place, path in _placed(root)}


def _placed(root: Path) -> Iterator[tuple[str, Path]]:
    for source, dest, _ in artifacts(root):
        for path in sorted(root.glob(source)):
            if not dest:
                place = PurePosixPath(path.relative_to(root).as_posix())
            elif dest.endswith("/") or "*" in source:
                place = PurePosixPath(dest) / path.name
            else:
                place = PurePosixPath(dest)
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            for file in files:
                yield "/" + (place / file.relative_to(path)).as_posix(), file


def bundle_findings(root: Path) -> Iterator[Finding]:
    file = root / "snowflake.yml"
    if not file.is_file():
        return
    text, definition = file.read_text(encoding="utf-8"), _yaml(file)
    if definition.get("definition_version") not in (2, "2"):
        yield found("definition-version", "snowflake.yml", line_of(text, "definition_version"), "The definition is not version 2.")
    for source, _, processors in artifacts(root):
        line = line_of(text, source)
        matches = sorted(root.glob(source))
        if not matches:
            yield found("artifact-missing", "snowflake.yml", line, f"No file matches {source}.")
        if any(path.is_dir() for path in matches):
            yield found("artifact-directory", "snowflake.yml", line, f"{source} maps a folder.")
        if "snowpark" in processors:
            yield found("annotation-processor", "snowflake.yml", line, "The snowpark processor ships an app without procedures.")
    seen: dict[str, Path] = {}
    for place, path in _placed(root):
        if seen.setdefault(place, path) != path:
            clash = f"{path.relative_to(root)} and {seen[place].relative_to(root)} both become {place}."
            yield found("artifact-collision", "snowflake.yml", line_of(text, path.name), clash)
        if place == "/app.yml":
            yield found("app-yml", "snowflake.yml", line_of(text, path.name), "A file called app.yml would lie at the root.")
    if "/manifest.yml" not in seen:
        yield found("manifest-at-root", "snowflake.yml", line_of(text, "manifest"), "No artifact puts manifest.yml at the root.")
    elif _yaml(seen["/manifest.yml"]).get("manifest_version") == 2:
        for entity in (definition.get("entities") or {}).values():
            if "debug" in entity:
                yield found("debug-with-manifest-2", "snowflake.yml", line_of(text, "debug"), "`debug:` beside manifest_version 2.")


def manifest_findings(root: Path, released: Mapping[str, Any] | None) -> Iterator[Finding]:
    """`released` is the manifest of the last release, where there was one."""
    file = root / "app" / "manifest.yml"
    if not file.is_file():
        return
    text, manifest, name = file.read_text(encoding="utf-8"), _yaml(file), "app/manifest.yml"
    if manifest.get("manifest_version") != 2:
        yield found("manifest-version", name, line_of(text, "manifest_version"), "The manifest is not version 2.")
    script = (manifest.get("artifacts") or {}).get("setup_script", "setup.sql")
    if "/" + script.removeprefix("./").lstrip("/") not in shipped(root):
        yield found("setup-script-missing", name, line_of(text, "setup_script"), f"{script} is not shipped.")
    for description in _descriptions(manifest):
        if len(description) > DESCRIPTION_LENGTH:
            yield found("description-too-long", name, line_of(text, description[:40]), f"A description of {len(description)} characters.")
    configuration = manifest.get("configuration") or {}
    for level in LEVELS:
        if isinstance(configuration.get(level), bool):
            yield found("unquoted-off", name, line_of(text, level), f"{level} is a Boolean.")
    for event in configuration.get("telemetry_event_definitions") or []:
        if str(event.get("sharing", "OPTIONAL")).upper() != "OPTIONAL":
            yield found("event-sharing", name, line_of(text, "sharing"), f"{event.get('type')} is shared {event['sharing']}.")
    for reference, wanted in references(manifest).items():
        kind = str(wanted.get("object_type", "")).upper().replace("_", " ")
        beyond = {str(privilege).upper() for privilege in wanted.get("privileges") or []} - BINDABLE.get(kind, set())
        if kind not in BINDABLE or beyond:
            wrong = f"with {', '.join(sorted(beyond))}" if kind in BINDABLE else ""
            yield found("reference-type", name, line_of(text, reference), f"{reference}: a {kind} {wrong}cannot be bound.")
    if released and _version(released) == _version(manifest):
        for section in ("privileges", "references"):
            if released.get(section) != manifest.get(section):
                yield found(
                    "changed-in-patch", name, line_of(text, section), f"{section} differ from those of the released {_version(manifest)}."
                )


def references(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: wanted or {} for entry in manifest.get("references") or [] for name, wanted in entry.items()}


def privileges(manifest: Mapping[str, Any]) -> set[str]:
    return {name.upper() for entry in manifest.get("privileges") or [] for name in entry}


def manifest_of(root: Path) -> dict[str, Any]:
    file = root / "app" / "manifest.yml"
    return _yaml(file) if file.is_file() else {}


def _version(manifest: Mapping[str, Any]) -> str | None:
    return (manifest.get("version") or {}).get("name")


def _descriptions(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                yield value
            yield from _descriptions(value)
    elif isinstance(node, list):
        for item in node:
            yield from _descriptions(item)


def _yaml(file: Path) -> dict[str, Any]:
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}
