"""What may not be in the repository: names of package hosts, paths of one machine, large files."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 512 * 1024

# Put together so that this file does not hold what it looks for.
HOSTS = ("pypi" + ".org", "python" + "hosted", "registry" + ".npmjs", "index" + "-url", "art" + "ifactory", "prox" + "y.golang")
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(work|home|root|Users|tmp)/[\w.]+")


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git working tree")
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def lines() -> list[tuple[str, str]]:
    """Place and text of every line of every text file."""
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [(f"{path.relative_to(ROOT)}:{number}", line) for number, line in enumerate(text.splitlines(), 1)]
    return found


def test_no_package_host_is_named():
    wrong = [place for place, line in lines() if any(host in line.lower() for host in HOSTS)]
    assert not wrong, wrong


def test_no_path_of_one_machine_is_named():
    wrong = [f"{place}: {line.strip()[:80]}" for place, line in lines() if MACHINE_PATH.search(line)]
    assert not wrong, "\n".join(wrong)


def test_no_large_file_is_committed():
    wrong = [f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes" for path in committed() if path.stat().st_size > LARGEST]
    assert not wrong, wrong


@pytest.mark.parametrize("text", ["cd /work" + "/main", "'/home" + "/me/x'", "(/tmp" + "/x)"])
def test_a_machine_path_is_known_when_seen(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["/procedures/names.py", "https://x.io/home/x", "s3://b/tmp/x", "$HOME/tmp/x"])
def test_other_paths_are_not(text):
    assert not MACHINE_PATH.search(text)
