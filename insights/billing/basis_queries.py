"""Loads bases: everything a period's invoice follows from but the usage, for many subscriptions at once.

A fixed number of statements however many there are, and two more for each invoice that usage came late for. Runs as the
worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from insights.billing.basis import (
    Basis,
    CreditOffer,
    IssuedBill,
    Problem,
    ServiceSegment,
    StoredLine,
)
from insights.billing.bill_to_make_mapping import LoadedBasis, PeriodToBill, beginning_at, taxes_of
from insights.billing.bounds import EARLIER_MIN
from insights.billing.catalogue_queries import sheet_in_force, sheets_of
from insights.billing.issued_bill_queries import is_touched, list_late, load_issued_bill
from insights.billing.periods import period_containing
from insights.billing.row_queries import (
    list_add_ons,
    list_archived_until,
    list_claims,
    list_grants,
    list_invoices,
    list_lines_ahead,
    list_made_of,
    list_overrides,
    list_phases,
    list_voided_corrections,
    meters_of_others,
)
from insights.billing.sheet_mapping import price_with_override
from insights.billing.subscription_queries import anchor_of, subscription_facts
from insights.billing.timeline import (
    InvalidTimeline,
    SubscriptionFacts,
    TimelineSegment,
    add_on_segments_in,
    is_first,
    segments_in,
)
from insights.billing.whole_lines import offer_included_credits
from insights.models import (
    BillingProfile,
    Invoice,
    InvoiceKind,
    InvoiceState,
)
from insights.rating.sheet import PriceSheet
from insights.values.period import Period


def load_bases(wanted: Sequence[PeriodToBill], now: datetime) -> list[LoadedBasis]:
    """Load the bases in the order asked for."""
    if not wanted:
        return []
    loader = _Loader(wanted, now)
    return [loader.basis(to_bill) for to_bill in wanted]


class _Loader:
    """What was read for a number of subscriptions, by subscription or account."""

    def __init__(self, wanted: Sequence[PeriodToBill], now: datetime) -> None:
        self.now = now
        subscriptions = [each.subscription.pk for each in wanted]
        accounts = [each.account.pk for each in wanted]
        self.phases = list_phases(subscriptions)
        self.add_ons = list_add_ons(subscriptions)
        plans = {phase.plan_id for phases in self.phases.values() for phase in phases}
        self.sheets = sheets_of(plans | {one.plan_id for many in self.add_ons.values() for one in many})
        self.overrides = list_overrides(accounts)
        self.profiles = {
            profile.account_id: profile
            for profile in BillingProfile.objects.filter(account__in=accounts).select_related("legal_entity")
        }
        self.grants = list_grants(accounts)
        self.invoices = list_invoices(subscriptions)
        recent = [invoice.pk for each in wanted for invoice in self._recent(each)]
        self.made_of = list_made_of(recent)
        self.voided_corrections = list_voided_corrections(accounts)
        self.ahead = list_lines_ahead(
            accounts, [invoice.pk for many in self.invoices.values() for invoice in many]
        )
        places = [(each.account.pk, each.subscription.pk, each.corrects_until) for each in wanted]
        self.late = list_late(places, self.invoices)
        self.archived_until = list_archived_until(accounts)
        self.claims = list_claims(accounts)

    def basis(self, to_bill: PeriodToBill) -> LoadedBasis:
        """Put together one subscription's basis."""
        subscription = to_bill.subscription
        facts = subscription_facts(subscription)
        problems: list[Problem] = []
        is_closing = to_bill.kind == InvoiceKind.CLOSING
        segments = () if is_closing else self._segments(to_bill.whole, facts, problems)
        following = period_containing(anchor_of(subscription), to_bill.whole.end)
        profile = self.profiles.get(to_bill.account.pk)
        basis = Basis(
            account_id=to_bill.account.pk,
            subscription_id=subscription.pk,
            zone=to_bill.account.billing_zone,
            currency=subscription.currency,
            whole=to_bill.whole,
            service=to_bill.service,
            is_opening=to_bill.kind == InvoiceKind.OPENING,
            is_closing=is_closing,
            segments=beginning_at(segments, to_bill.service.start)
            if to_bill.kind == InvoiceKind.OPENING
            else segments,
            next_whole=following,
            ahead=beginning_at(self._segments(following, facts, []), following.start),
            billed_ahead=() if is_closing else self._billed_ahead(to_bill),
            taxes=taxes_of(profile),
            priced_elsewhere=self._priced_elsewhere(to_bill, to_bill.service),
            problems=tuple(problems),
        )
        before = self._issued_before(to_bill)
        if basis.is_opening:
            return LoadedBasis(to_bill=to_bill, basis=basis, profile=profile)
        basis = replace(
            basis,
            credits=(*offer_included_credits(basis), *self._grant_offers(to_bill)),
            to_correct=self._bills_to_correct(to_bill, before),
        )
        return LoadedBasis(
            to_bill=to_bill,
            basis=basis,
            profile=profile,
            earlier_totals=tuple(int(invoice.total_minor) for invoice in before),
            earlier_records=tuple(self.made_of[invoice.pk].records for invoice in before[-EARLIER_MIN:]),
            overlapping=() if is_closing else self._overlapping(to_bill),
        )

    def _billed_ahead(self, to_bill: PeriodToBill) -> tuple[StoredLine, ...]:
        """Lines of other invoices that were due in advance for this period."""
        return tuple(
            stored
            for stored in self.ahead.get(to_bill.subscription.pk, ())
            if stored.line.service.start >= to_bill.service.start
            and stored.line.service.end <= to_bill.whole.end
            and stored.invoice_id not in self._own_ids(to_bill)
        )

    def _bills_to_correct(self, to_bill: PeriodToBill, before: Sequence[Invoice]) -> tuple[IssuedBill, ...]:
        """Earlier bills that usage came late for, and the one with fees for a time after the end.

        Also those that lately could not be corrected, and those whose corrections were voided since: where all of that
        is billed already, rating them again makes no line.
        """
        late = self.late.get(to_bill.account.pk, ())
        unused = self._unused_ahead(to_bill)
        again = self.voided_corrections | unused.keys()
        again |= {pk for invoice in self._recent(to_bill) for pk in self.made_of[invoice.pk].uncorrected}
        return tuple(
            load_issued_bill(
                invoice,
                comes_back=unused.get(invoice.pk, frozenset()),
                priced_elsewhere=self._priced_elsewhere(
                    to_bill, Period(invoice.period_start, invoice.period_end)
                ),
            )
            for invoice in before
            if self._is_next_to_issue(to_bill)
            and not self._is_archived(invoice)
            and (invoice.pk in again or is_touched(late, invoice))
        )

    def _priced_elsewhere(self, to_bill: PeriodToBill, period: Period) -> frozenset[str]:
        claims = self.claims.get(to_bill.account.pk, ())
        return meters_of_others(claims, to_bill.subscription.pk, period)

    def _unused_ahead(self, to_bill: PeriodToBill) -> dict[int, frozenset[int]]:
        """When the subscription is closed: the lines for a time after its end, by their invoice."""
        if to_bill.kind != InvoiceKind.CLOSING:
            return {}
        found: dict[int, set[int]] = {}
        for stored in self.ahead.get(to_bill.subscription.pk, ()):
            if stored.line.service.start >= to_bill.service.end:
                found.setdefault(stored.invoice_id, set()).add(stored.id)
        return {invoice_id: frozenset(lines) for invoice_id, lines in found.items()}

    def _overlapping(self, to_bill: PeriodToBill) -> tuple[str, ...]:
        """Numbers of other invoices for a part of the same period."""
        return tuple(
            invoice.number or "draft"
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if invoice.kind == InvoiceKind.PERIOD
            and invoice.pk not in self._own_ids(to_bill)
            and invoice.period_start < to_bill.service.end
            and invoice.period_end > to_bill.service.start
        )

    def _own_ids(self, to_bill: PeriodToBill) -> set[int]:
        return {
            invoice.pk
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if (invoice.kind, invoice.period_start) == (to_bill.kind, to_bill.service.start)
        }

    def _is_archived(self, invoice: Invoice) -> bool:
        """Whether a part of its usage is in files by now: nothing new is taken for it, and it cannot be read anew."""
        until = self.archived_until.get(invoice.account_id)
        return until is not None and invoice.period_start.date() <= until

    def _is_next_to_issue(self, to_bill: PeriodToBill) -> bool:
        """Whether no earlier period is still to be issued, whose invoice then has the corrections."""
        return not any(
            invoice.state != InvoiceState.ISSUED
            and invoice.kind != InvoiceKind.CLOSING
            and invoice.period_end <= to_bill.corrects_until
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
        )

    def _issued_before(self, to_bill: PeriodToBill) -> list[Invoice]:
        return [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if invoice.state == InvoiceState.ISSUED
            and invoice.kind == InvoiceKind.PERIOD
            and invoice.period_end <= to_bill.corrects_until
        ]

    def _recent(self, to_bill: PeriodToBill) -> list[Invoice]:
        """The last issued invoices of periods before it, and all that close the subscription."""
        closing = [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if (invoice.kind, invoice.state) == (InvoiceKind.CLOSING, InvoiceState.ISSUED)
        ]
        return self._issued_before(to_bill)[-EARLIER_MIN:] + closing

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
                    is_first=is_first(segment, facts.starts_at, phases, add_ons),
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
