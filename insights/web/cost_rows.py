"""The lines of a table of cost, put together here: a template takes as long for the tags as for the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from html import escape

from django.utils.safestring import SafeString

from insights.billing.price_words import money_words
from insights.explain.cost_answer import CurrencyCost
from insights.metering.usage_filter import UsageFilter
from insights.templatetags.cells import quantities_in
from insights.values.money import Money
from insights.values.quantity import Scale
from insights.web.cost_before import CostBefore
from insights.web.cost_charts import STATE_WORDS, bucket_label

_DASH = "\u2014"


def cost_rows(
    one: CurrencyCost,
    before: CostBefore | None,
    question: UsageFilter,
    *,
    zone: tzinfo,
    unit: str,
    scale: Scale,
    shown: slice,
) -> Iterator[SafeString]:
    """Each stretch of time with its amount, that of the period before, its parts and its quantity."""
    quantity_of = quantities_in(unit, scale)
    earlier = before.amounts if before else (None,) * len(one.buckets)
    for bucket, amount in list(zip(one.buckets, earlier, strict=True))[shown]:
        state = STATE_WORDS[bucket.state]
        note = f' <span class="note">{escape(state)}</span>' if state else ""
        cells = [
            f'<th scope="row" class="nowrap">{escape(bucket_label(bucket, question, zone))}{note}</th>',
            _cell(bucket.amount, "num"),
            *([_cell(amount, "num muted phone-out")] if before else []),
            *(_cell(part, "num phone-out") for part in bucket.parts),
            f'<td class="num">{_DASH if bucket.quantity is None else quantity_of(bucket.quantity)}</td>',
        ]
        yield SafeString(f"<tr>{''.join(cells)}</tr>")


def _cell(amount: Money | None, css_class: str) -> str:
    return f'<td class="{css_class}">{_DASH if amount is None else escape(money_words(amount))}</td>'
