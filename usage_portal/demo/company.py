"""The demo company drawn from its cast: accounts with endpoints, domains and people.

The same seed draws the same company. Nothing reads the clock: `now` is passed in and cut to the hour.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from usage_portal.demo import cast
from usage_portal.demo.cast import Role
from usage_portal.demo.meters import METERS, DemoMeter

HISTORY_MONTHS = 14
# Hourly usage reaches back over five weeks, so that the current month is hourly on any of its days.
HOURLY_DAYS = 35
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Hours that local time is ahead of UTC; summer time does not matter to a rhythm.
REGION_OFFSETS = {
    "eu-central": 1,
    "us-east": -5,
    "us-west": -8,
    "ap-northeast": 9,
    "ap-southeast": 10,
}


@dataclass(frozen=True, slots=True)
class DemoUser:
    """One person; only those with a password can sign in before they reset it."""

    email: str
    name: str
    password: str | None
    is_staff: bool
    is_superuser: bool = False


@dataclass(frozen=True, slots=True)
class DemoMember:
    """One person's role on one account."""

    email: str
    role: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where traffic enters. `hourly_requests` is the final level, before rhythm and noise."""

    name: str
    protocol: str
    regions: tuple[str, ...]
    rhythm: str
    hourly_requests: int
    bytes_per_request: int
    # Share of hours with any traffic at all, in thousandths.
    activity: int
    opened_hour: int
    closed_hour: int
    policy_weight: int
    is_own_domain: bool
    reports_zeros: bool
    salt: int


@dataclass(frozen=True, slots=True)
class CustomDomain:
    """A domain the account brought along, and the hours between which it existed."""

    name: str
    number: int
    opened_hour: int
    closed_hour: int


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One customer of Tidegate."""

    reference: str
    name: str
    billing_zone: str
    currency: str
    state: str
    opened_at: datetime
    state_since: datetime | None
    owner: str
    members: tuple[DemoMember, ...]
    endpoints: tuple[Endpoint, ...]
    domains: tuple[CustomDomain, ...]
    growth_from: int
    salt: int


@dataclass(frozen=True, slots=True)
class Company:
    """The whole cast at one moment. Hours are counted from 1970 in UTC; `end_hour` is `now`."""

    seed: int
    now: datetime
    first_hour: int
    hourly_from: int
    end_hour: int
    accounts: tuple[DemoAccount, ...]
    users: tuple[DemoUser, ...]
    meters: tuple[DemoMeter, ...]

    def account(self, reference: str) -> DemoAccount:
        """Return the account that usage files call `reference`."""
        return next(account for account in self.accounts if account.reference == reference)


def hour_number(moment: datetime) -> int:
    """Return the number of whole hours since 1970."""
    return int((moment - EPOCH) // HOUR)


def hour_start(hour: int) -> datetime:
    """Return the instant an hour of that number begins."""
    return EPOCH + hour * HOUR


def build_company(*, now: datetime, seed: int = 20, only: Collection[str] | None = None) -> Company:
    """Draw the cast, or of it the accounts that `only` names.

    Each account is drawn from a stream of its own, so that leaving others out does not change it.
    """
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    midnight = end.replace(hour=0)
    first_hour = hour_number(_months_before(midnight, HISTORY_MONTHS))
    roles = [role for role in cast.CAST if only is None or role.reference in only]
    accounts = tuple(
        _draw_account(role, seed=seed, midnight=midnight, first_hour=first_hour, end_hour=hour_number(end))
        for role in roles
    )
    return Company(
        seed=seed,
        now=end,
        first_hour=first_hour,
        hourly_from=hour_number(midnight) - 24 * HOURLY_DAYS,
        end_hour=hour_number(end),
        accounts=accounts,
        users=_users(accounts),
        meters=METERS,
    )


def _months_before(midnight: datetime, months: int) -> datetime:
    """Return the midnight that many months earlier; day 29 and later become day 28."""
    index = midnight.year * 12 + midnight.month - 1 - months
    return midnight.replace(year=index // 12, month=index % 12 + 1, day=min(midnight.day, 28))


def _users(accounts: tuple[DemoAccount, ...]) -> tuple[DemoUser, ...]:
    """Name every person once: staff, the owners, then the other members."""
    references = {account.reference for account in accounts}
    people = {
        account.owner: cast.OWNERS.get(account.reference, f"Owner of {account.name}") for account in accounts
    }
    people.update({email: name for email, name, reference, _ in cast.MEMBERS if reference in references})
    with_password = (cast.OWNER_EMAIL, cast.VIEWER_EMAIL, cast.ACCOUNTANT_EMAIL)
    staff = (
        DemoUser(cast.STAFF_EMAIL, cast.STAFF_NAME, cast.DEMO_PASSWORD, is_staff=True),
        DemoUser(cast.ADMIN_EMAIL, cast.ADMIN_NAME, cast.DEMO_PASSWORD, is_staff=True, is_superuser=True),
    )
    customers = [
        DemoUser(email, name, cast.DEMO_PASSWORD if email in with_password else None, is_staff=False)
        for email, name in people.items()
    ]
    return (*staff, *customers)


def _draw_account(
    role: Role, *, seed: int, midnight: datetime, first_hour: int, end_hour: int
) -> DemoAccount:
    """Draw one account. A text seeds the stream by its SHA-512, whatever the interpreter's hash seed."""
    chance = random.Random(f"{seed}:{role.reference}")  # noqa: S311 - a story, not a secret
    if role.opened_days_ago is None:
        opened_at = hour_start(first_hour) - timedelta(days=chance.randrange(20, 900))
    else:
        opened_at = midnight - timedelta(days=role.opened_days_ago)
    state_since = None if role.state_days_ago is None else midnight - timedelta(days=role.state_days_ago)
    life = (
        max(first_hour, hour_number(opened_at)),
        end_hour if state_since is None else hour_number(state_since),
    )
    members = [
        DemoMember(email=email, role=member_role)
        for email, _, reference, member_role in cast.MEMBERS
        if reference == role.reference
    ]
    return DemoAccount(
        reference=role.reference,
        name=role.name,
        billing_zone=role.billing_zone,
        currency=role.currency,
        state=role.state,
        opened_at=opened_at,
        state_since=state_since,
        owner=f"owner@{role.domain}",
        members=tuple(members),
        endpoints=_draw_endpoints(role, chance, life),
        domains=_draw_domains(role, chance, life),
        growth_from=role.growth_from,
        salt=chance.randrange(8192),
    )


def _draw_endpoints(role: Role, chance: random.Random, life: tuple[int, int]) -> tuple[Endpoint, ...]:
    """Draw the endpoints, busiest first within each rhythm."""
    kinds = (("steady", role.steady), ("office", role.office), ("sparse", role.sparse), ("tcp", role.tcp))
    return tuple(
        _draw_endpoint(role, chance, life, rhythm=rhythm, index=index, count=count)
        for rhythm, count in kinds
        for index in range(count)
    )


def _draw_endpoint(
    role: Role, chance: random.Random, life: tuple[int, int], *, rhythm: str, index: int, count: int
) -> Endpoint:
    """Draw one endpoint: the busiest are there from the start and in several regions."""
    is_own_domain = rhythm == "steady" and index < role.own
    is_busiest = rhythm == "steady" and index < max(1, count // 5)
    level = role.busiest * 1000 // (1000 + 650 * index)
    if rhythm != "steady":
        level = max(6, level // {"office": 6, "sparse": 90, "tcp": 40}[rhythm])
    regions = role.regions if is_busiest else (chance.choice(role.regions),)
    first, last = life
    has_always_been = is_busiest or index % 3 == 0
    is_given_up = rhythm == "sparse" and index % 11 == 0
    return Endpoint(
        name=_endpoint_name(role, rhythm=rhythm, index=index, is_own_domain=is_own_domain),
        protocol=_protocol(rhythm, index),
        regions=regions,
        rhythm=rhythm,
        hourly_requests=level,
        bytes_per_request=chance.choice((2_300, 6_400, 11_800, 23_500, 48_000, 131_000)),
        activity=_activity(rhythm, index=index, count=count),
        opened_hour=first if has_always_been else chance.randrange(first, first + (last - first) * 3 // 4),
        closed_hour=chance.randrange(first + (last - first) * 4 // 5, last) if is_given_up else last,
        policy_weight=(1, 3, 11, 2)[index % 4] if rhythm == "steady" and index < role.policies else 0,
        is_own_domain=is_own_domain,
        reports_zeros=rhythm == "office" and index % 3 == 1,
        salt=chance.randrange(8192),
    )


def _endpoint_name(role: Role, *, rhythm: str, index: int, is_own_domain: bool) -> str:
    """Name an endpoint after what it serves; only few are on a domain of their own."""
    slug = role.domain.removesuffix(".example")
    if rhythm == "tcp":
        return f"{cast.TCP_LABELS[index % len(cast.TCP_LABELS)]}.{slug}.tidegate.example"
    if rhythm == "sparse":
        first, second = divmod(index * 7, len(cast.SHOP_SECOND))
        first_word = cast.SHOP_FIRST[first % len(cast.SHOP_FIRST)]
        second_word = cast.SHOP_SECOND[(second + first) % len(cast.SHOP_SECOND)]
        return f"{first_word}-{second_word}-{index:03d}.{slug}.tidegate.example"
    if rhythm == "office":
        return f"office-{cast.ENDPOINT_LABELS[index % len(cast.ENDPOINT_LABELS)]}.{slug}.tidegate.example"
    label = cast.ENDPOINT_LABELS[index % len(cast.ENDPOINT_LABELS)]
    return f"{label}.{role.domain}" if is_own_domain else f"{label}.{slug}.tidegate.example"


def _protocol(rhythm: str, index: int) -> str:
    if rhythm == "tcp":
        return "tls" if index % 3 == 2 else "tcp"
    return "http" if index % 9 == 8 else "https"


def _activity(rhythm: str, *, index: int, count: int) -> int:
    """Return the share of hours with traffic; the long tail of sparse endpoints is nearly silent."""
    if rhythm != "sparse":
        return 1000
    left = (count - index) * 1000 // count
    return 12 + 230 * left**3 // 1_000_000_000


def _draw_domains(role: Role, chance: random.Random, life: tuple[int, int]) -> tuple[CustomDomain, ...]:
    """Draw the custom domains; some come later, a few go again."""
    domains = []
    first, last = life
    for index in range(role.domains):
        opened = first if index < 2 else chance.randrange(first, first + (last - first) * 4 // 5)
        closed = last if index % 5 != 4 else chance.randrange(opened + 24, last)
        label = "" if index == 0 else f"{cast.ENDPOINT_LABELS[index]}."
        domains.append(
            CustomDomain(
                name=f"{label}{role.domain}", number=index + 1, opened_hour=opened, closed_hour=closed
            )
        )
    return tuple(domains)
