"""The forms of the source pages: texts in, a source's definition out, every fault at its field."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms

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

    def clean_columns(self) -> dict[str, str]:
        """Read our field and their column from each line."""
        return _pairs(self.cleaned_data["columns"])

    def clean_constants(self) -> dict[str, str]:
        """Read field and value from each line."""
        return _pairs(self.cleaned_data["constants"])

    def clean_ignored(self) -> tuple[str, ...]:
        """Read one column name from each line."""
        return tuple(line for _, line in _lines(self.cleaned_data["ignored"]))

    def clean_conversions(self) -> dict[str, UnitConversion]:
        """Read meter, unit and factor from each line."""
        return {meter: _conversion(text) for meter, text in _pairs(self.cleaned_data["conversions"]).items()}

    def definition(self, *, account_id: int | None) -> SourceDefinition:
        """The definition that a valid form describes."""
        values = {name: self.cleaned_data[name] for name in _PLAIN_FIELDS}
        return SourceDefinition(
            **values, clock_zone=self.cleaned_data["clock_zone"] or None, account_id=account_id
        )


_PLAIN_FIELDS = (
    "slug", "name", "enabled", "format", "key_kind", "window", "columns", "ignored", "constants",
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
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())


def _lines(text: str) -> list[tuple[int, str]]:
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def _pairs(text: str) -> dict[str, str]:
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


class TomlForm(forms.Form):
    """A source's definition as TOML, pasted or as a file."""

    text = forms.CharField(
        required=False,
        strip=False,
        label="TOML",
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "class": "mono"}),
    )
    file = forms.FileField(required=False, label="Or a TOML file")

    def clean_file(self) -> str:
        """Read the file as text."""
        upload = self.cleaned_data["file"]
        return _decoded(upload.read(_TOML_BYTES_MAX + 1)) if upload else ""

    def clean(self) -> dict[str, Any]:
        """Take the file's text when there is a file; something must be given."""
        values = super().clean() or {}
        if values.get("file"):
            values["text"] = values["file"]
        if not (values.get("text") or "").strip() and not self.errors:
            self.add_error("text", "Paste the TOML or choose a file.")
        return values


_TOML_BYTES_MAX = 200_000


def _decoded(data: bytes) -> str:
    if len(data) > _TOML_BYTES_MAX:
        raise forms.ValidationError("The file is too large for the definition of a source.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise forms.ValidationError("The file is not UTF-8.") from None


class PreviewForm(forms.Form):
    """The first lines of a file, pasted or chosen."""

    lines = forms.CharField(
        required=False,
        strip=False,
        max_length=200_000,
        label="First lines, with the header",
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono", "wrap": "off"}),
    )
    file = forms.FileField(
        required=False, label="Or a file", help_text="Only its first lines are read; nothing is stored."
    )

    def clean(self) -> dict[str, Any]:
        """Something must be given."""
        values = super().clean() or {}
        if not self.errors and values.get("file") is None and not values.get("lines"):
            self.add_error("lines", "Paste some lines or choose a file.")
        return values


class UploadForm(forms.Form):
    """One file of usage. The token makes a second press of the button the same upload."""

    file = forms.FileField(
        label="File",
        allow_empty_file=True,
        help_text="CSV, NDJSON or JSON, also gzipped, up to 64 MiB and 1,000,000 lines.",
    )
    name = forms.CharField(
        max_length=200,
        required=False,
        label="Name",
        help_text="What to call the batch. Empty: the file's name.",
    )
    revision = forms.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        label="Revision",
        help_text="Replaces what came before at a lower revision.",
    )
    complete_to = forms.CharField(
        max_length=40,
        required=False,
        label="Complete to",
        help_text="Such as 2026-11-03T14:00:00Z. Empty: worked out from the last window.",
    )
    create_accounts = forms.BooleanField(required=False, label="Make accounts for unknown references")
    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def clean_complete_to(self) -> Any:
        """Read the instant in the one form that usage files have too."""
        text = self.cleaned_data["complete_to"]
        if not text:
            return None
        try:
            return scan_instant(text, "complete to", clock_zone=None)
        except Refusal as refusal:
            raise forms.ValidationError(f"{refusal.message[:1].upper()}{refusal.message[1:]}.") from None


class KeyForm(forms.Form):
    """A new key's name."""

    name = forms.CharField(
        max_length=100,
        label="Name of the key",
        help_text="Who or what will use it, such as “nightly export”.",
    )
