"""What the page on prices says a charge model comes to is what rating makes of it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from insights.billing.plan_toml import parse_plan_toml
from insights.rating.rate import Usage, rate_line
from insights.rating.terms_json import CHARGE_MODELS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pricing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```\n\nMetered ([0-9]+), due ([0-9.]+)\.", PAGE, re.DOTALL)
HEAD = """
key = "example"
name = "Example"
currency = "USD"
[version]
effective_from = 2026-01-01T00:00:00Z
[[prices]]
key = "example"
name = "Example"
"""


def test_every_charge_model_has_an_example() -> None:
    models = [re.search(r'model = "(\w+)"', fields)[1] for fields, _, _ in EXAMPLES]  # type: ignore[index]

    assert sorted(models) == sorted(CHARGE_MODELS)


@pytest.mark.parametrize(("fields", "metered", "due"), EXAMPLES)
def test_an_example_comes_to_what_the_page_says(fields: str, metered: str, due: str) -> None:
    terms = parse_plan_toml(HEAD + fields).prices[0].terms

    assert terms is not None
    assert rate_line(terms, Usage(Decimal(metered))).amount.amount == Decimal(due)
