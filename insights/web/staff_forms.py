"""The forms of the source pages besides the source itself: its TOML, a preview, an upload, a key."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

from insights.feeds.backfill_operations import REASON_CHARACTERS_MAX
from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal


class TomlForm(forms.Form):
    """A source's definition as TOML, pasted or as a file."""

    text = forms.CharField(
        required=False,
        strip=False,
        label="TOML",
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "class": "tall"}),
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
        required=False,
        allow_empty_file=True,
        label="Or a file",
        help_text="Only its first lines are read; nothing is stored.",
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


def _refuse_unprintable(text: str) -> None:
    if not text.isprintable():
        raise forms.ValidationError("Write it on one line, without control characters.")


def _reason(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        validators=[_refuse_unprintable],
        max_length=REASON_CHARACTERS_MAX,
        label=label,
        help_text=help_text,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class BackfillForm(forms.Form):
    """Why a backfill is opened, and whether old windows are taken."""

    reason = _reason("Reason", "What it mends, such as “October of the eu region was never sent”.")
    takes_any_age = forms.BooleanField(
        required=False,
        initial=True,
        label="Take windows of any age",
        help_text="Else the source's own age limit refuses older lines.",
    )


class ReasonForm(forms.Form):
    """Why a backfill is ended, one way or the other."""

    reason = _reason("Reason", "Kept with the backfill and in the audit trail.")


class KeyForm(forms.Form):
    """A new key's name."""

    name = forms.CharField(
        max_length=100,
        label="Name of the key",
        help_text="Who or what will use it, such as “nightly export”.",
    )
