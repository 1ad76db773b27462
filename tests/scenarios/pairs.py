"""Pairs of bills, as many as one likes: made by the function that makes every invoice, of made-up plans and usage.

The second bill is that of the period after the first, with corrections of it, fees that it billed ahead, and credits.
Plans, prices, segments, counts, taxes and usage of both are drawn freely, so that most pairs differ in several ways.
One whole number gives one pair, always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

from insights.billing.basis import (
    Basis,
    CreditOffer,
    Draft,
    IssuedBill,
    MeterOfBill,
    ServiceSegment,
    StoredLine,
)
from insights.billing.bill import Bill, BillHead, BillStatus, Party
from insights.billing.bill_mapping import line_of, segments_of
from insights.billing.draft import BilledUsage, draft_invoice
from insights.billing.given_back import goes_by_amount, percents_of, rated_out
from insights.billing.invoice_mapping import segments_document
from insights.billing.whole_lines import offer_included_credits
from insights.rating.charges import (
    ChargeModel,
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.matrix import Cell, Matrix
from insights.rating.plan_change import ChangePolicy
from insights.rating.sheet import IncludedCredit, PriceSheet, SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from insights.values.money import Money
from insights.values.period import Period
from tests.billing.line_rows import line_row

MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
APRIL = Period(MARCH.end, datetime(2026, 5, 1, tzinfo=UTC))
MAY = Period(APRIL.end, datetime(2026, 6, 1, tzinfo=UTC))
CURRENCIES = ("JPY", "USD", "KWD")
REGIONS = ("asia", "eu", "us")
TAXES: tuple[dict[str, Decimal], ...] = (
    {},
    {"VAT": Decimal(19)},
    {"VAT": Decimal("7.5"), "GST": Decimal(3)},
)


@dataclass(frozen=True)
class Pair:
    """Two bills, what their drafts came to, and what the first one was made of."""

    before: Bill
    after: Bill
    totals: tuple[int, int]
    basis: Basis
    usage: BilledUsage


@cache
def make_pair(number: int) -> Pair:
    """The pair of this number: March's bill and April's. Made once, since nothing of it can be changed."""
    return _Maker(Random(number)).pair()


class _Maker:
    """Draws everything of a pair in turn."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.currency = random.choice(CURRENCIES)
        self.meters = (
            MeterOfBill(id=1, key="requests", version=1, name="Requests", unit="unit"),
            MeterOfBill(id=2, key="bytes", version=1, name="Bytes", unit="unit"),
            MeterOfBill(id=3, key="turnover", version=1, name="Turnover", unit=self.currency),
            MeterOfBill(id=4, key="payments", version=1, name="Payments", unit="unit"),
        )

    # --- Figures ----------------------------------------------------------------------------------
    def decimal(self, most: int, places: int) -> Decimal:
        return Decimal(self.random.randrange(most * 10**places + 1)).scaleb(-places)

    def quantity(self) -> Decimal:
        return self.random.choice((self.decimal(400, 3), self.decimal(400, 0), Decimal(0), Decimal(10**12)))

    def maybe(self) -> bool:
        return self.random.random() < 0.5

    # --- Prices -----------------------------------------------------------------------------------
    def tiers(self, *fields: str) -> tuple[Tier, ...]:
        ends = sorted({self.decimal(200, 1) + 1 for _ in range(self.random.randrange(4))})
        return tuple(
            Tier(above=above, up_to=up_to, **{name: self.decimal(20, 4) for name in fields if self.maybe()})
            for above, up_to in zip([Decimal(0), *ends], [*ends, None], strict=True)
        )

    def charge(self, *, of_money: bool) -> ChargeModel:
        at_zero = self.maybe()
        if of_money:
            more: dict[str, Any] = {"fixed_amount": Decimal("0.3"), "count_meter": "payments"}
            return self.random.choice(
                (
                    Percentage(percent=self.decimal(20, 2), **(more if self.maybe() else {})),
                    GraduatedPercentage(tiers=self.tiers("percent", "flat_amount"), flat_at_zero=at_zero),
                )
            )
        return self.random.choice(
            (
                Flat(amount=self.decimal(50, 4)),
                PerUnit(unit_amount=self.decimal(50, 4)),
                Graduated(tiers=self.tiers("unit_amount", "flat_amount"), flat_at_zero=at_zero),
                Volume(tiers=self.tiers("unit_amount", "flat_amount"), flat_at_zero=at_zero),
                Package(
                    amount=self.decimal(50, 4),
                    size=self.decimal(50, 1) + 1,
                    counting=self.random.choice(list(Packages)),
                ),
                Stairstep(tiers=self.tiers("flat_amount"), flat_at_zero=at_zero),
            )
        )

    def terms(self, *, of_money: bool = False) -> PriceTerms:
        charge = self.charge(of_money=of_money)
        least, most = sorted((self.decimal(50, 4), self.decimal(500, 4)))
        bound_in_part = self.maybe()
        takes_included = self.maybe() and not isinstance(charge, Flat)
        converts = self.random.random() < 0.3 and not of_money
        return PriceTerms(
            currency=self.currency,
            charge=charge,
            unit=self.currency if of_money else "unit",
            conversion=Conversion(unit="larger", units_per=Decimal(7)) if converts else None,
            included=self.decimal(30, 1) if takes_included else Decimal(0),
            discounts=tuple(
                self.random.choice(
                    (Discount(percent=Decimal("12.5")), Discount(amount=Decimal(3), is_prorated=self.maybe()))
                )
                for _ in range(self.random.choice((0, 0, 1, 2)))
            ),
            minimum=Bound(amount=least, is_prorated=bound_in_part) if self.random.random() < 0.2 else None,
            maximum=Bound(amount=most, is_prorated=bound_in_part) if self.random.random() < 0.2 else None,
            is_prorated=self.random.random() < 0.2,
            exempt_reason="beta" if self.random.random() < 0.1 else "",
        )

    def fee(self, key: str, timing: FeeTiming, *, is_counted: bool = False) -> SheetPrice:
        charge: ChargeModel = Flat(amount=self.decimal(50, 2))
        if is_counted:
            charge = self.random.choice(
                (
                    PerUnit(unit_amount=self.decimal(20, 2)),
                    Graduated(tiers=self.tiers("unit_amount", "flat_amount")),
                )
            )
        terms = PriceTerms(currency=self.currency, charge=charge, timing=timing, is_prorated=self.maybe())
        return SheetPrice(key=key, name=key.capitalize(), terms=terms, is_counted=is_counted)

    def split_price(self) -> SheetPrice:
        """A price by region for none, some or all regions."""
        regions = [region for region in REGIONS if self.maybe()]
        if not regions:
            return SheetPrice(key="bytes", name="Bytes", meter_key="bytes", terms=self.terms())
        matrix = Matrix(
            dimensions=("region",),
            cells=tuple(Cell(values=(region,), terms=self.terms()) for region in regions),
            catch_all=self.terms(),
        )
        return SheetPrice(key="bytes", name="Bytes", meter_key="bytes", matrix=matrix)

    def sheet(self, key: str, *, version: int = 1) -> PriceSheet:
        usage = SheetPrice(
            key="requests",
            name="Requests",
            meter_key="requests",
            terms=self.terms(),
            takes_credit=self.maybe(),
            is_taxable=self.maybe(),
        )
        sold = [usage, self.split_price()]
        if self.maybe():
            money = self.terms(of_money=True)
            sold.append(SheetPrice(key="turnover", name="Turnover", meter_key="turnover", terms=money))
        own_fee = self.random.choice(("base", f"base of {key}"))
        sold.append(self.fee(own_fee, self.random.choice((FeeTiming.IN_ADVANCE, FeeTiming.IN_ARREARS))))
        if self.maybe():
            sold.append(self.fee("seats", self.random.choice(list(FeeTiming)), is_counted=True))
        if self.maybe():
            sold.append(self.fee("setup", FeeTiming.ONCE))
        credit = IncludedCredit(name="Included credit", amount=self.decimal(29, 0) + 1)
        return PriceSheet(
            plan_key=key,
            plan_name=key,
            version=version,
            effective_from=MARCH.start,
            currency=self.currency,
            prices=tuple(sold),
            discounts=(Discount(percent=Decimal("12.5")),) if self.random.random() < 0.3 else (),
            minimum=Bound(amount=Decimal(80), is_prorated=self.maybe())
            if self.random.random() < 0.2
            else None,
            maximum=Bound(amount=Decimal(5000)) if self.random.random() < 0.3 else None,
            included_credit=credit if self.random.random() < 0.3 else None,
        )

    # --- Time -------------------------------------------------------------------------------------
    def segments(self, period: Period, plans: Sequence[PriceSheet]) -> tuple[ServiceSegment, ...]:
        """The period, whole or with up to three changes of plan or count; maybe begun in its middle."""
        hours = (period.end - period.start) // timedelta(hours=1)
        cuts = sorted(self.random.sample(range(1, hours), self.random.choice((0, 0, 1, 1, 2, 3))))
        edges = [period.start, *(period.start + timedelta(hours=cut) for cut in cuts), period.end]
        sheet = self.random.choice(plans)
        made = []
        for number, (start, end) in enumerate(pairwise(edges)):
            made.append(
                ServiceSegment(
                    service=Period(start, end),
                    sheet=sheet,
                    policy=self.random.choice(list(ChangePolicy)) if number else ChangePolicy.RESTART,
                    counts={"seats": Decimal(self.random.randrange(10))},
                    is_first=not number and self.maybe(),
                )
            )
            sheet = self.random.choice(plans)
        return tuple(made[1:] if len(made) > 1 and self.random.random() < 0.2 else made)

    def add_ons(self, period: Period) -> tuple[ServiceSegment, ...]:
        extra = self.fee("extra", FeeTiming.IN_ARREARS)
        sheet = PriceSheet(
            plan_key="extra",
            plan_name="Extra",
            version=1,
            effective_from=MARCH.start,
            currency=self.currency,
            prices=(extra,),
        )
        middle = period.start + timedelta(days=self.random.randrange(20))
        return tuple(
            ServiceSegment(service=Period(middle, period.end), sheet=sheet, is_first=True, add_on_id=number)
            for number in range(self.random.choice((0, 0, 1, 2)))
        )

    # --- Bills ------------------------------------------------------------------------------------
    def usage(self, basis: Basis) -> dict[tuple[int, int], dict[tuple[str, ...], Decimal]]:
        found: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
        for number, segment in enumerate(basis.plans):
            for meter in (1, 3, 4):
                found[number, meter] = {(): self.quantity()}
            split = segment.sheet.price("bytes")
            is_split = split is not None and split.matrix is not None
            found[number, 2] = (
                {(region,): self.quantity() for region in REGIONS if self.maybe()}
                if is_split
                else {(): self.quantity()}
            )
        return found

    def credits(self) -> tuple[CreditOffer, ...]:
        return tuple(
            CreditOffer(
                credit=Credit(
                    key=str(number),
                    remaining_minor=self.random.randrange(1, 5000),
                    granted_at=datetime(2026, 1, 1, tzinfo=UTC),
                    is_before_tax=self.maybe(),
                ),
                name=f"Credit {number}",
                kind="promotion",
                grant_id=number,
            )
            for number in range(1, self.random.choice((1, 1, 2, 3)))
        )

    def basis(self, whole: Period, plans: Sequence[PriceSheet], following: Period) -> Basis:
        segments = self.segments(whole, plans)
        made = Basis(
            account_id=1,
            subscription_id=1,
            zone="UTC",
            currency=self.currency,
            whole=whole,
            service=Period(segments[0].service.start, whole.end),
            segments=(*segments, *self.add_ons(whole)),
            next_whole=following,
            ahead=(replace(segments[-1], service=following),),
            taxes=self.random.choice(TAXES),
            credits=self.credits(),
        )
        return replace(
            made,
            credits=(*offer_included_credits(whole, made.service, made.plans, self.currency), *made.credits),
        )

    def later_plans(self, plans: Sequence[PriceSheet]) -> Sequence[PriceSheet]:
        """The plans of the second period: the same, the same with new prices, or another one beside."""
        kind = self.random.choice(("same", "new prices", "another"))
        if kind == "new prices":
            return [self.sheet(plan.plan_key, version=2) for plan in plans]
        return [self.sheet("c"), plans[0]] if kind == "another" else plans

    def pair(self) -> Pair:
        plans = [self.sheet(key) for key in ("a", "b")[: self.random.choice((1, 2))]]
        march = self.basis(MARCH, plans, APRIL)
        used = BilledUsage(meters=self.meters, current=self.usage(march), earlier={})
        first = draft_invoice(march, used)
        last = march.plans[-1].sheet
        paid = {
            key
            for line in first.lines
            if line.kind is LineKind.CREDIT
            for key in line.allotted or (each.key for each in first.lines)
        }
        stored = tuple(
            StoredLine(
                id=number, invoice_id=7, invoice_number="TG-7", line=line, taxes=march.taxes,
                discounts=percents_of(last), is_paid_by_credit=line.key in paid,
                is_by_amount=any(goes_by_amount(plan.sheet) for plan in march.plans),
            )
            for number, line in enumerate(first.lines, 1)
        )  # fmt: skip
        issued = IssuedBill(
            id=7, number="TG-7", period=march.service, whole=MARCH, segments=march.segments, taxes=march.taxes,
            credits=march.credits, lines=stored,
        )  # fmt: skip
        april = self.basis(APRIL, self.later_plans(plans), MAY)
        ahead = tuple(
            one
            for one in stored
            if one.line.service.start == APRIL.start and one.line.kind is LineKind.CHARGE
        )
        april = replace(april, billed_ahead=ahead)
        returned = rated_out(april)
        issued = replace(issued, comes_back=returned.get(7, frozenset()))
        april = replace(april, to_correct=(issued,) if returned or self.maybe() else ())
        late = self.usage(march)
        second = draft_invoice(
            april, BilledUsage(meters=self.meters, current=self.usage(april), earlier={7: late})
        )
        return Pair(
            before=bill_of(march, first),
            after=bill_of(april, second),
            totals=(first.total_minor, second.total_minor),
            basis=march,
            usage=used,
        )


def bill_of(basis: Basis, draft: Draft) -> Bill:
    """The draft as it is read back from its rows."""
    rows = [
        line_row(line, account_id=1, invoice_id=1, position=number)
        for number, line in enumerate(draft.lines, 1)
    ]
    details = {
        "whole": [basis.whole.start.isoformat(), basis.whole.end.isoformat()],
        "segments": segments_document(basis.plans),
        "add_ons": segments_document(one for one in basis.segments if one.add_on_id is not None),
    }
    head = BillHead(
        public_id=UUID(int=basis.whole.start.month),
        kind="period",
        status=BillStatus.OPEN,
        number=f"TG-{basis.whole.start.month}",
        currency=basis.currency,
        period=basis.service,
        zone="UTC",
        total=Money(draft.total_minor, basis.currency),
        drafted_at=basis.whole.end,
        complete_to=None,
        issued_at=basis.whole.end,
        due_at=None,
        subscription_name="Subscription",
    )
    return Bill(
        head=head,
        usage_as_of=1,
        issue_from=basis.whole.end,
        sha256="",
        seller=Party(),
        buyer=Party(),
        segments=segments_of(details),
        lines=tuple(line_of(row, basis.currency, meter_names={}) for row in rows),
        whole=basis.whole,
    )
