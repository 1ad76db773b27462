"""Reads the unit that each meter's price is for, so that usage is named as on the bill; inside the account's scope.

From the newest bills: what an account pays for is what their lines say. One statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from accounts.models import Account
from insights.metering.known_queries import rows_of
from insights.rating.invoice import LineKind
from insights.values.quantity import Scale, priced_scale

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


def list_priced_scales(account: Account) -> Mapping[tuple[str, str], Scale]:
    """The scale of each meter that is priced by a larger unit, such as GB, by the meter's key and its own unit."""
    rows = rows_of(_CONVERSIONS, {"account": account.pk, "charge": LineKind.CHARGE.value})
    found = {
        (meter_key, unit): priced_scale(unit, larger, Decimal(units_per))
        for meter_key, unit, larger, units_per in rows
        if larger
    }
    return {key: scale for key, scale in found.items() if scale is not None}
