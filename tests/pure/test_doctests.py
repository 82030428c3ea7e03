"""What the docstrings of the engine show is what happens."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["names", "expressions", "formats", "spec_columns", "ddl", "validity", "calendars", "provenance", "local.show", "tests.said"])
def test_docstrings_are_true(module):
    result = doctest.testmod(importlib.import_module(module))

    assert result.attempted and not result.failed
