"""What a backfill has written, read from the books in the transaction that wrote it, and never a quantity.

A preview keeps it; the close makes it again and compares. So what was confirmed is what is done, whatever else came
between. What was there before is shown and not compared: it may have grown without changing what the backfill does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from accounts.tenancy import connection

DAYS_KEPT_MAX = 2_000
ACCOUNTS_KEPT_MAX = 500
REJECTS_KEPT_MAX = 100
FETCHED_AT_ONCE = 1_000
COUNTED = ("received", "new", "replaced", "duplicate", "stale", "rejected")


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts as JSON holds them, and a hash over all that the backfill does, also over what is too long to keep."""

    document: dict[str, Any]
    digest: str


_BATCHES = """
    SELECT b.public_id::text, b.name, b.received, b.new, b.replaced, b.duplicate, b.stale, b.rejected
    FROM insights_batch b WHERE b.id = ANY(%(batches)s) ORDER BY b.id
"""
_ACCOUNTS = """
    SELECT a.reference, sum(p.received), sum(p.new), sum(p.replaced), sum(p.duplicate), sum(p.stale),
        sum(p.rejected), a.public_id::text, a.name
    FROM insights_batchpart p JOIN accounts_account a ON a.id = p.account_id
    WHERE p.batch_id = ANY(%(batches)s) GROUP BY a.id ORDER BY a.reference
"""
_REJECTS = """
    SELECT batch_id, line_no, code, field, account_id FROM insights_rejectedline WHERE batch_id = ANY(%(batches)s)
    UNION ALL
    SELECT batch_id, line_no, code, field, NULL FROM insights_unattributedreject WHERE batch_id = ANY(%(batches)s)
"""
_CODES = f"SELECT code, field, count(*) FROM ({_REJECTS}) r GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
_LINES = f"""
    SELECT b.public_id::text, b.name, r.line_no, r.code, r.field, coalesce(a.name, '')
    FROM ({_REJECTS}) r JOIN insights_batch b ON b.id = r.batch_id LEFT JOIN accounts_account a ON a.id = r.account_id
    ORDER BY r.batch_id, r.line_no LIMIT {REJECTS_KEPT_MAX}
"""
# A record that took the place of one on the same day replaces it; a row id may also leave its day for another one.
# One key for both kinds of identity: a row id stands for itself, else series and window do.
_KEY = """account_id, row_id, CASE WHEN row_id = '' THEN series_id ELSE 0 END AS key_series,
    CASE WHEN row_id = '' THEN window_start ELSE 'epoch' END AS key_window"""
# Brought together by grouping and not by a join: the entry is in no statistics yet, so both sides look like one row,
# and a join goes through all that went for each that came.
_DAYS = f"""
    WITH met AS (
        SELECT {_KEY}, series_id, window_start, true AS came FROM insights_usagerecord
        WHERE batch_id = ANY(%(batches)s) AND entry_id = %(entry)s
          AND window_start >= (SELECT min(first_window) FROM insights_batchpart WHERE batch_id = ANY(%(batches)s))
          AND window_start < (SELECT max(last_window_end) FROM insights_batchpart WHERE batch_id = ANY(%(batches)s))
        UNION ALL
        SELECT {_KEY}, series_id, window_start, false FROM insights_usagerevision
        WHERE ended_by_entry_id = %(entry)s AND entry_id <> %(entry)s
    ), paired AS MATERIALIZED (
        SELECT account_id, max(series_id) FILTER (WHERE came) AS series_id,
            max(window_start) FILTER (WHERE came) AS window_start,
            max(series_id) FILTER (WHERE NOT came) AS left_series,
            max(window_start) FILTER (WHERE NOT came) AS left_window
        FROM met GROUP BY account_id, row_id, key_series, key_window HAVING bool_or(came)
    ), placed AS (
        SELECT p.account_id, s.meter_id, (p.window_start AT TIME ZONE a.billing_zone)::date AS day,
            l.meter_id AS left_meter, (p.left_window AT TIME ZONE a.billing_zone)::date AS left_day
        FROM paired p JOIN accounts_account a ON a.id = p.account_id
        JOIN insights_series s ON s.account_id = p.account_id AND s.id = p.series_id
        LEFT JOIN insights_series l ON l.account_id = p.account_id AND l.id = p.left_series
    ), moved AS (
        SELECT account_id, meter_id, day, (left_day IS NULL OR (left_meter, left_day) <> (meter_id, day)) AS is_new,
            (left_meter, left_day) = (meter_id, day) AS is_replaced, false AS leaves FROM placed
        UNION ALL
        SELECT account_id, left_meter, left_day, false, false, true FROM placed
        WHERE (left_meter, left_day) <> (meter_id, day)
    ), days AS (
        SELECT account_id, meter_id, day, count(*) FILTER (WHERE is_new) AS new,
            count(*) FILTER (WHERE is_replaced) AS replaced, count(*) FILTER (WHERE leaves) AS leaves
        FROM moved GROUP BY 1, 2, 3
    )
    SELECT a.reference, m.key, m.version, d.day::text, d.new, d.replaced, d.leaves, a.public_id::text, a.name, m.name,
        r.records - d.new + d.leaves
    FROM days d JOIN accounts_account a ON a.id = d.account_id JOIN insights_meter m ON m.id = d.meter_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.records), 0)::bigint AS records FROM insights_usagerollup r
        WHERE r.account_id = d.account_id AND r.meter_id = d.meter_id AND r.day = d.day
    ) r
    ORDER BY a.reference, m.position, m.key, m.version, d.day
"""


def summarise_backfill(*, backfill_id: int, entry_id: int) -> Summary:
    """Count what the entry did: by batch, by account, by account, meter and day, and what was refused and why."""
    with connection().cursor() as cursor:
        # Those that this entry wrote, whatever state it has left them in; a refused delivery has no lines.
        cursor.execute(
            "SELECT array_agg(id ORDER BY id) FROM insights_batch WHERE backfill_id = %s AND state = 'done'",
            [backfill_id],
        )
        batches = cursor.fetchone()[0]
    parameters = {"batches": batches, "entry": entry_id}
    hashed = hashlib.sha256()
    counts = [
        {"public_id": row[0], "name": row[1], **_counted(row[2:])}
        for row in _rows(_BATCHES, parameters, hashed)
    ]
    document: dict[str, Any] = {
        "batches": [batch["public_id"] for batch in counts],
        "by_batch": counts,
        "totals": {name: sum(batch[name] for batch in counts) for name in COUNTED},
        **_accounts(parameters, hashed),
        "codes": [
            {"code": code, "field": field, "lines": lines}
            for code, field, lines in _rows(_CODES, parameters, hashed)
        ],
        "rejects": [
            dict(zip(("public_id", "name", "line", "code", "field", "account"), row, strict=True))
            for row in _rows(_LINES, parameters, hashed, shown_only=1)
        ],
        **_days(parameters, hashed),
    }
    document["digest"] = hashed.hexdigest()
    return Summary(document=document, digest=document["digest"])


def _rows(statement: str, parameters: dict[str, Any], hashed: Any, *, shown_only: int = 0) -> Iterator[Any]:
    """Yield rows without holding them, adding each to the hash but for its last `shown_only` columns.

    An account that only the preview made has another id at the close, and names may change without changing a record.
    """
    with connection().chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(FETCHED_AT_ONCE):
            for row in rows:
                compared = row[: len(row) - shown_only]
                hashed.update(json.dumps(compared, default=int).encode())
                yield row


def _counted(counts: Any) -> dict[str, int]:
    return dict(zip(COUNTED, map(int, counts), strict=True))


def _accounts(parameters: dict[str, Any], hashed: Any) -> dict[str, Any]:
    kept, number = [], 0
    for reference, *counts, public_id, name in _rows(_ACCOUNTS, parameters, hashed, shown_only=2):
        number += 1
        if number <= ACCOUNTS_KEPT_MAX:
            named = {"reference": reference, "public_id": public_id, "name": name}
            kept.append({**named, **_counted(counts)})
    return {"by_account": kept, "accounts_in_all": number}


def _days(parameters: dict[str, Any], hashed: Any) -> dict[str, Any]:
    kept, number = [], 0
    meters: dict[str, dict[str, Any]] = {}
    for row in _rows(_DAYS, parameters, hashed, shown_only=4):
        reference, _key, _version, day, new, replaced, leaves, public_id, account, meter, before = row
        counts = {"before": int(before), "new": new, "replaced": replaced, "leaves": leaves}
        counts["after"] = counts["before"] + new - leaves
        number += 1
        if number <= DAYS_KEPT_MAX:
            named = {"reference": reference, "public_id": public_id, "account": account, "meter": meter}
            kept.append({**named, "day": day, **counts})
        total = meters.setdefault(meter, {"meter": meter, "days": 0, **dict.fromkeys(counts, 0)})
        total["days"] += 1
        for name, count in counts.items():
            total[name] += count
    return {"days": kept, "days_in_all": number, "by_meter": list(meters.values())}
