"""Which rollups an archived month seals, and the hash by which a change of them shows; SQL only.

A sealed rollup stands for records that are no longer in the ledger: it is left out of rebuilds, and compared with
its seal instead of with records. A further table of rollups is sealed by one line in SEALED_TABLES.
"""

from __future__ import annotations

from dataclasses import dataclass

# The account's days that month `m` touches, both included; `a` is the account.
_FIRST_DAY = "(m.month::timestamp AT TIME ZONE 'UTC' AT TIME ZONE {zone})::date"
_LAST_DAY = "(((m.month + interval '1 month') AT TIME ZONE 'UTC' - interval '1 microsecond') AT TIME ZONE {zone})::date"


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table of rollups with account_id and meter_id: the local day of a row `r`, its key, and what it says.

    Columns are named one by one, so that a column added later leaves earlier seals as they are. An instant has to
    be written as a number: as text it depends on the session.
    """

    table: str
    day: str
    key: tuple[str, ...]
    values: tuple[str, ...]


SEALED_TABLES = (
    SealedTable(
        table="insights_usagerollup",
        day="r.day",
        key=("r.meter_id", "r.series_id"),
        values=(
            "r.quantity",
            "r.records",
            "r.windows_used",
            "r.maximum",
            "extract(epoch FROM r.latest_window)",
            "r.latest_quantity",
        ),
    ),
    SealedTable(
        table="insights_usagesum",
        day="r.day",
        key=("r.meter_id", "r.key", "r.value"),
        values=("r.quantity", "r.records", "r.hours", "r.hour_quantities", "r.hour_records"),
    ),
)


def is_sealed_day(day: str, *, zone: str) -> str:
    """A condition: an archived month touches that local day."""
    return f"""EXISTS (
        SELECT 1 FROM insights_usagemonth m WHERE m.state = 'archived'
          AND {day} BETWEEN {_FIRST_DAY.format(zone=zone)} AND {_LAST_DAY.format(zone=zone)}
    )"""


def sealed_days_now() -> str:
    """Rows (account_id, day) of every local day that an archived month touches, for whoever asks of many days."""
    first, last = (day.format(zone="a.billing_zone") for day in (_FIRST_DAY, _LAST_DAY))
    return f"""SELECT DISTINCT a.id AS account_id, d.day::date AS day
    FROM insights_usagemonth m CROSS JOIN accounts_account a
    CROSS JOIN LATERAL generate_series({first}::timestamp, {last}::timestamp, interval '1 day') AS d (day)
    WHERE m.state = 'archived'"""


def is_archived_window(window: str) -> str:
    """A condition: the record of that window is not in the ledger but in an archive."""
    return f"""EXISTS (
        SELECT 1 FROM insights_usagemonth m WHERE m.state = 'archived'
          AND m.month = date_trunc('month', {window} AT TIME ZONE 'UTC')::date
    )"""


def seals_now(*, months: str, accounts: str = "true") -> str:
    """Rows (account_id, month, rollup, rows, sha256) of the rollups as they are, for the months `m` and accounts `a`.

    A hash of each day's rows, and then of the days, so that no text becomes longer than a day.
    """
    return "\nUNION ALL\n".join(
        f"""SELECT days.account_id, days.month, '{sealed.table}' AS rollup, sum(days.rows)::integer AS rows,
    encode(sha256(convert_to(string_agg(days.said, E'\\n' ORDER BY days.said COLLATE "C"), 'UTF8')), 'hex') AS sha256
FROM (
    SELECT r.account_id, m.month, count(*) AS rows,
        to_char({sealed.day}, 'YYYY-MM-DD') || ' ' || encode(sha256(convert_to(string_agg(
            ROW({", ".join((*sealed.key, *sealed.values))})::text, E'\\n' ORDER BY {", ".join(sealed.key)}
        ), 'UTF8')), 'hex') AS said
    FROM insights_usagemonth m CROSS JOIN accounts_account a CROSS JOIN insights_meter t
    JOIN {sealed.table} r ON r.account_id = a.id AND r.meter_id = t.id
        AND {sealed.day} BETWEEN {_FIRST_DAY.format(zone="a.billing_zone")}
            AND {_LAST_DAY.format(zone="a.billing_zone")}
    WHERE {months} AND {accounts}
    GROUP BY r.account_id, m.month, {sealed.day}
) days GROUP BY days.account_id, days.month"""
        for sealed in SEALED_TABLES
    )
