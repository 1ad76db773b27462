"""Credits: the order they are used in, what they may pay, and that they never pay more than is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.credits import Credit, InvalidCredit, burn_credits, burn_order

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def credit(key: str, remaining_minor: int = 1000, **more: Any) -> Credit:
    return Credit(key=key, remaining_minor=remaining_minor, **{"granted_at": NOW - 90 * ONE_DAY, **more})


def burn(granted: list[Credit], due: int | None = None, **open_minor: int) -> dict[str, dict[str, int]]:
    uses = burn_credits(
        granted,
        open_minor=open_minor,
        prices={key: key for key in open_minor},
        due_minor=sum(open_minor.values()) if due is None else due,
    )
    return {use.key: dict(use.allotted) for use in uses}


class TestOrder:
    def test_priority_then_expiry_then_grant_then_name_then_key(self) -> None:
        in_order = [
            credit("g", priority=1),
            credit("f", priority=2, expires_at=NOW + ONE_DAY),
            credit("e", priority=2, expires_at=NOW + 2 * ONE_DAY),
            credit("d", priority=2, granted_at=NOW - 99 * ONE_DAY),
            credit("c", priority=2, name="Autumn"),
            credit("a", priority=2, name="Spring"),
            credit("b", priority=2, name="Spring"),
        ]

        for shuffled in list(permutations(in_order))[::37]:
            assert burn_order(shuffled, NOW) == in_order

    @pytest.mark.parametrize(
        ("more", "is_usable"),
        [
            ({}, True),
            ({"expires_at": NOW}, False),
            ({"expires_at": NOW + timedelta(microseconds=1)}, True),
            ({"granted_at": NOW + timedelta(microseconds=1)}, True),
            ({"remaining_minor": 0}, False),
        ],
    )
    def test_a_credit_that_is_listed_is_usable_until_before_its_expiry(
        self, more: dict[str, Any], is_usable: bool
    ) -> None:
        assert credit("a", **more).is_usable(NOW) is is_usable
        assert bool(burn_order([credit("a", **more)], NOW)) is is_usable

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            ({"remaining_minor": -1}, "less than nothing"),
            ({"expires_at": NOW - 90 * ONE_DAY}, "expires before it is granted"),
            ({"covers": frozenset({"a"}), "is_before_tax": False}, "cannot be for some prices only"),
        ],
    )
    def test_a_credit_that_contradicts_itself_is_refused(self, more: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidCredit, match=told):
            credit("a", **more)


class TestBurning:
    def test_a_credit_is_spread_in_proportion(self) -> None:
        assert burn([credit("a", 100)], x=600, y=900) == {"a": {"x": 40, "y": 60}}

    def test_a_scope_is_kept_to(self) -> None:
        only_x = credit("a", 1000, covers=frozenset({"x"}))

        assert burn([only_x, credit("b", 100)], x=600, y=900) == {"a": {"x": 600}, "b": {"y": 100}}
        assert burn([only_x], y=900) == {}

    def test_lines_below_zero_take_no_credit_and_limit_it(self) -> None:
        assert burn([credit("a", 1000)], x=600, y=-200) == {"a": {"x": 400}}
        assert burn([credit("a", 1000)], x=100, y=-200) == {}

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(1, 5000), st.none() | st.frozensets(st.sampled_from("wxyz"))), max_size=6
        ),
        st.dictionaries(st.sampled_from("wxyz"), st.integers(-2000, 5000)),
        st.integers(-1000, 10_000),
    )
    def test_no_more_is_used_than_there_is_due_or_open(
        self, credits_made: list[tuple[int, frozenset[str] | None]], open_minor: dict[str, int], due: int
    ) -> None:
        granted = [
            credit(str(number), remaining, covers=covers)
            for number, (remaining, covers) in enumerate(credits_made)
        ]

        uses = burn_credits(
            granted, open_minor=open_minor, prices={key: key for key in open_minor}, due_minor=due
        )

        by_key = {each.key: each for each in granted}
        assert sum(use.minor for use in uses) <= max(due, 0)
        for use in uses:
            covers = by_key[use.key].covers
            assert 0 < use.minor <= by_key[use.key].remaining_minor
            assert sum(use.allotted.values()) == use.minor
            assert all(part >= 0 and (covers is None or key in covers) for key, part in use.allotted.items())
        for key, minor in open_minor.items():
            assert sum(use.allotted.get(key, 0) for use in uses) <= max(minor, 0)

    def test_all_that_is_due_is_paid_when_there_is_enough(self) -> None:
        uses = burn([credit("a", 700), credit("b", 5000)], x=333, y=333, z=334)

        assert sum(sum(parts.values()) for parts in uses.values()) == 1000
        assert sum(uses["a"].values()) == 700

    @given(
        st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 3)), max_size=5),
        st.dictionaries(st.sampled_from("wxyz"), st.integers(0, 5_000)),
    )
    def test_a_credit_is_used_up_before_the_next_one_is_begun(
        self, made: list[tuple[int, int]], open_minor: dict[str, int]
    ) -> None:
        granted = burn_order(
            [credit(str(number), left, priority=priority) for number, (left, priority) in enumerate(made)],
            NOW,
        )
        due = sum(open_minor.values())

        uses = burn_credits(
            granted, open_minor=open_minor, prices=dict.fromkeys(open_minor, ""), due_minor=due
        )

        used = {use.key: use.minor for use in uses}
        untouched = [one.key not in used for one in granted]
        assert untouched == sorted(untouched), "none is skipped"
        assert all(used[one.key] == one.remaining_minor for one in granted if one.key in list(used)[:-1])
        assert sum(used.values()) == min(due, sum(one.remaining_minor for one in granted)), "splits re-add"
