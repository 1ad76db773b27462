"""Who buys what in the demo: billing details, plans and their changes, credits, and what happened to some bills.

A table to be read, like the cast. Nothing reads the clock: months are counted back from the last one whose bills are
issued, and amounts of money are texts in major units of the account's currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from usage_portal.demo.company import Company, DemoAccount, hour_start

PLANS = Path(__file__).parent / "plans"
GRACE_DAYS = 3


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sends invoices."""

    key: str
    name: str
    address: str
    tax_id: str
    email: str
    number_prefix: str


EUROPE = Seller(
    "tidegate-eu", "Tidegate Networks GmbH", "Speicherkai 14\n20457 Hamburg\nGermany", "DE000000000",
    "billing@tidegate.example", "TGE-",
)  # fmt: skip
ABROAD = Seller(
    "tidegate-inc", "Tidegate Inc.", "400 Made-up Street\nPortland, ME 04101\nUnited States", "00-0000000",
    "billing@tidegate.example", "TGI-",
)  # fmt: skip
SELLERS = (EUROPE, ABROAD)


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whom the bills of an account are made out to, and what tax they bear."""

    company_name: str
    address: str
    tax_name: str = ""
    tax_percent: str = "0"
    tax_exempt_reason: str = ""
    tax_id: str = ""
    purchase_order: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Another plan from noon of a day of a month on; `months_back` 0 is the last month whose bills are issued."""

    plan: str
    months_back: int
    day: int
    policy: str
    reason: str
    counts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credit:
    """Money granted at the start of a month; `days_left` counts from the end of the story."""

    kind: str
    name: str
    amount: str
    reason: str
    months_back: int
    days_left: int | None = None
    priority: int = 100
    covers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """Terms of one price for one account alone, from the start of a month on."""

    price: str
    toml: str
    months_back: int
    reason: str


@dataclass(frozen=True, slots=True)
class Purchase:
    """What one account buys. Without a plan of its own it pays as it goes, in its currency."""

    plan: str = ""
    counts: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    add_on: str = ""
    credits: tuple[Credit, ...] = ()
    own_price: OwnPrice | None = None
    due_days: int = 14
    # Newest bills that are not paid in time, and the one that was voided and made anew, counted back from the last.
    unpaid: int = 0
    voided_months_back: int | None = None
    has_late_usage: bool = False


GERMAN_VAT = ("VAT", "19")
PURCHASES: Mapping[str, Purchase] = {
    "halyard-commerce": Purchase(
        plan="enterprise-eur",
        counts={"users": "60"},
        due_days=30,
        credits=(
            Credit("commitment", "Yearly commitment", "40000", "Agreed with the yearly purchase", 2, 200),
        ),
    ),
    "skeldhavn-logistics": Purchase(plan="team-eur", counts={"users": "8"}, has_late_usage=True),
    "quillfern-media": Purchase(
        due_days=30,
        changes=(
            Change("team-usd", 0, 9, "shared_by_time", "Tried the Team plan", {"users": "6"}),
            Change("payg-usd", 0, 21, "shared_by_time", "Back to paying by use"),
        ),
    ),
    "pellucid-health": Purchase(
        credits=(
            Credit(
                "promotion", "Launch promotion", "1600", "Offer to new customers in health care", 1, 150, 50
            ),
            Credit(
                "goodwill",
                "Apology for the outage",
                "25",
                "Seven hours without a region",
                0,
                18,
                20,
                ("custom_domains",),
            ),
            Credit("commitment", "Commitment for a year", "6000", "Agreed for a year of use", 0, 330, 200),
        ),
    ),
    "saltmarsh-savings": Purchase(
        changes=(Change("web-gbp", 0, 8, "restart", "Moved to the Web plan"),),
    ),
    "opalgate-ticketing": Purchase(
        own_price=OwnPrice(
            "transfer",
            'model = "per_unit"\nunit_amount = "0.06"\nincluded = "100"\n',
            5,
            "Agreed with sales for a season of large sales",
        ),
    ),
    "wattlebird-energy": Purchase(add_on="chat-support-aud"),
    "coppervane-insurance": Purchase(voided_months_back=1, due_days=60),
    "junco-travel": Purchase(unpaid=2),
    "bluethorn-dental": Purchase(plan="free-usd"),
    "tinwhistle-radio": Purchase(plan="free-gbp"),
    "nettle-and-nook": Purchase(plan="free-aud"),
}

BUYERS: Mapping[str, Buyer] = {
    "halyard-commerce": Buyer(
        "Halyard Commerce SE", "Werftstraße 3\n18057 Rostock\nGermany", *GERMAN_VAT, tax_id="DE000000001",
        purchase_order="PO-2025-0417",
    ),
    "skeldhavn-logistics": Buyer("Skeldhavn Logistics GmbH", "Am Sund 20\n24837 Schleswig\nGermany", *GERMAN_VAT),
    "lumenforge-robotics": Buyer("Lumenforge Robotics GmbH", "Ostring 9\n10437 Berlin\nGermany", *GERMAN_VAT),
    "marrow-lane-press": Buyer("Marrow Lane Press GmbH", "Gasse 1\n04103 Leipzig\nGermany", *GERMAN_VAT),
    "kumori-games": Buyer("Kumori Games K.K.", "2-8-1 Made-up\nShibuya, Tokyo\nJapan", "Consumption tax", "10"),
    "hoshizora-learning": Buyer(
        "Hoshizora Learning K.K.", "5-1 Made-up\nNakano, Tokyo\nJapan", "Consumption tax", "10"
    ),
    "wattlebird-energy": Buyer("Wattlebird Energy Pty Ltd", "88 Made-up Road\nNewtown NSW\nAustralia", "GST", "10"),
    "drift-and-dory": Buyer("Drift & Dory Pty Ltd", "4 Jetty Lane\nGlenelg SA\nAustralia", "GST", "10"),
    "opalgate-ticketing": Buyer(
        "Opalgate Ticketing SARL", "12 quai Fictif\n44000 Nantes\nFrance", tax_id="FR00000000000",
        tax_exempt_reason="Reverse charge: the recipient accounts for VAT.",
    ),
}  # fmt: skip
EUROPEAN = frozenset({"EUR", "GBP", "SEK", "CHF"})


def purchase_of(account: DemoAccount) -> Purchase:
    """What the account buys."""
    return PURCHASES.get(account.reference, Purchase())


def plan_of(account: DemoAccount) -> str:
    """The key of the plan that the account begins with."""
    return purchase_of(account).plan or f"payg-{account.currency.lower()}"


def buyer_of(account: DemoAccount) -> Buyer:
    """Whom its bills are made out to."""
    return BUYERS.get(account.reference, Buyer(account.name, f"1 Made-up Street\n{account.name}"))


def seller_of(account: DemoAccount) -> Seller:
    """Who bills the account, by its currency."""
    return EUROPE if account.currency in EUROPEAN else ABROAD


def starts_at(company: Company, account: DemoAccount) -> datetime:
    """When the account's subscription begins: with its usage, or the day it was opened."""
    return max(hour_start(company.first_hour), account.opened_at)


def issued_month(company: Company, months_back: int) -> date:
    """The first day of the last month whose bills are out for every account, or of one before it."""
    # A day more than the grace, since months end later west of Greenwich.
    last = (company.now - timedelta(days=GRACE_DAYS + 1)).date().replace(day=1)
    index = last.year * 12 + last.month - 2 - months_back
    return date(index // 12, index % 12 + 1, 1)


def local_hour(account: DemoAccount, day: date, hour: int) -> datetime:
    """A whole hour in UTC at about that hour of the account's own clock."""
    local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(account.billing_zone))
    return local.astimezone(UTC).replace(minute=0)
