"""What people type on the settings and staff pages. Forms check shape; operations decide."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from django import forms

from accounts.models import Role
from accounts.operations import UnableToChange
from accounts.operations.support import REASON_LENGTH_MIN
from accounts.queries import SEARCH_LENGTH_MIN
from accounts.zones import billing_zones

LAST_YEAR = 2100
# Owners and admins do the same today; the roles differ once bills and invitations exist.
ROLE_WORDS = [
    (Role.OWNER.value, "Owner: usage and keys"),
    (Role.ADMIN.value, "Admin: usage and keys"),
    (Role.BILLING.value, "Billing: usage"),
    (Role.VIEWER.value, "Viewer: usage"),
]


def add_refusal(form: forms.BaseForm, error: UnableToChange) -> None:
    """Put what an operation refused beside the field it names, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, error.message)


class AccountSearchForm(forms.Form):
    """A part of an account's name or reference, or of a member's e-mail address."""

    q = forms.CharField(
        label="Name, reference or e-mail",
        required=False,
        min_length=SEARCH_LENGTH_MIN,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
        error_messages={"min_length": f"Type at least {SEARCH_LENGTH_MIN} characters."},
    )


class NewAccountForm(forms.Form):
    """Everything an account needs on its first day."""

    name = forms.CharField(label="Name", max_length=200, help_text="As the customer writes it.")
    reference = forms.CharField(
        label="Reference",
        max_length=200,
        help_text="What usage files call this account. It cannot be changed later.",
    )
    billing_zone = forms.ChoiceField(
        label="Billing zone", initial="UTC", help_text="Days and months on pages and bills follow this clock."
    )
    currency = forms.CharField(
        label="Currency", initial="USD", max_length=3, help_text="Three letters, such as EUR."
    )
    owner_email = forms.EmailField(
        label="First owner's e-mail", help_text="A new person gets a mail to set their password."
    )

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        zone = cast(forms.ChoiceField, self.fields["billing_zone"])
        zone.choices = [(name, name.replace("_", " ")) for name in billing_zones()]

    def clean_currency(self) -> str:
        """Take the letters in any case."""
        return str(self.cleaned_data["currency"]).upper()


class KeyForm(forms.Form):
    """A name to tell keys apart, and a last day if wanted."""

    name = forms.CharField(
        label="Name", max_length=100, help_text="What will use it, such as nightly export."
    )
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: until revoked.",
    )
    reads_bills = forms.BooleanField(
        label="Also reads bills, prices and credits",
        required=False,
        help_text="Otherwise it reads usage alone.",
    )
    writes_notes = forms.BooleanField(
        label="Also writes notes on charts",
        required=False,
        help_text="And deletes those that it wrote.",
    )

    def clean_expires_on(self) -> date | None:
        """Refuse a day so far away that it was mistyped."""
        last_day: date | None = self.cleaned_data["expires_on"]
        if last_day is not None and last_day.year >= LAST_YEAR:
            raise forms.ValidationError(f"Choose a day before the year {LAST_YEAR}.")
        return last_day

    def expires_at(self, *, zone: str) -> datetime | None:
        """Return the first instant after the last day in the account's zone."""
        last_day: date | None = self.cleaned_data["expires_on"]
        if last_day is None:
            return None
        return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=ZoneInfo(zone))


class MemberForm(forms.Form):
    """A person and the role they get."""

    email = forms.EmailField(label="E-mail")
    role = forms.ChoiceField(label="Role", choices=ROLE_WORDS, initial=Role.VIEWER.value)


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(label="Role", choices=ROLE_WORDS)


class SupportForm(forms.Form):
    """Why a member of staff looks into an account."""

    reason = forms.CharField(
        label="Reason",
        min_length=REASON_LENGTH_MIN,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The customer reads it, with your e-mail address, the time and every page you open.",
    )
