"""P14: splitting and rounding neither makes nor loses a penny."""

from __future__ import annotations

import random
from fractions import Fraction

from tests.faults.bill_breakages import broken
from tests.faults.site import Outcome, Site

SENTENCE = "Pennies are neither made nor lost"
COUNT = 20_000
PARTS_MAX = 500
TOTAL_MAX = 10**12
# Autumn's bill: 81 lines that each lost a part of a cent when they were rounded one by one.
AUTUMN = (81, 2_799)


def run(site: Site) -> Outcome:
    """Split totals of every size and sign, and hold each split to what splitting is."""
    count = site.count or COUNT
    outcome = Outcome("P14", SENTENCE, site.seed, faults_asked=count)
    chance = random.Random(site.seed)
    with broken(site):
        outcome.failures += _faults(AUTUMN[1], dict.fromkeys(map(str, range(AUTUMN[0])), Fraction(1)), chance)
        for number in range(count):
            total, weights = _case(chance, number)
            faults = _faults(total, weights, chance)
            outcome.failures += faults
            outcome.differences += len(faults)
            outcome.rows += len(weights)
    outcome.faults = count
    outcome.figures.append(f"{count} totals split into {outcome.rows} parts")
    outcome.check_faults()
    return outcome


def _case(chance: random.Random, number: int) -> tuple[int, dict[str, Fraction]]:
    parts = chance.randrange(1, PARTS_MAX + 1) if number % 50 == 0 else chance.randrange(1, 13)
    total = chance.randrange(-TOTAL_MAX, TOTAL_MAX + 1) if number % 3 else chance.randrange(-100, 101)
    kind = chance.randrange(4)
    weights = {}
    for part in range(parts):
        units = chance.randrange(10**6) if kind else 1
        weights[f"line {part}"] = Fraction(units, chance.choice((1, 3, 7, 31)) if kind > 1 else 1)
    if not any(weights.values()):
        weights["line 0"] = Fraction(1)
    return total, weights


def _faults(total: int, weights: dict[str, Fraction], chance: random.Random) -> list[str]:
    """What a split of this total by these weights does wrong."""
    from insights.values import money

    try:
        parts = money.split(total, weights)
    except money.UnableToAllot as error:
        return [f"{total} into {len(weights)} parts: {error}"]
    whole = sum(weights.values())
    turned = list(weights.items())
    chance.shuffle(turned)
    faults = []
    if sum(parts.values()) != total:
        faults.append(f"{total} into {len(weights)} parts adds to {sum(parts.values())}")
    if any(abs(part - total * weights[key] / whole) >= 1 for key, part in parts.items()):
        faults.append(f"{total} into {len(weights)} parts: one is a unit off")
    if any(part * total < 0 or (part and not weights[key]) for key, part in parts.items()):
        faults.append(f"{total} into {len(weights)} parts: a sign flipped, or nothing became something")
    if money.split(total, dict(turned)) != parts:
        faults.append(f"{total} into {len(weights)} parts depends on the order")
    if {key: -part for key, part in money.split(-total, weights).items()} != parts:
        faults.append(f"{total} into {len(weights)} parts does not mirror itself")
    return faults
