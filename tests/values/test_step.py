"""Steps in storage, and the steps of a piece of a line."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.values.share import InvalidShare, Share
from insights.values.step import InvalidStep, Step, StepKind, parse_step, step_document

TIER = Step(
    kind=StepKind.TIER,
    quantity=Fraction("62.5"),
    base=Fraction("62.5"),
    unit_amount=Fraction("0.1"),
    amount=Fraction("6.25") * Fraction(12, 31),
    tier=1,
    above=Fraction(0),
    share=Share(1_036_800, 2_678_400),
    amount_minor=242,
)
numbers = st.fractions(-(10**18), 10**18, max_denominator=10**6)
steps = st.builds(
    Step,
    kind=st.sampled_from(StepKind),
    amount=numbers,
    quantity=numbers,
    base=numbers,
    unit_amount=st.none() | numbers,
    percent=st.none() | numbers,
    tier=st.none() | st.integers(1, 100),
    above=st.none() | numbers,
    up_to=st.none() | numbers,
    share=st.integers(0, 10**8).map(lambda seconds: Share(seconds, 10**8)),
    note=st.text(max_size=20),
    is_taken_back=st.booleans(),
    amount_minor=st.integers(),
)


def test_a_step_is_stored_with_exact_numbers_as_text() -> None:
    assert step_document(TIER) == {
        "kind": "tier",
        "amount": "75/31",
        "quantity": "62.5",
        "base": "62.5",
        "unit_amount": "0.1",
        "percent": None,
        "tier": 1,
        "above": "0",
        "up_to": None,
        "share": [1_036_800, 2_678_400],
        "note": "",
        "is_taken_back": False,
        "amount_minor": 242,
    }


@settings(max_examples=50, deadline=None)
@given(steps)
def test_a_stored_step_is_read_back_as_it_was(step: Step) -> None:
    assert parse_step(json.loads(json.dumps(step_document(step)))) == step


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("kind", "bracket", "kind"),
        ("kind", None, "kind"),
        ("amount", 2.42, "amount: an exact number is stored as text"),
        ("amount", "2.420", "amount"),
        ("amount", None, "amount"),
        ("quantity", 62, "quantity"),
        ("unit_amount", "NaN", "unit_amount"),
        ("tier", "1", "tier: must be a whole number"),
        ("tier", True, "tier"),
        ("share", [1], "share"),
        ("share", [2, 1], "share: 2 seconds are not a part of 1"),
        ("share", [0, 0], "share"),
        ("share", ["1", "2"], "share"),
        ("note", 5, "note"),
        ("is_taken_back", 0, "is_taken_back: must be true or false"),
        ("amount_minor", "242", "amount_minor"),
        ("amount_minor", 242.0, "amount_minor"),
    ],
)
def test_a_damaged_step_is_refused_by_field(field: str, value: object, told: str) -> None:
    with pytest.raises(InvalidStep, match=told):
        parse_step({**step_document(TIER), field: value})


@pytest.mark.parametrize("document", [None, [], "tier", {}, {**step_document(TIER), "extra": 1}])
def test_what_is_no_step_is_refused(document: object) -> None:
    with pytest.raises(InvalidStep, match="and no others"):
        parse_step(document)


def test_a_piece_is_the_difference_and_what_is_gone_is_taken_back() -> None:
    earlier = Step(
        kind=StepKind.TIER,
        quantity=Fraction(10),
        base=Fraction(10),
        amount=Fraction(1),
        unit_amount=Fraction("0.1"),
    )
    later = Step(
        kind=StepKind.TIER,
        quantity=Fraction(25),
        base=Fraction(25),
        amount=Fraction("2.5"),
        unit_amount=Fraction("0.1"),
    )

    assert later.less(earlier).quantity == 15
    assert later.less(earlier).amount == Fraction("1.5")
    assert later.less(earlier).unit_amount == Fraction("0.1")
    assert later.less(earlier).base == 15
    assert (earlier.taken_back().amount, earlier.taken_back().base) == (-1, 10)
    assert earlier.taken_back().taken_back() == earlier


@pytest.mark.parametrize(
    ("kind", "percent", "is_linear"),
    [
        (StepKind.UNITS, None, True),
        (StepKind.DISCOUNT, Fraction(10), True),
        (StepKind.DISCOUNT, None, False),
        (StepKind.MINIMUM, None, False),
        (StepKind.MAXIMUM, None, False),
    ],
)
def test_bounds_and_fixed_discounts_are_no_sums(
    kind: StepKind, percent: Fraction | None, is_linear: bool
) -> None:
    assert Step(kind=kind, percent=percent, amount=Fraction(1)).is_linear is is_linear


@pytest.mark.parametrize(("seconds", "of_seconds"), [(-1, 10), (11, 10), (0, 0), (1, -1)])
def test_a_share_is_between_nothing_and_the_whole(seconds: int, of_seconds: int) -> None:
    with pytest.raises(InvalidShare):
        Share(seconds, of_seconds)


def test_a_share_keeps_its_seconds_unreduced() -> None:
    share = Share(1_036_800, 2_678_400)

    assert share.fraction == Fraction(12, 31)
    assert (share.seconds, share.of_seconds) == (1_036_800, 2_678_400)
    assert not share.is_whole
    assert Share(86_400, 86_400).is_whole
