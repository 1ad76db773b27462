"""Day, week, growth and chance as tables of whole thousandths, drawn once per seed."""

from __future__ import annotations

import random
from functools import cache

from usage_portal.demo.company import REGION_OFFSETS

# 1 January 1970 was a Thursday; counted from here, hour 0 of a week is Monday midnight.
MONDAY_SHIFT = 72
NOISE_MASK = 8191

# Thousandths of the level by local hour.
DAY_CURVES = {
    "steady": (
        380, 330, 300, 290, 300, 350, 460, 620, 780, 900, 980, 1020, 1040, 1050, 1060, 1080, 1100,
        1120, 1140, 1150, 1090, 930, 710, 510,
    ),
    "office": (
        0, 0, 0, 0, 0, 0, 0, 340, 900, 1250, 1400, 1350, 1000, 1150, 1380, 1300, 1050, 620, 260,
        0, 0, 0, 0, 0,
    ),
    "sparse": (
        500, 400, 350, 350, 400, 500, 700, 900, 1000, 1100, 1200, 1200, 1250, 1200, 1150, 1150,
        1200, 1300, 1400, 1450, 1400, 1200, 900, 700,
    ),
    "tcp": (
        900, 880, 870, 870, 880, 900, 940, 980, 1010, 1030, 1040, 1050, 1050, 1060, 1060, 1050,
        1040, 1030, 1020, 1010, 1000, 980, 950, 920,
    ),
}  # fmt: skip
# Thousandths by weekday, Monday first.
WEEK_CURVES = {
    "steady": (980, 1000, 1020, 1030, 1080, 860, 820),
    "office": (1000, 1060, 1050, 1020, 880, 0, 0),
    "sparse": (900, 920, 950, 980, 1100, 1250, 1150),
    "tcp": (1000, 1000, 1000, 1000, 1000, 970, 960),
}


@cache
def noise_table(seed: int) -> tuple[int, ...]:
    """Thousandths around one, so that no two hours are quite alike."""
    chance = random.Random(f"{seed}:noise")  # noqa: S311 - a story, not a secret
    return tuple(chance.randrange(910, 1091) for _ in range(NOISE_MASK + 1))


@cache
def dice_table(seed: int) -> tuple[int, ...]:
    """Throws of a die with a thousand sides, for whether anything happened at all."""
    chance = random.Random(f"{seed}:dice")  # noqa: S311 - a story, not a secret
    return tuple(chance.randrange(1000) for _ in range(NOISE_MASK + 1))


@cache
def week_of_hours(rhythm: str, region: str) -> tuple[int, ...]:
    """Thousandths of the level for each of 168 UTC hours from 1970 on, by the region's own clock."""
    shift = MONDAY_SHIFT + REGION_OFFSETS[region]
    local = [(hour + shift) % 168 for hour in range(168)]
    day_curve, week_curve = DAY_CURVES[rhythm], WEEK_CURVES[rhythm]
    return tuple(day_curve[hour % 24] * week_curve[hour // 24] // 1000 for hour in local)


@cache
def growth_by_day(seed: int, salt: int, growth_from: int, days: int) -> tuple[int, ...]:
    """Thousandths of the final level for each day: growth, mood, and for some a sale of three days."""
    noise = noise_table(seed)
    sale = range(days - 152, days - 149)
    return tuple(
        (growth_from + (1000 - growth_from) * day // days)
        * noise[(salt + day * 13) & NOISE_MASK] // 1000
        * (19 if day in sale and salt % 3 == 0 else 10) // 10
        for day in range(days)
    )  # fmt: skip
