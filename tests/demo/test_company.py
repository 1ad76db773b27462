"""The demo's cast: sizes asked for, the same for the same seed, and no real names by accident."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from usage_portal.demo.company import Company, build_company, hour_start
from usage_portal.demo.totals import expected_totals

NOW = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(now=NOW)


def test_the_same_seed_draws_the_same_company(company: Company) -> None:
    assert build_company(now=NOW) == company
    assert build_company(now=NOW, seed=21) != company


def test_leaving_accounts_out_does_not_change_the_others(company: Company) -> None:
    alone = build_company(now=NOW, only=("quillfern-media",))

    assert alone.accounts == (company.account("quillfern-media"),)


def test_now_is_cut_to_the_last_complete_hour(company: Company) -> None:
    assert company.now == datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert hour_start(company.end_hour) == company.now
    assert hour_start(company.first_hour) == datetime(2025, 9, 23, tzinfo=UTC)


def test_the_cast_is_about_25_accounts_in_real_zones(company: Company) -> None:
    assert len(company.accounts) == 25
    assert {account.state for account in company.accounts} == {"active", "suspended", "closed"}
    for account in company.accounts:
        assert ZoneInfo(account.billing_zone)
        names = [endpoint.name for endpoint in account.endpoints]
        assert len(set(names)) == len(names)
        # .example is kept free of real owners.
        assert all(name.endswith(".example") for name in names)


def test_every_member_and_owner_is_a_user(company: Company) -> None:
    emails = {user.email for user in company.users}

    assert len(emails) == len(company.users)
    for account in company.accounts:
        assert account.owner in emails
        assert {member.email for member in account.members} <= emails


@pytest.mark.parametrize(
    "now",
    [NOW, datetime(2027, 3, 1, 0, 5, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, tzinfo=UTC)],
)
def test_there_are_over_a_million_records_whatever_the_day(now: datetime) -> None:
    company = build_company(now=now)
    totals = expected_totals(company)
    by_account: dict[str, int] = {}
    for total in totals:
        by_account[total.account] = by_account.get(total.account, 0) + total.records

    assert 1_050_000 <= sum(by_account.values()) <= 1_150_000
    assert by_account["halyard-commerce"] == max(by_account.values()) >= 400_000
    assert len(company.account("halyard-commerce").endpoints) >= 500
    assert "ashgrove-observatory" not in by_account
    # Fourteen months touch fifteen calendar months, and one more where Tokyo is already in the next.
    assert len({total.month for total in totals}) in (15, 16)
