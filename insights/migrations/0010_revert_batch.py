"""A batch can be taken out of the books again.

History holds a further row for a revision that was current a second time, so its keys count only the first. What a
batch wrote is found by block ranges: rows of a batch lie together, and a tree over batch ids would be written with
every record.
"""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

INDEXES = """
CREATE INDEX usagerecord_batch ON insights_usagerecord USING brin (batch_id int8_minmax_multi_ops)
    WITH (pages_per_range = 32);
CREATE INDEX usagerevision_batch ON insights_usagerevision USING brin (batch_id int8_minmax_multi_ops)
    WITH (pages_per_range = 32);
CREATE INDEX usagerevision_ended ON insights_usagerevision USING brin (ended_by_entry_id) WITH (pages_per_range = 32);
CREATE INDEX usagerevision_retracted ON insights_usagerevision (source_id, account_id, series_id, window_start)
    WHERE kind = 'retracted';
"""
STATES = ["received", "processing", "done", "refused", "quarantined", "reverted"]
PERSON = {"null": True, "on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}


class Migration(migrations.Migration):
    dependencies = [
        ("insights", "0009_meter_versions_in_turn"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterField(
            "batch",
            "state",
            models.CharField(
                choices=[(state, state.capitalize()) for state in STATES], default="received", max_length=12
            ),
        ),
        migrations.RemoveConstraint("batch", "batch_state_known"),
        migrations.AddConstraint(
            "batch", models.CheckConstraint(name="batch_state_known", condition=Q(state__in=STATES))
        ),
        migrations.AddField("batchpart", "reverted_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "usagerevision",
            "is_further",
            models.BooleanField(default=False, help_text="History held the revision before this row."),
        ),
        migrations.RemoveConstraint("usagerevision", "usagerevision_window"),
        migrations.RemoveConstraint("usagerevision", "usagerevision_row_id"),
        migrations.AddConstraint(
            "usagerevision",
            models.UniqueConstraint(
                fields=["account", "series", "window_start", "revision"],
                condition=Q(row_id="", is_further=False),
                name="usagerevision_window",
            ),
        ),
        migrations.AddConstraint(
            "usagerevision",
            models.UniqueConstraint(
                fields=["account", "source", "row_id", "revision"],
                condition=~Q(row_id="") & Q(is_further=False),
                name="usagerevision_row_id",
            ),
        ),
        migrations.CreateModel(
            name="BatchRevert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("prepared_at", models.DateTimeField(null=True)),
                ("preview", models.JSONField(default=dict)),
                ("confirmed_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                (
                    "records_out",
                    models.PositiveIntegerField(default=0, help_text="Current records taken out."),
                ),
                (
                    "records_back",
                    models.PositiveIntegerField(
                        default=0, help_text="Past revisions that are current again."
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True)),
                ("asked_by", models.ForeignKey(to=settings.AUTH_USER_MODEL, **PERSON)),
                ("confirmed_by", models.ForeignKey(to=settings.AUTH_USER_MODEL, **PERSON)),
                (
                    "batch",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="revert",
                        to="insights.batch",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="batchrevert_prepared_first",
                        condition=Q(confirmed_at__isnull=True) | Q(prepared_at__isnull=False),
                    ),
                    models.CheckConstraint(
                        name="batchrevert_confirmed_with_reason",
                        condition=Q(confirmed_at__isnull=True) | ~Q(reason=""),
                    ),
                    models.CheckConstraint(
                        name="batchrevert_finished_last",
                        condition=Q(finished_at__isnull=True) | Q(confirmed_at__isnull=False),
                    ),
                ]
            },
        ),
        migrations.RunSQL(INDEXES, migrations.RunSQL.noop),
    ]
