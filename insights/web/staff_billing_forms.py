"""The forms of an account's billing page for staff: hours on the account's clock, counts and amounts as exact texts."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms

from insights.billing.account_terms_operations import DAYS_MAX, GRANTED_KINDS, PRIORITY_MAX
from insights.rating.plan_change import ChangePolicy
from insights.values.period import InvalidDay, parse_day
from insights.web.hour_field import HourField
from insights.web.source_form import read_pairs

_SHORT_AREA = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"})
_POLICIES = [
    (ChangePolicy.RESTART.value, "begin anew"),
    (ChangePolicy.CONTINUE.value, "go on where they stand"),
    (ChangePolicy.SHARED_BY_TIME.value, "are shared by time"),
]
_FIRST_POLICIES = [
    (ChangePolicy.RESTART.value, "whole, however short the first period is"),
    (ChangePolicy.SHARED_BY_TIME.value, "for the part of the period that is left"),
]
_WHEN = [
    ("hour", "From the next full hour"),
    ("period", "At the end of the period"),
    ("instant", "At this hour:"),
]
_ENDS = _WHEN[1:]


class CountsField(forms.CharField):
    """How many of each counted fee, one on a line."""

    widget = _SHORT_AREA

    def __init__(self) -> None:
        help_text = "For plans with counted fees, one on a line: seats = 3."
        super().__init__(label="Counts", required=False, max_length=4000, help_text=help_text)

    def clean(self, value: Any) -> dict[str, str]:  # type: ignore[override]
        """Read key and count from each line."""
        return read_pairs(super().clean(value))


class WhenForm(forms.Form):
    """A form whose act happens now, at the end of the period, or at an instant."""

    when = forms.ChoiceField(choices=_WHEN, label="When")
    starts_at = HourField(label="Hour", required=False, help_text="Only for “At this hour”.")

    def clean(self) -> dict[str, Any]:
        """An instant is given where it is chosen."""
        values = super().clean() or {}
        if values.get("when") == "instant" and not values.get("starts_at") and "starts_at" not in self.errors:
            self.add_error("starts_at", "Choose a day and an hour.")
        return values


class StartForm(forms.Form):
    """A new subscription."""

    plan = forms.ChoiceField(label="Plan")
    name = forms.CharField(
        max_length=100, label="Name", help_text="What it is called on bills, such as Production."
    )
    starts_at = HourField(label="Starts at")
    anchor_day = forms.CharField(
        max_length=10,
        label="Period begins on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Other periods begin on the same day of their month, at midnight on the account's clock.",
    )
    policy = forms.ChoiceField(choices=_FIRST_POLICIES, label="Tiers and included usage at first")
    counts = CountsField()

    def clean_anchor_day(self) -> date:
        """Read the day in its one form."""
        return _day(self.cleaned_data["anchor_day"])


class ChangeForm(WhenForm):
    """Another plan, or other counts, from an instant on."""

    plan = forms.ChoiceField(label="Plan")
    policy = forms.ChoiceField(choices=_POLICIES, label="Tiers and included usage")
    counts = CountsField()
    reason = forms.CharField(max_length=200, required=False, label="Reason")
    field_order = ("plan", "when", "starts_at", "policy", "counts", "reason")


class AddOnForm(WhenForm):
    """An add-on from an instant on."""

    plan = forms.ChoiceField(label="Add-on")
    counts = CountsField()
    field_order = ("plan", "when", "starts_at", "counts")


class EndForm(WhenForm):
    """When a subscription ends."""

    when = forms.ChoiceField(choices=_ENDS, label="When")


class OverrideEndForm(forms.Form):
    """From which hour on the plan's price holds again."""

    price = forms.CharField(widget=forms.HiddenInput, max_length=130)
    started_at = forms.CharField(widget=forms.HiddenInput, max_length=40)
    ends_at = HourField(label="Until periods that begin at", help_text="Those have the plan's price again.")


class OverrideForm(forms.Form):
    """An account's own terms for one price."""

    price = forms.ChoiceField(label="Price")
    toml = forms.CharField(
        label="Terms as TOML",
        strip=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "mono"}),
        help_text='Such as model = "per_unit" and, on the next line, unit_amount = "0.07". Unit and timing stay.',
    )
    starts_at = HourField(label="From periods that begin at", help_text="Or later.")
    ends_at = HourField(label="Until periods that begin at", required=False, help_text="Empty: it goes on.")
    reason = forms.CharField(max_length=200, label="Reason")


class ProfileForm(forms.Form):
    """Who sends the invoices, to whom, with what tax, and how much time there is to pay."""

    legal_entity = forms.ChoiceField(label="Sent by")
    company_name = forms.CharField(max_length=200, required=False, label="Company")
    address = forms.CharField(max_length=1000, required=False, label="Address", widget=_SHORT_AREA)
    tax_id = forms.CharField(max_length=60, required=False, label="Tax id")
    purchase_order = forms.CharField(max_length=60, required=False, label="Purchase order")
    recipients = forms.CharField(
        max_length=5000,
        required=False,
        label="Recipients",
        widget=_SHORT_AREA,
        help_text="E-mail addresses, one on a line.",
    )
    tax_name = forms.CharField(max_length=60, required=False, label="Tax", help_text="Such as VAT.")
    tax_percent = forms.CharField(max_length=12, initial="0", label="Tax, percent")
    tax_exempt_reason = forms.CharField(max_length=200, required=False, label="Why no tax")
    due_days = forms.IntegerField(min_value=0, max_value=DAYS_MAX, initial=14, label="Days to pay")
    grace_days = forms.IntegerField(
        min_value=0,
        max_value=DAYS_MAX,
        initial=3,
        label="Days of grace",
        help_text="After a period, for late usage.",
    )


class CreditForm(forms.Form):
    """Money an account may use instead of paying."""

    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in GRANTED_KINDS], label="Kind")
    name = forms.CharField(max_length=100, label="Name", help_text="As it stands on bills.")
    amount = forms.CharField(max_length=30, label="Amount")
    expires_at = HourField(label="Expires at", required=False, help_text="Empty: never.")
    priority = forms.IntegerField(
        min_value=0,
        max_value=PRIORITY_MAX,
        initial=100,
        label="Priority",
        help_text="Lower ones are used first.",
    )
    covers = forms.CharField(
        max_length=1000,
        required=False,
        label="Covers",
        help_text="Price keys with commas. Empty: every price.",
    )
    is_before_tax = forms.BooleanField(required=False, initial=True, label="Used before tax")
    reason = forms.CharField(max_length=200, label="Reason")

    def clean_covers(self) -> tuple[str, ...] | None:
        """Read the keys; none is every price."""
        keys = tuple(key.strip() for key in self.cleaned_data["covers"].split(",") if key.strip())
        return keys or None


class PayoutForm(forms.Form):
    """Money that was sent to a closed account; `payout` tells a form that is sent twice from another payout."""

    payout = forms.UUIDField(widget=forms.HiddenInput)
    currency = forms.CharField(widget=forms.HiddenInput, max_length=3)
    amount = forms.CharField(max_length=30, label="Amount")
    paid_on = forms.CharField(
        max_length=10,
        label="Paid on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="On the account's clock.",
    )
    reference = forms.CharField(
        max_length=300, label="Reference of the payment", help_text="The customer reads it."
    )

    def clean_paid_on(self) -> date:
        """Read the day in its one form."""
        return _day(self.cleaned_data["paid_on"])


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except InvalidDay as error:
        said = str(error)
        raise forms.ValidationError(f"{said[:1].upper()}{said[1:]}.") from None
