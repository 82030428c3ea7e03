"""Which events of a batch say nothing new, found without reading more of silver than the batch touches."""

import names
from cleaning import content
from snowflake.snowpark import Session
from specs import Source

PLACE = ("loaded_at", "file_name", "row_number", "content_key")


def mark_sql(source: Source) -> str:
    """Marks events of the batch in hand that equal one in silver or one before them in the batch, NULLs being equal.

    Only keys that occur twice at one instant, in the batch or in silver, have their rows compared.

    >>> from specs import Column
    >>> print(mark_sql(Source("items", "i/", "csv", ("id",), "at", (Column("id", "integer"), Column("at", "timestamp")))))
    UPDATE stage.items SET outcome = 'duplicate'
    FROM (
        WITH passing AS (
            SELECT id, effective_at, is_deleted, at, loaded_at, file_name, row_number, content_key
            FROM stage.items
            WHERE outcome = 'event'
        ),
        known AS (
            SELECT id, effective_at, is_deleted, at, loaded_at, file_name, row_number, content_key
            FROM silver.items AS silver
            WHERE EXISTS (
                SELECT 1 FROM passing WHERE passing.id = silver.id AND passing.effective_at = silver.effective_at
            )
        ),
        crowded AS (
            SELECT id AS crowded_id, effective_at AS crowded_effective_at
            FROM passing
            GROUP BY id, effective_at
            HAVING COUNT(*) > 1
            UNION
            SELECT id, effective_at
            FROM known
        ),
        suspects AS (
            SELECT passing.*, TRUE AS is_in_hand
            FROM passing
            INNER JOIN crowded ON passing.id = crowded.crowded_id AND passing.effective_at = crowded.crowded_effective_at
            UNION ALL
            SELECT known.*, FALSE AS is_in_hand
            FROM known
        ),
        ranked AS (
            SELECT loaded_at, file_name, row_number, content_key, is_in_hand, ROW_NUMBER() OVER (
                PARTITION BY id, effective_at, is_deleted, at
                ORDER BY is_in_hand, loaded_at, file_name, row_number, content_key
            ) AS copy_no
            FROM suspects
        )
        SELECT loaded_at AS copy_loaded_at, file_name AS copy_file_name, row_number AS copy_row_number, \
content_key AS copy_content_key
        FROM ranked
        WHERE is_in_hand AND copy_no > 1
    ) AS copies
    WHERE loaded_at = copies.copy_loaded_at AND file_name = copies.copy_file_name \
AND row_number = copies.copy_row_number AND content_key = copies.copy_content_key
    """
    identity = [names.identifier(column) for column in (*source.key, "effective_at")]
    columns = ", ".join(names.identifier(column) for column in content(source))
    place = ", ".join(PLACE)
    stage, silver = names.qualified(*source.stage.split(".")), names.qualified(*source.silver.split("."))
    # A truncation has no key, and is the same truncation when it comes again.
    equal = "{} IS NOT DISTINCT FROM {}" if source.truncate_when else "{} = {}"

    def same(left: str, right: str) -> str:
        return " AND ".join(equal.format(left + column, right + column) for column in identity)

    return f"""UPDATE {stage} SET outcome = 'duplicate'
FROM (
    WITH passing AS (
        SELECT {columns}, {place}
        FROM {stage}
        WHERE outcome = 'event'
    ),
    known AS (
        SELECT {columns}, {place}
        FROM {silver} AS silver
        WHERE EXISTS (
            SELECT 1 FROM passing WHERE {same("passing.", "silver.")}
        )
    ),
    crowded AS (
        SELECT {", ".join(f"{column} AS crowded_{column}" for column in identity)}
        FROM passing
        GROUP BY {", ".join(identity)}
        HAVING COUNT(*) > 1
        UNION
        SELECT {", ".join(identity)}
        FROM known
    ),
    suspects AS (
        SELECT passing.*, TRUE AS is_in_hand
        FROM passing
        INNER JOIN crowded ON {same("passing.", "crowded.crowded_")}
        UNION ALL
        SELECT known.*, FALSE AS is_in_hand
        FROM known
    ),
    ranked AS (
        SELECT {place}, is_in_hand, ROW_NUMBER() OVER (
            PARTITION BY {columns}
            ORDER BY is_in_hand, {place}
        ) AS copy_no
        FROM suspects
    )
    SELECT {", ".join(f"{column} AS copy_{column}" for column in PLACE)}
    FROM ranked
    WHERE is_in_hand AND copy_no > 1
) AS copies
WHERE {" AND ".join(f"{column} = copies.copy_{column}" for column in PLACE)}"""


def mark(session: Session, source: Source) -> int:
    """Marks the duplicates of the batch in hand; gives their number as the server counted them."""
    return int(session.sql(mark_sql(source)).collect()[0][0])
