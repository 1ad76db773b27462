"""A source's row as the definition that lines are read by, and back; keeps the binding to an account apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from insights.ingest.catalogue import MeterFact
from insights.ingest.source_definition import SourceDefinition, UnitConversion
from insights.models import Meter, Source


def definition_of(source: Source) -> SourceDefinition:
    """The definition that a stored source carries."""
    return SourceDefinition(
        slug=source.slug,
        name=source.name,
        key_kind=source.key_kind,
        window=source.window,
        format=source.format,
        columns=dict(source.columns),
        ignored=tuple(source.ignored),
        constants=dict(source.constants),
        clock_zone=source.clock_zone or None,
        conversions={
            meter: UnitConversion(unit=stored["unit"], factor=Decimal(stored["factor"]))
            for meter, stored in source.conversions.items()
        },
        max_age_days=source.max_age_days,
        max_ahead_seconds=source.max_ahead_seconds,
        lateness_seconds=source.lateness_seconds,
        cadence_seconds=source.cadence_seconds,
        default_revision=source.default_revision,
        enabled=source.enabled,
        ended_at=source.ended_at,
        account_id=source.account_id,
    )


def columns_of(definition: SourceDefinition) -> dict[str, Any]:
    """The values of the row's columns; a factor is kept as text, because JSON numbers lose digits."""
    return {
        "slug": definition.slug,
        "name": definition.name,
        "key_kind": definition.key_kind,
        "window": definition.window,
        "format": definition.format,
        "columns": dict(definition.columns),
        "ignored": list(definition.ignored),
        "constants": dict(definition.constants),
        "clock_zone": definition.clock_zone or "",
        "conversions": {
            meter: {"unit": conversion.unit, "factor": format(conversion.factor, "f")}
            for meter, conversion in definition.conversions.items()
        },
        "max_age_days": definition.max_age_days,
        "max_ahead_seconds": definition.max_ahead_seconds,
        "lateness_seconds": definition.lateness_seconds,
        "cadence_seconds": definition.cadence_seconds,
        "default_revision": definition.default_revision,
        "enabled": definition.enabled,
        "ended_at": definition.ended_at,
        "account_id": definition.account_id,
    }


def list_meter_facts() -> dict[str, MeterFact]:
    """The newest version of each meter that takes usage, with those whose windows came before its own."""
    facts: dict[str, MeterFact] = {}
    for meter in Meter.objects.order_by("key", "version"):
        earlier = facts.get(meter.key)
        if earlier is None or _takes_windows_after(earlier, meter):
            facts[meter.key] = _meter_fact(meter, earlier)
    return facts


def _takes_windows_after(earlier: MeterFact, meter: Meter) -> bool:
    if earlier.retired_at is None:
        return False
    return meter.retired_at is None or meter.retired_at > earlier.retired_at


def _meter_fact(meter: Meter, earlier: MeterFact | None) -> MeterFact:
    return MeterFact(
        id=meter.pk,
        key=meter.key,
        unit=meter.unit,
        grain_seconds=meter.grain_seconds,
        dimensions=tuple(meter.dimensions),
        allows_negative=meter.allows_negative,
        retired_at=meter.retired_at,
        earlier=earlier,
    )
