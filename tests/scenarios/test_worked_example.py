"""The example in docs/bill-difference.md is what the rule gives."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from insights.rating.charges import Flat, Graduated, Tier
from insights.rating.invoice import LineKind
from insights.rating.terms import Conversion
from insights.scenarios.difference import compare_bills
from insights.values.money import Money
from tests.scenarios.test_difference import bill, fee, per_unit, priced, used, whole

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bill-difference.md"
GB = Conversion(unit="GB", units_per=Decimal(10**9))
REQUESTS = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100_000), unit_amount=Decimal("0.0001")),
        Tier(above=Decimal(100_000), up_to=None, unit_amount=Decimal("0.00008")),
    )
)


def test_the_example() -> None:
    base = fee(priced(Flat(amount=Decimal(20)), unit=""))
    data = {"key": "data", "name": "Data out", "meter_key": "bytes"}
    march = bill(
        base,
        used(per_unit("0.10", included=Decimal(5), conversion=GB), "62000000000", **data),
        used(priced(REQUESTS), "150000"),
        whole(LineKind.TAX, 754, "VAT"),
    )
    april = bill(
        base,
        used(per_unit("0.08", included=Decimal(10), conversion=GB), "100000000000", **data),
        used(priced(REQUESTS), "250000"),
        whole(LineKind.CREDIT, -500, "Credit"),
        whole(LineKind.TAX, 840, "VAT"),
    )
    rows = re.findall(
        r"^\| ([A-Z][\w ]+) \| (\w+) \| .* \| (-?[0-9.]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    difference = compare_bills(march, april)

    assert (difference.before, difference.after) == (Money(4724, "USD"), Money(5260, "USD"))
    assert {
        (part.match.name, part.effect.value, f"{part.amount.amount}") for part in difference.parts
    } == set(rows)
    assert len(rows) == 7
