"""What is to be paid out to closed accounts, and what was, as rows of a CSV for staff. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill_document import instant_text
from insights.billing.payout_queries import LeftOver, PayoutFacts
from insights.billing.price_words import money_number
from insights.exports.formatting import safe_text

LEFT_OVER_COLUMNS = ("account", "account_name", "closed_at", "currency", "amount", "is_final")
PAYOUT_COLUMNS = (
    "id", "account", "account_name", "paid_on", "currency", "amount", "reference", "recorded_at", "recorded_by",
)  # fmt: skip


def left_over_rows(listed: Iterable[LeftOver]) -> Iterator[list[str]]:
    """What is left over of each closed account in each currency, under a heading."""
    yield list(LEFT_OVER_COLUMNS)
    for one in listed:
        yield [
            safe_text(one.account.reference),
            safe_text(one.account.name),
            instant_text(one.account.closed_at) or "",
            one.amount.currency,
            money_number(one.amount),
            "yes" if one.is_final else "no",
        ]


def payout_rows(listed: Iterable[PayoutFacts]) -> Iterator[list[str]]:
    """Each payout, under a heading."""
    yield list(PAYOUT_COLUMNS)
    for one in listed:
        yield [
            str(one.public_id),
            safe_text(one.account.reference),
            safe_text(one.account.name),
            one.paid_on.isoformat(),
            one.amount.currency,
            money_number(one.amount),
            safe_text(one.reference),
            instant_text(one.recorded_at) or "",
            safe_text(one.recorded_by),
        ]
