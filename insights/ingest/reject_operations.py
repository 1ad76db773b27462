"""Keeps refused lines: those of known accounts with the account, all others with the platform.

They enter by COPY into a temporary table and from there by INSERT ... SELECT, because COPY itself does not apply
row-level security, and because a file may be refused to its last line.
"""

from __future__ import annotations

from collections.abc import Sequence

from accounts.tenancy import connection
from insights.ingest.outcomes import RejectedLine

_TABLE = """
CREATE TEMP TABLE IF NOT EXISTS ingest_reject (
    line_no integer, code text, field text, message text, value text, raw bytea, account_id bigint,
    account_reference text
) ON COMMIT DELETE ROWS;
DELETE FROM ingest_reject;
"""
_KEEP = """
INSERT INTO insights_rejectedline (account_id, batch_id, line_no, code, field, message, value, raw)
SELECT account_id, %(batch)s, line_no, code, field, message, value, raw
FROM ingest_reject WHERE account_id IS NOT NULL ORDER BY line_no
"""
_KEEP_UNATTRIBUTED = """
INSERT INTO insights_unattributedreject (batch_id, line_no, code, field, message, value, raw, account_reference)
SELECT %(batch)s, line_no, code, field, message, value, raw, account_reference
FROM ingest_reject WHERE account_id IS NULL ORDER BY line_no
"""
FIELD_CHARACTERS_MAX = 100
MESSAGE_CHARACTERS_MAX = 300
VALUE_CHARACTERS_MAX = 200
# How many lines are put into words at once, so that a chunk of long ones is not held twice.
LINES_AT_ONCE = 1_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def keep_rejects(*, batch_id: int, rejected: Sequence[RejectedLine]) -> None:
    """Store a chunk's refused lines in the transaction that stores its records."""
    if not rejected:
        return
    link = connection()
    with link.wrap_database_errors, link.cursor() as cursor:
        cursor.execute(_TABLE)
        with cursor.copy("COPY ingest_reject FROM STDIN") as copy:
            for start in range(0, len(rejected), LINES_AT_ONCE):
                copy.write("".join(map(_row, rejected[start : start + LINES_AT_ONCE])))
        cursor.execute(_KEEP, {"batch": batch_id})
        cursor.execute(_KEEP_UNATTRIBUTED, {"batch": batch_id})


def _row(reject: RejectedLine) -> str:
    raw = "\\N" if reject.raw is None else f"\\\\x{reject.raw.hex()}"
    account_id = "\\N" if reject.account_id is None else str(reject.account_id)
    cells = (
        str(reject.line_no),
        reject.code,
        _text(reject.field, FIELD_CHARACTERS_MAX),
        _text(reject.message, MESSAGE_CHARACTERS_MAX),
        _text(reject.value, VALUE_CHARACTERS_MAX),
        raw,
        account_id,
        _text(reject.account_reference or "", VALUE_CHARACTERS_MAX),
    )
    return "\t".join(cells) + "\n"


def _text(text: str, characters_max: int) -> str:
    if not text.isprintable():
        # PostgreSQL keeps neither a NUL nor half of a surrogate pair, so they are spelt out.
        text = text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()
    return text[:characters_max].translate(_ESCAPES)
