"""Which sources a bill left out, because what they send is not billed. In an account's scope."""

from __future__ import annotations

from collections.abc import Mapping

from accounts.models import Account
from insights.models import Watermark


def list_left_out(account: Account, details: Mapping[str, object]) -> frozenset[int]:
    """Ids of the sources whose usage a bill shows and does not charge, which it stores by their slugs."""
    stored = details.get("not_billed")
    if not isinstance(stored, list) or not stored:
        return frozenset()
    marks = Watermark.objects.for_account(account).filter(source_slug__in=stored)
    return frozenset(marks.values_list("source_id", flat=True))
