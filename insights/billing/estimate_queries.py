"""Answers what something would cost: reads the plan, the closed periods and the meters, and lets the engine rate them.

In the account's scope; nothing is stored. Quantities come from the lines of the bills; only where these do not say
enough are records read, as known at the bill's position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import Basis, MeterOfBill, ServiceSegment
from insights.billing.bill_to_make_mapping import taxes_of
from insights.billing.billed_quantities import billed_quantities, regrouped
from insights.billing.catalogue_queries import sheet_in_force
from insights.billing.closed_period_queries import ClosedPeriod, find_subscription, list_closed_periods
from insights.billing.estimate import (
    Estimate,
    EstimatedPeriod,
    billed_side,
    estimated_side,
    is_on_plan,
    plan_throughout,
)
from insights.billing.estimate_question import NOW, EstimateQuestion, EstimateRefused
from insights.billing.own_price_mapping import OwnSheet, own_sheet
from insights.billing.periods import BillingAnchor, Interval, period_containing
from insights.billing.plan_choice_queries import PlanChoice, list_plan_choices, list_sheets
from insights.billing.profile_queries import find_billing_profile
from insights.billing.series_quantity_queries import SeriesQuantities
from insights.billing.typed_quantities import asked_meters, typed_quantities
from insights.billing.usage_lines import Quantities
from insights.billing.usage_queries import meter_of_bill
from insights.metering.metered_queries import list_billed_meters
from insights.models import PriceOverride, Subscription
from insights.rating.sheet import PriceSheet
from insights.values.money import UnknownCurrency, currency_decimals
from insights.values.period import Period, local_day
from insights.values.quantity import exact_text

_ONE = Decimal(1)


def make_estimate(
    account: Account, question: EstimateQuestion, *, now: datetime, may_take_any: bool = False
) -> Estimate:
    """Answer the question; raises EstimateRefused where it has no answer as it stands."""
    reader = _Reader(account, question, now=now, may_take_any=may_take_any)
    return reader.typed() if question.periods is None else reader.periods(question.periods)


def find_prices(account: Account, plan_key: str, *, now: datetime, may_take_any: bool) -> PriceSheet:
    """The prices of a plan as the account would have them now; raises EstimateRefused."""
    question = EstimateQuestion(plan_key=plan_key, periods=None)
    return _Reader(account, question, now=now, may_take_any=may_take_any).priced(now).sheet


def list_asked_meters(sheet: PriceSheet) -> tuple[MeterOfBill, ...]:
    """The meters to ask quantities of for a plan, in the units that they are priced in."""
    return asked_meters(sheet, tuple(map(meter_of_bill, list_billed_meters())))


@dataclass(frozen=True, slots=True)
class _Priced:
    """The plan's prices for a period, and whether they are its first ones, from after the period began."""

    own: OwnSheet
    is_first: bool

    @property
    def sheet(self) -> PriceSheet:
        """The prices with the account's own ones."""
        return self.own.sheet


class _Reader:
    """One question with the plan that it is about."""

    def __init__(
        self, account: Account, question: EstimateQuestion, *, now: datetime, may_take_any: bool
    ) -> None:
        self.account = account
        self.question = question
        self.now = now
        self.plan = _plan(account, question, now=now, may_take_any=may_take_any)
        self.sheets = list_sheets(self.plan, may_take_any=may_take_any)
        if not self.sheets:
            raise _unknown_plan(question.plan_key)
        self.overrides = list(
            PriceOverride.objects.for_account(account).filter(plan=self.plan.id).order_by("starts_at")
        )
        self.versions = list_billed_meters()
        self.meters = tuple(map(meter_of_bill, self.versions))
        self.names = {meter.key: meter.name for meter in self.meters}

    # --- Closed periods ---------------------------------------------------------------------------
    def periods(self, count: int) -> Estimate:
        """The last closed periods on the plan, beside what they were billed."""
        subscription = self._subscription()
        closed = list_closed_periods(self.account, subscription, limit=count)
        if not closed:
            raise EstimateRefused(
                "no_closed_period",
                "periods",
                "No period of this subscription is closed yet; type in quantities instead.",
            )
        found = tuple(self._period(one) for one in closed)
        return Estimate(
            plan_key=self.plan.key,
            plan_name=self.plan.name,
            currency=self.plan.currency,
            zone=subscription.billing_zone,
            periods=found,
            asked_periods=count,
            is_as_billed=all(self._is_as_billed(one) for one in closed),
        )

    def _subscription(self) -> Subscription:
        found = find_subscription(self.account, public_id=self.question.subscription_id)
        if found is None and self.question.subscription_id is None:
            message = (
                "This account has no subscription whose periods could be rated; type in quantities instead."
            )
            raise EstimateRefused("no_closed_period", "periods", message)
        if found is None:
            raise EstimateRefused("unknown_subscription", "subscription", "There is no such subscription.")
        if found.currency != self.plan.currency:
            message = f"{self.plan.name} is in {self.plan.currency}, and the bills are in {found.currency}."
            raise EstimateRefused("different_currencies", "plan", message)
        if found.interval_months != self.plan.interval_months:
            message = f"{self.plan.name} is billed in periods of another length than the subscription."
            raise EstimateRefused("different_interval", "plan", message)
        return found

    def _period(self, closed: ClosedPeriod) -> EstimatedPeriod:
        bill = closed.bill
        own = billed_quantities(bill, self.meters)
        billed = billed_side(
            self._basis(bill.whole, bill.segments, closed), bill, self.meters, own, self.names
        )
        if self._is_as_billed(closed):
            return EstimatedPeriod(
                period=bill.period,
                sheet=bill.segments[-1].sheet,
                estimate=billed,
                head=closed.head,
                billed=billed,
                is_changed=len(bill.segments) > 1,
                counts=_texts(bill.segments[-1].counts),
            )
        priced = self.priced(self.now if self.question.prices == NOW else bill.whole.start)
        counts = self._counts(priced.sheet, bill.segments[-1].counts if bill.segments else {})
        segments = plan_throughout(bill, priced.sheet, counts, closed.add_ons)
        metered = self._quantities(closed, priced.sheet, own)
        return EstimatedPeriod(
            period=bill.period,
            sheet=priced.sheet,
            estimate=estimated_side(
                self._basis(bill.whole, segments, closed), self.meters, metered, self.names
            ),
            head=closed.head,
            billed=billed,
            has_first_prices=priced.is_first,
            own_price_note=priced.own.unfit_words,
            is_changed=len(bill.segments) > 1,
            counts=_texts(counts),
        )

    def _is_as_billed(self, closed: ClosedPeriod) -> bool:
        """Whether the period is asked for as it was: on its own plan, at its prices, with the counts that it had."""
        asks_as_it_was = self.question.prices != NOW and not self.question.counts
        return asks_as_it_was and is_on_plan(closed.bill, self.plan.key)

    def _basis(self, whole: Period, segments: tuple[ServiceSegment, ...], closed: ClosedPeriod) -> Basis:
        return Basis(
            account_id=self.account.pk,
            subscription_id=0,
            zone=closed.head.zone,
            currency=closed.head.currency,
            whole=whole,
            service=closed.bill.period,
            segments=segments,
            taxes=closed.bill.taxes,
        )

    def _quantities(
        self, closed: ClosedPeriod, sheet: PriceSheet, own: Mapping[tuple[int, int], Quantities]
    ) -> dict[tuple[int, int], Quantities]:
        """What was metered in the period by the values that the plan's prices go by."""
        series = SeriesQuantities(self.account, closed, self.versions)
        found: dict[tuple[int, int], Quantities] = {}
        for meter in self.meters:
            wanted = sheet.by_meter.get(meter.key)
            quantities = regrouped(closed.bill, own, meter, wanted, series.traits(meter))
            if quantities == {}:
                quantities = series.unpriced(meter, wanted)
            found[0, meter.id] = series.read(meter, wanted) if quantities is None else quantities
        return found

    # --- Typed quantities -------------------------------------------------------------------------
    def typed(self) -> Estimate:
        """One whole period on the plan with the quantities of the question."""
        zone = ZoneInfo(self.account.billing_zone)
        anchor = BillingAnchor(
            day=local_day(self.now, zone).replace(day=1),
            zone=zone,
            interval=Interval(self.plan.interval_months),
        )
        whole = period_containing(anchor, self.now)
        priced = self.priced(self.now)
        sheet = priced.sheet
        counts = self._counts(sheet, {})
        segment = ServiceSegment(service=whole, sheet=sheet, counts=counts)
        basis = Basis(
            account_id=self.account.pk,
            subscription_id=0,
            zone=self.account.billing_zone,
            currency=self.plan.currency,
            whole=whole,
            service=whole,
            segments=(segment,),
            taxes=taxes_of(find_billing_profile(self.account)),
        )
        metered = typed_quantities(sheet, self.meters, self.question.quantities)
        period = EstimatedPeriod(
            period=whole,
            sheet=sheet,
            estimate=estimated_side(basis, self.meters, metered, self.names),
            own_price_note=priced.own.unfit_words,
            counts=_texts(counts),
        )
        return Estimate(
            plan_key=self.plan.key,
            plan_name=self.plan.name,
            currency=self.plan.currency,
            zone=self.account.billing_zone,
            periods=(period,),
        )

    # --- Prices -----------------------------------------------------------------------------------
    def priced(self, at: datetime) -> _Priced:
        """The plan's prices at the instant with the account's own ones; its first ones if it had none yet."""
        sheet = sheet_in_force(self.sheets, at)
        found = sheet or self.sheets[0]
        own = own_sheet(found, self.overrides, max(at, found.effective_from), versions=self.sheets)
        return _Priced(own, is_first=sheet is None)

    def _counts(self, sheet: PriceSheet, held: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """How many of each counted fee: as asked, else as the period had of the same fee, else one."""
        counted = {price.key for price in sheet.prices if price.is_counted}
        for key in self.question.counts:
            if key not in counted:
                message = f"{self.plan.name} has no counted fee {key[:60]}."
                raise EstimateRefused("unknown_fee", f"counts.{key[:60]}", message)
        return {key: self.question.counts.get(key, held.get(key, _ONE)) for key in sorted(counted)}


def _texts(counts: Mapping[str, Decimal]) -> dict[str, str]:
    return {key: exact_text(count) for key, count in counts.items()}


def _plan(account: Account, question: EstimateQuestion, *, now: datetime, may_take_any: bool) -> PlanChoice:
    _check_currency(question.currency)
    choices = list_plan_choices(account, now=now, may_take_any=may_take_any)
    found = next((choice for choice in choices if choice.key == question.plan_key), None)
    if found is None:
        raise _unknown_plan(question.plan_key)
    if question.currency and question.currency != found.currency:
        message = f"{found.name} is in {found.currency}, not in {question.currency}."
        raise EstimateRefused("different_currencies", "currency", message)
    return found


def _check_currency(code: str) -> None:
    if not code:
        return
    try:
        currency_decimals(code)
    except UnknownCurrency:
        raise EstimateRefused("unknown_currency", "currency", f"{code} is no currency known here.") from None


def _unknown_plan(key: str) -> EstimateRefused:
    return EstimateRefused("unknown_plan", "plan", f"There is no plan “{key[:60]}” for this account.")
