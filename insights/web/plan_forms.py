"""The forms in which staff edit a plan: its heading, one price with its tiers, and when a draft is published."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from django import forms
from django.http import QueryDict

from insights.billing.plan_edit import TIER_COLUMNS, PriceTexts, model_fields, tier_columns
from insights.billing.plan_faults import PlanFault
from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.rating.charges import Packages
from insights.rating.terms import FeeTiming

MODEL_WORDS = (
    ("flat", "Flat: one amount"),
    ("per_unit", "Per unit"),
    ("graduated", "Graduated: each tier's units at its price"),
    ("volume", "Volume: everything at the price of the tier it reaches"),
    ("package", "Package: an amount for so many units"),
    ("percentage", "Percentage of money that is metered"),
    ("graduated_percentage", "Graduated percentage: each tier's part at its percent"),
    ("stairstep", "Stairstep: one amount for the tier it reaches"),
)
_COLUMN_WORDS = {
    "above": "Above",
    "up_to": "Up to and with",
    "unit_amount": "Unit price",
    "flat_amount": "Once",
    "percent": "Percent",
}
# Rows beyond those there are, so that a tier can be added without a script.
BLANK_TIERS = 3
# A row has up to four fields, and a form is taken with a thousand.
TIERS_IN_FORM_MAX = 150
_NUMBER_CHARACTERS_MAX = 60
_COUNTINGS = ((Packages.WHOLE.value, "is due whole"), (Packages.PRO_RATA.value, "is due in proportion"))
_TIMINGS = (
    (FeeTiming.IN_ADVANCE.value, "each period, in advance"),
    (FeeTiming.IN_ARREARS.value, "each period, at its end"),
    (FeeTiming.ONCE.value, "once"),
)
_FIGURE_LABELS = {
    "amount": "Amount",
    "unit_amount": "Unit price",
    "size": "Units in a package",
    "percent": "Percent",
    "fixed_amount": "Amount for each count",
    "count_meter": "Meter that counts",
}


class UtcField(forms.CharField):
    """A date and a time of day in UTC, as a browser's own control writes them."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")

    def prepare_value(self, value: Any) -> Any:
        """Show an instant on the clock of UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value

    def clean(self, value: Any) -> datetime | None:  # type: ignore[override]
        """Read the instant, with or without seconds; or say how it is written."""
        text = super().clean(value).removesuffix("Z")
        if not text:
            return None
        try:
            return scan_instant(f"{text}:00Z" if len(text) == 16 else f"{text}Z", "it", clock_zone=None)
        except Refusal as refusal:
            raise forms.ValidationError(f"{refusal.message[:1].upper()}{refusal.message[1:]}.") from None


class PublishForm(forms.Form):
    """When a draft comes into force; empty is as it says itself."""

    effective_from = UtcField(required=False, max_length=30, label="In force from, in UTC")


class HeadingForm(forms.Form):
    """What a plan is called, and when and why its next version begins."""

    name = forms.CharField(
        max_length=100, label="Name", help_text="Where customers see it, such as on bills."
    )
    description = forms.CharField(max_length=500, required=False, label="Description")
    effective_from = UtcField(
        max_length=30,
        label="In force from, in UTC",
        help_text="Periods that begin then or later are billed by it.",
    )
    note = forms.CharField(max_length=500, required=False, label="What is different, in customers' words")


class PriceForm(forms.Form):
    """A price, or one cell of it, with the fields of its charge model; its tiers are a table of their own."""

    name = forms.CharField(max_length=100, label="Name")
    model = forms.ChoiceField(choices=MODEL_WORDS, label="Charge model")

    def __init__(
        self, *arguments: Any, model: str, currency: str, unit: str, is_fee: bool, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        for name in model_fields(model):
            self.fields[name] = _figure_field(name, currency)
        if tier_columns(model):
            self.fields["flat_at_zero"] = forms.BooleanField(
                required=False, label="The first tier's amount is due without any units too"
            )
        per = f", {unit}" if unit else ""
        self.fields["included"] = _number(
            f"Included{per}", "Free in each period, before anything is charged."
        )
        self.fields["minimum"] = _number(f"At least, {currency}")
        self.fields["maximum"] = _number(f"At most, {currency}")
        self.fields["exempt"] = forms.CharField(
            required=False,
            max_length=200,
            label="Free, because",
            help_text="With a reason the price is shown and charges nothing.",
        )
        if is_fee:
            self.fields["timing"] = forms.ChoiceField(choices=_TIMINGS, label="Charged")
            self.fields["prorated"] = forms.BooleanField(
                required=False, label="For the part of a period it is held"
            )


def _figure_field(name: str, currency: str) -> forms.Field:
    if name == "counting":
        return forms.ChoiceField(choices=_COUNTINGS, label="A begun package")
    label = _FIGURE_LABELS[name]
    return _number(f"{label}, {currency}" if name.endswith("amount") else label)


def _number(label: str, help_text: str = "") -> forms.CharField:
    """A figure as text, which the reader of plan files reads exactly."""
    return forms.CharField(
        required=False,
        max_length=_NUMBER_CHARACTERS_MAX,
        label=label,
        help_text=help_text,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )


def posted_price(data: QueryDict) -> PriceTexts:
    """What a price's form says, as it was typed; rows of tiers without any text are none."""
    columns = [data.getlist(f"tier_{name}") for name in TIER_COLUMNS]
    rows = [dict(zip(TIER_COLUMNS, row, strict=True)) for row in zip_longest(*columns, fillvalue="")]
    names = set(data) - {"name"}
    return PriceTexts(
        name=data.get("name", ""),
        texts={name: str(data.get(name) or "").strip() for name in names},
        flags=frozenset(names & {"flat_at_zero", "prorated"}),
        tiers=tuple(row for row in _stripped(rows) if any(row.values())),
    )


def _stripped(rows: Iterable[dict[str, str]]) -> Iterable[dict[str, str]]:
    return ({name: text.strip() for name, text in row.items()} for row in rows)


def add_faults(form: forms.Form, title: str, faults: Iterable[PlanFault]) -> None:
    """Put the faults of the part of this title to the fields they are of."""
    for fault in faults:
        if fault.table == title and fault.field in form.fields:
            form.add_error(fault.field, f"{fault.message[:1].upper()}{fault.message[1:]}.")
        elif fault.table == title.partition(",")[0] and fault.field == "name":
            form.add_error("name", f"{fault.message[:1].upper()}{fault.message[1:]}.")


def column_heads(model: str, *, currency: str, unit: str) -> list[str]:
    """The heading of each column of a charge model's tiers, with what it is counted in."""
    measures = {"above": unit, "up_to": unit, "unit_amount": currency, "flat_amount": currency}
    heads = ((_COLUMN_WORDS[name], measures.get(name, "")) for name in tier_columns(model))
    return [", ".join(filter(None, head)) for head in heads]


def tier_rows_of(said: PriceTexts, title: str, faults: Iterable[PlanFault]) -> list[list[dict[str, Any]]]:
    """The rows of the table of tiers, with some that are empty; each cell with its text and what is wrong with it."""
    wrong = {(fault.table, fault.field): fault.message for fault in faults}
    blank = dict.fromkeys(TIER_COLUMNS, "")
    return [
        [
            {
                "name": f"tier_{name}",
                "label": f"{_COLUMN_WORDS[name]}, tier {number}",
                "value": row.get(name, ""),
                "error": wrong.get((f"{title}, tier {number}", name), ""),
            }
            for name in tier_columns(said.texts.get("model", ""))
        ]
        for number, row in enumerate((*said.tiers, *(blank for _ in range(BLANK_TIERS))), 1)
    ]
