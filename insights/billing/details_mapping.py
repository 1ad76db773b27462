"""What an invoice stores beside its lines: seller and buyer as they were, plans with all prices, credits, taxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from insights.billing.basis import Draft, Unpriced
from insights.billing.bill_to_make_mapping import LoadedBasis
from insights.billing.bulk_operations import JsonText, json_text
from insights.billing.invoice_mapping import Documents, credits_document
from insights.models import BillingProfile
from insights.values.quantity import exact_text


def details_text(
    loaded: LoadedBasis, draft: Draft, *, documents: Documents, records: int, not_billed: Sequence[str]
) -> JsonText:
    """What the lines cannot say alone, in the form that pages read and that a later re-rating starts from."""
    basis, profile = loaded.basis, loaded.profile
    own = {
        "seller": _seller(profile),
        "buyer": _buyer(loaded),
        "zone": loaded.to_bill.subscription.billing_zone,
        "tzdata": _tzdata_version(),
        "whole": [basis.whole.start.isoformat(), basis.whole.end.isoformat()],
        "taxes": {name: exact_text(percent) for name, percent in basis.taxes.items()},
        "tax_exempt_reason": "" if profile is None else profile.tax_exempt_reason,
        "credits": credits_document(draft.credits),
        "credit_uses": {str(grant_id): minor for grant_id, minor in draft.credit_uses.items()},
        "unpriced": _unpriced(draft.unpriced),
        "priced_elsewhere": _unpriced(draft.priced_elsewhere),
        "records": records,
        "not_billed": list(not_billed),
        "corrected": [bill.id for bill in basis.to_correct],
        "uncorrected": list(draft.uncorrected),
    }
    # Most of it is the plans, which many accounts share.
    return JsonText(f"{json_text(own)[:-1]},{documents.segments(basis.segments)}}}")


@cache
def _tzdata_version() -> str:
    # It is looked up in the files of all packages, and stays while the process runs.
    return version("tzdata")


def _unpriced(usages: Sequence[Unpriced]) -> list[dict[str, str]]:
    return [
        {"meter_key": usage.meter_key, "unit": usage.unit, "quantity": exact_text(usage.quantity)}
        for usage in usages
    ]


def _seller(profile: BillingProfile | None) -> dict[str, str]:
    if profile is None:
        return {}
    entity = profile.legal_entity
    return {"name": entity.name, "address": entity.address, "tax_id": entity.tax_id, "email": entity.email}


def _buyer(loaded: LoadedBasis) -> dict[str, Any]:
    account, profile = loaded.to_bill.account, loaded.profile
    buyer: dict[str, Any] = {"name": account.name, "reference": account.reference}
    if profile is not None:
        buyer |= {
            "company_name": profile.company_name,
            "address": profile.address,
            "tax_id": profile.tax_id,
            "purchase_order": profile.purchase_order,
            "recipients": profile.recipients,
        }
    return buyer
