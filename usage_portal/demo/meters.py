"""What Tidegate measures: the six meters of the demo, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoMeter:
    """One meter of the catalogue, with the fields the catalogue asks for."""

    key: str
    name: str
    description: str
    unit: str
    grain_seconds: int
    aggregation: str
    dimensions: tuple[str, ...]
    unique_dimensions: tuple[str, ...] = ()


# The history arrives in daily windows and the last weeks in hourly ones, and a source's window has to divide
# the meter's grain: meters that both feeds carry therefore have a grain of one day.
DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
PLACE = ("endpoint", "region", "protocol")

METERS = (
    DemoMeter(
        key="requests",
        name="Requests",
        description="HTTP requests answered at an endpoint.",
        unit="requests",
        grain_seconds=DAY_SECONDS,
        aggregation="sum",
        dimensions=PLACE,
    ),
    DemoMeter(
        key="bytes_out",
        name="Data transfer out",
        description="Bytes sent from an endpoint to clients. Bytes received are not counted.",
        unit="bytes",
        grain_seconds=DAY_SECONDS,
        aggregation="sum",
        dimensions=PLACE,
    ),
    DemoMeter(
        key="tcp_connections",
        name="TCP connections",
        description="Connections opened to TCP and TLS endpoints.",
        unit="connections",
        grain_seconds=DAY_SECONDS,
        aggregation="sum",
        dimensions=PLACE,
    ),
    DemoMeter(
        key="endpoint_hours",
        name="Endpoint hours",
        description="Clock hours in which an endpoint on a domain of your own sent any data.",
        unit="hours",
        grain_seconds=HOUR_SECONDS,
        aggregation="unique_count",
        dimensions=("endpoint",),
        unique_dimensions=("endpoint",),
    ),
    DemoMeter(
        key="custom_domain_hours",
        name="Custom domain hours",
        description="Hours for which a custom domain existed on the account.",
        unit="hours",
        grain_seconds=DAY_SECONDS,
        aggregation="sum",
        dimensions=("domain",),
    ),
    DemoMeter(
        key="policy_units",
        name="Traffic policy units",
        description="Weights of the traffic policy actions that ran.",
        unit="units",
        grain_seconds=DAY_SECONDS,
        aggregation="sum",
        dimensions=("endpoint", "region"),
    ),
)

METERS_BY_KEY = {meter.key: meter for meter in METERS}
