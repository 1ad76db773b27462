"""Billing zones: one name for each, old names understood, anything else refused."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from accounts.models import Account
from accounts.operations import UnableToChange, create_account
from accounts.tenancy import as_staff
from accounts.zones import billing_zones, canonical_zone
from tests.conftest import Cast


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Europe/Kiev", "Europe/Kyiv"),
        ("US/Pacific", "America/Los_Angeles"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Etc/UTC", "UTC"),
        ("GMT", None),
        ("UTC", "UTC"),
        # A zone that shares its clock with another country's keeps its own name.
        ("Europe/Amsterdam", "Europe/Amsterdam"),
        ("Europe/Atlantis", None),
        ("europe/berlin", None),
        ("../../etc/passwd", None),
        ("", None),
    ],
)
def test_a_zone_has_one_name(given: str, stored: str | None) -> None:
    assert canonical_zone(given) == stored


def test_every_billing_zone_has_a_clock() -> None:
    assert len(billing_zones()) > 400
    for name in billing_zones():
        ZoneInfo(name)


def test_c30_an_account_keeps_the_present_name(cast: Cast) -> None:
    with as_staff():
        account, _owner, _is_new = create_account(
            reference="kyiv", name="Kyiv", billing_zone="Europe/Kiev", currency="EUR",
            owner_email="kyiv@example.com", actor=cast.staff,
        )  # fmt: skip
        stored = Account.objects.get(pk=account.pk).billing_zone

    assert stored == "Europe/Kyiv"


def test_an_unknown_zone_is_refused(cast: Cast) -> None:
    with as_staff(), pytest.raises(UnableToChange):
        create_account(
            reference="x", name="X", billing_zone="Europe/Atlantis", currency="EUR",
            owner_email="x@example.com", actor=cast.staff,
        )  # fmt: skip
