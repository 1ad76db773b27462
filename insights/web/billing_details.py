"""The form for what stands on an account's next bills, for owners, admins and whoever does its billing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import account_page
from accounts.models import AccountState, Role
from insights.billing.period_queries import read_clock
from insights.billing.profile_operations import BillingDetails, NoBillingProfile, change_billing_details
from insights.billing.profile_queries import find_billing_profile
from insights.models import BillingProfile

RECIPIENTS_MAX = 10
ADDRESS_LINES_MAX = 10
BILLING_ROLES = (Role.OWNER.value, Role.ADMIN.value, Role.BILLING.value)
_UNPRINTABLE = "It holds a character that cannot be printed."


class BillingDetailsForm(forms.Form):
    """Company, address, tax number, purchase order, and who gets bills besides the members."""

    company_name = forms.CharField(label="Company", max_length=200, required=False)
    address = forms.CharField(
        label="Address",
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=f"As it should stand on the bill, at most {ADDRESS_LINES_MAX} lines.",
    )
    tax_id = forms.CharField(label="Tax number", max_length=60, required=False)
    purchase_order = forms.CharField(
        label="Purchase order", max_length=60, required=False, help_text="Printed on every bill from now on."
    )
    recipients = forms.CharField(
        label="Also send bills to",
        max_length=4000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=f"One e-mail address a line, at most {RECIPIENTS_MAX}. Owners and billing members get bills anyway.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a form with a field missing: it would empty what it does not name."""
        if missing := [name for name in self.fields if name not in self.data]:
            raise ValidationError(f"The form came without {', '.join(missing)}. Please open it again.")
        return self.cleaned_data

    def clean_company_name(self) -> str:
        """One printable line."""
        return _one_line(self.cleaned_data["company_name"])

    def clean_tax_id(self) -> str:
        """One printable line."""
        return _one_line(self.cleaned_data["tax_id"])

    def clean_purchase_order(self) -> str:
        """One printable line."""
        return _one_line(self.cleaned_data["purchase_order"])

    def clean_address(self) -> str:
        """Printable lines, not too many."""
        lines = str(self.cleaned_data["address"]).replace("\r\n", "\n").split("\n")
        if len(lines) > ADDRESS_LINES_MAX:
            raise ValidationError(f"At most {ADDRESS_LINES_MAX} lines.")
        return "\n".join(_one_line(line) for line in lines)

    def clean_recipients(self) -> list[str]:
        """Each line an address, none twice, not too many; the message names the line that is none."""
        text = str(self.cleaned_data["recipients"]).replace("\r\n", "\n")
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if len(lines) > RECIPIENTS_MAX:
            raise ValidationError(f"At most {RECIPIENTS_MAX} addresses; there are {len(lines)}.")
        for line in lines:
            try:
                validate_email(line)
            except ValidationError:
                raise ValidationError(f"“{line[:80]}” is not an e-mail address.") from None
            if len(line) > 254:
                raise ValidationError(f"“{line[:80]}” is too long.")
        lowered = [line.lower() for line in lines]
        if len(set(lowered)) != len(lowered):
            raise ValidationError("An address is there twice.")
        return lines


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValidationError(_UNPRINTABLE)
    return text


@account_page(roles=BILLING_ROLES)
@require_http_methods(["GET", "HEAD", "POST"])
def billing_details(request: Any) -> HttpResponse:
    """Show the details, and change them; support sees them and changes nothing."""
    profile = find_billing_profile(request.account)
    form = BillingDetailsForm(request.POST if request.method == "POST" else None, initial=_initial(profile))
    if request.method == "POST" and profile is not None and form.is_valid():
        return _save(request, form)
    may_change = request.support_access is None and request.account.state == AccountState.ACTIVE
    context = {
        "nav": "bills",
        "profile": profile,
        "form": form,
        "may_change": may_change,
        "zone": request.account.billing_zone,
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "bills/billing_details.html", context, status=status)


def _save(request: Any, form: BillingDetailsForm) -> HttpResponse:
    try:
        changed = change_billing_details(
            request.account, BillingDetails(**form.cleaned_data), by=request.user, now=read_clock()
        )
    except NoBillingProfile:
        changed = ()
    words = "Saved. Bills made from now on say so." if changed else "Nothing was different."
    messages.success(request, words)
    return redirect("billing-details", request.account.public_id)


def _initial(profile: BillingProfile | None) -> dict[str, str]:
    if profile is None:
        return {}
    return {
        "company_name": profile.company_name,
        "address": profile.address,
        "tax_id": profile.tax_id,
        "purchase_order": profile.purchase_order,
        "recipients": "\n".join(profile.recipients),
    }
