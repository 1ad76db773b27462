"""Usage that no subscription covers as rows of a CSV for staff: where it is, and never how much. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill_document import instant_text
from insights.billing.uncovered import FindingOfAccount
from insights.exports.formatting import safe_text

COLUMNS = (
    "account", "account_name", "meter", "meter_name", "records", "first_used_on", "last_used_on", "begins_at",
    "ends_at", "state", "released_at", "released_by", "reason",
)  # fmt: skip


def uncovered_rows(listed: Iterable[FindingOfAccount]) -> Iterator[list[str]]:
    """One row for each meter and stretch of time of an account, under a heading."""
    yield list(COLUMNS)
    for of_account in listed:
        one = of_account.found
        yield [
            safe_text(of_account.account_reference),
            safe_text(of_account.account_name),
            one.meter_key,
            safe_text(one.meter_name),
            str(one.records),
            one.first_used_on.isoformat(),
            one.last_used_on.isoformat(),
            instant_text(one.begins_at) or "",
            instant_text(one.ends_at) or "",
            "let pass" if one.released_at else "waits",
            instant_text(one.released_at) or "",
            safe_text(one.released_by),
            safe_text(one.reason),
        ]
