"""What a setup script may not say. docs.snowflake.com/en/developer-guide/native-apps/creating-setup-script#restrictions

Checked when the script runs, and by SYSTEM$VALIDATE_NATIVE_APP_SETUP before.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from snowflake.connector.util_text import split_statements

from local.errors import refused
from local.reader import Reader

if TYPE_CHECKING:
    from local.account import Account
    from local.session import Session

NEEDS_SCHEMA = ("TABLE", "VIEW", "PROCEDURE", "FUNCTION", "TASK", "STREAM", "STREAMLIT", "SEQUENCE", "STAGE", "FILE")
OUTSIDE = ("PIPE", "INTEGRATION", "STORAGE", "NOTIFICATION", "WAREHOUSE", "DATABASE", "ROLE", "USER", "RESOURCE")


def check(account: Account, session: Session, sql: str) -> None:
    check_text(sql)
    reader = Reader(sql)
    words = _words(reader)
    if words[:2] == ("CREATE", "TASK"):
        name = _name_after(reader, "TASK")
        if len(name) == 2 and account.catalog.get("versioned schema", name[0], database=session.app or ""):
            raise refused(f"Task {'.'.join(name)}: tasks are not allowed in a versioned schema.")
        privileges = set((account.catalog.get("application", session.app or "") or {"privileges": []})["privileges"])
        if "EXECUTE TASK" not in privileges:
            raise refused("The application may not create tasks: the manifest does not ask for EXECUTE TASK.")
        if "EXECUTE MANAGED TASK" not in privileges and not re.search(r"\bWAREHOUSE\s*=", sql.split("AS")[0], re.IGNORECASE):
            raise refused("The application may not create serverless tasks: the manifest does not ask for EXECUTE MANAGED TASK.")


def check_text(sql: str) -> None:
    """The rules that need only the statement."""
    reader = Reader(sql)
    words = _words(reader)
    upper = sql.upper()
    if words[0] == "USE":
        raise refused(f"Unsupported statement type 'USE' in a setup script: {sql.strip()[:60]}")
    if words[0] == "CREATE" and re.match(r"\s*CREATE\s+(OR\s+REPLACE\s+)?((LOCAL|GLOBAL)\s+)?(TEMP|TEMPORARY|VOLATILE)\b", upper):
        raise refused("Temporary objects are not allowed in an application.")
    if words[0] == "CREATE" and len(words) > 1 and words[1] in OUTSIDE:
        raise refused(f"An application cannot create {words[1]}: it belongs in setup_sql, outside the application.")
    if "CURRENT_WAREHOUSE" in upper:
        raise refused("CURRENT_WAREHOUSE() is not allowed in an application.")
    if words[0] == "CREATE" and len(words) > 1 and words[1] in ("PROCEDURE", "FUNCTION") and re.search(r"EXECUTE\s+AS\s+(CALLER|RESTRICTED)", upper):
        raise refused("EXECUTE AS CALLER is not allowed in an application.")
    if words[0] == "CREATE" and len(words) > 1 and words[1] in NEEDS_SCHEMA:
        name = _name_after(reader, words[1])
        if len(name) < 2:
            raise refused(f"{words[1]} {'.'.join(name)}: every object of a setup script must be named with its schema.")


def check_files(folder: Path, script: str, seen: tuple[str, ...] = ()) -> None:
    """Every statement of the script and of the files it runs."""
    file = folder / script.removeprefix("./").lstrip("/")
    if not file.is_file():
        raise refused(f"Cannot find file '{script}' on the application's stage.")
    with file.open() as text:
        for sql, _ in split_statements(text, remove_comments=True):
            if not sql.strip(" ;\n"):
                continue
            check_text(sql)
            inner = re.match(r"\s*EXECUTE\s+IMMEDIATE\s+FROM\s+'([^']+)'", sql, re.IGNORECASE)
            if inner and inner[1] not in seen:
                check_files(folder, inner[1], (*seen, inner[1]))


def _words(reader: Reader) -> tuple[str, ...]:
    from local.statements import head

    return head(reader)


def _name_after(reader: Reader, word: str) -> tuple[str, ...]:
    reader.at = 0
    while not reader.starts(word):
        reader.token()
    reader.token()
    if word == "FILE":
        reader.words("FORMAT")
    reader.words("IF", "NOT", "EXISTS")
    return reader.name()
