"""The form of a source, field by field: texts in, a definition out, every fault at its field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import forms

from insights.feeds.wording import in_field_order
from insights.ingest.grammar import scan_quantity
from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.ingest.source_definition import SourceDefinition, UnitConversion
from insights.models import KeyKind, SourceWindow

_AREA = forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "autocomplete": "off"})
_SHORT_AREA = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"})
_FORMATS = [("any", "Any of the three"), ("csv", "CSV"), ("ndjson", "NDJSON"), ("json", "JSON")]


def add_faults(form: forms.Form, faults: tuple[tuple[str, str], ...], *, fallback: str | None = None) -> None:
    """Put each fault at the field it belongs to; `columns.quantity` belongs to the field columns."""
    for name, message in faults:
        field = name.partition(".")[0]
        known = field if field in form.fields else fallback
        form.add_error(known, message if name == known else f"{name} {message}".strip())


class SourceForm(forms.Form):
    """Every setting of a source. The account it is bound to is chosen once, when it is made."""

    slug = forms.SlugField(
        max_length=60,
        label="Short name",
        help_text="Lower-case letters, digits and hyphens. It stands in addresses and commands.",
    )
    name = forms.CharField(max_length=100, label="Name", help_text="What people call the feed.")
    account_reference = forms.CharField(
        max_length=200,
        required=False,
        label="Account",
        help_text="The reference of the one account this source writes for. Empty: it names accounts itself.",
    )
    billable = forms.BooleanField(required=False, initial=True, label="Its usage is billed")
    enabled = forms.BooleanField(required=False, initial=True, label="It may send")
    format = forms.ChoiceField(choices=_FORMATS, label="File format")
    key_kind = forms.ChoiceField(
        choices=KeyKind.choices,
        label="Same fact by",
        help_text="Window: meter, dimensions and window start. Row id: the sender's own id of each line.",
    )
    window = forms.ChoiceField(choices=SourceWindow.choices, initial="hour", label="Window length")
    clock_zone = forms.CharField(
        max_length=64,
        required=False,
        label="Clock zone",
        help_text="Such as Australia/Sydney, for files with local times. Empty: every time needs its offset.",
    )
    columns = forms.CharField(
        required=False,
        widget=_AREA,
        label="Columns",
        help_text=(
            "One on a line: our field = their column. Fields: account, meter, window_start, window_end, "
            "quantity, unit, row_id, revision, dimension.<key>. Empty: the file uses our names."
        ),
    )
    ignored = forms.CharField(
        required=False,
        widget=_SHORT_AREA,
        label="Columns not used",
        help_text="One on a line. A column that stands neither here nor above refuses the file.",
    )
    constants = forms.CharField(
        required=False,
        widget=_SHORT_AREA,
        label="On every line",
        help_text="One on a line: field = value, such as meter = electricity.",
    )
    conversions = forms.CharField(
        required=False,
        widget=_SHORT_AREA,
        label="Units",
        help_text=(
            "One on a line: meter = unit factor, such as electricity = Wh 0.001. "
            "The quantity is multiplied by the factor."
        ),
    )
    default_revision = forms.IntegerField(
        min_value=1, initial=1, label="Revision", help_text="For lines that state none."
    )
    max_age_days = forms.IntegerField(
        min_value=1, required=False, initial=35, label="Oldest window, days", help_text="Empty: any age."
    )
    max_ahead_seconds = forms.IntegerField(min_value=0, initial=300, label="Furthest ahead, seconds")
    lateness_seconds = forms.IntegerField(
        min_value=0,
        initial=0,
        label="Lateness, seconds",
        help_text="How long before its last window's end a batch is believed complete.",
    )
    cadence_seconds = forms.IntegerField(
        min_value=1,
        initial=3600,
        label="Cadence, seconds",
        help_text="How often a batch is expected. Nothing for twice as long is shown as missing.",
    )

    ended_at = forms.CharField(
        max_length=40,
        required=False,
        label="Ended at",
        help_text=(
            "Such as 2026-11-03T00:00:00Z: nothing is expected of later windows. Empty: it goes on. "
            "One that is switched off ends with its last window."
        ),
    )

    def clean_ended_at(self) -> datetime | None:
        """Read the instant in the one form that usage files have too."""
        text = self.cleaned_data["ended_at"]
        if not text:
            return None
        try:
            return scan_instant(text, "ended at", clock_zone=None)
        except Refusal as refusal:
            raise forms.ValidationError(f"{refusal.message[:1].upper()}{refusal.message[1:]}.") from None

    def clean_columns(self) -> dict[str, str]:
        """Read our field and their column from each line."""
        return read_pairs(self.cleaned_data["columns"])

    def clean_constants(self) -> dict[str, str]:
        """Read field and value from each line."""
        return read_pairs(self.cleaned_data["constants"])

    def clean_ignored(self) -> tuple[str, ...]:
        """Read one column name from each line."""
        return tuple(line for _, line in _lines(self.cleaned_data["ignored"]))

    def clean_conversions(self) -> dict[str, UnitConversion]:
        """Read meter, unit and factor from each line."""
        return {
            meter: _conversion(text) for meter, text in read_pairs(self.cleaned_data["conversions"]).items()
        }

    def definition(self, *, account_id: int | None) -> SourceDefinition:
        """The definition that a valid form describes."""
        values = {name: self.cleaned_data[name] for name in _PLAIN_FIELDS}
        return SourceDefinition(
            **values, clock_zone=self.cleaned_data["clock_zone"] or None, account_id=account_id
        )


_PLAIN_FIELDS = (
    "slug", "name", "enabled", "ended_at", "format", "key_kind", "window", "columns", "ignored", "constants",
    "conversions", "default_revision", "max_age_days", "max_ahead_seconds", "lateness_seconds",
    "cadence_seconds",
)  # fmt: skip


def initial_of(definition: SourceDefinition, *, is_billable: bool, account_reference: str) -> dict[str, Any]:
    """What the form shows of a stored source."""
    values: dict[str, Any] = {name: getattr(definition, name) for name in _PLAIN_FIELDS}
    return values | {
        "billable": is_billable,
        "account_reference": account_reference,
        "clock_zone": definition.clock_zone or "",
        "ended_at": ""
        if definition.ended_at is None
        else definition.ended_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "columns": _written(definition.columns),
        "constants": _written(definition.constants),
        "ignored": "\n".join(definition.ignored),
        "conversions": _written(
            {
                meter: f"{conversion.unit} {conversion.factor:f}"
                for meter, conversion in definition.conversions.items()
            }
        ),
    }


def _written(pairs: Any) -> str:
    return "\n".join(f"{name} = {value}" for name, value in in_field_order(pairs))


def _lines(text: str) -> list[tuple[int, str]]:
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def read_pairs(text: str) -> dict[str, str]:
    """Name and value of each line `name = value`, or a ValidationError that names the line."""
    pairs: dict[str, str] = {}
    for number, line in _lines(text):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (name and equals and value):
            raise forms.ValidationError(f"Line {number} must be written as name = value.")
        if name in pairs:
            raise forms.ValidationError(f"Line {number} names {name} a second time.")
        pairs[name] = value
    return pairs


def _conversion(text: str) -> UnitConversion:
    unit, _, factor = text.rpartition(" ")
    if not unit.strip():
        raise forms.ValidationError("Write unit and factor, such as electricity = Wh 0.001.")
    try:
        return UnitConversion(unit=unit.strip(), factor=Decimal(scan_quantity(factor, "the factor")))
    except Refusal as refusal:
        raise forms.ValidationError(refusal.message) from None
