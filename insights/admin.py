"""The catalogue and the feeds in the admin; writes go through operations, which write the audit entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.admin import AnyAdmin, ReadOnlyAdmin
from accounts.models import Account
from accounts.operations import record_act
from insights.feeds.operations import change_source, check_source, create_source, save_meter
from insights.ingest.mapping import definition_of
from insights.ingest.source_definition import (
    InvalidSource,
    SourceDefinition,
    parse_source_toml,
    source_to_toml,
)
from insights.models import (
    Batch,
    LedgerEntry,
    LegalEntity,
    Meter,
    Plan,
    PlanVersion,
    Price,
    Source,
    WorkItem,
)

if TYPE_CHECKING:
    SourceModelForm = forms.ModelForm[Source]
    MeterModelForm = forms.ModelForm[Meter]
    PriceTable = admin.TabularInline[Price, PlanVersion]
else:
    SourceModelForm = MeterModelForm = forms.ModelForm
    PriceTable = admin.TabularInline
# What a meter means; the database refuses to change it, and another meaning is another version.
MEANING = ("key", "version", "unit", "grain_seconds", "aggregation", "dimensions", "unique_dimensions")
TOML_HELP = (
    "Needed: slug, name, key_kind (window or row_id), window (5min, 15min, 30min, hour, day). "
    "Optional: format, clock_zone, enabled, ended_at, max_age_days (or “none”), max_ahead_seconds, lateness_seconds, "
    "cadence_seconds, default_revision, ignored, and the tables [columns], [constants] and "
    "[conversions.<meter>]. "
    "The staff page of the source tries the first lines of a file against it."
)


class MeterAdminForm(MeterModelForm):
    """A version of a meter; a new one comes after those there are."""

    def clean_version(self) -> int:
        """Refuse a version before one that exists, as the database does."""
        version: int = self.cleaned_data["version"]
        if Meter.objects.filter(key=self.cleaned_data.get("key"), version__gt=version).exists():
            raise forms.ValidationError("A later version of this meter exists.")
        return version


@admin.register(Meter)
class MeterAdmin(AnyAdmin):
    """Meters. A change of unit, grain, aggregation or dimensions is a new version.

    It takes the windows that begin once the one before it is retired.
    """

    form = MeterAdminForm
    list_display = ("key", "version", "name", "unit", "aggregation", "grain_seconds", "retired_at")
    list_filter = ("aggregation",)
    search_fields = ("key", "name")
    fields = (*MEANING, "name", "description", "allows_negative", "position", "retired_at")
    # The admin's pair of date and time has no label of its own and styles its clock by script.
    formfield_overrides = {
        models.DateTimeField: {
            "form_class": forms.DateTimeField,
            "widget": forms.DateTimeInput,
            "help_text": "In UTC, such as 2026-12-01 00:00.",
        }
    }

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> tuple[str, ...]:
        """Leave the meaning of a stored version, and its end once it is set, as they are."""
        if obj is None:
            return ()
        return MEANING if obj.retired_at is None else (*MEANING, "retired_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A meter is retired, since its usage stays readable."""
        return False

    def save_model(self, request: HttpRequest, obj: Meter, form: Any, change: bool) -> None:
        """Save through the operation, which writes the audit entry."""
        save_meter(meter=obj, actor=_actor(request))


class SourceAdminForm(SourceModelForm):
    """A source as its TOML, the account it is bound to, and whether it is billed."""

    toml = forms.CharField(
        label="Definition as TOML",
        strip=False,
        help_text=TOML_HELP,
        widget=forms.Textarea(attrs={"rows": 26, "cols": 90, "spellcheck": "false"}),
    )

    class Meta:
        model = Source
        fields = ("account", "billable")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.instance.pk:
            self.fields["toml"].initial = source_to_toml(definition_of(self.instance))

    def clean(self) -> dict[str, Any]:
        """Check the definition as the operation will, so that every fault is named on the form."""
        values = super().clean() or {}
        if "toml" not in values:
            return values
        account: Account | None = values.get("account")
        try:
            definition = parse_source_toml(values["toml"])
            if self.instance.pk and definition.slug != self.instance.slug:
                raise InvalidSource((("slug", f"must stay {self.instance.slug!r}"),))
            self.definition = replace(definition, account_id=account.pk if account else None)
            check_source(definition=self.definition, is_new=not self.instance.pk)
        except InvalidSource as error:
            for name, message in error.errors:
                self.add_error("toml", f"{name} {message}")
        return values

    definition: SourceDefinition


@admin.register(Source)
class SourceAdmin(AnyAdmin):
    """Sources. The staff pages offer the same with a preview, uploads and keys."""

    form = SourceAdminForm
    fields = ("account", "billable", "toml")
    autocomplete_fields = ("account",)
    list_display = ("slug", "name", "enabled", "ended_at", "key_kind", "window", "account")
    list_filter = ("enabled", "key_kind")
    list_select_related = ("account",)
    search_fields = ("slug", "name")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A source is switched off, since what it sent names it."""
        return False

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        """Save through the operation, which writes the audit entry."""
        save = change_source if change else create_source
        saved = save(definition=form.definition, actor=_actor(request), billable=obj.billable)
        obj.pk = Source.objects.only("pk").get(slug=saved.slug).pk
        obj.refresh_from_db()


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    """Batches by state; their staff page says more."""

    list_display = (
        "public_id", "source", "name", "via", "state", "received_at", "received", "new", "rejected",
    )  # fmt: skip
    list_filter = ("state", "via", "source")
    list_select_related = ("source",)
    search_fields = ("=public_id", "name")
    ordering = ("-id",)
    fields = (
        "public_id", "upload_id", "upload_part", "source", "name", "via", "submitted_by", "received_at",
        "media_type", "size_bytes", "revision", "complete_to", "create_accounts", "state", "lines_done",
        "lines_total", "blank_lines", "received", "new", "replaced", "duplicate", "stale", "rejected",
        "error_code", "error_detail", "error_line", "error_field", "finished_at",
    )  # fmt: skip
    show_full_result_count = False


@admin.register(WorkItem)
class WorkItemAdmin(ReadOnlyAdmin):
    """The work list: who works on which batch, and until when."""

    list_display = (
        "batch_id", "state", "lease_owner", "lease_number", "leased_until", "deliveries", "created_at",
    )  # fmt: skip
    list_filter = ("state",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """Committed writes to the ledger in their order."""

    list_display = ("position", "kind", "batch_id", "first_line", "last_line", "committed_at")
    list_filter = ("kind",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(LegalEntity)
class LegalEntityAdmin(AnyAdmin):
    """Who sends invoices. The key and the prefix of numbers stay, since issued invoices bear them."""

    list_display = ("key", "name", "number_prefix", "tax_id")
    fields = ("key", "name", "address", "tax_id", "email", "number_prefix")

    def get_readonly_fields(self, request: HttpRequest, obj: LegalEntity | None = None) -> tuple[str, ...]:
        """Leave what is on issued invoices as it is."""
        return () if obj is None else ("key", "number_prefix")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its invoices name it."""
        return False

    def save_model(self, request: HttpRequest, obj: LegalEntity, form: Any, change: bool) -> None:
        """Save with an audit entry of what is different."""
        super().save_model(request, obj, form, change)
        record_act(
            account=None,
            actor=_actor(request),
            act="legal_entity.change" if change else "legal_entity.create",
            subject=obj.key,
            details={name: str(form.cleaned_data[name]) for name in form.changed_data},
        )


class PriceInline(PriceTable):
    """The prices of a version as they are stored."""

    model = Price
    extra = 0
    fields = (
        "key", "name", "meter_key", "dimensions", "terms", "cells", "is_counted", "is_taxable", "takes_credit",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes here."""
        return False


@admin.register(PlanVersion)
class PlanVersionAdmin(ReadOnlyAdmin):
    """Versions with their prices. The next one is written on the staff page of its plan, which names every fault."""

    list_display = ("plan", "number", "effective_from", "published_at", "next_version")
    list_select_related = ("plan",)
    fields = ("plan", "number", "effective_from", "published_at", "note", "terms", "next_version")
    readonly_fields = ("next_version",)
    inlines = (PriceInline,)

    @admin.display(description="next version")
    def next_version(self, version: PlanVersion) -> str:
        """Lead to where the plan is edited; a published version never changes."""
        return _edit_link(version.plan)


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """Plans; they are edited on the staff page, which shows and checks their next version."""

    list_display = ("key", "name", "kind", "currency", "interval_months", "retired_at", "next_version")
    search_fields = ("key", "name")
    fields = (
        "key", "name", "description", "kind", "currency", "interval_months", "account", "position", "retired_at",
        "next_version",
    )  # fmt: skip
    readonly_fields = ("next_version",)

    @admin.display(description="next version")
    def next_version(self, plan: Plan) -> str:
        """Lead to where the plan is edited."""
        return _edit_link(plan)


def _edit_link(plan: Plan) -> str:
    return format_html('<a href="{}">Edit {}</a>', reverse("staff-plan-edit", args=[plan.key]), plan.name)


def _actor(request: HttpRequest) -> Any:
    return request.user
