"""The chunk's temporary tables: rows on their way into the ledger, and the places where rows were taken out.

Rows enter by COPY into a temporary table and from there by INSERT ... SELECT, because COPY itself does not apply
row-level security. The tables empty themselves at the end of every transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter

from accounts.tenancy import connection
from insights.ingest.verdicts import StagedLine

# `phase` tells rows that are wholly new (1) from those that take the place of a lower revision (2).
TABLES = """
CREATE TEMP TABLE IF NOT EXISTS ingest_stage (
    phase smallint, line_no integer, account_id bigint, series_id bigint, meter_id bigint,
    window_start timestamptz, row_id text, revision integer, quantity numeric(28, 9)
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ingest_probe (
    line_no integer, account_id bigint, series_id bigint, window_start timestamptz, row_id text, revision integer,
    quantity numeric(28, 9)
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ingest_taken (
    account_id bigint, series_id bigint, window_start timestamptz, row_id text, revision integer
) ON COMMIT DELETE ROWS;
"""

_SERIES_ID = itemgetter(StagedLine._fields.index("series_id"))
_WINDOW_START = itemgetter(StagedLine._fields.index("window_start"))

_STAGE_COLUMNS = (
    "ingest_stage (line_no, account_id, series_id, window_start, row_id, revision, quantity, meter_id, phase)"
)

NEW = 1
REPLACEMENT = 2


def open_stage() -> None:
    """Make this session's temporary tables if it has none yet."""
    with connection().cursor() as cursor:
        cursor.execute(TABLES)


def copy_stage(*, phase: int, lines: Sequence[StagedLine], meters: Mapping[int, int]) -> None:
    """Put lines on the stage; `meters` maps series id to meter id."""
    ends = {series_id: f"\t{meters[series_id]}\t{phase}\n" for series_id in set(map(_SERIES_ID, lines))}
    _copy(_STAGE_COLUMNS, _record_rows(lines, ends))


def copy_stage_text(text: bytes) -> None:
    """Put rows on the stage that are written as COPY reads them, in the order of `copy_stage`."""
    link = connection()
    statement = f"COPY {_STAGE_COLUMNS} FROM STDIN"
    with link.wrap_database_errors, link.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text)


def clear_stage() -> None:
    """Take every line off the stage."""
    with connection().cursor() as cursor:
        cursor.execute("DELETE FROM ingest_stage")


def keep_on_stage(line_nos: Collection[int]) -> None:
    """Take every other line off the stage."""
    if not line_nos:
        clear_stage()
        return
    with connection().cursor() as cursor:
        cursor.execute("DELETE FROM ingest_stage WHERE line_no <> ALL(%s)", [list(line_nos)])


def copy_probe(lines: Sequence[StagedLine]) -> None:
    """Put lines where they can be compared with what the ledger knows."""
    with connection().cursor() as cursor:
        cursor.execute("DELETE FROM ingest_probe")
    _copy("ingest_probe", _record_rows(lines, dict.fromkeys(set(map(_SERIES_ID, lines)), "\n")))


def _record_rows(lines: Sequence[StagedLine], ends: Mapping[int, str]) -> list[str]:
    """Return the lines as COPY reads them; what ends a row follows from its series.

    A quantity is written as str() writes it, which may have an exponent: PostgreSQL reads that as the same number.
    """
    instants = {start: start.isoformat() for start in set(map(_WINDOW_START, lines))}
    return [
        f"{line_no}\t{account_id}\t{series_id}\t{instants[start]}\t{row_id and _copy_text(row_id)}\t{revision}\t"
        f"{quantity!s}{ends[series_id]}"
        for line_no, account_id, series_id, start, row_id, revision, quantity in lines
    ]


def copy_taken(rows: Iterable[tuple[int, int, datetime, str, int]]) -> None:
    """Name the current records to be moved to history: account, series, window, row id, revision."""
    _copy(
        "ingest_taken",
        [
            f"{account_id}\t{series_id}\t{window.isoformat()}\t{_copy_text(row_id)}\t{revision}\n"
            for account_id, series_id, window, row_id, revision in rows
        ],
    )


def _copy_text(text: str) -> str:
    # Control characters never come this far, so the backslash is all that COPY would misread.
    return text.replace("\\", "\\\\") if "\\" in text else text


def _copy(target: str, rows: Sequence[str]) -> None:
    if not rows:
        return
    link = connection()
    # A copy's errors come from the driver itself; whoever asks whether to try again knows Django's.
    with link.wrap_database_errors, link.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        copy.write("".join(rows))
