"""Loads bases: everything a period's invoice follows from but the usage, for many subscriptions at once.

A fixed number of statements however many there are, and three more for each invoice that is rated again. Runs as the
worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from insights.billing.given_back import came_back_before, rated_out, unable_to_give_back
from insights.billing.issued_bill_queries import is_touched, list_late, load_issued_bill
from insights.billing.meter_claims import priced_by_others
from insights.billing.periods import period_containing
from insights.billing.plan_segment_queries import SubscribedPlans
from insights.billing.row_queries import (
    EarlierInvoice,
    any_of,
    list_archived_until,
    list_given_back,
    list_grants,
    list_invoices,
    list_lines_ahead,
    list_made_of,
    list_priced_times,
    list_voided_corrections,
)
from insights.billing.subscription_queries import anchor_of
from insights.billing.uncovered_queries import list_waiting
from insights.billing.whole_lines import offer_included_credits
from insights.models import (
    BillingProfile,
    Invoice,
    InvoiceKind,
    InvoiceState,
)
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
        self.plans = SubscribedPlans(wanted)
        self.profiles = {
            profile.account_id: profile
            for profile in BillingProfile.objects.filter(account__in=any_of(accounts)).prefetch_related(
                "legal_entity"
            )
        }
        self.grants = list_grants(accounts)
        self.invoices = list_invoices(subscriptions)
        recent = [invoice.pk for each in wanted for invoice in self._recent(each)]
        self.made_of = list_made_of(recent)
        self.voided_corrections = list_voided_corrections(accounts)
        self.ahead = list_lines_ahead(
            accounts,
            [invoice.pk for many in self.invoices.values() for invoice in many],
            min(each.service.start for each in wanted),
        )
        places = [(each.account.pk, each.subscription.pk, each.corrects_until) for each in wanted]
        self.late = list_late(places, self.invoices)
        self.archived_until = list_archived_until(accounts)
        self.priced_times = list_priced_times(accounts)
        self.uncovered = list_waiting(accounts)

    def basis(self, to_bill: PeriodToBill) -> LoadedBasis:
        """Put together one subscription's basis."""
        subscription, is_opening = to_bill.subscription, to_bill.kind == InvoiceKind.OPENING
        is_closing = to_bill.kind == InvoiceKind.CLOSING
        segments, problems = (
            ((), self._unable_to_give_back(to_bill))
            if is_closing
            else self.plans.segments(to_bill, to_bill.whole)
        )
        following = period_containing(anchor_of(subscription), to_bill.whole.end)
        profile = self.profiles.get(to_bill.account.pk)
        before = [] if is_opening else self._issued_before(to_bill)
        basis = Basis(
            account_id=to_bill.account.pk,
            subscription_id=subscription.pk,
            zone=to_bill.account.billing_zone,
            currency=subscription.currency,
            whole=to_bill.whole,
            service=to_bill.service,
            is_opening=is_opening,
            is_closing=is_closing,
            segments=beginning_at(segments, to_bill.service.start) if is_opening else segments,
            next_whole=following,
            ahead=beginning_at(self.plans.segments(to_bill, following)[0], following.start),
            billed_ahead=() if is_closing else self._billed_ahead(to_bill),
            taxes=taxes_of(profile),
            credits=() if is_opening else self._credits(to_bill, segments),
            priced_elsewhere=self._priced_elsewhere(to_bill, segments),
            problems=problems,
        )
        to_correct = () if is_opening else self._bills_to_correct(to_bill, before, rated_out(basis))
        return LoadedBasis(
            to_bill=to_bill,
            basis=replace(basis, to_correct=to_correct),
            profile=profile,
            earlier_totals=tuple(int(invoice.total_minor) for invoice in before),
            earlier_records=tuple(self.made_of[invoice.pk].records for invoice in before[-EARLIER_MIN:]),
            overlapping=() if is_opening or is_closing else self._overlapping(to_bill),
            uncovered=self.uncovered.get(to_bill.account.pk, ()),
        )

    def _credits(self, to_bill: PeriodToBill, segments: Sequence[ServiceSegment]) -> tuple[CreditOffer, ...]:
        plans = [segment for segment in segments if segment.add_on_id is None]
        currency = to_bill.subscription.currency
        included = offer_included_credits(to_bill.whole, to_bill.service, plans, currency)
        return (*included, *self._grant_offers(to_bill))

    def _billed_ahead(self, to_bill: PeriodToBill) -> tuple[StoredLine, ...]:
        """Lines of other invoices that were due in advance for this period."""
        return tuple(
            stored
            for stored in self.ahead.get(to_bill.subscription.pk, ())
            if stored.line.service.start >= to_bill.service.start
            and stored.line.service.end <= to_bill.whole.end
            and stored.invoice_id not in self._own_ids(to_bill)
        )

    def _bills_to_correct(
        self,
        to_bill: PeriodToBill,
        before: Sequence[EarlierInvoice],
        returned: Mapping[int, frozenset[int]],
    ) -> tuple[IssuedBill, ...]:
        """Earlier bills that usage came late for, and those with fees that come back by rating them again.

        Also those that lately could not be corrected, and those whose corrections were voided since: where all of that
        is billed already, rating them again makes no line.
        """
        late = self.late.get(to_bill.account.pk, ())
        unused = {**returned, **self._unused_ahead(to_bill)}
        again = self.voided_corrections | unused.keys()
        again |= {pk for invoice in self._recent(to_bill) for pk in self.made_of[invoice.pk].uncorrected}
        is_next = self._is_next_to_issue(to_bill)
        opening = [one for one in self._opened(to_bill) if one.pk in returned]
        bills = (
            load_issued_bill(
                Invoice.objects.get(account=invoice.account_id, pk=invoice.pk),
                comes_back=unused.get(invoice.pk, frozenset()),
            )
            for invoice in (*opening, *before)
            if not self._is_archived(invoice)
            and (invoice.pk in returned or (is_next and (invoice.pk in again or is_touched(late, invoice))))
        )
        return tuple(self._as_it_stands(to_bill, bill) for bill in bills)

    def _as_it_stands(self, to_bill: PeriodToBill, bill: IssuedBill) -> IssuedBill:
        """The bill without fees that came back before, and with what other subscriptions price in its time."""
        before = came_back_before(bill.lines, (line.corrects_id for line in bill.corrections))
        return replace(
            bill,
            comes_back=bill.comes_back | before,
            priced_elsewhere=self._priced_elsewhere(to_bill, bill.used_segments),
        )

    def _priced_elsewhere(
        self, to_bill: PeriodToBill, segments: Sequence[ServiceSegment]
    ) -> Mapping[str, tuple[Period, ...]]:
        times = self.priced_times.get(to_bill.account.pk, ())
        return priced_by_others(times, to_bill.subscription.pk, segments)

    def _unused_ahead(self, to_bill: PeriodToBill) -> dict[int, frozenset[int]]:
        """When the subscription is closed: the lines for a time after its end, by their invoice."""
        if to_bill.kind != InvoiceKind.CLOSING:
            return {}
        found: dict[int, set[int]] = {}
        for stored in self._after_end(to_bill):
            found.setdefault(stored.invoice_id, set()).add(stored.id)
        return {invoice_id: frozenset(lines) for invoice_id, lines in found.items()}

    def _after_end(self, to_bill: PeriodToBill) -> list[StoredLine]:
        ahead = self.ahead.get(to_bill.subscription.pk, ())
        return [stored for stored in ahead if stored.line.service.start >= to_bill.service.end]

    def _unable_to_give_back(self, to_bill: PeriodToBill) -> tuple[Problem, ...]:
        """What a closing invoice would give back of bills that cannot be made again, for a person to look at."""
        archived = {one.pk for one in self._issued_before(to_bill) if self._is_archived(one)}
        stored = [one for one in self._after_end(to_bill) if one.invoice_id in archived]
        if not stored:
            return ()
        came_back = list_given_back(to_bill.account.pk, [one.id for one in stored])
        return tuple(unable_to_give_back(stored, came_back))

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

    def _is_archived(self, invoice: EarlierInvoice) -> bool:
        """Whether a part of its usage is in files by now: nothing new is taken for it, and it cannot be read anew."""
        until = self.archived_until.get(invoice.account_id)
        return (
            until is not None and invoice.kind != InvoiceKind.OPENING and invoice.period_start.date() <= until
        )

    def _is_next_to_issue(self, to_bill: PeriodToBill) -> bool:
        """Whether no earlier period is still to be issued, whose invoice then has the corrections."""
        return not any(
            invoice.state != InvoiceState.ISSUED
            and invoice.kind != InvoiceKind.CLOSING
            and invoice.period_end <= to_bill.corrects_until
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
        )

    def _opened(self, to_bill: PeriodToBill) -> list[EarlierInvoice]:
        return [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if (invoice.kind, invoice.state) == (InvoiceKind.OPENING, InvoiceState.ISSUED)
        ]

    def _issued_before(self, to_bill: PeriodToBill) -> list[EarlierInvoice]:
        return [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if invoice.state == InvoiceState.ISSUED
            and invoice.kind == InvoiceKind.PERIOD
            and invoice.period_end <= to_bill.corrects_until
        ]

    def _recent(self, to_bill: PeriodToBill) -> list[EarlierInvoice]:
        """The last issued invoices of periods before it, and all that close the subscription."""
        closing = [
            invoice
            for invoice in self.invoices.get(to_bill.subscription.pk, ())
            if (invoice.kind, invoice.state) == (InvoiceKind.CLOSING, InvoiceState.ISSUED)
        ]
        return self._issued_before(to_bill)[-EARLIER_MIN:] + closing

    def _grant_offers(self, to_bill: PeriodToBill) -> tuple[CreditOffer, ...]:
        """Grants in the invoice's currency that were valid at a moment since the period began, as they stand now."""
        start = to_bill.service.start
        return tuple(
            offer
            for offer in self.grants.get((to_bill.account.pk, to_bill.subscription.currency), ())
            if offer.credit.granted_at <= max(self.now, to_bill.service.end)
            and (offer.credit.expires_at is None or offer.credit.expires_at > start)
        )
