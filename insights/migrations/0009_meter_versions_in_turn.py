"""The versions of a meter take windows one after the other, each from where the one before it was retired.

Two open versions, an end that moves, or a version put in between would give windows that were counted already to
another version, and count them again. Where two versions of one key are open, retire one before this is applied.
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

IN_TURN = """
CREATE OR REPLACE FUNCTION portal_refuse_new_meaning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.key, NEW.version, NEW.unit, NEW.grain_seconds, NEW.aggregation, NEW.dimensions, NEW.unique_dimensions)
       IS DISTINCT FROM
       (OLD.key, OLD.version, OLD.unit, OLD.grain_seconds, OLD.aggregation, OLD.dimensions, OLD.unique_dimensions) THEN
        RAISE EXCEPTION 'a changed meter is a new version' USING ERRCODE = '42501';
    END IF;
    IF OLD.retired_at IS NOT NULL AND NEW.retired_at IS DISTINCT FROM OLD.retired_at THEN
        RAISE EXCEPTION 'the end of a meter version is final' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE FUNCTION portal_refuse_version_between() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM public.insights_meter m WHERE m.key = NEW.key AND m.version > NEW.version) THEN
        RAISE EXCEPTION 'a new meter version comes after those there are' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER meter_versions_in_turn BEFORE INSERT ON insights_meter
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_version_between();
REVOKE ALL ON FUNCTION portal_refuse_version_between() FROM PUBLIC;
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0008_book_check")]
    operations = [
        migrations.AddConstraint(
            "meter",
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(retired_at__isnull=True),
                name="meter_one_open_version",
                violation_error_message="Another version of this meter is open. Retire it first.",
            ),
        ),
        migrations.RunSQL(IN_TURN),
    ]
