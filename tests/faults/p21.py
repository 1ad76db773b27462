"""P21: rather no bill than a wrong bill: what is out of the ordinary is parked with its reason, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.faults.bill_breakages import broken
from tests.faults.bill_crowd import deliver_rows, gather
from tests.faults.site import Outcome, Site

SENTENCE = "Rather no bill than a wrong bill"
COUNT = 300
MARCH, APRIL, MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in range(3, 8))
# Who has no profile has the usual grace of three days.
JUNE_IS_DUE = datetime(2026, 7, 4, tzinfo=UTC)
FAR = datetime(2027, 1, 1, tzinfo=UTC)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
# Units in March, April, May and June, at 0.10 each.
USUAL = (1_000, 1_000, 1_000, 1_000)
NOT_RELEASED = frozenset({"no_profile", "no_plan", "no_prices"})


@dataclass(frozen=True, slots=True)
class Case:
    """An account: what it uses, what is arranged before June is billed, and what June's invoice is parked for."""

    name: str
    codes: frozenset[str] = frozenset()
    units: Sequence[int] = USUAL
    arrange: Callable[[Any], None] = lambda subscription: None
    begins: datetime = MARCH
    plan: str = "units"


def run(site: Site) -> Outcome:
    """Plant what each bound is for, and neighbours just inside each, among ordinary accounts; bill June."""
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import issue_due
    from insights.models import Subscription

    count = site.count or COUNT
    outcome = Outcome("P21", SENTENCE, site.seed)
    planted = [*_anomalies(), *_neighbours()]
    cases = [*planted, *(Case(f"usual-{number:03d}") for number in range(max(0, count - len(planted))))]
    _open(cases)
    with as_worker():
        rows = {
            one.account.reference: one
            for one in Subscription.objects.select_related("account").order_by("-pk")
        }
    subscriptions = [rows[f"{case.name}-0000"] for case in cases]
    for number, (start, end) in enumerate(((MARCH, APRIL), (APRIL, MAY), (MAY, JUNE))):
        _use(cases, number, start)
        _bill(subscriptions, end)
    for case, subscription in zip(cases, subscriptions, strict=True):
        with as_worker():
            case.arrange(subscription)
    _use(cases, 3, JUNE)
    _complete(cases, subscriptions)
    with broken(site), as_worker():
        fresh = list(
            Subscription.objects.filter(pk__in=[one.pk for one in subscriptions]).select_related("account")
        )
        tally = issue_due(fresh, JUNE_IS_DUE)
    outcome.require(f"billing failed: {tally.problem}", holds=not tally.failed)
    _check(site, outcome, cases)
    if not site.sabotage:
        _release(site, outcome)
    outcome.check_faults()
    return outcome


# What is planted.


def _anomalies() -> list[Case]:
    def also(*codes: str) -> frozenset[str]:
        return frozenset(codes)

    return [
        Case("jump", also("jump"), (1_000, 1_000, 1_000, 11_001)),
        Case("silence", also("no_usage"), (1_000, 1_000, 1_000, 0)),
        Case("unpriced", also("unpriced_meter"), arrange=_use_other("free", "1")),
        Case("unit", also("unknown_unit"), arrange=_use_other("sized", "1"), plan="sized"),
        Case("missing", also("missing_source"), arrange=_watermark("second", complete_to=None)),
        Case(
            "behind",
            also("incomplete"),
            arrange=_watermark("second", complete_to=datetime(2026, 6, 30, 23, tzinfo=UTC)),
        ),
        Case("twice", also("duplicate_period"), arrange=_overlap),
        Case("nobody", also("no_profile"), arrange=_no_profile, begins=JUNE),
        Case("planless", also("no_plan"), arrange=_no_plan, begins=JUNE),
        Case("priceless", also("no_prices"), begins=JUNE, plan="later"),
        Case("unsaid", also("count_unsaid"), plan="counted"),
        Case("unfit", also("own_price_unfit"), plan="agreed"),
        Case("stuck", also("unable_to_give_back", "unable_to_rate"), arrange=_stick, plan="stuck"),
        Case("negative", also("unable_to_rate"), arrange=_use_other("net", "-5"), plan="net"),
        Case(
            "three",
            also("jump", "incomplete", "unpriced_meter"),
            (1_000, 1_000, 1_000, 50_000),
            arrange=_three,
        ),
    ]


def _neighbours() -> list[Case]:
    """Each just inside a bound."""
    return [
        Case("ten-times", units=(100_000, 100_000, 100_000, 1_000_000)),
        Case("thousand-more", units=(1_000, 1_000, 1_000, 11_000)),
        Case("two-bills", units=(0, 1_000, 1_000, 500_000), begins=APRIL),
        Case("silent-before", units=(1_000, 1_000, 0, 0)),
        Case("nothing-of-free", arrange=_use_other("free", "0")),
        Case("ended", arrange=_watermark("second", complete_to=JUNE, ended_at=JUNE)),
        Case("to-come", arrange=_watermark("second", complete_to=None, counts_from=JULY)),
        Case("just-complete", arrange=_watermark("second", complete_to=JULY)),
        Case("not-counted", arrange=_watermark("own", complete_to=None)),
        Case("taxed-before", arrange=_tax, plan="ahead"),
        Case("taxed", arrange=_tax_and_change, plan="ahead"),
        Case("discounted", arrange=_change_to("ahead-off"), plan="ahead"),
        Case("sum-of-nothing", arrange=_use_other("net", "0"), plan="net"),
        Case("elsewhere", arrange=_price_elsewhere),
    ]


def _open(cases: Sequence[Case]) -> None:
    from accounts.tenancy import as_worker
    from insights.models import BillingProfile
    from insights.rating.charges import PerUnit
    from insights.rating.terms import Discount, FeeTiming
    from tests.billing.scene import Decimal, fee, make_plan, meters, publish, usage_price
    from tests.factories import make_source

    meters("requests", "free")
    meters("sized", unit="kilo")
    meters("net", allows_negative=True)
    make_source("edge")
    make_source("second")
    make_source("own", billable=False)
    tenth = PerUnit(unit_amount=Decimal("0.10"))
    units = usage_price("requests", tenth)
    plans = {
        "units": make_plan("units", [units]),
        "sized": make_plan("sized", [units, usage_price("sized", tenth)]),
        "net": make_plan("net", [units, usage_price("net", tenth)]),
        "ahead": make_plan("ahead", [units, fee("base", "30", timing=FeeTiming.IN_ADVANCE)]),
        "ahead-more": make_plan("ahead-more", [units, fee("base", "60", timing=FeeTiming.IN_ADVANCE)]),
        "later": _plan_to_come(),
        "ahead-off": make_plan(
            "ahead-off",
            [units, fee("base", "60", timing=FeeTiming.IN_ADVANCE)],
            discounts=(Discount(percent=Decimal(10)),),
        ),
        "stuck": make_plan(
            "stuck", [units, usage_price("net", tenth), fee("base", "30", timing=FeeTiming.IN_ADVANCE)]
        ),
        "counted": make_plan("counted", [units]),
        "agreed": make_plan("agreed", [units, replace(usage_price("free", tenth), key="extra")]),
        "free": make_plan("free", [usage_price("free", tenth)]),
    }
    publish(plans["later"], [units], number=1, effective_from=datetime(2026, 6, 5, tzinfo=UTC))
    seats = fee("seats", "5", is_counted=True)
    publish(plans["counted"], [units, seats], number=2, effective_from=JUNE)
    other = replace(usage_price("sized", tenth, unit="kilo"), key="extra")
    publish(plans["agreed"], [units, other], number=2, effective_from=JUNE)
    for case in cases:
        gather(1, [plans[case.plan]], starts_at=case.begins, prefix=case.name)
    _agree_on_a_price()
    with as_worker():
        profiles = BillingProfile.objects.filter(account__subscriptions__name__in=("Ahead", "Stuck"))
        BillingProfile.objects.filter(pk__in=list(profiles.values_list("pk", flat=True))).update(
            tax_name="VAT", tax_percent=19
        )


def _agree_on_a_price() -> None:
    """A price of the account's own, for what the plan's next version has another meter for."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from insights.billing.override_operations import set_override

    with as_worker():
        for account in Account.objects.filter(subscriptions__name="Agreed"):
            set_override(
                account_id=account.pk, plan_key="agreed", price_key="extra", reason="agreed", by=None,
                toml='model = "per_unit"\nunit_amount = "0.01"\n', starts_at=MARCH, ends_at=None,
            )  # fmt: skip


def _plan_to_come() -> Any:
    from accounts.tenancy import as_worker
    from insights.models import Plan

    with as_worker():
        return Plan.objects.create(key="later", name="Later", currency="USD", interval_months=1)


def _use(cases: Sequence[Case], month: int, start: datetime) -> None:
    rows = [
        [f"{case.name}-0000", "requests", f"{start:%Y-%m}-05T00:00:00Z", str(case.units[month]), "1"]
        for case in cases
        if case.units[month] and case.begins <= start
    ]
    deliver_rows(rows, until=FAR if month < 3 else None)


def _use_other(meter: str, quantity: str, month: str = "2026-06") -> Callable[[Any], None]:
    def use(subscription: Any) -> None:
        name = subscription.account.reference
        deliver_rows([[name, meter, f"{month}-06T00:00:00Z", quantity, "1"]], until=FAR)

    return use


def _watermark(slug: str, **fields: Any) -> Callable[[Any], None]:
    def mark(subscription: Any) -> None:
        from insights.models import Source, Watermark

        source = Source.objects.get(slug=slug)
        Watermark.objects.create(
            account=subscription.account, source_id=source.pk, source_name=source.name, source_slug=slug,
            cadence_seconds=source.cadence_seconds,
            **{"counts_from": EPOCH, **fields},
        )  # fmt: skip

    return mark


def _overlap(subscription: Any) -> None:
    from insights.models import Invoice

    start = datetime(2026, 6, 10, tzinfo=UTC)
    Invoice.objects.create(
        account=subscription.account, subscription=subscription, period_start=start, period_end=start.replace(day=20),
        issue_from=FAR, currency="USD", drafted_at=JUNE,
    )  # fmt: skip


def _no_profile(subscription: Any) -> None:
    from accounts.tenancy import as_owner
    from insights.models import BillingProfile

    with as_owner():
        BillingProfile.objects.filter(account=subscription.account).delete()


def _no_plan(subscription: Any) -> None:
    from accounts.tenancy import as_owner
    from insights.models import SubscriptionPhase

    with as_owner():
        SubscriptionPhase.objects.filter(subscription=subscription).update(
            starts_at=datetime(2026, 6, 10, tzinfo=UTC)
        )


def _tax(subscription: Any) -> None:
    from insights.models import BillingProfile

    BillingProfile.objects.filter(account=subscription.account).update(tax_name="GST", tax_percent=3)


def _change_to(key: str) -> Callable[[Any], None]:
    def change(subscription: Any) -> None:
        from insights.models import Plan, SubscriptionPhase

        SubscriptionPhase.objects.create(
            account=subscription.account, subscription=subscription, plan=Plan.objects.get(key=key),
            starts_at=datetime(2026, 6, 11, tzinfo=UTC),
        )  # fmt: skip

    return change


def _tax_and_change(subscription: Any) -> None:
    """June's fee comes back at another tax: May's bill is made again without it."""
    _tax(subscription)
    _change_to("ahead-more")(subscription)


def _stick(subscription: Any) -> None:
    """The same, but what came late for May has no price there."""
    _tax_and_change(subscription)
    _use_other("net", "-5", month="2026-05")(subscription)


def _three(subscription: Any) -> None:
    _use_other("free", "1")(subscription)
    _watermark("second", complete_to=datetime(2026, 6, 30, 23, tzinfo=UTC))(subscription)


def _price_elsewhere(subscription: Any) -> None:
    from insights.models import Plan, Subscription, SubscriptionPhase

    other = Subscription.objects.create(
        account=subscription.account, name="Free", currency="USD", anchor_day=JUNE.date(), starts_at=JUNE,
        billing_zone="UTC",
    )  # fmt: skip
    SubscriptionPhase.objects.create(
        account=subscription.account, subscription=other, plan=Plan.objects.get(key="free"), starts_at=JUNE
    )
    _use_other("free", "1")(subscription)


def _complete(cases: Sequence[Case], subscriptions: Sequence[Any]) -> None:
    """What the ordinary source sent is complete; what was arranged of others stays as it is."""
    from accounts.tenancy import as_worker
    from insights.models import Source, Watermark

    with as_worker():
        source = Source.objects.get(slug="edge")
        Watermark.objects.filter(source_id=source.pk).update(complete_to=FAR, counts_from=EPOCH)


# What came of it.


def _bill(subscriptions: Sequence[Any], now: datetime) -> None:
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import issue_due

    with as_worker():
        tally = issue_due([one for one in subscriptions if one.starts_at < now], now)
    if tally.failed or tally.parked:
        raise AssertionError(f"{tally.failed} failed, {tally.parked} parked before June: {tally.problem}")


_JUNE = """
SELECT regexp_replace(a.reference, '-0000$', ''), i.state, i.parked_for, i.public_id
FROM insights_invoice i JOIN accounts_account a ON a.id = i.account_id
JOIN insights_subscription s ON s.id = i.subscription_id
WHERE i.kind = 'period' AND i.period_start = '2026-06-01Z' AND s.name <> 'Free'
"""


def _check(site: Site, outcome: Outcome, cases: Sequence[Case]) -> None:
    with psycopg.connect(site.conninfo) as connection:
        found = {
            name: (state, frozenset(one["code"] for one in parked_for))
            for name, state, parked_for, _ in connection.execute(_JUNE)
        }
    for case in cases:
        wanted = ("parked" if case.codes else "issued", case.codes)
        outcome.rows += 1
        if found.get(case.name) != wanted:
            outcome.differences += 1
            outcome.failures.append(f"{case.name}: {found.get(case.name)}, not {wanted}")
    planted = [case for case in cases if case.codes]
    outcome.faults_asked = outcome.faults = len(planted)
    codes = frozenset().union(*(case.codes for case in planted))
    outcome.figures.append(
        f"{len(planted)} of {len(cases)} accounts parked as planted, for {len(codes)} codes; "
        f"{len(_neighbours())} just inside a bound"
    )


def _release(site: Site, outcome: Outcome) -> None:
    """A person lets what can be let through, with a reason that is kept; the next pass issues it."""
    from accounts.models import AuditEntry
    from accounts.tenancy import as_worker
    from insights.billing.run_operations import issue_due
    from insights.billing.settlement_operations import UnableToSettle, release_invoice
    from insights.models import Invoice, Subscription
    from tests.factories import make_user

    staff = make_user("books@tidegate.example", is_staff=True)
    with as_worker():
        parked = list(Invoice.objects.filter(state="parked", period_start=JUNE).order_by("pk"))
    released = []
    for invoice in parked:
        codes = {one["code"] for one in invoice.parked_for}
        if codes & NOT_RELEASED:
            continue
        findings = [one["finding"] for one in invoice.parked_for]
        release_invoice(invoice.public_id, findings=findings, reason="looked at", by=staff)
        released.append(invoice)
    with as_worker():
        issue_due(list(Subscription.objects.select_related("account")), JUNE_IS_DUE)
        issued = Invoice.objects.filter(pk__in=[one.pk for one in released], state="issued").count()
        kept = AuditEntry.objects.filter(act="invoice.release").count()
    for invoice in parked:
        to_nobody = [one["finding"] for one in invoice.parked_for if one["code"] == "no_profile"]
        if not to_nobody:
            continue
        try:
            release_invoice(invoice.public_id, findings=to_nobody, reason="looked at", by=staff)
            outcome.failures.append("a bill to nobody was let through")
        except UnableToSettle:
            outcome.figures.append("a bill to nobody is not let through")
    outcome.require(f"{issued} of {len(released)} released were issued", holds=issued == len(released))
    outcome.require(f"{kept} acts of {len(released)} are in the audit", holds=kept == len(released))
    outcome.figures.append(f"{issued} let through by a person and issued, {kept} acts in the audit")
