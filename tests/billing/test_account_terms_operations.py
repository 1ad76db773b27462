"""The billing profile and credits are written with exact amounts, or refused at the field."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, AuditEntry
from accounts.operations import UnableToChange
from accounts.tenancy import as_staff
from insights.billing.account_terms_operations import ProfileChanges, grant_credit, save_profile
from insights.billing.amounts import InvalidAmount, minor_from_text, percent_from_text
from insights.models import BillingProfile, CreditGrant, LegalEntity
from tests import factories
from tests.billing.plan_files import NOW

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture
def acme(portal_db: None) -> Account:
    with as_staff():
        LegalEntity.objects.create(key="us", name="We Ltd", address="Here", number_prefix="A-")
    return factories.make_account("acme")


def acts() -> list[str]:
    with as_staff():
        return list(AuditEntry.objects.order_by("id").values_list("act", flat=True))


def save(account: Account, **changes: Any) -> BillingProfile:
    with as_staff():
        return save_profile(
            account_id=account.pk,
            changes=ProfileChanges(**{"legal_entity_key": "us", **changes}),
            by=None,
            now=NOW,
        )


def grant(account: Account, **changes: Any) -> CreditGrant:
    values = {"kind": "goodwill", "name": "Sorry", "amount": "12.5", "reason": "outage", **changes}
    with as_staff():
        return grant_credit(account_id=account.pk, by=None, now=NOW, **values)


def test_a_profile_is_made_and_changed(acme: Account) -> None:
    save(acme, tax_name="VAT", tax_percent="7.25", recipients=("a@example.com",), address="A 1\nB")
    save(acme, company_name="Acme Ltd", tax_exempt_reason="reverse charge")

    with as_staff():
        profile = BillingProfile.objects.get()
    assert (profile.company_name, profile.tax_name, profile.tax_percent) == ("Acme Ltd", "", Decimal(0))
    assert acts() == ["billing_profile.save", "billing_profile.save"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"legal_entity_key": "absent"}, "legal_entity"),
        ({"tax_percent": "19"}, "tax_name"),
        ({"tax_percent": "19", "tax_name": "VAT", "tax_exempt_reason": "x"}, "tax_exempt_reason"),
        ({"tax_percent": "NaN"}, "tax_percent"),
        ({"tax_percent": "100.1"}, "tax_percent"),
        ({"tax_percent": "7.12345"}, "tax_percent"),
        ({"company_name": "a\x00"}, "company_name"),
        ({"address": "a\x00"}, "address"),
        ({"recipients": ("nobody",)}, "recipients"),
        ({"recipients": ("a@example.com",) * 21}, "recipients"),
        ({"due_days": -1}, "due_days"),
        ({"grace_days": 366}, "grace_days"),
    ],
)
def test_a_faulty_profile_is_refused_at_its_field(acme: Account, changes: Any, field: str) -> None:
    with pytest.raises(UnableToChange) as raised:
        save(acme, **changes)

    assert raised.value.field == field
    assert acts() == []


def test_a_credit_is_granted_in_minor_units(acme: Account) -> None:
    given = grant(acme, covers=("out",), expires_at=NOW + timedelta(days=1), priority=5)

    assert (given.amount_minor, given.currency, given.covers) == (1250, "USD", ["out"])
    assert acts() == ["credit.grant"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "carried"}, "kind"),
        ({"kind": "gift"}, "kind"),
        ({"name": ""}, "name"),
        ({"reason": "\u202e"}, "reason"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "0.00"}, "amount"),
        ({"expires_at": NOW}, "expires_at"),
        ({"priority": -1}, "priority"),
        ({"covers": ()}, "covers"),
        ({"covers": ("a\x00",)}, "covers"),
        ({"covers": ("base",), "is_before_tax": False}, "covers"),
    ],
)
def test_a_faulty_credit_is_refused_at_its_field(acme: Account, changes: Any, field: str) -> None:
    with pytest.raises(UnableToChange) as raised:
        grant(acme, **changes)

    assert raised.value.field == field


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12", "USD", 1200),
        (" 12.5 ", "USD", 1250),
        ("0.01", "USD", 1),
        ("12.500", "USD", 1250),
        ("1000", "JPY", 1000),
        ("1000.0", "JPY", 1000),
        ("1.234", "KWD", 1234),
    ],
)
def test_an_amount_is_read_exactly(text: str, currency: str, minor: int) -> None:
    assert minor_from_text(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [("1.005", "USD"), ("0.5", "JPY"), ("-1", "USD"), ("1e3", "USD"), ("1,000", "USD"), ("", "USD"),
     ("NaN", "USD"), ("9" * 20, "USD"), ("0", "USD"), (".5", "USD"), ("\u0661", "USD")],
)  # fmt: skip
def test_any_other_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(InvalidAmount):
        minor_from_text(text, currency)


def test_a_percent_keeps_its_four_decimals() -> None:
    assert percent_from_text("7.1234") == Decimal("7.1234")
