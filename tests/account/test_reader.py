"""Statements without a tree of their own are read word by word."""

from __future__ import annotations

import pytest
from snowflake.connector.errors import ProgrammingError

from local.reader import Reader
from local.statements import head


@pytest.mark.parametrize(("sql", "words"), [
    pytest.param("CREATE OR REPLACE TASK t SCHEDULE = '1 MINUTE' AS SELECT 1", ("CREATE", "TASK", "T"), id="or replace is no word"),
    pytest.param("create secure view v as select 1", ("CREATE", "VIEW", "V"), id="modifiers are no words"),
    pytest.param("desc pipe p", ("DESCRIBE", "PIPE", "P"), id="short forms"),
    pytest.param("-- why\nSHOW TASKS IN ACCOUNT", ("SHOW", "TASKS", "IN"), id="a comment before"),
    pytest.param("CREATE OR ALTER VERSIONED SCHEMA core", ("CREATE", "VERSIONED", "SCHEMA"), id="or alter"),
])
def test_the_first_words_say_what_a_statement_is(sql, words):
    assert head(Reader(sql))[:3] == words


def test_options_are_read_with_their_lists():
    reader = Reader("TYPE = CSV NULL_IF = ('', 'NULL') SKIP_HEADER = 1 PARSE_HEADER = TRUE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')")

    assert reader.options() == {
        "TYPE": "CSV",
        "NULL_IF": ["", "NULL"],
        "SKIP_HEADER": 1,
        "PARSE_HEADER": True,
        "ENCRYPTION": {"TYPE": "SNOWFLAKE_SSE"},
    }


@pytest.mark.parametrize(("text", "name"), [
    pytest.param("firn.core.x", ("FIRN", "CORE", "X"), id="unquoted goes upper"),
    pytest.param('"Firn"."a.b"', ("Firn", "a.b"), id="quoted stays"),
    pytest.param("IDENTIFIER('x')", ("X",), id="identifier()"),
])
def test_names(text, name):
    assert Reader(text).name() == name


@pytest.mark.parametrize("sql", ["TYPE CSV", "= 1", "A = "])
def test_what_cannot_be_read_is_a_syntax_error(sql):
    with pytest.raises(ProgrammingError, match="001003"):
        Reader(sql).options()
