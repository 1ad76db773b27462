"""The chunk's temporary tables: rows on their way into the ledger, and the places where rows were taken out.

Rows enter by COPY into a temporary table and from there by INSERT ... SELECT, because COPY itself does not apply
row-level security. The tables empty themselves at the end of every transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

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

NEW = 1
REPLACEMENT = 2


def open_stage() -> None:
    """Make this session's temporary tables if it has none yet."""
    with connection().cursor() as cursor:
        cursor.execute(TABLES)


def copy_stage(*, phase: int, lines: Sequence[StagedLine], meters: Mapping[int, int]) -> None:
    """Put lines on the stage; `meters` maps series id to meter id."""
    texts = _record_texts(lines)
    _copy(
        "ingest_stage (line_no, account_id, series_id, window_start, row_id, revision, quantity, meter_id, phase)",
        [f"{text}\t{meters[line[2]]}\t{phase}\n" for text, line in zip(texts, lines, strict=True)],
    )


def copy_probe(lines: Sequence[StagedLine]) -> None:
    """Put lines where they can be compared with what the ledger knows."""
    with connection().cursor() as cursor:
        cursor.execute("DELETE FROM ingest_probe")
    _copy("ingest_probe", [f"{text}\n" for text in _record_texts(lines)])


def _record_texts(lines: Sequence[StagedLine]) -> list[str]:
    clock: dict[datetime, str] = {}
    texts = []
    for line_no, account_id, series_id, window_start, row_id, revision, quantity in lines:
        instant = clock.get(window_start)
        if instant is None:
            instant = clock[window_start] = window_start.isoformat()
        texts.append(
            f"{line_no}\t{account_id}\t{series_id}\t{instant}\t{_copy_text(row_id)}\t{revision}\t{quantity:f}"
        )
    return texts


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
    with connection().cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        copy.write("".join(rows))
