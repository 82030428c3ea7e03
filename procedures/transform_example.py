"""An example of a transform: what a pipeline file should not say in YAML is a function from frame to frame."""

import snowflake.snowpark.functions as F
from snowflake.snowpark import DataFrame, Window


def unchanged(rows: DataFrame) -> DataFrame:
    """The rows as they are; to begin with."""
    return rows


def line_numbers(rows: DataFrame) -> DataFrame:
    """Rows numbered inside their file, for sources that number their lines by order only; fills `line_no`."""
    in_file = Window.partition_by("file_name", "content_key", "loaded_at").order_by("row_number")
    return rows.with_column("line_no", F.row_number().over(in_file))
