"""Invoices for what changes after a subscription's last one, and what tells billing that something changed."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Greatest, Now

KINDS = ["period", "opening", "closing"]
END_SET = "When its end was last set."


class Migration(migrations.Migration):
    dependencies = [("insights", "0020_billing_guards")]
    operations = [
        migrations.AlterField(
            "invoice",
            "kind",
            models.CharField(choices=[(kind, kind.title()) for kind in KINDS], default="period", max_length=10),
        ),
        migrations.RemoveConstraint("invoice", "invoice_kind_known"),
        migrations.AddConstraint(
            "invoice", models.CheckConstraint(condition=Q(kind__in=KINDS), name="invoice_kind_known")
        ),
        migrations.AddField(
            "subscription",
            "settled_as_of",
            models.BigIntegerField(
                null=True,
                editable=False,
                help_text="After its end: the ledger position up to which nothing is left to bill.",
            ),
        ),
        *(
            migrations.AddField(
                name, "changed_at", models.DateTimeField(db_default=Now(), editable=False, help_text=END_SET)
            )
            for name in ("subscription", "addon", "priceoverride")
        ),
        migrations.AddIndex(
            "batchpart",
            models.Index(
                "account", Greatest("finished_at", "reverted_at", "received_at"), name="batchpart_touched"
            ),
        ),
    ]
