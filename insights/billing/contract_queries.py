"""Loads contracts: everything a period's invoice follows from but the usage, for many subscriptions at once.

A fixed number of statements however many there are, and two more for each invoice that usage came late for. Runs as the
worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Account
from insights.billing.catalogue_queries import sheet_in_force, sheets_of
from insights.billing.contract import (
    Contract,
    CreditOffer,
    DraftLine,
    IssuedBill,
    Problem,
    ServiceSegment,
    StoredLine,
    Unpriced,
)
from insights.billing.corrections import correction_key
from insights.billing.invoice_mapping import credits_of, line_of, segments_of
from insights.billing.periods import BillingAnchor, Interval, period_containing
from insights.billing.sheet_mapping import price_with_override
from insights.billing.timeline import (
    AddOnFacts,
    InvalidTimeline,
    PhaseFacts,
    SubscriptionFacts,
    TimelineSegment,
    add_on_segments_in,
    segments_in,
)
from insights.billing.whole_lines import offer_included_credits
from insights.metering.metered_queries import Stretch, read_late
from insights.models import (
    AddOn,
    BillingProfile,
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceKind,
    InvoiceState,
    LineItem,
    PriceOverride,
    SettlementState,
    Subscription,
    SubscriptionPhase,
)
from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.sheet import PriceSheet
from insights.rating.terms import FeeTiming
from insights.values.period import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodToBill:
    """One invoice to make: of a subscription, for a billing period of which `service` is subscribed."""

    subscription: Subscription
    account: Account
    whole: Period
    service: Period
    kind: InvoiceKind = InvoiceKind.PERIOD
    operation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedContract:
    """A contract, the period it is for, and whom the invoice is made out to."""

    to_bill: PeriodToBill
    contract: Contract
    profile: BillingProfile | None
    earlier_totals: tuple[int, ...] = ()
    earlier_records: tuple[int, ...] = ()
    overlapping: tuple[str, ...] = ()


def anchor_of(subscription: Subscription) -> BillingAnchor:
    """What the periods of a subscription are counted from."""
    return BillingAnchor(
        day=subscription.anchor_day,
        zone=ZoneInfo(subscription.billing_zone),
        interval=Interval(subscription.interval_months),
    )


def load_contracts(wanted: Sequence[PeriodToBill], now: datetime) -> list[LoadedContract]:
    """Load the contracts in the order asked for."""
    if not wanted:
        return []
    loader = _Loader(wanted, now)
    return [loader.contract(to_bill) for to_bill in wanted]


class _Loader:
    """What was read for a number of subscriptions, by subscription or account."""

    def __init__(self, wanted: Sequence[PeriodToBill], now: datetime) -> None:
        self.now = now
        subscriptions = [each.subscription.pk for each in wanted]
        accounts = [each.account.pk for each in wanted]
        self.phases = _phases(subscriptions)
        self.add_ons = _add_ons(subscriptions)
        plans = {phase.plan_id for phases in self.phases.values() for phase in phases}
        self.sheets = sheets_of(plans | {one.plan_id for many in self.add_ons.values() for one in many})
        self.overrides = _overrides(accounts)
        self.profiles = {
            profile.account_id: profile
            for profile in BillingProfile.objects.filter(account__in=accounts).select_related("legal_entity")
        }
        self.grants = _grants(accounts)
        self.invoices = _invoices(subscriptions)
        self.records = _records(accounts)
        self.ahead = _lines_ahead(
            accounts, [invoice.pk for many in self.invoices.values() for invoice in many]
        )
        self.late = _late(wanted, self.invoices)

    def contract(self, to_bill: PeriodToBill) -> LoadedContract:
        """Put together one subscription's contract."""
        subscription = to_bill.subscription
        facts = SubscriptionFacts(
            id=subscription.pk,
            account_id=to_bill.account.pk,
            starts_at=subscription.starts_at,
            ends_at=subscription.ends_at,
        )
        problems: list[Problem] = []
        segments = self._segments(to_bill.whole, facts, problems)
        following = period_containing(anchor_of(subscription), to_bill.whole.end)
        profile = self.profiles.get(to_bill.account.pk)
        contract = Contract(
            account_id=to_bill.account.pk,
            subscription_id=subscription.pk,
            zone=to_bill.account.billing_zone,
            currency=subscription.currency,
            whole=to_bill.whole,
            service=to_bill.service,
            is_opening=to_bill.kind == InvoiceKind.OPENING,
            segments=_beginning(segments, to_bill.service.start)
            if to_bill.kind == InvoiceKind.OPENING
            else segments,
            next_whole=following,
            ahead=_beginning(self._segments(following, facts, []), following.start),
            billed_ahead=tuple(
                stored
                for stored in self.ahead.get(subscription.pk, ())
                if stored.line.service.start >= to_bill.service.start
                and stored.line.service.end <= to_bill.whole.end
                and stored.invoice_id not in self._own_ids(to_bill)
            ),
            taxes=_taxes(profile),
            problems=tuple(problems),
        )
        before = self._issued_before(to_bill)
        if contract.is_opening:
            return LoadedContract(to_bill=to_bill, contract=contract, profile=profile)
        contract = replace(
            contract,
            credits=(*offer_included_credits(contract), *self._grant_offers(to_bill)),
            to_correct=tuple(
                _load_bill(invoice)
                for invoice in before
                if self._is_next_to_issue(to_bill)
                and _overlaps(self.late.get(to_bill.account.pk, ()), invoice)
            ),
        )
        return LoadedContract(
            to_bill=to_bill,
            contract=contract,
            profile=profile,
            earlier_totals=tuple(int(invoice.total_minor) for invoice in before),
            earlier_records=tuple(self.records[invoice.pk] for invoice in before),
            overlapping=tuple(
                invoice.number or "draft"
                for invoice in self.invoices.get(subscription.pk, ())
                if invoice.kind == InvoiceKind.PERIOD
                and invoice.pk not in self._own_ids(to_bill)
                and invoice.period_start < to_bill.service.end
                and invoice.period_end > to_bill.service.start
            ),
        )

    def _own_ids(self, to_bill: PeriodToBill) -> set[int]:
        return {
            invoice.pk
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if (invoice.kind, invoice.period_start) == (to_bill.kind, to_bill.service.start)
        }

    def _is_next_to_issue(self, to_bill: PeriodToBill) -> bool:
        """Whether no earlier period is still to be issued, whose invoice then has the corrections."""
        return not any(
            invoice.state != InvoiceState.ISSUED and invoice.period_end <= to_bill.service.start
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
        )

    def _issued_before(self, to_bill: PeriodToBill) -> list[Invoice]:
        return [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if invoice.state == InvoiceState.ISSUED
            and invoice.kind == InvoiceKind.PERIOD
            and invoice.period_end <= to_bill.service.start
        ]

    def _segments(
        self, whole: Period, facts: SubscriptionFacts, problems: list[Problem]
    ) -> tuple[ServiceSegment, ...]:
        phases = self.phases.get(facts.id, ())
        add_ons = self.add_ons.get(facts.id, ())
        try:
            found = (*segments_in(whole, facts, phases), *add_on_segments_in(whole, facts, add_ons))
        except InvalidTimeline as error:
            problems.append(Problem(code="no_plan", message=f"{error}."))
            return ()
        segments = []
        for segment in found:
            sheet = self._sheet(facts.account_id, segment)
            if sheet is None:
                message = f"Plan {segment.plan_id} has no published prices at {segment.priced_at:%Y-%m-%d %H:%M} UTC."
                problems.append(Problem(code="no_prices", message=message))
                continue
            segments.append(
                ServiceSegment(
                    service=segment.service,
                    sheet=sheet,
                    policy=segment.policy,
                    counts=segment.counts,
                    is_first=_is_first(segment, facts.starts_at, phases, add_ons),
                    add_on_id=segment.add_on_id,
                )
            )
        return tuple(segments)

    def _sheet(self, account_id: int, segment: TimelineSegment) -> PriceSheet | None:
        sheet = sheet_in_force(self.sheets.get(segment.plan_id, ()), segment.priced_at)
        if sheet is None:
            return None
        own = {
            override.price_key: override
            for override in self.overrides.get((account_id, segment.plan_id), ())
            if override.starts_at <= segment.priced_at
            and (override.ends_at is None or segment.priced_at < override.ends_at)
        }
        if not own:
            return sheet
        prices = tuple(
            price_with_override(price, own[price.key]) if price.key in own else price
            for price in sheet.prices
        )
        return replace(sheet, prices=prices)

    def _grant_offers(self, to_bill: PeriodToBill) -> tuple[CreditOffer, ...]:
        """Grants in the invoice's currency that were valid at any moment of the period, as they stand now."""
        start = to_bill.service.start
        return tuple(
            replace(offer, credit=replace(offer.credit, granted_at=min(offer.credit.granted_at, start)))
            for offer in self.grants.get((to_bill.account.pk, to_bill.subscription.currency), ())
            if offer.credit.granted_at <= max(self.now, to_bill.service.end)
            and (offer.credit.expires_at is None or offer.credit.expires_at > start)
        )


def _beginning(segments: Iterable[ServiceSegment], start: datetime) -> tuple[ServiceSegment, ...]:
    """The plans a period begins with, taken for its whole length: nothing else is known of it in advance."""
    segments = tuple(segments)
    end = max((segment.service.end for segment in segments), default=start)
    return tuple(
        replace(segment, service=Period(start, end)) for segment in segments if segment.service.start == start
    )


def _is_first(
    segment: TimelineSegment, since: datetime, phases: Iterable[PhaseFacts], add_ons: Iterable[AddOnFacts]
) -> bool:
    """Whether it begins where the plan or add-on does, or the subscription if that was later."""
    if segment.add_on_id is not None:
        begun = [one.starts_at for one in add_ons if one.id == segment.add_on_id]
    else:
        begun = [phase.starts_at for phase in phases if phase.plan_id == segment.plan_id]
    return segment.start == max(min(begun), since)


def _phases(subscriptions: Sequence[int]) -> Mapping[int, list[PhaseFacts]]:
    found: dict[int, list[PhaseFacts]] = defaultdict(list)
    for row in SubscriptionPhase.objects.filter(subscription__in=subscriptions, cancelled_at__isnull=True):
        found[row.subscription_id].append(
            PhaseFacts(
                starts_at=row.starts_at,
                plan_id=row.plan_id,
                policy=ChangePolicy(row.policy),
                counts=_counts(row.counts),
            )
        )
    return found


def _add_ons(subscriptions: Sequence[int]) -> Mapping[int, list[AddOnFacts]]:
    found: dict[int, list[AddOnFacts]] = defaultdict(list)
    for row in AddOn.objects.filter(subscription__in=subscriptions):
        found[row.subscription_id].append(
            AddOnFacts(
                id=row.pk,
                plan_id=row.plan_id,
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                counts=_counts(row.counts),
            )
        )
    return found


def _counts(stored: Mapping[str, Any]) -> dict[str, Decimal]:
    return {key: Decimal(str(count)) for key, count in stored.items()}


def _overrides(accounts: Sequence[int]) -> Mapping[tuple[int, int], list[PriceOverride]]:
    found: dict[tuple[int, int], list[PriceOverride]] = defaultdict(list)
    for row in PriceOverride.objects.filter(account__in=accounts).order_by("starts_at"):
        found[row.account_id, row.plan_id].append(row)
    return found


def _grants(accounts: Sequence[int]) -> Mapping[tuple[int, str], list[CreditOffer]]:
    used = dict(
        CreditUse.objects.filter(account__in=accounts).values_list("grant").annotate(Sum("amount_minor"))
    )
    found: dict[tuple[int, str], list[CreditOffer]] = defaultdict(list)
    for row in CreditGrant.objects.filter(account__in=accounts):
        left = int(row.amount_minor - used.get(row.pk, 0))
        credit = Credit(
            key=f"grant {row.public_id}",
            remaining_minor=left,
            granted_at=row.granted_at,
            expires_at=row.expires_at,
            priority=row.priority,
            covers=None if row.covers is None else frozenset(row.covers),
            is_before_tax=row.is_before_tax,
        )
        offer = CreditOffer(credit=credit, name=row.name, kind=row.kind, grant_id=row.pk)
        found[row.account_id, row.currency].append(offer)
    return found


def _invoices(subscriptions: Sequence[int]) -> Mapping[int, list[Invoice]]:
    """Invoices that count: voided ones do not, and are billed anew where they have to be."""
    rows = (
        Invoice.objects.filter(subscription__in=subscriptions)
        .exclude(settlements__state=SettlementState.VOID)
        .defer("details")
        .order_by("period_start", "id")
    )
    found: dict[int, list[Invoice]] = defaultdict(list)
    for row in rows:
        found[row.subscription_id].append(row)
    return found


def _records(accounts: Sequence[int]) -> Mapping[int, int]:
    """How many records each issued invoice was made of."""
    rows = Invoice.objects.filter(account__in=accounts, state=InvoiceState.ISSUED)
    counted = rows.annotate(records=KeyTextTransform("records", "details")).values_list("pk", "records")
    return {invoice_id: int(records or 0) for invoice_id, records in counted}


def _lines_ahead(accounts: Sequence[int], invoices: Sequence[int]) -> Mapping[int, list[StoredLine]]:
    rows = LineItem.objects.filter(
        account__in=accounts,
        invoice__in=invoices,
        kind=LineKind.CHARGE,
        terms__timing=FeeTiming.IN_ADVANCE,
        corrects_invoice__isnull=True,
    ).select_related("invoice")
    found: dict[int, list[StoredLine]] = defaultdict(list)
    for row in rows:
        found[row.invoice.subscription_id].append(stored_line(row, row.invoice.number or ""))
    return found


def stored_line(row: LineItem, number: str) -> StoredLine:
    """A line with its id and its invoice's number, empty for a draft's."""
    return StoredLine(id=row.pk, invoice_id=row.invoice_id, invoice_number=number, line=line_of(row))


def _late(
    wanted: Sequence[PeriodToBill], invoices: Mapping[int, list[Invoice]]
) -> Mapping[int, list[Stretch]]:
    """What came since the newest issued invoice of each subscription, which looked at everything before."""
    after: dict[int, int] = {}
    for to_bill in wanted:
        issued = [
            invoice.usage_as_of
            for invoice in invoices.get(to_bill.subscription.pk, ())
            if invoice.state == InvoiceState.ISSUED and invoice.kind == InvoiceKind.PERIOD
        ]
        if issued:
            account = to_bill.account.pk
            after[account] = min(max(issued), after.get(account, max(issued)))
    return read_late(list(after), list(after.values())) if after else {}


def _overlaps(late: Iterable[Stretch], invoice: Invoice) -> bool:
    return any(
        (first is None or first < invoice.period_end) and (end is None or end > invoice.period_start)
        for first, end in late
    )


def _load_bill(invoice: Invoice) -> IssuedBill:
    """An issued invoice with its lines, and every correction of it on an issued invoice that counts."""
    rows = list(LineItem.objects.filter(account=invoice.account_id, invoice=invoice.pk).order_by("position"))
    number = invoice.number or ""
    lines = tuple(stored_line(row, number) for row in rows)
    corrections = tuple(
        line_of(row)
        for row in LineItem.objects.filter(
            account=invoice.account_id,
            corrects_invoice=invoice.pk,
            kind=LineKind.CORRECTION,
            invoice__state=InvoiceState.ISSUED,
        )
        .exclude(invoice__settlements__state=SettlementState.VOID)
        .order_by("invoice_id", "position")
    )
    details = invoice.details
    offers = credits_of(details["credits"])
    return IssuedBill(
        id=invoice.pk,
        number=number,
        period=Period(invoice.period_start, invoice.period_end),
        # As it was then: the anchor and the zone of a subscription may have changed since.
        whole=Period(*map(datetime.fromisoformat, details["whole"])),
        segments=segments_of(details["segments"]),
        taxes={name: Decimal(text) for name, text in details["taxes"].items()},
        credits=offers,
        credits_used={offer.credit.key: _used(offer, number, lines, corrections) for offer in offers},
        lines=lines,
        corrections=corrections,
        unpriced=tuple(
            Unpriced(meter_key=one["meter_key"], unit=one["unit"], quantity=Decimal(one["quantity"]))
            for one in details["unpriced"]
        ),
    )


def _used(
    offer: CreditOffer, number: str, lines: Iterable[StoredLine], corrections: Iterable[DraftLine]
) -> int:
    """What an issued invoice took of a credit, with what its corrections took or gave back."""
    key = f"credit {offer.credit.key}"
    billed = [stored.line for stored in lines if stored.line.key == key]
    corrected = [line for line in corrections if line.key == correction_key(number, key)]
    return -sum(line.minor for line in (*billed, *corrected))


def _taxes(profile: BillingProfile | None) -> dict[str, Decimal]:
    if profile is None or not profile.tax_percent:
        return {}
    return {profile.tax_name: profile.tax_percent}
