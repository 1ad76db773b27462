"""Made-up bills through the engine that bills, and the proof of each: a subscription from its opening bill on.

Made of a seed, without a database: the same functions rate, total and correct as for a bill that is stored. Each chain
is an opening bill, a month with changes of plan, and two more months on which usage that came late is corrected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

from accounts.models import Account
from insights.billing.ahead_mapping import line_ahead
from insights.billing.basis import (
    Basis,
    CreditOffer,
    DraftLine,
    IssuedBill,
    MeterOfBill,
    ServiceSegment,
    StoredLine,
    Unpriced,
)
from insights.billing.basis_queries import LoadedBasis, PeriodToBill
from insights.billing.draft import BilledUsage, draft_invoice
from insights.billing.draft_operations import Drafted
from insights.billing.given_back import came_back_before, rated_out
from insights.billing.invoice_mapping import invoice_hash, invoice_text, line_of
from insights.billing.issued_bill_queries import _used
from insights.billing.usage_lines import MeteredUsage
from insights.billing.whole_lines import offer_included_credits
from insights.exports.bundle import Bundle, IssuedText, MeterOfProof, Table, zip_pieces
from insights.exports.formatting import csv_lines
from insights.exports.stream import Lines
from insights.models import Invoice, InvoiceKind, LineItem, Subscription
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
from insights.values.period import Period
from tests.billing.line_rows import details_document, line_row

MONTHS = [
    Period(datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC))
    for month in range(3, 8)
]
REGIONS = ("eu", "us", "=1+1")
COLUMNS = (
    "series", "dimensions", "window_start", "window_seconds", "quantity", "source", "row_id", "revision", "batch",
    "line",
)  # fmt: skip
ZERO = Decimal(0)


@dataclass(frozen=True)
class Record:
    """One record of a meter."""

    meter_id: int
    window_start: datetime
    quantity: Decimal
    region: str
    source: str = "edge"


@dataclass
class Issued:
    """A bill that was issued, with all that its proof and its corrections are made of."""

    number: str
    basis: Basis
    invoice: Invoice
    rows: list[LineItem]
    credits: tuple[CreditOffer, ...]
    unpriced: tuple[Unpriced, ...] = ()
    corrected: tuple[Issued, ...] = ()
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)


class Chain:
    """A subscription of a seed and its bills in turn."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.currency = self.random.choice(("USD", "EUR", "JPY", "KWD"))
        changed_at = self._maybe(MONTHS[0].start + timedelta(hours=self.random.randint(1, 1400)))
        self.meters = (
            MeterOfBill(id=1, key="requests", version=1, name="Requests", unit="unit", retired_at=changed_at),
            MeterOfBill(id=2, key="bytes", version=1, name="Bytes", unit="byte"),
            MeterOfBill(id=3, key="payments", version=1, name="Payments", unit="payment"),
            MeterOfBill(id=4, key="turnover", version=1, name="Turnover", unit=self.currency),
            MeterOfBill(id=5, key="spare", version=1, name="Spare", unit="unit"),
        )
        if changed_at is not None:
            second = MeterOfBill(id=6, key="requests", version=2, name="Requests", unit="unit")
            self.meters = (*self.meters[:1], second, *self.meters[1:])
        self.plans = [self._sheet(key) for key in ("alpha", "beta", "gamma")[: self.random.randint(1, 3)]]
        self.add_on = self._maybe(self._add_on_sheet())
        self.taxes = self.random.choice(
            ({}, {"VAT": Decimal(19)}, {"VAT": Decimal("7.7"), "GST": Decimal(3)})
        )
        self.grants = [self._grant(number) for number in range(self.random.randint(0, 2))]
        self.used: dict[int, int] = {}
        self.known: dict[str, list[Record]] = {}
        self.bills: list[Issued] = []

    def _number(self, least: int, most: int, places: int) -> Decimal:
        return Decimal(self.random.randint(least * 10**places, most * 10**places)).scaleb(-places)

    def _maybe(self, value: Any, otherwise: Any = None) -> Any:
        return value if self.random.random() < 0.3 else otherwise

    def _tiers(self, *, percent: bool = False, units: bool = True) -> tuple[Tier, ...]:
        ends = sorted({self._number(1, 300, 1) for _ in range(self.random.randint(0, 3))})
        return tuple(
            Tier(
                above=above,
                up_to=up_to,
                unit_amount=self._number(0, 5, 4) if units and not percent else ZERO,
                flat_amount=self._maybe(self._number(0, 20, 2), ZERO),
                percent=self._number(0, 9, 2) if percent else ZERO,
            )
            for above, up_to in zip([ZERO, *ends], [*ends, None], strict=True)
        )

    def _charge(self) -> ChargeModel:
        at_zero = self.random.random() < 0.3
        return self.random.choice(
            (
                lambda: Flat(amount=self._number(0, 50, 3)),
                lambda: PerUnit(unit_amount=self._number(0, 5, 5)),
                lambda: Graduated(tiers=self._tiers(), flat_at_zero=at_zero),
                lambda: Volume(tiers=self._tiers(), flat_at_zero=at_zero),
                lambda: Stairstep(tiers=self._tiers(units=False), flat_at_zero=at_zero),
                lambda: Package(
                    amount=self._number(0, 9, 2), size=self._number(1, 40, 1),
                    counting=self.random.choice(list(Packages)),
                ),
            )
        )()  # fmt: skip

    def _terms(self, charge: ChargeModel, unit: str, **more: Any) -> PriceTerms:
        minimum = self._maybe(Bound(amount=self._number(0, 30, 2), is_prorated=self.random.random() < 0.5))
        maximum = self._maybe(
            Bound(amount=self._number(40, 900, 2), is_prorated=bool(minimum and minimum.is_prorated))
        )
        discounts = (
            Discount(percent=self._number(0, 30, 1)),
            Discount(amount=self._number(0, 5, 2), is_prorated=self.random.random() < 0.5),
        )
        return PriceTerms(
            currency=self.currency, charge=charge, unit=unit, minimum=minimum, maximum=maximum,
            discounts=self._maybe(discounts[: self.random.randint(1, 2)], ()),
            included=ZERO if isinstance(charge, Flat) else self._maybe(self._number(0, 60, 1), ZERO), **more,
        )  # fmt: skip

    def _sheet(self, key: str) -> PriceSheet:
        prices = [
            self._price("requests", self._terms(self._charge(), "unit")),
            self._bytes_price(),
            self._price(
                "payments",
                replace(self._terms(self._charge(), "payment"), exempt_reason=self._maybe("beta", "")),
            ),
            self._price("turnover", self._terms(self._percentage(), self.currency)),
            self._fee("base", Flat(amount=self._number(0, 99, 2)), FeeTiming.IN_ADVANCE, is_counted=False),
            self._fee(
                "seats", PerUnit(unit_amount=self._number(0, 9, 2)), FeeTiming.IN_ADVANCE, is_counted=True
            ),
            self._fee("support", self._charge(), FeeTiming.IN_ARREARS, is_counted=self.random.random() < 0.5),
            self._fee("setup", Flat(amount=self._number(0, 99, 2)), FeeTiming.ONCE, is_counted=False),
        ]
        kept = tuple(price for price in prices if self.random.random() < 0.85) or (prices[0],)
        minimum = self._maybe(Bound(amount=self._number(0, 500, 2), is_prorated=self.random.random() < 0.5))
        maximum = self._maybe(Bound(amount=self._number(500, 900, 2), is_prorated=self.random.random() < 0.5))
        return PriceSheet(
            plan_key=key, plan_name=key.title(), version=self.random.randint(1, 9), effective_from=MONTHS[0].start,
            currency=self.currency, prices=kept, minimum=minimum, maximum=maximum,
            discounts=self._maybe(
                (Discount(percent=self._number(0, 20, 1)), Discount(amount=self._number(0, 9, 2), is_prorated=True)), ()
            ),
            included_credit=self._maybe(
                IncludedCredit(
                    name="Included", amount=self._number(1, 40, 2), covers=self._maybe((kept[0].key,), None)
                )
            ),
        )  # fmt: skip

    def _add_on_sheet(self) -> PriceSheet:
        fees = [
            self._fee("backup", Flat(amount=self._number(0, 20, 2)), FeeTiming.IN_ADVANCE, is_counted=False),
            self._fee("vault", self._charge(), FeeTiming.IN_ARREARS, is_counted=False),
            self._fee("move", Flat(amount=self._number(0, 20, 2)), FeeTiming.ONCE, is_counted=False),
        ]
        return PriceSheet(
            plan_key="extra", plan_name="Extra", version=1, effective_from=MONTHS[0].start, currency=self.currency,
            prices=tuple(fees),
        )  # fmt: skip

    def _price(self, key: str, terms: PriceTerms) -> SheetPrice:
        return SheetPrice(
            key=key, name=f"Price of {key}", meter_key=key, terms=terms,
            is_taxable=self.random.random() < 0.8, takes_credit=self.random.random() < 0.8,
        )  # fmt: skip

    def _bytes_price(self) -> SheetPrice:
        conversion = Conversion(unit="kB", units_per=Decimal(1000))
        if self.random.random() < 0.5:
            return self._price("bytes", self._terms(self._charge(), "byte", conversion=conversion))
        cells = tuple(
            Cell(
                values=(region,),
                terms=self._terms(self._charge(), "byte", conversion=self._maybe(conversion)),
            )
            for region in REGIONS[: self.random.randint(1, 3)]
        )
        matrix = Matrix(dimensions=("region",), cells=cells, catch_all=self._terms(self._charge(), "byte"))
        return SheetPrice(key="bytes", name="Price of bytes", meter_key="bytes", matrix=matrix)

    def _percentage(self) -> ChargeModel:
        if self.random.random() < 0.4:
            return GraduatedPercentage(
                tiers=self._tiers(percent=True), flat_at_zero=self.random.random() < 0.5
            )
        if self.random.random() < 0.5:
            return Percentage(percent=self._number(0, 9, 2))
        return Percentage(
            percent=self._number(0, 9, 2), fixed_amount=self._number(1, 2, 2), count_meter="payments"
        )

    def _fee(self, key: str, charge: ChargeModel, timing: FeeTiming, *, is_counted: bool) -> SheetPrice:
        terms = PriceTerms(
            currency=self.currency, charge=charge, timing=timing, is_prorated=self.random.random() < 0.8
        )
        return SheetPrice(
            key=key, name=f"Fee for {key}", terms=terms, is_counted=is_counted,
            is_taxable=self.random.random() < 0.8, takes_credit=self.random.random() < 0.8,
        )  # fmt: skip

    def _grant(self, number: int) -> CreditOffer:
        covers = self._maybe(frozenset({"requests", "base"}))
        credit = Credit(
            key=f"grant {number}", remaining_minor=self.random.randint(1, 30_000),
            granted_at=MONTHS[0].start + timedelta(days=self.random.randint(-3, 3)),
            expires_at=self._maybe(MONTHS[2].start), priority=self.random.randint(0, 2), covers=covers,
            is_before_tax=covers is not None or self.random.random() < 0.6,
            name=f"Grant of {self.random.randint(1, 9)}",
        )  # fmt: skip
        return CreditOffer(credit=credit, name=credit.name, kind="promotion", grant_id=number)

    def issue_all(self) -> list[Issued]:
        """The opening bill and three months."""
        start = MONTHS[0].start + timedelta(hours=self._maybe(self.random.randint(1, 400), 0))
        plan = self._segments(MONTHS[0], start)
        self._issue(self._opening(plan[0]), MONTHS[0])
        for position, month in enumerate(MONTHS[:3]):
            segments = plan if not position else self._segments(month, month.start)
            self._arrive(month, segments)
            to_correct = [] if not position else self._late(self.bills[1 : 1 + position])
            self._issue(self._basis(month, segments, to_correct), month)
        self._close(self.bills[-1], month)
        return self.bills

    def _close(self, last: Issued, month: Period) -> None:
        """End the subscription with its last month: fees for later come back, and what comes late is corrected."""
        late = self._late(self.bills[1:-1])
        basis = Basis(
            account_id=1, subscription_id=1, zone="UTC", currency=self.currency, whole=last.basis.whole,
            service=last.basis.service, is_closing=True, segments=(), taxes=self.taxes,
            credits=self._grants_left(last.basis.service.start),
            to_correct=tuple(self._as_issued(bill, ended_at=month.end) for bill in (*late, last)),
        )  # fmt: skip
        self._issue(basis, month)

    def _segments(self, month: Period, start: datetime) -> tuple[ServiceSegment, ...]:
        hours = int((month.end - start) / timedelta(hours=1))
        cuts = sorted(self.random.sample(range(1, hours), self.random.choice((0, 0, 1, 2, 4))))
        edges = [start, *(start + timedelta(hours=hour) for hour in cuts), month.end]
        return tuple(
            ServiceSegment(
                service=Period(first, end),
                sheet=self.random.choice(self.plans),
                policy=self._policy(is_change=number > 0, begins_inside=start > month.start),
                counts={
                    "seats": Decimal(self.random.randint(0, 9)),
                    "support": Decimal(self.random.randint(0, 9)),
                },
                is_first=not number and month is MONTHS[0],
            )
            for number, (first, end) in enumerate(pairwise(edges))
        )

    def _policy(self, *, is_change: bool, begins_inside: bool) -> ChangePolicy:
        """A period opens nothing; a subscription that begins inside one may have its part of tiers."""
        if is_change:
            return self.random.choice(list(ChangePolicy))
        firsts = (
            (ChangePolicy.RESTART, ChangePolicy.SHARED_BY_TIME) if begins_inside else (ChangePolicy.RESTART,)
        )
        return self.random.choice(firsts)

    def _held(self, month: Period, start: datetime) -> tuple[ServiceSegment, ...]:
        """The add-on, if there is one: from somewhere in the first month on."""
        if self.add_on is None:
            return ()
        is_first = month is MONTHS[0]
        begins = start + timedelta(hours=self.random.randint(0, 200) if is_first else 0)
        return (
            ServiceSegment(
                service=Period(begins, month.end), sheet=self.add_on, is_first=is_first, add_on_id=77
            ),
        )

    def _opening(self, first: ServiceSegment) -> Basis:
        service = Period(first.service.start, MONTHS[0].end)
        return Basis(
            account_id=1, subscription_id=1, zone="UTC", currency=self.currency, whole=MONTHS[0], service=service,
            is_opening=True, segments=(replace(first, service=service),), taxes=self.taxes,
        )  # fmt: skip

    def _basis(
        self, month: Period, segments: tuple[ServiceSegment, ...], to_correct: Sequence[Issued]
    ) -> Basis:
        following = MONTHS[MONTHS.index(month) + 1]
        service = Period(segments[0].service.start, month.end)
        held = self._held(month, service.start)
        basis = Basis(
            account_id=1, subscription_id=1, zone="UTC", currency=self.currency, whole=month, service=service,
            segments=(*segments, *held), next_whole=following,
            ahead=tuple(replace(one, service=following, is_first=False) for one in (segments[-1], *held)),
            billed_ahead=tuple(self._billed_ahead(month, service.start)), taxes=self.taxes,
        )  # fmt: skip
        returned = rated_out(basis)
        again = [bill for bill in self.bills if bill in to_correct or bill.invoice.pk in returned]
        return replace(
            basis,
            to_correct=tuple(
                self._as_issued(bill, comes_back=returned.get(bill.invoice.pk, frozenset())) for bill in again
            ),
            credits=(
                *offer_included_credits(month, service, segments, self.currency),
                *self._grants_left(service.start),
            ),
        )

    def _grants_left(self, start: datetime) -> tuple[CreditOffer, ...]:
        return tuple(
            replace(
                one,
                credit=replace(
                    one.credit,
                    remaining_minor=one.credit.remaining_minor - self.used.get(one.grant_id or 0, 0),
                ),
            )
            for one in self.grants
            if one.credit.expires_at is None or one.credit.expires_at > start
        )

    def _billed_ahead(self, month: Period, start: datetime) -> Iterator[StoredLine]:
        for bill in self.bills:
            for row in bill.rows:
                line = line_of(row)
                is_in = start <= line.service.start and line.service.end <= month.end
                if _is_ahead(line) and is_in:
                    is_paid = any(
                        other.kind == LineKind.CREDIT and (not other.allotted or other.allotted.get(row.key))
                        for other in bill.rows
                    )
                    yield replace(line_ahead(row, bill.invoice), is_paid_by_credit=is_paid)

    def _arrive(self, month: Period, segments: Sequence[ServiceSegment]) -> None:
        hours = int((month.end - segments[0].service.start) / timedelta(hours=1))
        self.known[month.start.isoformat()] = [
            Record(
                meter_id=self.random.choice([meter.id for meter in self.meters]),
                window_start=segments[0].service.start + timedelta(hours=self.random.randrange(hours)),
                quantity=self._number(
                    -3 if self.random.random() < 0.05 else 0, 90, self.random.choice((0, 3, 9))
                ),
                region=self.random.choice((*REGIONS, "")),
                source=self.random.choice(("edge", "edge", "edge", "trial")),
            )
            for _ in range(self.random.randint(0, 30))
        ]

    def _late(self, bills: Sequence[Issued]) -> list[Issued]:
        """Usage of earlier months comes, changes or goes; returns the bills that it touches."""
        touched = []
        for bill in bills:
            records = self.known[bill.basis.whole.start.isoformat()]
            if self.random.random() < 0.6:
                extra = [
                    replace(record, quantity=self._number(0, 90, 3))
                    for record in records
                    if self.random.random() < 0.3
                ]
                kept = [record for record in records if self.random.random() < 0.9]
                self.known[bill.basis.whole.start.isoformat()] = kept + extra
                touched.append(bill)
        return touched

    def _metered(self, segments: Sequence[ServiceSegment], records: Sequence[Record]) -> MeteredUsage:
        found: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
        for number, segment in enumerate(segments):
            for meter in self.meters:
                price = next((each for each in segment.sheet.prices if each.meter_key == meter.key), None)
                place = found.setdefault((number, meter.id), {})
                for record in records:
                    if (
                        record.meter_id == meter.id
                        and record.source == "edge"
                        and segment.service.contains(record.window_start)
                    ):
                        values = (record.region,) if price is not None and price.matrix is not None else ()
                        place[values] = place.get(values, ZERO) + record.quantity
        return found

    def _as_issued(
        self, bill: Issued, *, ended_at: datetime | None = None, comes_back: frozenset[int] = frozenset()
    ) -> IssuedBill:
        lines = tuple(
            StoredLine(id=row.pk, invoice_id=bill.invoice.pk, invoice_number=bill.number, line=line_of(row))
            for row in bill.rows
        )
        corrections = tuple(
            line_of(row)
            for other in self.bills
            for row in other.rows
            if row.corrects_invoice_id == bill.invoice.pk and row.kind == LineKind.CORRECTION
        )
        comes_back |= came_back_before(lines, (line.corrects_id for line in corrections))
        comes_back |= frozenset(
            stored.id
            for stored in lines
            if ended_at is not None and _is_ahead(stored.line) and stored.line.service.start >= ended_at
        )
        return IssuedBill(
            id=bill.invoice.pk, number=bill.number, period=bill.basis.service, whole=bill.basis.whole,
            is_opening=bill.basis.is_opening, comes_back=comes_back, segments=bill.basis.plans,
            taxes=bill.basis.taxes, credits=bill.credits, lines=lines, corrections=corrections, unpriced=bill.unpriced,
            credits_used={
                offer.credit.key: _used(offer, bill.number, lines, corrections) for offer in bill.credits
            },
        )  # fmt: skip

    def _issue(self, basis: Basis, month: Period) -> None:
        again = {bill.id for bill in basis.to_correct}
        to_correct = [bill for bill in self.bills if bill.invoice.pk in again]
        known = {
            bill.number: [] if bill.basis.is_opening else list(self.known[bill.basis.whole.start.isoformat()])
            for bill in to_correct
        }
        own = self.known[month.start.isoformat()] if basis.bills_usage else []
        usage = BilledUsage(
            meters=self.meters,
            current=self._metered(basis.plans, own),
            earlier={
                bill.invoice.pk: self._metered(bill.basis.plans, known[bill.number]) for bill in to_correct
            },
        )
        draft = draft_invoice(basis, usage)
        looked_at = {"unpriced_meter", "unable_to_rate", "unable_to_give_back"}
        assert {problem.code for problem in draft.problems} <= looked_at, draft.problems
        number = f"TG-{len(self.bills) + 1:06}"
        pk = len(self.bills) + 1
        rows = [
            line_row(line, account_id=1, invoice_id=pk, position=place)
            for place, line in enumerate(draft.lines, 1)
        ]
        for place, row in enumerate(rows):
            row.pk = pk * 1000 + place
        to_bill = PeriodToBill(
            subscription=Subscription(billing_zone="UTC"),
            account=Account(name="Halyard", reference="halyard"),
            whole=basis.whole,
            service=basis.service,
            kind=_kind_of(basis),
        )
        drafted = Drafted(
            loaded=LoadedBasis(to_bill=to_bill, basis=basis, profile=None), draft=draft, position=len(self.bills),
            records=sum(record.source == "edge" for record in own), problems=(), complete_to=None,
            not_billed=("trial",),
        )  # fmt: skip
        at = basis.service.start if basis.is_opening else basis.service.end
        invoice = Invoice(
            pk=pk, kind=to_bill.kind, period_start=basis.service.start, period_end=basis.service.end,
            currency=self.currency, total_minor=Decimal(draft.total_minor), usage_as_of=len(self.bills),
            details=details_document(drafted), number=number, number_in_series=pk,
            issued_at=at, due_at=at + timedelta(days=14),
        )  # fmt: skip
        invoice.sha256 = invoice_hash(invoice, rows)
        for grant_id, minor in draft.credit_uses.items():
            self.used[grant_id] = self.used.get(grant_id, 0) + minor
        self.bills.append(
            Issued(
                number=number, basis=basis, invoice=invoice, rows=rows, credits=draft.credits,
                unpriced=(*draft.unpriced, *draft.priced_elsewhere),
                corrected=tuple(
                    bill
                    for bill in to_correct
                    if any(
                        row.kind == LineKind.CORRECTION and row.corrects_invoice_id == bill.invoice.pk for row in rows
                    )
                ),
                records={number: list(own), **known},
            )
        )  # fmt: skip

    def bundle(self, bill: Issued) -> Bundle:
        """The proof of one of the bills, as it is loaded of a stored one."""
        before = self.bills[: self.bills.index(bill)]
        numbers = [bill.number, *(one.number for one in bill.corrected)]
        return Bundle(
            bill=_text(bill),
            sha256=bytes(bill.invoice.sha256 or b"").hex(),
            account="halyard",
            position=bill.invoice.usage_as_of,
            issued_at=bill.invoice.issued_at or MONTHS[0].start,
            earlier=tuple(_text(one) for one in before),
            corrected=tuple(one.number for one in bill.corrected),
            named=tuple(map(_facts, self.meters)),
            tables=tuple(
                Table(
                    meter=_facts(meter), number=number, is_corrected=number != bill.number,
                    source=[record for record in bill.records[number] if record.meter_id == meter.id],
                )
                for number in numbers
                for meter in self.meters
            ),
        )  # fmt: skip


def _kind_of(basis: Basis) -> InvoiceKind:
    if basis.is_closing:
        return InvoiceKind.CLOSING
    return InvoiceKind.OPENING if basis.is_opening else InvoiceKind.PERIOD


def _is_ahead(line: DraftLine) -> bool:
    """Whether it is a fee in advance, and not what comes back of one."""
    is_ahead = line.terms is not None and line.terms.timing is FeeTiming.IN_ADVANCE
    return line.kind is LineKind.CHARGE and is_ahead and line.corrects_invoice_id is None


def _text(bill: Issued) -> IssuedText:
    return IssuedText(number=bill.number, text=invoice_text(bill.invoice, bill.rows))


def _facts(meter: MeterOfBill) -> MeterOfProof:
    return MeterOfProof(
        key=meter.key, version=meter.version, unit=meter.unit, aggregation="sum", dimensions=("region",),
        unique_dimensions=(), retired_at=meter.retired_at,
    )  # fmt: skip


def read_table(records: Sequence[Record]) -> Iterator[Lines]:
    """The records as the database copies them."""
    rows = [
        (
            str(REGIONS.index(record.region) + 1 if record.region else 0),
            json.dumps({"region": record.region} if record.region else {}),
            f"{record.window_start:%Y-%m-%dT%H:%M:%SZ}",
            "3600",
            f"{record.quantity.normalize():f}",
            record.source,
            "",
            "1",
            "",
            str(number),
        )
        for number, record in enumerate(records)
    ]
    for line in csv_lines([COLUMNS, *rows]):
        yield Lines(line, 1)


def zip_of(bundle: Bundle) -> bytes:
    """The whole zip."""
    # Each line comes alone here, so the heading is put together with the first record as a real piece has it.
    return b"".join(piece.text for piece in zip_pieces(bundle, _gathered))


def _gathered(records: Sequence[Record]) -> Iterator[Lines]:
    lines = list(read_table(records))
    yield Lines(b"".join(line.text for line in lines), len(lines))
