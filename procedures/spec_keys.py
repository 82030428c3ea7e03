"""Every key of a pipeline file: what it means, how it is written, what holds when it is not there, an example.

The parser takes defaults and forms from here, the JSON Schema and docs/spec-reference.md are made from it.
"""

from dataclasses import dataclass

import specs

# How a value is written: kind -> in words, for people.
KINDS = {
    "text": "a text",
    "name": "a name: a letter, then letters, digits, underscores",
    "yes": "`true` or `false`",
    "word": "one of the words given",
    "words": "a text, or a list of them",
    "duration": "a number and `seconds`, `minutes`, `hours` or `days`",
    "share": "`quarantined > N%`",
    "budget": "a number, `seconds`, `minutes` or `hours`, and `a day`",
    "integer": "a whole number",
    "count": "a whole number above 0",
    "bare": "the word alone",
    "column": "a column",
    "columns": "a column, or a list of them",
    "expression": "an SQL expression over declared columns",
    "type": "a type",
    "map": "`text: text` pairs",
    "bounds": "a list of two: lowest and highest, either `null` for none",
    "cleanings": "a list of cleanings (below)",
    "module": "`module:function`",
    "part": "keys of its own (below)",
    "parts": "`name:` with keys of its own (below), as many as wanted",
    "list": "a list of entries (below)",
    "rows": "`table: [rows]`",
}


@dataclass(frozen=True)
class Key:
    """A key of a part of the file.  `default` and `example` are YAML, as they would stand after the colon."""

    name: str
    kind: str
    meaning: str
    example: str
    default: str = ""
    needed: bool = False
    words: tuple[str, ...] = ()
    part: str = ""  # whose keys stand below it
    short: str = ""  # the kind of value that may stand here instead of keys: `name: expression`


PARTS: dict[str, tuple[str, tuple[Key, ...]]] = {
    "pipeline": ("The file itself.", (
        Key("version", "word", "the form of the file; files of form 1 are read too", "2", "2", words=specs.FILE_VERSIONS),
        Key("pipeline", "name", "the pipeline's name; its tasks and control rows carry it", "shop", needed=True),
        Key("comment", "text", "what the pipeline is for", "Customers and orders of the shop"),
        Key("schedule", "duration", "how often its graph starts; 10 seconds at least", "1 minute", "1 minute"),
        Key("when", "word", "what starts its graph: the schedule, or streams on bronze when files arrive; the schedule then looks "
            "after what they missed", "arrival", "schedule", words=specs.WHEN),
        Key("retention", "part", "how long rows are kept that are not needed any more", "{bronze: 7 days, log: 90 days}",
            part="retention"),
        Key("sources", "parts", "the feeds, each with its files, columns and checks", "", needed=True, part="source"),
        Key("dimensions", "parts", "tables with history", "", part="dimension"),
        Key("facts", "parts", "tables with one row per event", "", part="fact"),
        Key("kpis", "parts", "numbers per period or group", "", part="kpi"),
        Key("calendar", "name", "a date dimension of this name, which facts point to by `date_key`", "dim_date"),
        Key("freshness", "map", "table: how old its newest load may be before an alert", "{fact_orders: 15 minutes}"),
        Key("budget", "budget", "how long its steps may take in a day, added up, UTC; when it is used up, KPIs and the sweep wait for the next "
            "day, and nothing else does", "10 minutes a day"),
        Key("tests", "list", "examples that `firn test` runs", "", part="test"),
    )),
    "retention": ("How long rows are kept.", (
        Key("bronze", "duration", "rows of bronze, after they were taken", "7 days", "7 days"),
        Key("log", "duration", "rows of the run log", "90 days", "90 days"),
        Key("quarantine", "duration", "rows of the quarantine that were released or discarded", "365 days", "365 days"),
        Key("rows_per_sweep", "count", "the most rows of bronze that one sweep deletes per source", "5000000", "5000000"),
    )),
    "source": ("One feed of one system. Bronze, stage and silver have a table of its name.", (
        Key("comment", "text", "comment on its table in silver", "Customers, as the CRM exports them"),
        Key("files", "part", "where its files lie and what they are", "{prefix: crm/customers/, format: csv}", needed=True,
            part="files"),
        Key("key", "columns", "what tells one thing from another; for rows without one: `[file_name, row_number]`",
            "[customer_id]", needed=True),
        Key("effective_at", "columns", "when a row became true in the source: a timestamp, a date, or an integer that "
            "counts; further columns order rows of one instant. Not with `snapshot`", "[updated_at, revision]"),
        Key("snapshot", "part", "each file repeats all rows; what is missing from the next one is gone",
            "{as_of: updated_at, scope: country}", part="snapshot"),
        Key("delete_when", "expression", "rows that say their key is gone", "op = 'D'"),
        Key("truncate_when", "expression", "rows that say every key is gone", "op = 'T'"),
        Key("absent", "word", "what a key missing from a JSON record says: NULL, or nothing (the value before carries on)",
            "carry", "null", words=specs.ABSENT),
        Key("strict", "yes", "a row without key or time stops its batch, instead of waiting in quarantine", "true", "false"),
        Key("overlap", "duration", "how far below the newest arrival a load looks again; the ledger keeps rows from "
            "being taken twice", "24 hours", "24 hours"),
        Key("stop_if", "share", "when more rows of a batch fail, nothing of it is loaded", "quarantined > 20%"),
        Key("columns", "parts", "its columns, in the order of silver", "", needed=True, part="column"),
        Key("checks", "parts", "what must be TRUE of a row; NULL is a failure", "", part="check", short="expression"),
        Key("transform", "module", "a function of a packaged module `transform_….py`, frame in, frame out, run on typed "
            "rows before the checks; it may change values, not lose, add or reorder rows", "transform_example:unchanged"),
    )),
    "files": ("Where the files of a source lie.", (
        Key("prefix", "text", "the beginning of their names in the bucket, ending in a slash", "crm/customers/", needed=True),
        Key("format", "word", "what they are", "csv", needed=True, words=specs.FORMATS),
    )),
    "snapshot": ("What a file of all rows is a picture of.", (
        Key("as_of", "columns", "the time of the picture", "updated_at", needed=True),
        Key("scope", "columns", "a file repeats all rows of its scope, not of everything", "country"),
    )),
    "column": ("A column of a source.", (
        Key("type", "type", "what its values are", "integer", "text"),
        Key("from", "name", "its name in the file, where that is another", "CustomerID"),
        Key("path", "text", "JSON: where it stands, keys with dots between, places in lists in brackets", "address.lines[0]"),
        Key("clean", "cleanings", "what is done to its text, in this order", "[trim, lower, empty_to_null]"),
        Key("map", "map", "texts and what each becomes, after cleaning", "{R: Regular, VIP: Premium, '?': null}"),
        Key("otherwise", "text", "what a text outside `map` becomes; without it, it stays", "Unknown"),
        Key("default", "text", "what stands for NULL", "unknown"),
        Key("formats", "words", "how dates, times or numbers are written, tried in turn (below); without it ISO 8601, and "
            "numbers with a point", "[YYYY-MM-DD, DD.MM.YYYY]"),
        Key("zone", "text", "whose clock a time without offset is read by: a zone of the IANA list. Values are kept in UTC",
            "Europe/Berlin", "UTC"),
        Key("unreadable", "word", "what becomes of a row whose text is not of the type: quarantine, or the value is NULL",
            "null", "quarantine", words=specs.UNREADABLE),
        Key("bounds", "bounds", "lowest and highest; a value outside becomes NULL", "[0, 120]"),
        Key("expression", "expression", "a derived column: computed from the others and file_name, row_number, loaded_at",
            "quantity * unit_price"),
        Key("required", "yes", "a row without a value fails the check `<column>_is_given`", "true", "false"),
        Key("comment", "text", "comment on the column", "Age in years at registration"),
        Key("pii", "yes", "it tells of a person; shown in the reference of the pipeline", "true", "false"),
    )),
    "cleaning": ("What `clean` may do to a text: a word, or `word: argument`. NULL stays NULL.", (
        Key("trim", "bare", "blanks, tabs and line ends at both ends go", "trim"),
        Key("lower", "bare", "lower case", "lower"),
        Key("upper", "bare", "upper case", "upper"),
        Key("title", "bare", "first letters upper case, the others lower", "title"),
        Key("empty_to_null", "bare", "a text without a visible character becomes NULL", "empty_to_null"),
        Key("collapse_spaces", "bare", "several blanks in a row become one", "collapse_spaces"),
        Key("digits_only", "bare", "all but 0 to 9 goes", "digits_only"),
        Key("strip_prefix", "words", "this beginning goes, where it is there; of several, the first that fits", "NAS"),
        Key("strip_suffix", "words", "this end goes, where it is there", "[' kg', ' lb']"),
        Key("strip_characters", "text", "each of these characters goes, everywhere", "'-_ '"),
        Key("split", "part", "one part of a text with separators", "{by: '-', part: 1}", part="split"),
        Key("replace", "part", "what fits a regular expression is replaced", "{pattern: '[0-9]+$', with: ''}", part="replace"),
        Key("null_if", "words", "these texts become NULL", "[n/a, '-', '0']"),
    )),
    "split": ("Cuts a text at a separator.", (
        Key("by", "text", "the separator", "'-'", needed=True),
        Key("part", "integer", "which part, from 1; from the end: -1. NULL where there are not so many", "1", "1"),
    )),
    "replace": ("Replaces by a pattern.", (
        Key("pattern", "text", "a regular expression", "'[0-9]+$'", needed=True),
        Key("with", "text", "what stands there instead", "'#'", "''"),
    )),
    "check": ("A condition with a name, `name: expression`, or one of these tests with what follows when it fails.", (
        Key("expect", "expression", "must be TRUE", "age between 0 and 120"),
        Key("required", "columns", "have values", "[email, city]"),
        Key("email", "column", "has the form of an e-mail address", "email"),
        Key("not_in_future", "column", "is not after the moment the file was loaded", "updated_at"),
        Key("one_of", "map", "column: the texts it may hold", "{city: [Paris, Oslo]}"),
        Key("between", "map", "column: lowest and highest, either `null` for none", "{age: [0, 120]}"),
        Key("matches", "map", "column: a regular expression for the whole text", "{email: '.+@.+'}"),
        Key("length", "map", "column: fewest and most characters", "{city: [1, 100]}"),
        Key("unique", "columns", "values belong to the key that brought them first, in the order of arrival", "[email]"),
        Key("references", "map", "column: `source.column` whose rows in silver know the value when it is loaded",
            "{city: cities.city}"),
        Key("row_count", "bounds", "each file, as it is loaded, has so many rows", "[1, 1000000]"),
        Key("freshness", "duration", "the newest row of each file is at most so old when the file is loaded", "2 days"),
        Key("otherwise", "word", "what follows when it is not TRUE: the row waits in quarantine, passes with a mark in the "
            "log, or stops its batch", "warn", "quarantine", words=specs.OUTCOMES),
    )),
    "dimension": ("A table with history, one row per key and version.", (
        Key("comment", "text", "comment on its table", "One row per customer and city"),
        Key("from", "name", "the source whose events it follows", "customers", needed=True),
        Key("key", "columns", "its natural key; without it, the source's", "[customer_id]"),
        Key("tracked", "columns", "a change opens a version (type 2)", "[city]"),
        Key("overwritten", "columns", "the latest value stands on all versions (type 1)", "[email]"),
        Key("original", "columns", "the first value stands on all versions (type 0)", "[age]"),
        Key("version", "columns", "the last value inside a version stands on it", "[kind]"),
        Key("current", "columns", "tracked columns whose latest value stands on all versions too, as `current_<column>` "
            "(type 6)", "[city]"),
        Key("on_delete", "word", "what a deletion does: closes the version, nothing, or is a version of its own", "new_record",
            "close", words=specs.ON_DELETE),
        Key("ignore_nulls", "yes", "events are partial: a NULL says nothing", "true", "false"),
    )),
    "fact": ("A table with one row per grain: the last word of its source.", (
        Key("comment", "text", "comment on its table", "One row per order line"),
        Key("from", "name", "the source", "orders", needed=True),
        Key("grain", "columns", "what one row stands for; without it, the source's key", "[order_id]"),
        Key("at", "column", "the time of a row; without it, the source's `effective_at`", "ordered_at"),
        Key("lookups", "parts", "the dimensions it points into", "", part="lookup"),
        Key("keep", "columns", "further columns taken over", "[quantity]"),
        Key("measures", "parts", "columns computed from a row", "", part="measure", short="expression"),
        Key("where", "expression", "which rows count", "quantity > 0"),
    )),
    "lookup": ("How a fact finds its version in a dimension.", (
        Key("dimension", "name", "the dimension", "dim_customer", needed=True),
        Key("by", "columns", "the fact's columns that equal the dimension's key", "[customer_id]", needed=True),
        Key("as_of", "column", "the time at which the version must be valid; without it, the fact's `at`", "ordered_at"),
    )),
    "measure": ("A named expression, `name: expression`, or with its type.", (
        Key("expression", "expression", "of a fact: over a row; of a KPI: over the rows of a group", "quantity * unit_price",
            needed=True),
        Key("type", "type", "what comes out", "number(18,2)", "number"),
        Key("comment", "text", "comment on the column", "Price times quantity"),
    )),
    "kpi": ("Numbers per period and group, kept equal to a computation from scratch.", (
        Key("comment", "text", "comment on its table", "Orders by month"),
        Key("from", "name", "the fact", "fact_orders", needed=True),
        Key("period", "word", "one row per calendar period of the fact's `at`, UTC", "month", words=specs.PERIODS),
        Key("by", "columns", "one row per value of these; with `period`, in each", "[order_id]"),
        Key("measures", "parts", "the numbers", "", needed=True, part="measure", short="expression"),
        Key("where", "expression", "which rows of the fact count", "quantity > 0"),
    )),
    "test": ("An example: rows that come, and what must stand there after a run.", (
        Key("name", "text", "a sentence that is true", "a bad e-mail waits in quarantine", needed=True),
        Key("given", "rows", "source: rows as received; a list of lists is a batch each", "{customers: [{customer_id: 1}]}",
            needed=True),
        Key("expect", "rows", "table: its rows, all of them, by the columns named; `quarantine`: source and check",
            "{silver.customers: []}", needed=True),
    )),
}  # fmt: skip


def keys_of(part: str) -> dict[str, Key]:
    return {key.name: key for key in PARTS[part][1]}
