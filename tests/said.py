"""What a page says can be typed, called, asked or opened, and what of it cannot: each function gives faults, one line each."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from local.cli import parser
from local.place import ROOT

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SIGNATURE = re.compile(r"CREATE OR REPLACE (?:PROCEDURE|FUNCTION) ((?:core|config)\.\w+)\((.*)\)")
CALLED = re.compile(r"(?:(CALL)\s+)?(?:firn\.)?\b((?:core|config)\.[a-z_]+)\(")
WILD = ("…", "...")


def blocks(text: str, *kinds: str) -> list[str]:
    return [content for kind, content in FENCE.findall(text) if kind in kinds]


def spans(text: str) -> list[str]:
    """Code in running text."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def typed(text: str) -> Iterator[str]:
    """Command lines: what stands after a `$`, and lines of plain blocks that begin with a command."""
    for _, content in FENCE.findall(text):
        for line in content.splitlines():
            if line.startswith("$ "):
                yield line[2:]
            elif line.startswith(("firn ", ".venv/bin/firn ", "snow ", "make ")):
                yield re.split(r"\s{3,}", line)[0]


# --- firn, make, snow


def words_of(command: str) -> list[str]:
    return shlex.split(re.split(r"\s(?:\||#|&&|>)\s", command)[0])


def firn_faults(text: str) -> Iterator[str]:
    """Command lines that the real parser refuses; of code in running text, words and options it does not know."""
    for command, is_whole in [*((line, True) for line in typed(text)), *((code, False) for code in spans(text))]:
        if not re.match(r"(\.venv/bin/)?firn\s", command):
            continue
        words = [word for word in words_of(command)[1:] if word not in WILD]
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                parser().parse_args(words)
        except SystemExit:
            problem = said.getvalue().strip().splitlines()[-1]
            if is_whole or not re.search("required|expected .*argument", problem):
                yield f"{command}: {problem}"


def make_faults(text: str) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in [*typed(text), *spans(text)]:
        found = re.match(r"make ([a-z-]+)\b", command)
        if found and found[1] not in targets:
            yield f"{command}: no such target"


def snow_faults(text: str) -> Iterator[str]:
    """`snow` command lines whose scripts are not there."""
    for command in typed(text):
        if re.match(r"(\.venv/bin/firn )?snow\s", command):
            words = words_of(command)
            for flag, value in itertools.pairwise(words):
                if flag == "-f" and not (ROOT / value).exists():
                    yield f"{command}: no file {value}"


# --- procedures


def signatures() -> dict[str, list[tuple[str, bool]]]:
    """Every procedure and function of the application: its arguments, and whether each may be left out."""
    found = {}
    for file in sorted((ROOT / "app/sql").glob("*.sql")):
        for name, arguments in SIGNATURE.findall(file.read_text(encoding="utf-8")):
            found[name] = [(one.split()[0], " DEFAULT " in one) for one in arguments.split(", ") if one]
    return found


def arguments_of(text: str) -> list[str]:
    """What stands between the brackets that open just before `text`, cut at its own commas."""
    depth, quoted, one, found = 1, False, "", []
    for letter in text:
        if letter == "'":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([{") - (letter in ")]}")
            if depth == 0:
                break
            if letter == "," and depth == 1:
                found.append(one.strip())
                one = ""
                continue
        one += letter
    return [*found, one.strip()] if one.strip() else found


def call_faults(text: str) -> Iterator[str]:
    """Calls of procedures that are not there, or with arguments they do not take."""
    known = signatures()
    for call in CALLED.finditer(text):
        name = call[2]
        if name not in known:
            yield f"{name}: no such procedure"
            continue
        rest = re.sub(r" ?\[,? ?(\w+)\]", r", \1", text[call.end() : call.end() + 2000]).removeprefix(", ")  # `f(a [, b])`
        given, taken = arguments_of(rest), known[name]
        named = [one.split("=>")[0].strip() for one in given if "=>" in one]
        wrong = [one for one in named if one not in {argument for argument, _ in taken}]
        plain = [one for one in given if "=>" not in one]
        if wrong:
            yield f"{name}: takes no argument {', '.join(wrong)}"
        elif len(given) > len(taken):
            yield f"{name}: takes {len(taken)} arguments, not {len(given)}"
        elif call[1] and not set(WILD) & set(given):
            missing = [argument for argument, may_be_left in taken[len(plain) :] if not may_be_left and argument not in named]
            if missing:
                yield f"{name}: needs {', '.join(missing)}"


# --- links and files


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading.

    >>> slug("## `core.rewind(source, to_at [, dry_run])`"), slug("## What it does not do")
    ('corerewindsource-to_at--dry_run', 'what-it-does-not-do')
    """
    words = re.sub(r"[^\w\s-]", "", heading.lstrip("#").strip().lower())
    return words.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line) for line in re.findall(r"^#+ .*$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)}


def link_faults(page: Path, text: str) -> Iterator[str]:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)]+)\)", FENCE.sub("", text)):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(file):
            yield f"{target}: no such heading"


def file_faults(text: str) -> Iterator[str]:
    """Paths of this project, written out, that are not there; `*` and `<name>` stand for any."""
    for path in re.findall(r"`((?:local|app|tests|procedures|setup_sql|ingest|docs)/[^\s`:]+)(?:::\w+)?`", text):
        if not list(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))):
            yield f"{path}: no such file"


# --- tables


def statements(text: str) -> Iterator[str]:
    """Questions a page asks: those of its SQL blocks and of `firn sql "…"`."""
    for block in blocks(text, "sql"):
        plain = re.sub(r"--.*$", "", block, flags=re.MULTILINE)
        yield from (one.strip() for one in plain.split(";") if re.match(r"\s*(SELECT|WITH)\b", one, re.IGNORECASE))
    for command in typed(text):
        if found := re.match(r'(?:\.venv/bin/)?firn (?:--data \S+ )?sql "(\s*select .*)"$', command, re.IGNORECASE):
            yield found[1]


def tables_named(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"\b((?:control|gold|silver)\.[a-z]\w+)\b(?!\()", text, re.IGNORECASE)}


def tables_declared(text: str) -> set[str]:
    """The tables of the pipeline files that a page shows."""
    found: set[str] = set()
    for block in blocks(text, "yaml"):
        part = ""
        for line in block.splitlines():
            part = top[1] if (top := re.match(r"(\w+):", line)) else part
            if (name := re.match(r"  (\w+):", line)) and part in ("sources", "dimensions", "facts", "kpis"):
                found.add(f"{'silver' if part == 'sources' else 'gold'}.{name[1]}")
    return found
