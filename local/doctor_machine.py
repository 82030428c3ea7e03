"""What `firn doctor` looks for on this machine: Python, packages, ports, disk, leftovers of a killed account.

The facts are gathered at the end of the file; the checks only read them.
"""

from __future__ import annotations

import importlib.metadata
import ipaddress
import json
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.doctor_findings import NOTE, Finding, Hand, listed
from local.place import PORT, ROOT, S3_PORT, Place, alive, free

OLDEST_PYTHON = (3, 11)
LEAST_DISK = 2 * 2**30  # bytes; the demo takes some 300 MB, DuckDB may spill as much as its memory
LOOPBACK = ("127.", "::1", "::ffff:127.")


@dataclass(frozen=True)
class Machine:
    """`folder` is the account's; `state` what `running.json` says, `servers` are processes that serve this folder."""

    python: tuple[int, ...]
    folder: Path
    locked: Mapping[str, str] = field(default_factory=dict)  # package → version of the lock
    installed: Mapping[str, str] = field(default_factory=dict)
    has_snow: bool = True
    free_bytes: int = 2**40
    state: Mapping[str, int] | None = None
    is_up: bool = False
    is_alive: bool = False
    servers: tuple[int, ...] = ()
    taken_ports: tuple[int, ...] = ()  # of those `firn up` wants, when nothing runs
    listening: tuple[str, ...] = ()  # addresses of the account's processes
    open_secrets: tuple[str, ...] = ()  # files with a login that others may read
    is_remote: bool = False  # the doctor looks at a real account: the local one matters less


def python_is_new_enough(machine: Machine, hand: Hand) -> Iterator[Finding]:
    if machine.python < OLDEST_PYTHON:
        yield Finding("python", sys.executable, ".".join(map(str, machine.python)), "3.11 or newer", ("rm -rf .venv", "make install PYTHON=python3.12"))


def packages_are_those_of_the_lock(machine: Machine, hand: Hand) -> Iterator[Finding]:
    missing = [name for name in machine.locked if name not in machine.installed]
    others = [f"{name} {machine.installed[name]} (not {version})" for name, version in machine.locked.items() if machine.installed.get(name, version) != version]
    if missing or others:
        found = "; ".join(part for part in (f"not installed: {listed(missing)}" if missing else "", f"other versions: {listed(others)}" if others else "") if part)
        yield Finding("packages", "requirements.txt", found, "the versions of the lock", ("rm -rf .venv", "make install"))


def snow_is_there(machine: Machine, hand: Hand) -> Iterator[Finding]:
    if not machine.has_snow and "snowflake-cli" in machine.installed:
        yield Finding("snow", str(Path(sys.executable).with_name("snow")), "no such program", "snow of snowflake-cli, beside this Python", ("rm -rf .venv", "make install"))


def disk_is_not_full(machine: Machine, hand: Hand) -> Iterator[Finding]:
    if machine.free_bytes < LEAST_DISK:
        yield Finding("disk", str(machine.folder), f"{machine.free_bytes / 2**30:.1f} GB free", f"{LEAST_DISK / 2**30:.0f} GB or more", (f"du -sh {machine.folder}",))


def nothing_is_left_of_a_killed_account(machine: Machine, hand: Hand) -> Iterator[Finding]:
    """A state file without its process is harmless; a process that serves the folder and is not the one of the file holds its files."""
    own = (machine.state or {}).get("pid")
    for pid in machine.servers:
        if pid != own:
            yield Finding("processes", f"process {pid}", f"serves {machine.folder} and is not the account that running.json names", "one account per folder", (f"kill {pid}", hand.firn("up")))
    if machine.state and not machine.is_alive and not machine.is_remote:
        yield Finding("processes", str(machine.folder / "running.json"), f"names process {own}, which has ended without `firn down`", "an account that was stopped; `firn up` goes on where it was", (hand.firn("up"),), NOTE)
    if machine.state and machine.is_alive and not machine.is_up:
        yield Finding("processes", f"process {own}", "runs and does not answer", "an account that answers", (hand.firn("down"), hand.firn("up"), f"tail {machine.folder / 'account.log'}"))


def ports_are_free(machine: Machine, hand: Hand) -> Iterator[Finding]:
    if machine.taken_ports and not machine.is_up and not machine.is_remote:
        yield Finding("ports", listed([str(port) for port in machine.taken_ports]), "used by another program", "free for the local account", (hand.firn("up", "--port", str(PORT + 100), "--s3-port", str(PORT + 101)),))


def nothing_listens_beyond_this_machine(machine: Machine, hand: Hand) -> Iterator[Finding]:
    for address in machine.listening:
        if not address.startswith(LOOPBACK):
            yield Finding("ports", address, "the local account listens to other machines", "127.0.0.1 only: whoever reaches it may log in", (hand.firn("down"),))


def logins_are_private(machine: Machine, hand: Hand) -> Iterator[Finding]:
    for file in machine.open_secrets:
        yield Finding("files", file, "others on this machine may read it", "its owner only (600)", (f"chmod 600 {file}",))


CHECKS: tuple[Callable[[Machine, Hand], Iterator[Finding]], ...] = (
    python_is_new_enough,
    packages_are_those_of_the_lock,
    snow_is_there,
    disk_is_not_full,
    nothing_is_left_of_a_killed_account,
    ports_are_free,
    nothing_listens_beyond_this_machine,
    logins_are_private,
)


# --- gathering


def look(place: Place, *, is_remote: bool = False) -> Machine:
    state = stated(place)
    is_up = place.state() is not None
    servers = tuple(serving(place.folder))
    return Machine(
        python=sys.version_info[:3],
        folder=place.folder,
        locked=lock((ROOT / "requirements.txt").read_text(encoding="utf-8")),
        installed={canonical(one.metadata["Name"]): one.version for one in importlib.metadata.distributions() if one.metadata["Name"]},
        has_snow=Path(sys.executable).with_name("snow").exists(),
        free_bytes=shutil.disk_usage(place.folder if place.folder.exists() else ROOT).free,
        state=state,
        is_up=is_up,
        is_alive=bool(state) and alive(state["pid"]),
        servers=servers,
        taken_ports=() if is_up or servers else tuple(port for port in (PORT, S3_PORT) if not free(port)),
        listening=tuple(addresses(family(servers))),
        open_secrets=tuple(str(file) for file in sorted(place.folder.glob("*.toml")) if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)),
        is_remote=is_remote,
    )


def stated(place: Place) -> dict[str, int] | None:
    try:
        said = json.loads(place.state_file.read_text())
        return said if isinstance(said.get("pid"), int) else None
    except (OSError, ValueError, AttributeError):
        return None


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(text: str) -> dict[str, str]:
    """
    >>> lock("# made by pip freeze\\nSnowflake_CLI==3.30.0\\nduckdb==2.0.0\\n")
    {'snowflake-cli': '3.30.0', 'duckdb': '2.0.0'}
    """
    return {canonical(name): version for name, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;#]+)", text, re.MULTILINE)}


def serving(folder: Path) -> Iterator[int]:
    """Processes of the local account on this folder, by their command line; on Linux, elsewhere none is seen."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "local.server" in words and str(folder) in words and "--folder" in words:
            yield int(place.parent.name)


def family(pids: tuple[int, ...]) -> set[int]:
    """Processes and all that they started."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(place.parent.name)] = int(place.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def addresses(pids: set[int]) -> Iterator[str]:
    """`host:port` of every TCP socket on which one of these processes listens."""
    inodes: set[str] = set()
    for pid in pids:
        try:
            links = [readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                yield address(words[1])


def readlink(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def address(text: str) -> str:
    """An address of /proc/net/tcp: each four bytes turned round.

    >>> address("0100007F:494D"), address("00000000:0050"), address("00000000000000000000000001000000:0050")
    ('127.0.0.1:18765', '0.0.0.0:80', '::1:80')
    """
    host, port = text.split(":")
    raw = b"".join(bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8))
    return f"{ipaddress.ip_address(raw)}:{int(port, 16)}"
