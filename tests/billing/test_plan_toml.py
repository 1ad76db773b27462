"""A plan file is read strictly, every fault is named at once, and what is written is read back as the same prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insights.billing.meter_checks import PricedMeter, meter_faults
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.billing.plan_toml_text import plan_to_toml
from insights.rating.charges import Flat, Graduated, PerUnit, Tier
from insights.rating.figures import InvalidTerms
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import IncludedCredit, SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from tests.rating import strategies

HEAD = """
key = "pro"
name = "Pro"
currency = "USD"
"""
VERSION = """
[version]
effective_from = 2026-11-01T00:00:00Z
"""
PRICE = """
[[prices]]
key = "out"
name = "Data out"
meter = "bytes_out"
unit = "byte"
per = "GB"
"""
PER_UNIT = """
model = "per_unit"
unit_amount = "0.10"
"""
GRADUATED = 'model = "graduated"\n'
PLAN = HEAD + VERSION + PRICE + PER_UNIT


def faults(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(InvalidPlan) as raised:
        parse_plan_toml(text)
    return [(fault.table, fault.field, fault.code) for fault in raised.value.faults]


def priced(fields: str) -> str:
    return HEAD + VERSION + PRICE + fields


HOSTILE = {
    "not TOML": ("key = ", [("the file", "", "not_toml")]),
    "empty": ("", [("plan", name, "missing") for name in ("currency", "key", "name", "version", "prices")]),
    "nested without end": ("a = " + "[" * 50_000, [("the file", "", "not_toml")]),
    "endless digits": (f"a = {'9' * 5_000}", [("the file", "", "not_toml")]),
    "too large": ("#" * 200_001, [("the file", "", "too_large")]),
    "key twice": (HEAD + 'key = "other"' + VERSION, [("the file", "", "not_toml")]),
    "unknown field of the plan": (PLAN.replace("key", 'colour = "red"\nkey', 1), [("plan", "colour", "unknown_field")]),
    "unknown field of the version": (
        PLAN.replace("[version]", '[version]\nfrom = "now"'),
        [("version", "from", "unknown_field")],
    ),
    "unknown field of a price": (priced(PER_UNIT + "free = true"), [("price out", "free", "unknown_field")]),
    "an unknown field that cannot be seen": (
        priced(PER_UNIT + '"a\\u202eb" = true'),
        [("price out", "'a\\u202eb'", "unknown_field")],
    ),
    "unknown currency": (PLAN.replace("USD", "XXX"), [("plan", "currency", "unknown_currency")]),
    "currency in small letters": (PLAN.replace("USD", "usd"), [("plan", "currency", "unknown_currency")]),
    "reserved key": (PLAN.replace('"pro"', '"new"'), [("plan", "key", "reserved")]),
    "key with a slash": (PLAN.replace('"pro"', '"../pro"'), [("plan", "key", "not_a_key")]),
    "key in another script": (PLAN.replace('"pro"', '"\u03c1ro"'), [("plan", "key", "not_a_key")]),
    "name with a NUL": (PLAN.replace('"Pro"', '"Pro\\u0000"'), [("plan", "name", "not_printable")]),
    "name that is long": (PLAN.replace('"Pro"', f'"{"x" * 101}"'), [("plan", "name", "too_long")]),
    "name of blanks": (PLAN.replace('"Pro"', '"  "'), [("plan", "name", "missing")]),
    "name as a number": (PLAN.replace('"Pro"', "7"), [("plan", "name", "wrong_type")]),
    "unknown kind": (PLAN.replace("key", 'kind = "extra"\nkey', 1), [("plan", "kind", "not_a_choice")]),
    "unknown interval": (PLAN.replace("key", 'interval = "week"\nkey', 1), [("plan", "interval", "not_a_choice")]),
    "position below zero": (PLAN.replace("key", "position = -1\nkey", 1), [("plan", "position", "out_of_range")]),
    "a version without its beginning": (
        PLAN.replace("effective_from = 2026-11-01T00:00:00Z", ""),
        [("version", "effective_from", "missing")],
    ),
    "a beginning without offset": (
        PLAN.replace("00:00:00Z", "00:00:00"),
        [("version", "effective_from", "no_zone")],
    ),
    "a beginning as a day": (
        PLAN.replace("2026-11-01T00:00:00Z", "2026-11-01"),
        [("version", "effective_from", "wrong_type")],
    ),
    "a beginning within a second": (
        PLAN.replace("00:00:00Z", "00:00:00.5Z"),
        [("version", "effective_from", "not_whole_seconds")],
    ),
    "a beginning in the year one": (
        PLAN.replace("2026-11-01T00:00:00Z", "0001-01-01T00:00:00+23:59"),
        [("version", "effective_from", "out_of_range")],
    ),
    "no price at all": ("prices = []" + HEAD + VERSION, [("plan", "prices", "missing")]),
    "prices as a table": (HEAD + VERSION + "[prices]\nout = 1", [("plan", "prices", "wrong_type")]),
    "a price as a number": ("prices = [1]" + HEAD + VERSION, [("plan", "prices", "wrong_type")]),
    "two prices of a key and a meter": (
        PLAN + PRICE + PER_UNIT,
        [("plan", "prices", "duplicate"), ("plan", "prices", "duplicate")],
    ),
    "a float": (priced('model = "per_unit"\nunit_amount = 0.1'), [("price out", "unit_amount", "float")]),
    "not a number": (priced('model = "per_unit"\nunit_amount = nan'), [("price out", "unit_amount", "float")]),
    "NaN as text": (priced('model = "per_unit"\nunit_amount = "NaN"'), [("price out", "unit_amount", "not_a_number")]),
    "thousands": (priced('model = "per_unit"\nunit_amount = "1,000"'), [("price out", "unit_amount", "not_a_number")]),
    "an exponent": (priced('model = "per_unit"\nunit_amount = "1e3"'), [("price out", "unit_amount", "not_a_number")]),
    "other digits": (
        priced('model = "per_unit"\nunit_amount = "\u0661"'),
        [("price out", "unit_amount", "not_a_number")],
    ),
    "below zero": (priced('model = "per_unit"\nunit_amount = "-1"'), [("price out", "unit_amount", "out_of_range")]),
    "too many places": (
        priced('model = "per_unit"\nunit_amount = "0.0000000000001"'),
        [("price out", "unit_amount", "out_of_range")],
    ),
    "a huge whole number": (
        priced(f'model = "per_unit"\nunit_amount = {10**40}'),
        [("price out", "unit_amount", "not_a_number")],
    ),
    "true as a number": (
        priced('model = "per_unit"\nunit_amount = true'),
        [("price out", "unit_amount", "wrong_type")],
    ),
    "no charge model": (priced(""), [("price out", "model", "missing")]),
    "unknown charge model": (priced('model = "auction"'), [("price out", "model", "not_a_choice")]),
    "a field of another charge model": (
        priced(PER_UNIT + 'size = "10"'),
        [("price out", "size", "not_used")],
    ),
    "tiers with a gap": (
        priced(GRADUATED + 'tiers = [{ up_to = "10" }, { above = "20", unit_amount = "1" }]'),
        [("price out", "tiers", "gap")],
    ),
    "tiers that overlap": (
        priced(GRADUATED + 'tiers = [{ up_to = "10" }, { above = "5", unit_amount = "1" }]'),
        [("price out", "tiers", "overlap")],
    ),
    "a gap and an overlap": (
        priced(GRADUATED + 'tiers = [{ up_to = 10 }, { above = 20, up_to = 30 }, { above = 25 }]'),
        [("price out", "tiers", "gap"), ("price out", "tiers", "overlap")],
    ),
    "tiers that end": (priced(GRADUATED + 'tiers = [{ up_to = "10" }]'), [("price out", "tiers", "gap")]),
    "a tier that is open too early": (
        priced(GRADUATED + 'tiers = [{ unit_amount = "1" }, { unit_amount = "2" }]'),
        [("price out", "tiers", "not_consistent")],
    ),
    "a tier that holds nothing": (
        priced(GRADUATED + 'tiers = [{ up_to = 10 }, { up_to = 10 }, {}]'),
        [("price out", "tiers", "not_consistent")],
    ),
    "no tier": (priced(GRADUATED + "tiers = []"), [("price out", "tiers", "not_consistent")]),
    "a tier with a percent by unit": (
        priced(GRADUATED + 'tiers = [{ percent = "3" }]'),
        [("price out, tier 1", "percent", "unknown_field")],
    ),
    "an unknown larger unit": (
        PLAN.replace('"GB"', '"furlong"'),
        [("price out", "per", "unknown_conversion")],
    ),
    "both ways to convert": (
        priced(PER_UNIT + 'conversion = { unit = "x", units_per = 10 }'),
        [("price out", "per", "unknown_field")],
    ),
    "a conversion by zero": (
        HEAD + VERSION + PRICE.replace('per = "GB"', 'conversion = { unit = "x", units_per = 0 }') + PER_UNIT,
        [("price out, conversion", "units_per", "out_of_range")],
    ),
    "packages of nothing": (
        priced('model = "package"\namount = "1"\nsize = 0\ncounting = "whole"'),
        [("price out", "size", "out_of_range")],
    ),
    "a meter without its unit": (
        PLAN.replace('unit = "byte"\nper = "GB"', ""),
        [("price out", "unit", "missing")],
    ),
    "a metered price that is counted": (
        priced(PER_UNIT + "counted = true"),
        [("price out", "counted", "not_used")],
    ),
    "cells without dimensions": (
        priced(PER_UNIT + 'cells = [{ values = { region = "eu" } }]'),
        [("price out", "cells", "not_used")],
    ),
    "dimensions of a fee": (
        HEAD + VERSION + '[[prices]]\nkey = "a"\nname = "A"\ndimensions = ["region"]\n'
        '[prices.otherwise]\nmodel = "flat"\namount = 1',
        [("price a", "dimensions", "not_used")],
    ),
    "two cells for one value": (
        priced(
            'dimensions = ["region"]\n'
            'cells = [{ values = { region = "eu" }, model = "per_unit", unit_amount = 1 },'
            ' { values = { region = "eu" }, model = "per_unit", unit_amount = 2 }]'
        ),
        [("price out, cell 2", "values", "overlap")],
    ),
    "a cell for a dimension that is not priced": (
        priced(
            'dimensions = ["region"]\n'
            'cells = [{ values = { protocol = "http" }, model = "per_unit", unit_amount = 1 }]'
        ),
        [
            ("price out, cell 1, values", "region", "missing"),
            ("price out, cell 1, values", "protocol", "unknown_field"),
        ],
    ),
    "a matrix with a price beside its cells": (
        priced('dimensions = ["region"]\n' + PER_UNIT + '[prices.otherwise]\nmodel = "per_unit"\nunit_amount = 1'),
        [("price out", "model", "unknown_field"), ("price out", "unit_amount", "unknown_field")],
    ),
    "a matrix of nothing": (priced('dimensions = ["region"]'), [("price out", "cells", "missing")]),
    "a minimum above the maximum": (
        priced(PER_UNIT + "minimum = 10\nmaximum = 5"),
        [("price out", "", "not_consistent")],
    ),
    "a discount that is two": (
        priced(PER_UNIT + "discounts = [{ percent = 10, amount = 5 }]"),
        [("price out, discount 1", "", "not_consistent")],
    ),
    "a discount of more than all": (
        priced(PER_UNIT + "discounts = [{ percent = 101 }]"),
        [("price out, discount 1", "percent", "out_of_range")],
    ),
    "included in a flat price": (
        priced('model = "flat"\namount = 5\nincluded = 1'),
        [("price out", "", "not_consistent")],
    ),
    "a percentage of bytes": (
        priced('model = "percentage"\npercent = 3'),
        [("price out", "", "not_consistent")],
    ),
    "a fixed amount without what counts": (
        priced('model = "percentage"\npercent = 3\nfixed_amount = "0.3"'),
        [("price out", "count_meter", "not_consistent")],
    ),
    "unknown timing": (priced(PER_UNIT + 'timing = "later"'), [("price out", "timing", "not_a_choice")]),
    "a credit that covers what is not there": (
        PLAN.replace("[[prices]]", '[version.included_credit]\nname = "C"\namount = 5\ncovers = ["in"]\n[[prices]]'),
        [("version", "", "not_consistent")],
    ),
    "many at once": (
        HEAD.replace("USD", "EURO") + VERSION + PRICE + 'model = "per_unit"\nunit_amount = 0.5\nfree = 1',
        [
            ("plan", "currency", "too_long"),
            ("price out", "unit_amount", "float"),
            ("price out", "free", "unknown_field"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_with_every_fault(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert faults(text) == expected


def test_faults_say_the_mend() -> None:
    with pytest.raises(InvalidPlan) as raised:
        parse_plan_toml(priced(GRADUATED + 'tiers = [{ up_to = "10", unit_amount = 0.10 }, {}]'))

    assert str(raised.value.faults[0]) == (
        'price out, tier 1, unit_amount: is a float; write it in quotes, "0.10", so that it stays exact (float)'
    )


def test_a_gap_is_named_by_its_quantities() -> None:
    with pytest.raises(InvalidPlan, match="quantities above 10 up to 20 fall in no tier"):
        parse_plan_toml(priced(GRADUATED + "tiers = [{ up_to = 10 }, { above = 20 }]"))


def test_tiers_may_say_only_where_they_end() -> None:
    plan = parse_plan_toml(
        priced(
            GRADUATED
            + """
tiers = [
    { up_to = "10", unit_amount = "0.10" },
    { up_to = "50.5", unit_amount = "0.08", flat_amount = 1 },
    { unit_amount = "0.05" },
]
included = 5
"""
        )
    )

    terms = plan.prices[0].terms
    assert terms is not None
    assert terms.charge == Graduated(
        tiers=(
            Tier(above=Decimal(0), up_to=Decimal(10), unit_amount=Decimal("0.1")),
            Tier(
                above=Decimal(10),
                up_to=Decimal("50.5"),
                unit_amount=Decimal("0.08"),
                flat_amount=Decimal(1),
            ),
            Tier(above=Decimal("50.5"), up_to=None, unit_amount=Decimal("0.05")),
        )
    )
    assert terms.conversion == Conversion(unit="GB", units_per=Decimal(10**9))


@pytest.mark.parametrize(("per", "number"), [("GB", 10**9), ("GiB", 2**30)])
def test_decimal_and_binary_multiples_are_told_apart(per: str, number: int) -> None:
    terms = parse_plan_toml(PLAN.replace("GB", per)).prices[0].terms

    assert terms is not None
    assert terms.conversion == Conversion(unit=per, units_per=Decimal(number))


def test_a_matrix_shares_the_unit_of_its_price() -> None:
    plan = parse_plan_toml(
        priced(
            """
dimensions = ["region", "protocol"]
[[prices.cells]]
values = { region = "eu", protocol = "" }
model = "per_unit"
unit_amount = "0.10"
[prices.otherwise]
exempt = "beta"
"""
        )
    )

    gigabytes = Conversion(unit="GB", units_per=Decimal(10**9))
    assert plan.prices[0].matrix == Matrix(
        dimensions=("region", "protocol"),
        cells=(
            Cell(
                values=("eu", ""),
                terms=PriceTerms(
                    currency="USD",
                    charge=PerUnit(unit_amount=Decimal("0.1")),
                    unit="byte",
                    conversion=gigabytes,
                ),
            ),
        ),
        catch_all=PriceTerms(
            currency="USD",
            charge=PerUnit(unit_amount=Decimal(0)),
            unit="byte",
            conversion=gigabytes,
            exempt_reason="beta",
        ),
    )


def test_a_counted_fee_and_what_holds_for_the_invoice() -> None:
    plan = parse_plan_toml(
        HEAD
        + """
[version]
effective_from = 2026-11-01T01:00:00+01:00
minimum = { amount = "5", prorated = true }
discounts = [{ percent = "10" }, { amount = 2, prorated = true }]
[version.included_credit]
name = "Starter"
amount = "20"
covers = ["seats"]
[[prices]]
key = "seats"
name = "Seats"
counted = true
taxable = false
takes_credit = false
model = "per_unit"
unit_amount = 5
timing = "in_advance"
prorated = true
"""
    )

    assert plan.effective_from == datetime(2026, 11, 1, tzinfo=UTC)
    assert plan.minimum == Bound(amount=Decimal(5), is_prorated=True)
    assert plan.discounts == (
        Discount(percent=Decimal(10)),
        Discount(amount=Decimal(2), is_prorated=True),
    )
    assert plan.included_credit == IncludedCredit(name="Starter", amount=Decimal(20), covers=("seats",))
    assert plan.prices == (
        SheetPrice(
            key="seats",
            name="Seats",
            is_counted=True,
            is_taxable=False,
            takes_credit=False,
            terms=PriceTerms(
                currency="USD",
                charge=PerUnit(unit_amount=Decimal(5)),
                timing=FeeTiming.IN_ADVANCE,
                is_prorated=True,
            ),
        ),
    )


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@st.composite
def documents(draw: st.DrawFn) -> PlanDocument:
    """A plan with one to four prices: fees, plain metered ones and matrices, all of one currency."""
    every: list[PriceTerms] = draw(st.lists(strategies.prices(), min_size=1, max_size=6))
    every = [terms for terms in every if terms.currency == every[0].currency]
    prices = [
        draw(_sheet_prices(number, terms, [each for each in every if each.unit == terms.unit]))
        for number, terms in enumerate(every[:4])
    ]
    credit = draw(
        st.none()
        | st.builds(
            IncludedCredit,
            name=texts,
            amount=strategies.decimals(1, 50, 2),
            covers=st.none() | st.just((prices[0].key,)),
        )
    )
    return PlanDocument(
        key="pro",
        name=draw(texts),
        description=draw(st.just("") | texts),
        kind=draw(
            st.sampled_from(("base",) if any(price.meter_key for price in prices) else ("base", "add_on"))
        ),
        currency=every[0].currency,
        interval_months=draw(st.sampled_from((1, 3, 12))),
        account_reference=draw(st.just("") | texts),
        position=draw(st.integers(0, 9)),
        effective_from=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=draw(st.integers(0, 10**7))),
        note=draw(st.just("") | texts),
        prices=tuple(prices),
        discounts=draw(strategies.discounts),
        minimum=draw(st.none() | st.just(Bound(amount=Decimal(1)))),
        maximum=draw(st.none() | st.just(Bound(amount=Decimal(9), is_prorated=True))),
        included_credit=credit,
    )


@st.composite
def _sheet_prices(draw: st.DrawFn, number: int, terms: PriceTerms, same: list[PriceTerms]) -> SheetPrice:
    shape: Any = draw(st.sampled_from(("fee", "plain", "matrix")))
    flags = {"is_taxable": draw(st.booleans()), "takes_credit": draw(st.booleans())}
    key, name = f"price-{number}", draw(texts)
    if shape == "fee":
        return SheetPrice(key=key, name=name, terms=terms, is_counted=draw(st.booleans()), **flags)
    meter = f"meter_{number}"
    if shape == "plain":
        return SheetPrice(key=key, name=name, meter_key=meter, terms=terms, **flags)
    values = draw(st.lists(st.tuples(texts, st.just("")), max_size=3, unique=True))
    cells = tuple(Cell(values=each, terms=draw(st.sampled_from(same))) for each in values)
    catch_all = terms if not cells else draw(st.none() | st.just(terms))
    matrix = Matrix(dimensions=("region", "a b"), cells=cells, catch_all=catch_all)
    return SheetPrice(key=key, name=name, meter_key=meter, matrix=matrix, **flags)


# Documents are large, and a loaded machine draws them slowly; that says nothing about what is written.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_what_is_written_is_read_back_as_the_same_plan(document: PlanDocument) -> None:
    assert parse_plan_toml(plan_to_toml(document)) == document


@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_has_faults(text: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        parse_plan_toml(text)

    assert raised.value.faults


BYTES = PricedMeter(unit="byte", aggregation="sum", dimensions=("region",))
METERS = {
    "bytes_out": BYTES,
    "connections": PricedMeter(unit="connection", aggregation="max", dimensions=("region",)),
    "payments": PricedMeter(unit="payment", aggregation="count", dimensions=()),
    "volume": PricedMeter(unit="USD", aggregation="sum", dimensions=("region",)),
}
MATRIX = 'dimensions = ["region"]\n[prices.otherwise]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAN, []),
        (priced(MATRIX + PER_UNIT), []),
        (PLAN.replace('"bytes_out"', '"bytes_in"'), [("meter", "unknown_meter")]),
        (PLAN.replace('"byte"', '"B"'), [("unit", "unit_differs")]),
        (priced(MATRIX + PER_UNIT).replace('["region"]', '["city"]'), [("dimensions", "unknown_dimension")]),
        (
            priced(MATRIX + PER_UNIT)
            .replace("bytes_out", "connections")
            .replace('unit = "byte"\nper = "GB"', 'unit = "connection"'),
            [("dimensions", "not_additive")],
        ),
        (priced(PER_UNIT + 'timing = "in_advance"'), [("timing", "not_used")]),
        (
            priced('model = "percentage"\npercent = 3\nfixed_amount = "0.3"\ncount_meter = "absent"')
            .replace("bytes_out", "volume")
            .replace('unit = "byte"\nper = "GB"', 'unit = "USD"'),
            [("count_meter", "unknown_meter")],
        ),
        (
            priced(MATRIX + 'model = "percentage"\npercent = 3\nfixed_amount = 1\ncount_meter = "payments"')
            .replace("bytes_out", "volume")
            .replace('unit = "byte"\nper = "GB"', 'unit = "USD"'),
            [("dimensions", "unknown_dimension")],
        ),
    ],
)
def test_a_price_fits_its_meter(text: str, expected: list[tuple[str, str]]) -> None:
    found = meter_faults(parse_plan_toml(text).prices[0], METERS)

    assert [(fault.field, fault.code) for fault in found] == expected


def test_terms_of_rating_stay_as_strict_as_the_file() -> None:
    """What the file refuses at once is refused by the sheet too, should rows be written another way."""
    with pytest.raises(InvalidTerms):
        PriceTerms(currency="USD", charge=Flat(amount=Decimal(1)), included=Decimal(1))
