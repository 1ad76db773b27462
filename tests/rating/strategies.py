"""Made-up prices and usage of every kind, for properties that hold whatever a price says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from insights.rating.charges import (
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
from insights.rating.rate import Segment, Usage
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from insights.values.period import Period
from insights.values.share import WHOLE, Share


def decimals(least: int, most: int, places: int) -> st.SearchStrategy[Decimal]:
    """Decimals made of whole numbers, which is quicker than Hypothesis' own."""
    scale = 10**places
    return st.integers(least * scale, most * scale).map(lambda units: Decimal(units).scaleb(-places))


amounts = decimals(0, 50, 4)
percents = decimals(0, 20, 2)
quantities = st.one_of(decimals(0, 300, 3), st.integers(0, 300).map(Decimal), st.just(Decimal(10**18)))
shares = st.tuples(st.integers(1, 2_678_400), st.just(2_678_400)).map(lambda pair: Share(*pair))


@st.composite
def tier_lists(draw: st.DrawFn, *, with_percent: bool = False, with_units: bool = True) -> tuple[Tier, ...]:
    """One to five tiers that touch, the last open."""
    ends = sorted(set(draw(st.lists(decimals(1, 200, 1), max_size=4))))
    bounds = [Decimal(0), *ends]
    return tuple(
        Tier(
            above=above,
            up_to=up_to,
            unit_amount=draw(amounts) if with_units and not with_percent else Decimal(0),
            flat_amount=draw(st.just(Decimal(0)) | amounts),
            percent=draw(percents) if with_percent else Decimal(0),
        )
        for above, up_to in zip(bounds, [*ends, None], strict=True)
    )


def graduated_charges() -> st.SearchStrategy[Graduated]:
    return st.builds(Graduated, tiers=tier_lists(), flat_at_zero=st.booleans())


def charges() -> st.SearchStrategy[Any]:
    """Charge models, every one of them."""
    return st.one_of(
        st.builds(Flat, amount=amounts),
        st.builds(PerUnit, unit_amount=amounts),
        graduated_charges(),
        st.builds(Volume, tiers=tier_lists(), flat_at_zero=st.booleans()),
        st.builds(Package, amount=amounts, size=decimals(1, 50, 1), counting=st.sampled_from(Packages)),
        st.builds(Percentage, percent=percents),
        st.builds(
            Percentage, percent=percents, fixed_amount=decimals(1, 5, 2), count_meter=st.just("payments")
        ),
        st.builds(GraduatedPercentage, tiers=tier_lists(with_percent=True), flat_at_zero=st.booleans()),
        st.builds(Stairstep, tiers=tier_lists(with_units=False), flat_at_zero=st.booleans()),
    )


discounts = st.lists(
    st.one_of(
        st.builds(Discount, percent=percents),
        st.builds(Discount, amount=amounts, is_prorated=st.booleans()),
    ),
    max_size=2,
).map(tuple)


@st.composite
def prices(
    draw: st.DrawFn, charge: st.SearchStrategy[Any] | None = None, *, bare: bool = False
) -> PriceTerms:
    """Whole terms; bare ones have neither discounts nor bounds nor included usage nor exemption."""
    model = draw(charge if charge is not None else charges())
    currency = draw(st.sampled_from(("USD", "JPY", "KWD")))
    if bare:
        return PriceTerms(currency=currency, charge=model, unit=currency)
    is_percent = isinstance(model, Percentage | GraduatedPercentage)
    conversion = st.none() | st.builds(
        Conversion,
        unit=st.just("larger"),
        units_per=st.sampled_from((Decimal(7), Decimal(3600), Decimal(1024))),
    )
    least, most = sorted((draw(amounts), draw(amounts)))
    is_prorated = draw(st.booleans())
    return PriceTerms(
        currency=currency,
        charge=model,
        unit=currency if is_percent else "unit",
        conversion=None if is_percent else draw(conversion),
        included=Decimal(0) if isinstance(model, Flat) else draw(st.just(Decimal(0)) | decimals(0, 30, 1)),
        discounts=draw(discounts),
        minimum=draw(st.none() | st.just(Bound(amount=least, is_prorated=is_prorated))),
        maximum=draw(st.none() | st.just(Bound(amount=most, is_prorated=is_prorated))),
        timing=draw(st.sampled_from(FeeTiming)),
        is_prorated=draw(st.booleans()),
        exempt_reason=draw(st.sampled_from(("", "", "", "free for friends"))),
    )


usages = st.builds(Usage, quantities, st.integers(0, 40).map(Decimal))
segments = st.builds(
    Segment,
    share=st.just(WHOLE) | shares,
    tier_share=st.just(WHOLE) | shares,
    counted_before=st.none() | usages,
)


def parts_of(period: Period, seconds: Iterable[int]) -> list[Period]:
    """The parts that the period is cut into at these numbers of seconds after its start."""
    instants = [period.start + timedelta(seconds=each) for each in sorted(set(seconds))]
    return [Period(*edges) for edges in pairwise((period.start, *instants, period.end))]
