"""Who is in the demo: the accounts and people of Tidegate, as a table to be read. All names are made up."""

from __future__ import annotations

from dataclasses import dataclass

PLATFORM_NAME = "Tidegate"
DEMO_PASSWORD = "tidegate-demo-only"  # noqa: S105 - printed for everyone who starts the demo
OWNER_EMAIL = "owner@halyard.example"
VIEWER_EMAIL = "viewer@halyard.example"
ACCOUNTANT_EMAIL = "books@tallyho.example"
STAFF_EMAIL = "support@tidegate.example"
ADMIN_EMAIL = "admin@tidegate.example"


@dataclass(frozen=True, slots=True)
class Role:
    """One account before its endpoints are drawn: how big, where, since when."""

    reference: str
    name: str
    domain: str
    billing_zone: str
    currency: str
    # Requests per hour at the busiest endpoint, at the end of the story.
    busiest: int
    steady: int = 0
    office: int = 0
    sparse: int = 0
    tcp: int = 0
    domains: int = 0
    policies: int = 0
    # Endpoints on a domain of their own: the ones that endpoint hours are counted for.
    own: int = 0
    regions: tuple[str, ...] = ("eu-central",)
    # Traffic at the beginning of the story, in thousandths of today's.
    growth_from: int = 600
    opened_days_ago: int | None = None
    state: str = "active"
    state_days_ago: int | None = None


UTC = "UTC"
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
TOKYO = "Asia/Tokyo"
SYDNEY = "Australia/Sydney"
# Half an hour off: its days begin inside an hour of UTC.
ADELAIDE = "Australia/Adelaide"

CAST = (
    Role("halyard-commerce", "Halyard Commerce", "halyard.example", BERLIN, "EUR", 186_000, steady=28,
         office=10, sparse=456, tcp=6, domains=14, policies=4, own=8,
         regions=("eu-central", "us-east", "ap-southeast"), growth_from=420),
    Role("quillfern-media", "Quillfern Media", "quillfern.example", NEW_YORK, "USD", 94_000, steady=18,
         office=4, sparse=24, tcp=2, domains=8, policies=2, own=3,
         regions=("us-east", "us-west", "eu-central"), growth_from=700),
    Role("skeldhavn-logistics", "Skeldhavn Logistics", "skeldhavn.example", BERLIN, "EUR", 31_000,
         steady=12, office=12, sparse=10, tcp=6, domains=5, policies=1, own=2,
         regions=("eu-central", "us-east")),
    Role("kumori-games", "Kumori Games", "kumori.example", TOKYO, "JPY", 78_000, steady=13, sparse=8,
         tcp=8, domains=4, policies=1, own=2, regions=("ap-northeast", "us-west"), growth_from=350),
    Role("wattlebird-energy", "Wattlebird Energy", "wattlebird.example", SYDNEY, "AUD", 22_000, steady=9,
         office=8, sparse=6, tcp=2, domains=4, policies=1, own=2, regions=("ap-southeast",)),
    Role("pellucid-health", "Pellucid Health", "pellucid.example", UTC, "USD", 17_500, steady=8,
         office=10, sparse=4, domains=5, policies=2, own=1, regions=("us-east", "us-west"),
         growth_from=800),
    Role("brackwater-analytics", "Brackwater Analytics", "brackwater.example", UTC, "GBP", 12_800,
         steady=8, office=9, sparse=14, tcp=3, domains=3, policies=1, own=1,
         regions=("eu-central", "us-east"), growth_from=300),
    Role("opalgate-ticketing", "Opalgate Ticketing", "opalgate.example", UTC, "EUR", 44_000, steady=8,
         sparse=6, domains=3, policies=1, own=1, regions=("eu-central",), growth_from=500),
    Role("saltmarsh-savings", "Saltmarsh Savings", "saltmarsh.example", UTC, "GBP", 9_400, steady=5,
         office=8, tcp=2, domains=3, policies=1, own=1, regions=("eu-central",), growth_from=900),
    Role("lumenforge-robotics", "Lumenforge Robotics", "lumenforge.example", BERLIN, "EUR", 6_200,
         steady=3, office=6, sparse=5, tcp=6, domains=2, regions=("eu-central",), growth_from=250),
    Role("junco-travel", "Junco Travel", "junco.example", NEW_YORK, "USD", 8_100, steady=5, office=3,
         sparse=4, domains=2, policies=1, regions=("us-east",)),
    Role("hoshizora-learning", "Hoshizora Learning", "hoshizora.example", TOKYO, "JPY", 5_300, steady=4,
         office=3, sparse=4, domains=2, regions=("ap-northeast",), growth_from=450),
    Role("coppervane-insurance", "Coppervane Insurance", "coppervane.example", NEW_YORK, "USD", 3_900,
         steady=3, office=6, domains=2, policies=1, regions=("us-east",), growth_from=950),
    Role("drift-and-dory", "Drift & Dory", "driftdory.example", ADELAIDE, "AUD", 3_100, steady=3, sparse=6,
         domains=1, regions=("ap-southeast",)),
    Role("mirabelle-atelier", "Mirabelle Atelier", "mirabelle.example", UTC, "EUR", 1_900, steady=2,
         office=2, sparse=3, domains=1, regions=("eu-central",)),
    Role("fennel-street-foods", "Fennel Street Foods", "fennelstreet.example", NEW_YORK, "USD", 1_500,
         steady=2, sparse=2, domains=1, regions=("us-east",)),
    Role("varglund-forestry", "Varglund Forestry", "varglund.example", BERLIN, "SEK", 700, steady=1,
         office=3, tcp=1, domains=1, regions=("eu-central",), growth_from=900),
    Role("plover-parcel", "Plover Parcel", "plover.example", UTC, "GBP", 900, steady=2, sparse=1,
         domains=1, regions=("eu-central",), opened_days_ago=150),
    Role("tinwhistle-radio", "Tinwhistle Radio", "tinwhistle.example", UTC, "GBP", 420, steady=1,
         sparse=1, regions=("eu-central",)),
    Role("bluethorn-dental", "Bluethorn Dental", "bluethorn.example", NEW_YORK, "USD", 60, office=1,
         regions=("us-east",), growth_from=950),
    Role("nettle-and-nook", "Nettle & Nook", "nettlenook.example", SYDNEY, "AUD", 25, sparse=1,
         regions=("ap-southeast",), opened_days_ago=60),
    Role("otterbank-maps", "Otterbank Maps", "otterbank.example", UTC, "CHF", 2_400, steady=2, sparse=2,
         regions=("eu-central", "us-west"), opened_days_ago=24),
    Role("ashgrove-observatory", "Ashgrove Observatory", "ashgrove.example", UTC, "EUR", 0,
         opened_days_ago=2),
    Role("gullwing-auctions", "Gullwing Auctions", "gullwing.example", NEW_YORK, "USD", 4_600, steady=4,
         sparse=4, domains=1, regions=("us-east",), state="suspended", state_days_ago=11),
    Role("marrow-lane-press", "Marrow Lane Press", "marrowlane.example", BERLIN, "EUR", 1_200, steady=3,
         office=2, domains=1, regions=("eu-central",), state="closed", state_days_ago=128),
)  # fmt: skip

# People besides one owner per account. The demo's viewer and owner hold two accounts each, so that the
# switcher has something to show.
MEMBERS = (
    (VIEWER_EMAIL, "Ida Brandt", "halyard-commerce", "viewer"),
    (VIEWER_EMAIL, "Ida Brandt", "skeldhavn-logistics", "viewer"),
    (OWNER_EMAIL, "Jonas Reuter", "ashgrove-observatory", "owner"),
    ("finance@halyard.example", "Marta Lindqvist", "halyard-commerce", "billing"),
    ("platform@halyard.example", "Tomasz Wilk", "halyard-commerce", "admin"),
    ("finance@quillfern.example", "Dana Whitlock", "quillfern-media", "billing"),
    ("ops@kumori.example", "Aiko Minami", "kumori-games", "admin"),
    # An office that keeps the books of several: one sign-in for every kind of bill.
    *(
        (ACCOUNTANT_EMAIL, "Nils Tallis", reference, "billing")
        for reference in (
            "quillfern-media", "skeldhavn-logistics", "kumori-games", "wattlebird-energy", "pellucid-health",
            "opalgate-ticketing", "saltmarsh-savings", "junco-travel", "coppervane-insurance", "drift-and-dory",
            "bluethorn-dental", "marrow-lane-press",
        )
    ),
)  # fmt: skip

OWNERS = {"halyard-commerce": "Jonas Reuter", "quillfern-media": "Priya Raman", "kumori-games": "Haruto Mori"}
STAFF_NAME = "Noor Haddad"
ADMIN_NAME = "Leif Aune"

ENDPOINT_LABELS = (
    "api", "www", "checkout", "auth", "search", "media", "hooks", "graphql", "assets", "events",
    "uploads", "portal", "partners", "admin", "status", "images", "reports", "sync", "billing", "feeds",
    "stream", "maps", "chat", "mobile", "orders", "catalog", "stock", "pricing", "reviews", "session",
    "push", "embed", "docs", "jobs", "login", "metrics", "tracking", "quotes", "desk", "labels",
)  # fmt: skip
TCP_LABELS = (
    "mqtt", "sftp", "game", "db", "relay", "voice", "telemetry", "syslog", "broker", "mail",
)  # fmt: skip
SHOP_FIRST = (
    "amber", "birch", "cedar", "copper", "dapple", "ember", "fern", "flint", "harbour", "hazel", "indigo",
    "juniper", "lark", "linen", "maple", "meadow", "mellow", "olive", "pebble", "pine", "quartz",
    "russet",
)  # fmt: skip
SHOP_SECOND = (
    "arcade", "attic", "barn", "cabin", "corner", "cottage", "den", "emporium", "forge", "garden",
    "house", "kiosk", "larder", "loft", "market", "mill", "pantry", "parlour", "studio", "workshop",
)  # fmt: skip
