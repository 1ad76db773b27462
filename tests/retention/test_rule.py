"""When a month may leave: thirteen months after its last invoice, or after its end where none was issued."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from insights.retention.rule import judge_month

SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("month", "issued", "may_from"),
    [
        ("2025-06-01", None, "2026-08-01T00:00:00"),
        ("2024-02-01", None, "2025-04-01T00:00:00"),
        ("2023-12-01", None, "2025-02-01T00:00:00"),
        ("2025-06-01", "2025-07-03T09:30:00", "2026-08-03T09:30:00"),
        # A day that the later month does not have is the first of the next one, never a day earlier.
        ("2024-12-01", "2025-01-31T10:00:00", "2026-03-01T10:00:00"),
        ("2022-12-01", "2023-01-30T10:00:00", "2024-03-01T10:00:00"),
        ("2022-12-01", "2023-01-29T10:00:00", "2024-02-29T10:00:00"),
        ("2024-01-01", "2024-02-29T23:59:59", "2025-03-29T23:59:59"),
        ("2025-04-01", "2025-05-31T00:00:00", "2026-07-01T00:00:00"),
        # A late invoice keeps the month longer than its end does.
        ("2020-01-01", "2026-11-01T00:00:00", "2027-12-01T00:00:00"),
    ],
)
def test_thirteen_months_exactly(month: str, issued: str | None, may_from: str) -> None:
    issued_at = at(issued) if issued else None
    edge = at(may_from)

    before = judge_month(month=date.fromisoformat(month), last_invoice_issued_at=issued_at, now=edge - SECOND)
    then = judge_month(month=date.fromisoformat(month), last_invoice_issued_at=issued_at, now=edge)

    assert before.may_from_at == then.may_from_at == edge
    assert (before.may_be_archived, then.may_be_archived) == (False, True)
    assert (bool(before.why_not), then.why_not) == (True, "")


def test_the_reason_names_what_is_waited_for() -> None:
    month, now = date(2026, 10, 1), at("2026-11-25T12:00:00")

    ended = judge_month(month=month, last_invoice_issued_at=None, now=now)
    issued = judge_month(month=month, last_invoice_issued_at=at("2026-11-03T00:00:00"), now=now)

    assert ended.why_not == "kept until 13 months after it ended"
    assert issued.why_not == "kept until 13 months after its last invoice was issued"


def test_another_zone_is_the_same_instant() -> None:
    issued_at = datetime(2025, 7, 1, 1, tzinfo=timezone(timedelta(hours=9)))

    rule = judge_month(
        month=date(2025, 5, 1), last_invoice_issued_at=issued_at, now=at("2026-01-01T00:00:00")
    )

    assert rule.may_from_at == datetime(2026, 7, 30, 16, tzinfo=UTC)
