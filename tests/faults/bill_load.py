"""Makes companies that are billed: plan files, what accounts buy, and the usage they send, from one seed.

Knows how plans and usage are written and nothing of how the product reads them. Every charge model, policy, timing,
discount, bound and kind of credit occurs; every month brings late rows and revisions of months already billed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "America/Sao_Paulo")
CURRENCIES = ("USD", "EUR", "JPY", "KWD")
ANCHOR_DAYS = (1, 1, 15, 31)
REGIONS = ("eu-west", "us-east", "ap-south", "")
# More values than a page is long.
ENDPOINTS = tuple(f"/e{number:03d}" for number in range(280))
FIRST_MONTH = datetime(2025, 1, 1, tzinfo=UTC)
POLICIES = ("restart", "continue", "shared_by_time")
FIRST_POLICIES = ("restart", "shared_by_time")
# How many revisions take a row back.
TAKEN_BACK = 0.4
HOUR = timedelta(hours=1)
FAMILIES = ("small", "all", "cells", "money")


@dataclass(frozen=True, slots=True)
class BillSize:
    """How much is billed. `cells` is how many values the plans with the most lines have a price for."""

    accounts: int = 168
    months: int = 12
    rows: int = 40
    cells: int = 280


def months_later(months: int) -> datetime:
    year, month = divmod(months, 12)
    return FIRST_MONTH.replace(year=FIRST_MONTH.year + year, month=month + 1)


def make_bills(directory: Path, *, seed: int, size: BillSize = BillSize()) -> None:
    """Write plans, usage and `bills.json`, which says who buys what and in which order everything happens."""
    directory.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    plans = [
        name
        for currency in CURRENCIES
        for family in FAMILIES
        for name in _write_plans(directory, chance, currency, family, size)
    ]
    accounts = [_account(chance, number, size) for number in range(size.accounts)]
    bought = {each["plan"] for account in accounts for each in (*account["phases"], *account["add_ons"])}
    plans = [
        name for name in plans if name.rpartition("-")[0] in bought or name.removesuffix(".toml") in bought
    ]
    sender = _Sender(chance, accounts, size)
    steps: list[dict[str, str]] = []
    for month in range(size.months):
        name = f"usage-{month:02d}.csv"
        (directory / name).write_text(sender.month(month))
        steps.append({"deliver": name, "source": "edge"})
        steps.append({"bill": (months_later(month + 1) + 36 * HOUR).isoformat()})
    world = {"meters": METERS, "accounts": accounts, "plans": plans, "steps": steps}
    (directory / "bills.json").write_text(json.dumps(world, indent=1))


METERS: list[dict[str, Any]] = [
    {"key": "bytes_out", "unit": "byte", "aggregation": "sum", "dimensions": ["region"]},
    {"key": "calls", "unit": "call", "aggregation": "sum", "dimensions": ["endpoint"]},
    {"key": "events", "unit": "event", "aggregation": "count", "dimensions": ["region"]},
    {"key": "peak", "unit": "session", "aggregation": "max", "dimensions": ["region"]},
    {"key": "stored", "unit": "GB", "aggregation": "latest", "dimensions": ["region"]},
    {"key": "held", "unit": "GB", "aggregation": "time_weighted_sum", "dimensions": ["region"]},
    {"key": "endpoints", "unit": "hour", "aggregation": "unique_count", "dimensions": ["endpoint", "region"]},
    *({"key": f"spend_{each.lower()}", "unit": each, "aggregation": "sum", "dimensions": []} for each in CURRENCIES),
]  # fmt: skip
for _meter in METERS:
    _meter["unique_dimensions"] = ["endpoint"] if _meter["aggregation"] == "unique_count" else []
FAMILY_METERS = {
    "small": (),
    "all": ("bytes_out", "events", "peak", "stored", "held", "endpoints"),
    "cells": ("calls", "bytes_out"),
    "money": ("spend", "calls"),
}


# Plans.


def _write_plans(
    directory: Path, chance: random.Random, currency: str, family: str, size: BillSize
) -> list[str]:
    """Three plans of one family, the first with a second version, and an add-on."""
    names = []
    for letter in "abc":
        key = f"{family}-{letter}-{currency.lower()}"
        for version in (1, 2) if letter == "a" else (1,):
            name = f"{key}-{version}.toml"
            (directory / name).write_text(_plan(chance, key, currency, family, version, size))
            names.append(name)
    name = f"extra-{family}-{currency.lower()}.toml"
    (directory / name).write_text(_add_on(chance, f"extra-{family}-{currency.lower()}", currency))
    return [*names, name]


def _decimal(chance: random.Random, most: int, places: int) -> str:
    number = chance.randrange(most * 10**places)
    return f"{number // 10**places}.{number % 10**places:0{places}d}" if places else str(number)


def _plan(chance: random.Random, key: str, currency: str, family: str, version: int, size: BillSize) -> str:
    since = "2020-01-01T00:00:00Z" if version == 1 else f"{months_later(size.months // 2):%Y-%m-%dT%H:%M:%SZ}"
    lines = [f'key = "{key}"', f'name = "{key.title()}"', f'currency = "{currency}"', "", "[version]"]
    lines.append(f"effective_from = {since}")
    prices = [_fee(chance, name) for name in ("base", "seats", "setup")[: 1 if family == "small" else 3]]
    prices += (_usage_price(chance, meter, currency, family, size) for meter in FAMILY_METERS[family])
    lines += _whole_terms(chance, [text.split('"')[1] for text in prices])
    return "\n".join([*lines, *("\n[[prices]]\n" + price for price in prices)]) + "\n"


def _add_on(chance: random.Random, key: str, currency: str) -> str:
    head = f'key = "{key}"\nname = "{key.title()}"\nkind = "add_on"\ncurrency = "{currency}"\n\n'
    return f"{head}[version]\neffective_from = 2020-01-01T00:00:00Z\n\n[[prices]]\n{_fee(chance, 'seats')}\n"


def _whole_terms(chance: random.Random, keys: Sequence[str]) -> list[str]:
    lines = []
    least = chance.randrange(40)
    if chance.random() < 0.4:
        lines.append(f'minimum = {{ amount = "{least}", prorated = {_flag(chance)} }}')
    if chance.random() < 0.3:
        lines.append(
            f'maximum = {{ amount = "{least + 40 + chance.randrange(400)}", prorated = {_flag(chance)} }}'
        )
    if chance.random() < 0.4:
        off = chance.choice(('percent = "12.5"', 'amount = "3"', 'amount = "7.77"\nprorated = true'))
        lines += ["[[version.discounts]]", off]
    if chance.random() < 0.4:
        lines += ["[version.included_credit]", 'name = "Included"', f'amount = "{_decimal(chance, 20, 2)}1"']
        if chance.random() < 0.5:
            lines.append(f'covers = ["{chance.choice(keys)}"]')
    return lines


def _flag(chance: random.Random) -> str:
    return chance.choice(("true", "false"))


def _fee(chance: random.Random, key: str) -> str:
    lines = [f'key = "{key}"', f'name = "{key.title()}"']
    if key == "seats":
        lines += ["counted = true", 'model = "per_unit"', f'unit_amount = "{_decimal(chance, 9, 4)}"']
    else:
        lines += ['model = "flat"', f'amount = "{_decimal(chance, 60, 3)}"']
    timing = "once" if key == "setup" else chance.choice(("in_advance", "in_arrears"))
    lines += [f'timing = "{timing}"', f"prorated = {'false' if key == 'setup' else _flag(chance)}"]
    return "\n".join([*lines, f"taxable = {_flag(chance)}", f"takes_credit = {_flag(chance)}"])


def _usage_price(chance: random.Random, meter: str, currency: str, family: str, size: BillSize) -> str:
    key = meter
    if meter == "spend":
        meter = f"spend_{currency.lower()}"
    unit = next(each["unit"] for each in METERS if each["key"] == meter)
    unit = f"{unit} hours" if meter == "held" else unit
    lines = [f'key = "{key}"', f'name = "{key.title()}"', f'meter = "{meter}"', f'unit = "{unit}"']
    lines += [f"taxable = {_flag(chance)}", f"takes_credit = {_flag(chance)}"]
    if meter == "bytes_out":
        lines.append(f'per = "{chance.choice(("GB", "GiB", "byte"))}"' if family != "cells" else 'per = "GB"')
    if family == "cells":
        return "\n".join([*lines, *_cells(chance, meter, size)])
    if key == "spend":
        return "\n".join([*lines, *_percentage(chance), *_line_terms(chance)])
    return "\n".join([*lines, *_charge(chance), *_line_terms(chance)])


def _cells(chance: random.Random, meter: str, size: BillSize) -> list[str]:
    name, values = ("region", REGIONS[:3]) if meter == "bytes_out" else ("endpoint", ENDPOINTS[: size.cells])
    lines = [f'dimensions = ["{name}"]']
    for value in values:
        if value and chance.random() < 0.9:
            lines += ["", "[[prices.cells]]", *_charge(chance), f'values = {{ {name} = "{value}" }}']
    return [*lines, "", "[prices.otherwise]", *_charge(chance)]


def _percentage(chance: random.Random) -> list[str]:
    if chance.random() < 0.5:
        return ['model = "percentage"', f'percent = "{_decimal(chance, 4, 3)}"', 'fixed_amount = "0.003"',
                'count_meter = "calls"']  # fmt: skip
    return ['model = "graduated_percentage"', _tiers(chance, "percent", 3), f"flat_at_zero = {_flag(chance)}"]


def _charge(chance: random.Random) -> list[str]:
    model = chance.choice(("per_unit", "graduated", "graduated", "volume", "package", "stairstep"))
    lines = [f'model = "{model}"']
    if model == "per_unit":
        return [*lines, f'unit_amount = "{_decimal(chance, 1, 12)}"']
    if model == "package":
        counting = chance.choice(("whole", "pro_rata"))
        return [*lines, f'amount = "{_decimal(chance, 2, 3)}"', f'size = "{chance.randrange(7, 90)}"',
                f'counting = "{counting}"']  # fmt: skip
    what = "" if model == "stairstep" else "unit_amount"
    return [*lines, _tiers(chance, what, 6), f"flat_at_zero = {_flag(chance)}"]


def _tiers(chance: random.Random, price: str, places: int) -> str:
    ends = sorted(chance.sample(range(10, 2_000), chance.randrange(4)))
    tiers = []
    for end in [*ends, None]:
        fields = [] if end is None else [f'up_to = "{end}"']
        if price:
            fields.append(f'{price} = "{_decimal(chance, 1, places)}"')
        if not price or chance.random() < 0.4:
            fields.append(f'flat_amount = "{_decimal(chance, 5, 2)}"')
        tiers.append(f"{{ {', '.join(fields)} }}")
    return f"tiers = [{', '.join(tiers)}]"


def _line_terms(chance: random.Random) -> list[str]:
    lines = []
    if chance.random() < 0.5:
        lines.append(f'included = "{chance.randrange(60)}"')
    least = chance.randrange(4)
    is_prorated = _flag(chance)
    if chance.random() < 0.3:
        lines.append(f'minimum = {{ amount = "{least}", prorated = {is_prorated} }}')
    if chance.random() < 0.3:
        lines.append(f'maximum = {{ amount = "{least + chance.randrange(300)}", prorated = {is_prorated} }}')
    if chance.random() < 0.3:
        off = chance.choice(
            ('{ percent = "7.3" }', '{ amount = "1.25" }', '{ amount = "2", prorated = true }')
        )
        lines.append(f"discounts = [{off}]")
    if chance.random() < 0.1:
        lines.append('exempt = "part of the beta"')
    return lines


# Accounts.


def _account(chance: random.Random, number: int, size: BillSize) -> dict[str, Any]:
    currency, family = CURRENCIES[number % 4], FAMILIES[(number + number // 4) % 4]
    starts_at = (
        FIRST_MONTH + chance.choice((0, 0, 0, 5, 14)) * timedelta(days=1) + chance.randrange(3, 20) * HOUR
    )
    plans = [f"{family}-{letter}-{currency.lower()}" for letter in "abc"]
    end = months_later(size.months)
    return {
        "reference": f"acct-{number:03d}",
        "zone": ZONES[number % len(ZONES)],
        "currency": currency,
        "family": family,
        "tax": chance.choice((None, ["VAT", "19"], ["GST", "7.25"])),
        "anchor": date(2024, 12, chance.choice(ANCHOR_DAYS)).isoformat(),
        "starts_at": starts_at.isoformat(),
        "phases": _phases(chance, plans, starts_at, end, size),
        "add_ons": _add_ons(chance, f"extra-{family}-{currency.lower()}", starts_at, end),
        "grants": [_grant(chance, starts_at, end, family) for _ in range(chance.choice((0, 0, 1, 3)))],
    }


def _phases(
    chance: random.Random, plans: Sequence[str], starts_at: datetime, end: datetime, size: BillSize
) -> list[dict[str, Any]]:
    hours = (end - starts_at) // HOUR
    changes = sorted(chance.sample(range(1, hours), chance.choice((0, 1, 2, size.months))))
    return [
        {
            "plan": chance.choice(plans),
            "starts_at": (starts_at + hour * HOUR).isoformat(),
            "policy": chance.choice(POLICIES if hour else FIRST_POLICIES),
            "counts": {"seats": str(chance.randrange(6))},
        }
        for hour in (0, *changes)
    ]


def _add_ons(chance: random.Random, plan: str, starts_at: datetime, end: datetime) -> list[dict[str, Any]]:
    if chance.random() < 0.6:
        return []
    hours = (end - starts_at) // HOUR
    first, last = sorted(chance.sample(range(hours), 2))
    ends_at = None if chance.random() < 0.5 else (starts_at + last * HOUR).isoformat()
    return [{"plan": plan, "starts_at": (starts_at + first * HOUR).isoformat(), "ends_at": ends_at,
             "counts": {"seats": str(chance.randrange(1, 5))}}]  # fmt: skip


def _grant(chance: random.Random, starts_at: datetime, end: datetime, family: str) -> dict[str, Any]:
    hours = (end - starts_at) // HOUR
    granted_at = starts_at + chance.randrange(hours) * HOUR
    is_before_tax = chance.random() < 0.6
    keys = ("base", "seats", *FAMILY_METERS[family])
    return {
        "public_id": str(UUID(int=chance.getrandbits(128), version=4)),
        "amount_minor": chance.randrange(1, 20_000),
        "granted_at": granted_at.isoformat(),
        "expires_at": None if chance.random() < 0.5 else (granted_at + timedelta(days=45)).isoformat(),
        "priority": chance.choice((5, 100)),
        "covers": [chance.choice(keys)] if is_before_tax and chance.random() < 0.4 else None,
        "is_before_tax": is_before_tax,
    }


# Usage.


class _Sender:
    """Writes each month's file: its own rows, rows of earlier months that come late, and revisions."""

    def __init__(self, chance: random.Random, accounts: Sequence[dict[str, Any]], size: BillSize) -> None:
        self.chance, self.accounts, self.size = chance, accounts, size
        self.sent: dict[str, list[list[str]]] = {account["reference"]: [] for account in accounts}
        self.known: set[tuple[str, ...]] = set()

    def month(self, month: int) -> str:
        lines = ["account,meter,window_start,quantity,revision,region,endpoint"]
        for account in self.accounts:
            rows = self._rows(account, months_later(month), months_later(month + 1))
            if month:
                rows += self._late(account, month)
            self.sent[account["reference"]] += rows
            lines += [",".join(row) for row in rows]
        return "\n".join(lines) + "\n"

    def _late(self, account: dict[str, Any], month: int) -> list[list[str]]:
        """Some accounts have late rows, some revisions, some both and some nothing."""
        chance, found = self.chance, []
        if chance.random() < 0.4:
            found += self._rows(account, months_later(chance.randrange(month)), months_later(month), share=10)
        if chance.random() < 0.4 and self.sent[account["reference"]]:
            for row in chance.sample(
                self.sent[account["reference"]], min(3, len(self.sent[account["reference"]]))
            ):
                if any(other[:3] + other[5:] == row[:3] + row[5:] for other in found):
                    continue
                quantity = "0" if chance.random() < TAKEN_BACK else self._quantity(row[1])
                found.append([*row[:3], quantity, str(int(row[4]) + 1), *row[5:]])
                self.sent[account["reference"]].remove(row)
        return found

    def _rows(
        self, account: dict[str, Any], start: datetime, end: datetime, *, share: int = 1
    ) -> list[list[str]]:
        chance, rows = self.chance, []
        meters = [
            f"spend_{account['currency'].lower()}" if meter == "spend" else meter
            for meter in FAMILY_METERS[account["family"]]
        ]
        starts_at = datetime.fromisoformat(account["starts_at"])
        hours = (end - start) // HOUR
        edges = (0, 1, hours - 1, hours - 2, 18, 19, hours - 6)
        for meter in meters:
            for number in range(-(-self.size.rows // share)):
                hour = edges[number] if number < len(edges) else chance.randrange(hours)
                window = start + hour * HOUR
                row = [account["reference"], meter, f"{window:%Y-%m-%dT%H:%M:%SZ}", self._quantity(meter), "1",
                       *self._values(meter)]  # fmt: skip
                place = (*row[:3], *row[5:])
                if window >= starts_at and place not in self.known:
                    self.known.add(place)
                    rows.append(row)
        return rows

    def _values(self, meter: str) -> list[str]:
        named = next(each["dimensions"] for each in METERS if each["key"] == meter)
        region = self.chance.choice(REGIONS) if "region" in named else ""
        endpoints = ENDPOINTS[: self.size.cells + 2]
        return [region, self.chance.choice(endpoints) if "endpoint" in named else ""]

    def _quantity(self, meter: str) -> str:
        if meter == "bytes_out":
            return str(self.chance.randrange(40 * 10**9))
        pick = self.chance.random()
        if pick < 0.05:
            return "0"
        return str(self.chance.randrange(1, 60)) if pick < 0.6 else _decimal(self.chance, 60, 9)
