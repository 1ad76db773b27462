"""Prints what was measured, one `name: figure (target)` a line, and what machine it was measured on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median, quantiles


@dataclass(slots=True)
class Report:
    """Says each figure as soon as it is known, and counts the missed targets."""

    missed: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        print(f"\n{text} [load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%H:%M} UTC]", flush=True)

    def say(self, name: str, figure: str) -> None:
        print(f"{name}: {figure}", flush=True)

    def at_least(self, name: str, figure: float, target: float) -> None:
        self._judge(name, f"{figure:.2f}", f"at least {target}", is_met=round(figure, 2) >= target)

    def at_most(self, name: str, figure: float, target: float, unit: str = "") -> None:
        self._judge(name, f"{figure:.3g}{unit}", f"at most {target:g}{unit}", is_met=figure <= target)

    def _judge(self, name: str, figure: str, target: str, *, is_met: bool) -> None:
        if not is_met:
            self.missed.append(name)
        print(f"{name}: {figure} ({target}){'' if is_met else ' MISSED'}", flush=True)


def machine_words() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())}"
    )


def p50_p95(seconds: Sequence[float]) -> tuple[float, float]:
    """The middle and the nineteenth twentieth, in milliseconds."""
    if len(seconds) < 2:
        return seconds[0] * 1000, seconds[0] * 1000
    return median(seconds) * 1000, quantiles(seconds, n=20, method="inclusive")[-1] * 1000


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
