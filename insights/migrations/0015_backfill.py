"""Uploads can be gathered as a backfill and go into the books together, at one position."""

from __future__ import annotations

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

BATCH_STATES = ["received", "processing", "done", "refused", "quarantined", "reverted", "held", "discarded"]
STATES = ["open", "previewing", "ready", "failed", "closing", "closed", "discarded"]
PERSON = {"null": True, "on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}
FIELDS = [
    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
    ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
    (
        "state",
        models.CharField(
            choices=[(state, state.capitalize()) for state in STATES], default="open", max_length=10
        ),
    ),
    ("reason", models.CharField(max_length=200)),
    (
        "takes_any_age",
        models.BooleanField(
            default=True, help_text="Windows of any age are taken, whatever the source's age limit says."
        ),
    ),
    (
        "opened_at",
        models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
    ),
    ("preview", models.JSONField(default=dict)),
    ("previewed_at", models.DateTimeField(null=True)),
    (
        "problem",
        models.CharField(blank=True, default="", help_text="Why the last try failed.", max_length=300),
    ),
    ("ended_at", models.DateTimeField(null=True)),
    ("end_reason", models.CharField(blank=True, default="", max_length=200)),
    ("ended_by", models.ForeignKey(to=settings.AUTH_USER_MODEL, **PERSON)),
    ("opened_by", models.ForeignKey(to=settings.AUTH_USER_MODEL, **PERSON)),
    (
        "source",
        models.ForeignKey(
            on_delete=django.db.models.deletion.PROTECT, related_name="backfills", to="insights.source"
        ),
    ),
]
ENDED = ["closed", "discarded"]
CONSTRAINTS = [
    models.UniqueConstraint(fields=["source"], condition=~Q(state__in=ENDED), name="backfill_one_open"),
    models.CheckConstraint(name="backfill_state_known", condition=Q(state__in=STATES)),
    models.CheckConstraint(name="backfill_opened_with_reason", condition=~Q(reason="")),
    models.CheckConstraint(
        name="backfill_ended_with_reason", condition=~Q(state__in=["closing", *ENDED]) | ~Q(end_reason="")
    ),
    models.CheckConstraint(
        name="backfill_ended_when",
        condition=Q(state__in=ENDED, ended_at__isnull=False)
        | (~Q(state__in=ENDED) & Q(ended_at__isnull=True)),
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("insights", "0014_usage_sums"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(name="Backfill", fields=FIELDS, options={"constraints": CONSTRAINTS}),
        migrations.AddField(
            "batch",
            "backfill",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="batches",
                to="insights.backfill",
            ),
        ),
        migrations.AddField(
            "ledgerentry",
            "backfill",
            models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="insights.backfill",
            ),
        ),
        migrations.AddConstraint(
            "ledgerentry",
            models.UniqueConstraint(
                fields=["backfill"], condition=Q(backfill__isnull=False), name="ledgerentry_backfill_once"
            ),
        ),
        migrations.AddConstraint(
            "ledgerentry",
            models.CheckConstraint(
                name="ledgerentry_of_backfill",
                condition=Q(kind="backfill_close", backfill__isnull=False, batch__isnull=True)
                | (~Q(kind="backfill_close") & Q(backfill__isnull=True)),
            ),
        ),
        migrations.AlterField(
            "batch",
            "state",
            models.CharField(
                choices=[(state, state.capitalize()) for state in BATCH_STATES],
                default="received",
                max_length=12,
            ),
        ),
        migrations.RemoveConstraint("batch", "batch_state_known"),
        migrations.AddConstraint(
            "batch", models.CheckConstraint(name="batch_state_known", condition=Q(state__in=BATCH_STATES))
        ),
    ]
