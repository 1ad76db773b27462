"""A source that ended holds up no later period, and one that is expected is seen before it has sent anything.

A watermark says from when to when its source counts. Sources switched off before this have ended with their last
window; sources bound to an account are expected from when they were made.
"""

from __future__ import annotations

from django.db import migrations, models

KNOWN = """
UPDATE insights_watermark w SET counts_from = coalesce(
    (SELECT min(p.first_window) FROM insights_batchpart p JOIN insights_batch b ON b.id = p.batch_id
     WHERE p.account_id = w.account_id AND b.source_id = w.source_id),
    w.last_window_end, w.complete_to);
INSERT INTO insights_watermark (account_id, source_id, source_slug, source_name, cadence_seconds, counts_from)
SELECT s.account_id, s.id, s.slug, s.name, s.cadence_seconds, s.created_at
FROM insights_source s WHERE s.account_id IS NOT NULL ON CONFLICT (account_id, source_id) DO NOTHING;
UPDATE insights_source s SET ended_at = coalesce(
    (SELECT max(w.last_window_end) FROM insights_watermark w WHERE w.source_id = s.id),
    date_trunc('second', s.created_at))
WHERE NOT s.enabled;
UPDATE insights_watermark w SET ended_at = coalesce(w.last_window_end, w.counts_from)
FROM insights_source s WHERE s.id = w.source_id AND NOT s.enabled;
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0011_history_fewer_indexes")]
    operations = [
        migrations.AddField("source", "ended_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("watermark", "ended_at", models.DateTimeField(null=True)),
        migrations.AddField("watermark", "counts_from", models.DateTimeField(null=True)),
        migrations.AlterField("watermark", "complete_to", models.DateTimeField(null=True)),
        migrations.AlterField("watermark", "last_received_at", models.DateTimeField(null=True)),
        migrations.RunSQL([KNOWN, "SET CONSTRAINTS ALL IMMEDIATE"], migrations.RunSQL.noop),
        migrations.AlterField("watermark", "counts_from", models.DateTimeField()),
    ]
