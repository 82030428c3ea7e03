"""Identifiers: the only place where a name becomes SQL text.

Firn writes names unquoted and in lower case, so that `customers`, `CUSTOMERS` and
`Customers` are one table, as everywhere in Snowflake.  What would need quotes is
refused here, long before it could reach a statement.
"""

import re
from collections.abc import Iterable

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

# Snowflake refuses these as unquoted column names:
# https://docs.snowflake.com/en/sql-reference/reserved-keywords
RESERVED_BY_SNOWFLAKE = frozenset(
    """
    account all alter and any as between by case cast check column connect connection constraint create cross
    current current_date current_time current_timestamp current_user database delete distinct drop else exists
    false following for from full grant group gscluster having ilike in increment inner insert intersect into is
    issue join lateral left like localtime localtimestamp minus natural not null of on or order organization
    qualify regexp revoke right rlike row rows sample schema select set some start table tablesample then to
    trigger true try_cast union unique update using values view when whenever where with
    """.split()
)

# Columns that Firn itself adds to silver and stage; a source may not declare them.
PROVENANCE = ("file_name", "row_number", "content_key", "loaded_at")
RESERVED_BY_FIRN = frozenset(PROVENANCE) | frozenset(
    """
    effective_at is_deleted batch_no failed_checks warned_checks row_values outcome valid_from valid_to is_current
    is_inferred is_in_hand computed_at is_truncate absent_columns is_repeat stops passes copy_no is_gone is_new record
    is_last is_added is_alike is_open known_from opens shows begins ends ends_life life instant_rank kind_order
    living_at latest_at gone_at first_at boundary_at next_extract_at next_seen_at next_from old_from old_to new_from new_at
    pair_no first_pair_no is_pair highest_key key_fault open_count age_rank differs version_count version_no
    shown_count instant_count change_count added_count removed_count durable_key version_key event_count is_altered is_altered_inside is_boundary is_standing
    touched_from stands_from is_change is_removed counted_version standing_count met_count touched_known_from
    """.split()
)


class NameRefused(ValueError):
    """A name that is not a plain identifier; `name` carries it as it was given."""

    def __init__(self, name: object) -> None:
        self.name = name
        super().__init__(
            f"`{name}` cannot be a name here: expected a letter or underscore, then letters, digits and underscores."
        )


def identifier(name: str) -> str:
    """The name in lower case, when it is safe to stand unquoted in SQL.

    >>> identifier("Customers")
    'customers'
    >>> identifier('x"; DROP TABLE t')
    Traceback (most recent call last):
    names.NameRefused: `x"; DROP TABLE t` cannot be a name here: expected a letter or underscore, then letters, \
digits and underscores.
    """
    if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
        raise NameRefused(name)
    return name.lower()


def qualified(*parts: str) -> str:
    """Identifiers joined by dots.

    >>> qualified("silver", "customers")
    'silver.customers'
    """
    return ".".join(identifier(part) for part in parts)


def plain(name: str) -> bool:
    """Whether a column may carry this name without quotes."""
    return bool(IDENTIFIER.fullmatch(name)) and name.lower() not in RESERVED_BY_SNOWFLAKE


def text(value: str) -> str:
    """A text constant, for the few statements that take no bound values (COMMENT, task bodies).

    >>> text("customer's")
    "'customer''s'"
    """
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def apart(prefix: str, columns: Iterable[str]) -> str:
    """A prefix under which copies of columns stand beside these, and none has the name of another.

    >>> apart("new", ["amount", "side"]), apart("new", ["amount", "new_amount"])
    ('new', 'new_')
    """
    columns = set(columns)
    while any(column.startswith(f"{prefix}_") for column in columns):
        prefix += "_"
    return prefix
