"""Plan files for tests of the catalogue and of subscriptions."""

from __future__ import annotations

from datetime import UTC, datetime

from accounts.tenancy import as_worker
from insights.billing.catalogue_operations import load_plan, publish_version
from insights.billing.plan_toml import parse_plan_toml
from insights.models import Plan

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

PRO = """\
key = "pro"
name = "Pro"
currency = "USD"

[version]
effective_from = 2026-01-01T00:00:00Z

[[prices]]
key = "out"
name = "Data out"
meter = "bytes_out"
unit = "byte"
per = "GB"
model = "per_unit"
unit_amount = "0.10"
included = "5"

[[prices]]
key = "seats"
name = "Seats"
counted = true
model = "per_unit"
unit_amount = "5"
timing = "in_advance"
prorated = true
"""

FEE = """\
key = "{key}"
name = "{name}"
kind = "{kind}"
currency = "{currency}"
interval = "{interval}"

[version]
effective_from = {effective_from}

[[prices]]
key = "base"
name = "Base fee"
model = "flat"
amount = "20"
timing = "in_advance"
"""


def fee_plan(
    key: str,
    *,
    kind: str = "base",
    currency: str = "USD",
    interval: str = "month",
    effective_from: str = "2026-01-01T00:00:00Z",
) -> str:
    """A plan of one fee."""
    return FEE.format(
        key=key,
        name=key.title(),
        kind=kind,
        currency=currency,
        interval=interval,
        effective_from=effective_from,
    )


def publish(text: str, *, now: datetime = NOW) -> Plan:
    """Load a plan file and publish it."""
    with as_worker():
        loaded = load_plan(document=parse_plan_toml(text), actor=None)
        publish_version(key=loaded.key, number=loaded.number, actor=None, now=now)
        return Plan.objects.get(key=loaded.key)
