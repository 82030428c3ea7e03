"""Fixtures of the pure tests: frames written as tables, on Snowpark's local testing."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "procedures", ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # at the end: tests/history must not hide history
warnings.filterwarnings("ignore", message="urllib3")

import local_testing  # noqa: E402
from frames import frame_of  # noqa: E402
from snowflake.snowpark import DataFrame, Session  # noqa: E402


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Snowpark's local testing, repaired."""
    with local_testing.repaired():
        opened = Session.builder.config("local_testing", True).create()
        yield opened
        opened.close()


@pytest.fixture
def frame(session: Session) -> Callable[[str], DataFrame]:
    """A frame from a table in text; see `frames`."""
    return lambda text: frame_of(session, text)
