"""One row of an account in every table that holds accounts' rows, made from the models themselves.

A new table is filled without being named here, or the test that asks for its row turns red.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction

from accounts.models import Account
from accounts.tenancy import as_owner, connection
from insights.rating.charges import Flat
from insights.rating.terms import PriceTerms
from insights.rating.terms_json import terms_document
from tests.isolation.catalogue import ACCOUNT_TABLE, PLATFORM_TABLES

CANARY = "CANARY"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# What a check constraint or a meaning asks for; everything else follows from the type of the column.
SPECIAL: dict[str, Any] = {
    "accounts_supportaccess.expires_at": NOW + timedelta(minutes=30),
    "accounts_supportaccess.ended_at": NOW + timedelta(minutes=1),
    "accounts_account.currency": "EUR",
    "accounts_account.state": "active",
    "accounts_account.closed_at": None,
    "accounts_account.billing_zone": "UTC",
    "insights_batch.via": "api",
    "insights_batchpart.via": "api",
    "insights_source.format": "any",
    "insights_meter.grain_seconds": 3600,
    "insights_meter.unique_dimensions": [],
    # Meters and the shapes of sources are the platform's: both accounts see the same ones.
    "insights_meter.key": lambda: f"meter-{uuid.uuid4().hex[:8]}",
    "insights_meter.name": "Bytes out",
    "insights_meter.unit": "byte",
    "insights_meter.description": "",
    "insights_meter.dimensions": ["region"],
    "insights_meter.retired_at": None,
    "insights_source.columns": {},
    "insights_source.ignored": [],
    "insights_source.constants": {},
    "insights_source.conversions": {},
    "insights_source.clock_zone": "UTC",
    "insights_series.window_seconds": 3600,
    "insights_archivedseries.digests": [7],
    # Long before the days that pages are asked for, which would otherwise be archived ones.
    "insights_rollupseal.month": date(2024, 1, 1),
    "insights_watermark.cadence_seconds": 3600,
    "insights_batch.replay_of": None,
    "insights_batch.duplicate_of": None,
    "insights_batch.backfill": None,
    "insights_source.account": None,
    # The catalogue is the platform's, and both accounts may see the same plan on their bills.
    "insights_legalentity.key": lambda: f"entity-{uuid.uuid4().hex[:8]}",
    "insights_legalentity.number_prefix": lambda: uuid.uuid4().hex[:8],
    "insights_plan.key": lambda: f"plan-{uuid.uuid4().hex[:8]}",
    "insights_plan.name": "Pay as you go",
    "insights_plan.currency": "EUR",
    "insights_plan.interval_months": 1,
    "insights_plan.account": None,
    "insights_plan.retired_at": None,
    "insights_billingprofile.tax_percent": 19,
    "insights_billingprofile.tax_exempt_reason": "",
    "insights_subscription.billing_zone": "UTC",
    "insights_subscription.currency": "EUR",
    "insights_subscription.interval_months": 1,
    "insights_subscription.ends_at": None,
    "insights_subscriptionphase.policy": "restart",
    "insights_subscriptionphase.counts": {},
    "insights_subscriptionphase.cancelled_at": None,
    "insights_addon.ends_at": None,
    "insights_addon.counts": {},
    "insights_priceoverride.ends_at": None,
    "insights_priceoverride.terms": terms_document(
        PriceTerms(currency="EUR", charge=Flat(amount=Decimal(1)))
    ),
    "insights_priceoverride.cells": [],
    # A private view is not there for any other member.
    "insights_savedview.is_shared": True,
    "insights_invoice.period_end": NOW + timedelta(days=30),
    "insights_invoice.currency": "EUR",
    "insights_invoice.total_minor": 0,
    "insights_invoice.details": {},
    "insights_invoice.parked_for": [],
    "insights_invoice.released": [],
    "insights_invoice.state": "draft",
    "insights_invoice.legal_entity": None,
    "insights_invoice.number": None,
    "insights_invoice.number_in_series": None,
    "insights_invoice.issued_at": None,
    "insights_invoice.due_at": None,
    "insights_invoice.sha256": None,
    "insights_lineitem.amount_minor": 0,
    "insights_lineitem.service_end": NOW + timedelta(days=30),
    "insights_lineitem.kind": "charge",
    "insights_lineitem.segment": {},
    "insights_lineitem.steps": [],
    "insights_lineitem.terms": None,
    "insights_lineitem.allotted": {},
    "insights_lineitem.values": {},
    "insights_lineitem.billed_quantity": "0",
    "insights_lineitem.corrects": None,
    "insights_lineitem.corrects_invoice": None,
    "insights_uncoveredusage.released_at": None,
    "insights_uncoveredusage.reason": "",
    "insights_creditgrant.currency": "EUR",
    "insights_creditgrant.expires_at": None,
    "insights_creditgrant.covers": None,
    "insights_creditgrant.from_invoice": None,
    "insights_credituse.payout": None,
    "insights_payout.currency": "EUR",
}


def tenant_models() -> list[type[models.Model]]:
    """Return the models whose rows belong to an account, as the models declare it."""
    return [
        model
        for model in apps.get_models()
        if any(field.column == "account_id" for field in model._meta.concrete_fields)
        and model._meta.db_table not in PLATFORM_TABLES | {ACCOUNT_TABLE}
    ]


def fill_every_table(account: Account, *, text: str = CANARY) -> dict[str, models.Model]:
    """Write one row of the account, with a text of its own, into every tenant table; returns the rows by table."""
    made: dict[str, models.Model] = {ACCOUNT_TABLE: account}
    with as_owner(), transaction.atomic(using="owner"):
        with connection().cursor() as cursor:
            cursor.execute("SELECT portal_ensure_month(%s)", [NOW.date()])
        for model in tenant_models():
            _make(model, made, text)
    return made


def _make(model: type[models.Model], made: dict[str, models.Model], text: str) -> models.Model:
    table = model._meta.db_table
    if table not in made:
        values = {
            field.name: _value(field, made, text)
            for field in model._meta.concrete_fields
            if not isinstance(field, models.AutoField | models.CompositePrimaryKey)
        }
        made[table] = model._default_manager.create(**values)
    return made[table]


def _value(field: models.Field[Any, Any], made: dict[str, models.Model], text: str) -> Any:
    special = f"{field.model._meta.db_table}.{field.name}"
    if special in SPECIAL:
        value = SPECIAL[special]
        return value() if callable(value) else value
    if isinstance(field, models.ForeignKey):
        return _make(field.related_model, made, text)
    if field.choices:
        return next(iter(field.choices))[0]
    plain: dict[type[Any], Any] = {
        models.UUIDField: uuid.uuid4(),
        models.EmailField: f"{text.lower()}-{uuid.uuid4().hex[:8]}@example.com",
        models.JSONField: {"region": text},
        models.BinaryField: text.encode().ljust(32, b"."),
        models.BooleanField: False,
        models.DateTimeField: NOW,
        models.DateField: date(2026, 11, 20),
        models.DecimalField: 7,
        models.SlugField: f"{text.lower()}-{uuid.uuid4().hex[:8]}",
    }
    for kind, value in plain.items():
        if type(field) is kind:
            return value
    if isinstance(field, models.CharField | models.TextField):
        return f"{text} {uuid.uuid4().hex[:4]}"[: field.max_length]
    if isinstance(field, ArrayField) and isinstance(
        field.base_field, models.IntegerField | models.DecimalField
    ):
        return [7]
    if isinstance(field, models.IntegerField):
        return 1 if field.name in {"revision", "version", "position", "line_no"} else 0
    return [text]
