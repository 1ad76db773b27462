"""Bills for tests, with figures that the rating engine made: every line is rated, totalled and stored as a real one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import (
    BillingProfile,
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceCounter,
    InvoiceNumber,
    LegalEntity,
    LineItem,
    Settlement,
    Subscription,
)
from insights.rating.charges import ChargeModel, Flat, Graduated, PerUnit, Tier
from insights.rating.credits import Credit
from insights.rating.invoice import InvoiceLine, InvoiceTerms, LineKind, total_invoice
from insights.rating.rate import RatedLine, Usage, correct_line, rate_line
from insights.rating.sheet import PriceSheet, SheetPrice, sheet_document
from insights.rating.terms import Conversion, FeeTiming, PriceTerms
from insights.rating.terms_json import terms_document
from insights.values.exact import exact_number_text
from insights.values.step import step_document

OCTOBER = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
TAX = {"VAT": Decimal(19)}
SELLER = {
    "name": "Portal GmbH",
    "address": "Hauptstr. 1\n10115 Berlin",
    "tax_id": "DE123456789",
    "email": "b@example.com",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSpec:
    """A line to rate: its name, terms and quantity; a correction names the stored line it corrects."""

    name: str
    terms: PriceTerms
    quantity: Decimal = Decimal(0)
    meter_key: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    takes_credit: bool = True
    corrects: LineItem | None = None


def price_key(name: str) -> str:
    """The key of a price by its name, whatever letters that has."""
    return f"price-{slugify(name)[:40]}"


def gigabytes(currency: str = "EUR", *, unit_amount: str = "0.10", included: str = "5") -> PriceTerms:
    """Bytes, charged by the GB behind some that are included."""
    return PriceTerms(
        currency=currency,
        charge=PerUnit(unit_amount=Decimal(unit_amount)),
        unit="byte",
        conversion=Conversion(unit="GB", units_per=Decimal(10**9)),
        included=Decimal(included),
    )


def requests_in_tiers(currency: str = "EUR") -> PriceTerms:
    """Requests by three graduated tiers, the first of them free, the last with an amount once."""
    return PriceTerms(
        currency=currency,
        unit="requests",
        charge=Graduated(
            tiers=(
                Tier(above=Decimal(0), up_to=Decimal(100_000)),
                Tier(above=Decimal(100_000), up_to=Decimal(1_000_000), unit_amount=Decimal("0.000075")),
                Tier(
                    above=Decimal(1_000_000),
                    up_to=None,
                    unit_amount=Decimal("0.00005"),
                    flat_amount=Decimal(2),
                ),
            )
        ),
    )


def monthly_fee(currency: str = "EUR", amount: str = "20") -> PriceTerms:
    """A fee for each period, due in advance."""
    return flat(currency, amount, timing=FeeTiming.IN_ADVANCE)


def flat(currency: str, amount: str, **more: Any) -> PriceTerms:
    """A flat amount."""
    charge: ChargeModel = Flat(amount=Decimal(amount))
    return PriceTerms(currency=currency, charge=charge, **more)


def usual_lines(currency: str = "EUR") -> list[LineSpec]:
    """A fee, bytes behind included ones, and requests in tiers."""
    return [
        LineSpec(name="Base fee", terms=monthly_fee(currency)),
        LineSpec(
            name="Data out",
            terms=gigabytes(currency),
            quantity=Decimal(62_500_000_000),
            meter_key="bytes_out",
        ),
        LineSpec(
            name="Requests",
            terms=requests_in_tiers(currency),
            quantity=Decimal(1_350_000),
            meter_key="requests",
            values={"region": "eu-west"},
        ),
    ]


def make_entity(key: str = "portal-gmbh") -> LegalEntity:
    """Find or make who sends invoices."""
    with as_worker():
        entity, _ = LegalEntity.objects.get_or_create(
            key=key, defaults={**SELLER, "number_prefix": f"{key.upper()[:10]}-"}
        )
        InvoiceCounter.objects.get_or_create(legal_entity=entity)
    return entity


def make_profile(account: Account, **fields: Any) -> BillingProfile:
    """Make whom invoices go to."""
    defaults = {
        "company_name": f"{account.name} Holding",
        "address": "Ringstr. 7\n20095 Hamburg",
        "tax_id": "DE987654321",
        "purchase_order": "PO-4711",
        "tax_name": "VAT",
        "tax_percent": Decimal(19),
    }
    entity = make_entity()
    with as_worker():
        return BillingProfile.objects.create(account=account, legal_entity=entity, **{**defaults, **fields})


def make_subscription(account: Account, *, currency: str = "EUR", **fields: Any) -> Subscription:
    """Find or make the account's subscription in a currency."""
    with as_worker():
        found = Subscription.objects.filter(account=account, currency=currency).first()
        return found or Subscription.objects.create(
            account=account,
            currency=currency,
            name=fields.pop("name", "Pay as you go"),
            billing_zone=account.billing_zone,
            anchor_day=date(2026, 1, 1),
            starts_at=datetime(2026, 1, 1, tzinfo=UTC),
            **fields,
        )


def make_grant(account: Account, *, minor: int, currency: str = "EUR", **fields: Any) -> CreditGrant:
    """Grant a credit."""
    values = {
        "kind": "promotion",
        "name": "Welcome credit",
        "granted_at": datetime(2026, 9, 1, tzinfo=UTC),
        "reason": "welcome",
        **fields,
    }
    with as_worker():
        return CreditGrant.objects.create(account=account, amount_minor=minor, currency=currency, **values)


def make_invoice(
    account: Account,
    *,
    lines: Sequence[LineSpec] | None = None,
    state: str = "issued",
    settlement: str = "open",
    period: tuple[datetime, datetime] = OCTOBER,
    currency: str = "EUR",
    terms: InvoiceTerms | None = None,
    granted: Sequence[CreditGrant] = (),
    **fields: Any,
) -> Invoice:
    """Rate the lines, total them, and store the invoice in a state; an issued one gets number and settlement."""
    specs = usual_lines(currency) if lines is None else lines
    terms = terms or InvoiceTerms(currency=currency, taxes=TAX)
    rated = [_rated(spec) for spec in specs]
    start, end = period
    pairs = list(zip(specs, rated, strict=True))
    total = total_invoice(
        [_invoice_line(number, spec, line, terms) for number, (spec, line) in enumerate(pairs)],
        terms,
        granted=[_credit(grant) for grant in granted],
        at=end,
    )
    with as_worker(), transaction.atomic(using="worker"):
        invoice = Invoice.objects.create(
            account=account,
            subscription=make_subscription(account, currency=currency),
            **{
                "period_start": start,
                "period_end": end,
                "issue_from": end + timedelta(days=3),
                "currency": currency,
                "total_minor": max(total.total.minor, 0),
                "usage_as_of": 42,
                "complete_to": end,
                "drafted_at": end,
                "details": details(account, specs, period=period, currency=currency),
                "state": "parked" if state == "parked" else "draft",
                "parked_for": [{"code": "jump", "message": "11 times the median", "finding": "jump:1"}]
                if state == "parked"
                else [],
                **fields,
            },
        )
        _store_lines(invoice, specs, rated, total, period)
        for use in total.credits:
            CreditUse.objects.create(
                account=account, grant_id=int(use.key), invoice=invoice, amount_minor=use.minor
            )
        if state == "issued":
            _issue(invoice, settlement)
    return invoice


def _rated(spec: LineSpec) -> RatedLine:
    rated = rate_line(spec.terms, Usage(spec.quantity))
    if spec.corrects is None:
        return rated
    billed = rate_line(spec.terms, Usage(spec.corrects.metered_quantity))
    return correct_line(billed, rated)


def _invoice_line(number: int, spec: LineSpec, rated: RatedLine, terms: InvoiceTerms) -> InvoiceLine:
    kind = LineKind.CORRECTION if spec.corrects else LineKind.CHARGE
    return InvoiceLine(
        key=f"{number:03} {spec.name}",
        kind=kind,
        minor=rated.amount.minor,
        price=spec.name,
        taxes=tuple(terms.taxes),
        takes_credit=spec.takes_credit and kind is LineKind.CHARGE,
    )


def _credit(grant: CreditGrant) -> Credit:
    return Credit(
        key=str(grant.pk),
        remaining_minor=int(grant.amount_minor),
        granted_at=grant.granted_at,
        priority=grant.priority,
    )


def _store_lines(invoice: Invoice, specs: Any, rated: Any, total: Any, period: Any) -> None:
    start, end = period
    rows = []
    pairs = list(zip(specs, rated, strict=True))
    by_key = {f"{number:03} {spec.name}": (spec, line) for number, (spec, line) in enumerate(pairs)}
    for position, line in enumerate(total.lines, 1):
        row: dict[str, Any] = {
            "account_id": invoice.account_id,
            "invoice": invoice,
            "position": position,
            "key": line.key,
            "kind": str(line.kind),
            "name": line.key.capitalize() if line.key not in by_key else by_key[line.key][0].name,
            "service_start": start,
            "service_end": end,
            "amount_minor": line.minor,
            "allotted": dict(line.allotted),
        }
        if line.key in by_key:
            row |= _rated_columns(*by_key[line.key])
        rows.append(LineItem(**row))
    if total.total.minor < 0:
        rows.append(_carried(invoice, len(rows) + 1, -total.total.minor, period))
    LineItem.objects.bulk_create(rows)


def _rated_columns(spec: LineSpec, rated: RatedLine) -> dict[str, Any]:
    corrected = spec.corrects
    return {
        "price_key": price_key(spec.name),
        "plan_key": "payg",
        "plan_version": 1,
        "meter_key": spec.meter_key,
        "values": dict(spec.values),
        "metered_quantity": rated.metered_quantity,
        "billed_quantity": exact_number_text(rated.billed_quantity),
        "unit": spec.terms.priced_unit,
        "terms": terms_document(spec.terms),
        "segment": {"share": [1, 1], "tier_share": [1, 1], "counted_before": None, "number": 1},
        "steps": [step_document(step) for step in rated.steps],
        "corrects": corrected,
        "corrects_invoice_id": corrected.invoice_id if corrected else None,
    }


def _carried(invoice: Invoice, position: int, minor: int, period: Any) -> LineItem:
    return LineItem(
        account_id=invoice.account_id,
        invoice=invoice,
        position=position,
        key="carried",
        kind="carried",
        name="Carried to the next bill",
        service_start=period[0],
        service_end=period[1],
        amount_minor=minor,
    )


def _issue(invoice: Invoice, settlement: str) -> None:
    entity = make_entity()
    counter = InvoiceCounter.objects.select_for_update().get(legal_entity=entity)
    counter.last_number += 1
    counter.save()
    invoice.legal_entity, invoice.number_in_series = entity, counter.last_number
    invoice.number = f"{entity.number_prefix}{counter.last_number:06}"
    invoice.issued_at = invoice.issue_from
    invoice.due_at = invoice.issue_from + timedelta(days=14)
    invoice.sha256 = hashlib.sha256(invoice.number.encode()).digest()
    invoice.state = "issued"
    invoice.save()
    InvoiceNumber.objects.create(
        legal_entity=entity, number_in_series=counter.last_number, invoice_id=invoice.pk
    )
    reason = "made twice" if settlement == "void" else ""
    Settlement.objects.create(account_id=invoice.account_id, invoice=invoice, state=settlement, reason=reason)


def details(
    account: Account, specs: Sequence[LineSpec], *, period: tuple[datetime, datetime], currency: str
) -> dict[str, Any]:
    """What drafting stores beside the lines."""
    return {
        "seller": SELLER,
        "buyer": {
            "name": account.name,
            "company_name": f"{account.name} Holding",
            "address": "Ringstr. 7\n20095 Hamburg",
            "tax_id": "DE987654321",
            "purchase_order": "PO-4711",
            "reference": account.reference,
            "recipients": ["bills@example.com"],
        },
        "zone": account.billing_zone,
        "tzdata": "2025.2",
        "segments": [segment(specs, start=period[0], end=period[1], currency=currency)],
        "add_ons": [],
        "taxes": {name: str(percent) for name, percent in TAX.items()},
        "tax_exempt_reason": "",
        "credits": [],
        "unpriced": [],
    }


def segment(
    specs: Sequence[LineSpec],
    *,
    start: datetime,
    end: datetime,
    currency: str,
    name: str = "Pay as you go",
    version: int = 1,
) -> dict[str, Any]:
    """One stretch of a period on one plan version."""
    prices: dict[str, SheetPrice] = {}
    meters: set[str] = set()
    for spec in specs:
        key = price_key(spec.name)
        if spec.corrects or key in prices or spec.meter_key in meters:
            continue
        meters |= {spec.meter_key} - {""}
        prices[key] = SheetPrice(key=key, name=spec.name, meter_key=spec.meter_key, terms=spec.terms)
    sheet = PriceSheet(
        plan_key="payg",
        plan_name=name,
        version=version,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        currency=currency,
        prices=tuple(prices.values()),
    )
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "policy": "restart",
        "counts": {},
        "is_first": False,
        "add_on_id": None,
        "sheet": sheet_document(sheet),
    }


def line_named(invoice: Invoice, name: str) -> LineItem:
    """The stored line of an invoice with this name."""
    with as_worker():
        return LineItem.objects.get(invoice=invoice, name=name)
