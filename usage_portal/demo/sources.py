"""The three feeds of the demo, described the way any feed is: as TOML, without code."""

from __future__ import annotations

from collections.abc import Mapping

from usage_portal.demo.company import Company, hour_start
from usage_portal.demo.traffic import DOMAINS, EDGE, EDGE_HISTORY

# No age limits: the demo tells fourteen months in a minute.
SOURCES: Mapping[str, str] = {
    EDGE: """\
slug = "edge"
name = "Edge, hourly"
key_kind = "window"
format = "csv"
window = "hour"
max_age_days = "none"
max_ahead_seconds = 300
lateness_seconds = 3600
cadence_seconds = 21600
""",
    EDGE_HISTORY: """\
slug = "edge-history"
name = "Edge, daily (until hourly began)"
key_kind = "window"
format = "csv"
window = "day"
max_age_days = "none"
max_ahead_seconds = 300
lateness_seconds = 86400
cadence_seconds = 86400
""",
    DOMAINS: """\
slug = "domains"
name = "Custom domains, daily"
key_kind = "row_id"
format = "csv"
window = "day"
max_age_days = "none"
max_ahead_seconds = 300
lateness_seconds = 86400
cadence_seconds = 86400

[columns]
row_id = "record"
account = "customer"
"dimension.domain" = "domain"
window_start = "day"
quantity = "hours"
revision = "version"

[constants]
meter = "custom_domain_hours"
unit = "hours"
""",
}


def describe_sources(company: Company) -> Mapping[str, str]:
    """Each source's TOML; the daily feed ended when the hourly one began."""
    ended_at = f"ended_at = {hour_start(company.hourly_from):%Y-%m-%dT%H:%M:%SZ}\n"
    return {slug: text + ended_at if slug == EDGE_HISTORY else text for slug, text in SOURCES.items()}
