"""Rates issued invoices again by their stored terms, and says the lines as text that is equal if the bytes are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.tenancy import as_worker
from insights.billing.basis import Basis, IssuedBill, MeterOfBill
from insights.billing.corrections import rate_again
from insights.billing.issued_bill_queries import load_issued_bill
from insights.billing.usage_queries import read_usage
from insights.models import Invoice, LineItem
from tests.billing.line_rows import line_row

LINE_COLUMNS = (
    "name", "amount_minor", "metered_quantity", "billed_quantity", "steps", "terms", "values", "service_start",
    "service_end", "position", "key", "kind", "taxes", "allotted", "price_key",
)  # fmt: skip
# A value that no price has a cell for, so that usage of it falls to the rest.
_OTHER = "\x00other"


def rated_again(invoice_id: int, *, by_own_quantities: bool = False) -> str:
    """The lines of an issued invoice as its stored terms make them of the usage known now, or of its own quantities.

    What was carried to the next bill is not among them, since it follows from the total.
    """
    with as_worker(), transaction.atomic(using="worker"):
        row = Invoice.objects.get(pk=invoice_id)
        issued = load_issued_bill(row)
        basis = Basis(
            account_id=row.account_id, subscription_id=row.subscription_id, zone="UTC", currency=row.currency,
            whole=issued.whole, service=issued.period, segments=issued.segments, taxes=issued.taxes,
            credits=issued.credits,
        )  # fmt: skip
        usage = read_usage([basis]).of(basis)
    metered = _quantities_of(issued, usage.meters) if by_own_quantities else usage.current
    again = rate_again(basis, issued, usage.meters, metered)
    if again.problems:
        raise ValueError(f"invoice {row.number}: {again.problems}")
    return lines_text(line_row(line, position=n) for n, line in enumerate(again.lines, 1))


def lines_text(lines: Iterable[LineItem]) -> str:
    """Everything that lines say but where they are stored."""
    return json.dumps([_plain(line) for line in lines])


def _plain(line: LineItem) -> list[str]:
    return [
        str(json.dumps(getattr(line, column), default=_number, sort_keys=True)) for column in LINE_COLUMNS
    ]


def _number(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _quantities_of(
    issued: IssuedBill, meters: Iterable[MeterOfBill]
) -> Mapping[tuple[int, int], Mapping[tuple[str, ...], Decimal]]:
    """What the invoice's own lines were made of, by segment and meter and, where prices are by value, by value."""
    ids = {(meter.key, meter.version): meter.id for meter in meters}
    plans = [segment for segment in issued.segments if segment.add_on_id is None]
    numbers = {segment.service: number for number, segment in enumerate(plans)}
    found: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = defaultdict(dict)
    for stored in issued.lines:
        line = stored.line
        if line.kind.value != "charge" or not line.meter_key:
            continue
        number = numbers[line.service]
        price: Any = plans[number].sheet.price(line.price_key)
        names = price.matrix.dimensions if price is not None and price.matrix is not None else ()
        values = tuple(line.values.get(name, _OTHER) for name in names)
        found[number, ids[line.meter_key, line.meter_version or 1]][values] = (
            line.metered_quantity or Decimal(0)
        )
    return found
