"""Reads the unit that each meter's price is for, so that usage is named as on the bill; inside the account's scope.

From the newest bills: what an account pays for is what their lines say. One statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.price_words import scale_of_price
from insights.explain.meter_naming import MeterNaming
from insights.metering.known_queries import rows_of
from insights.models import Meter
from insights.rating.invoice import LineKind
from insights.values.quantity import Scale, is_multiple, priced_scale

# Asked on most pages, so in plain SQL: Django takes ten times as long to put it together as PostgreSQL to answer it.
_CONVERSIONS = """
    SELECT DISTINCT ON (meter_key) meter_key, terms ->> 'unit', terms -> 'conversion' ->> 'unit',
        terms -> 'conversion' ->> 'units_per'
    FROM insights_lineitem
    WHERE account_id = %(account)s AND kind = %(charge)s AND meter_key <> '' AND terms -> 'conversion' IS NOT NULL
        AND invoice_id IN (
            SELECT DISTINCT ON (subscription_id) id FROM insights_invoice
            WHERE account_id = %(account)s AND kind = 'period' ORDER BY subscription_id, period_start DESC, id DESC
        )
    ORDER BY meter_key, meter_version DESC, id DESC
"""


def read_meter_naming(account: Account, bill: Bill) -> MeterNaming:
    """What meters beside a bill are called, in the units of its own prices, or of the newest where it has none."""
    names = dict(Meter.objects.order_by("key", "version").values_list("key", "name"))
    return MeterNaming(names, _scales_beside(account, bill))


def _scales_beside(account: Account, bill: Bill) -> Mapping[tuple[str, str], Scale]:
    found = dict(list_bill_scales(account))
    for line in bill.lines:
        if line.meter_key and line.terms is not None:
            key = (line.meter_key, line.terms.unit)
            scale = scale_of_price(line.terms)
            if scale is None:
                found.pop(key, None)
            else:
                found[key] = scale
    return found


def list_priced_scales(account: Account) -> Mapping[tuple[str, str], Scale]:
    """The scale of each meter that is priced by a larger unit of the same, such as GB, by its key and its own unit."""
    found = list_bill_scales(account)
    return {(key, unit): scale for (key, unit), scale in found.items() if is_multiple(unit, scale.unit)}


def list_bill_scales(account: Account) -> Mapping[tuple[str, str], Scale]:
    """The same for what stands beside bills, which name packs such as 100k units too."""
    rows = rows_of(_CONVERSIONS, {"account": account.pk, "charge": LineKind.CHARGE.value})
    found = {
        (meter_key, unit): priced_scale(larger, Decimal(units_per))
        for meter_key, unit, larger, units_per in rows
        if larger
    }
    return {key: scale for key, scale in found.items() if scale is not None}
