"""The three feeds of the demo, described the way any feed is: as TOML, without code."""

from __future__ import annotations

from collections.abc import Mapping

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
    # This feed has ended, so its next file is not missed for as long as a cadence may be.
    EDGE_HISTORY: """\
slug = "edge-history"
name = "Edge, daily (until hourly began)"
key_kind = "window"
format = "csv"
window = "day"
max_age_days = "none"
max_ahead_seconds = 300
lateness_seconds = 86400
cadence_seconds = 31622400
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
