"""Where ingest spends its time: wraps the functions of each stage, in the process that imports this.

Times are exclusive: what a stage calls of another stage counts for that one alone. Each process appends its sums to a
file when a task or an upload ends; nothing in the product knows of it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

TIMES_FILE = "BENCH_TIMES"


class _Clock(threading.local):
    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.inner: list[float] = [0.0]


_clock = _Clock()


def wrap(module: Any, name: str, label: str, *, is_whole: bool = False) -> None:
    """Count the time of a function for a label; the end of a whole one writes the sums down."""
    original: Callable[..., Any] = getattr(module, name)

    @wraps(original)
    def timed(*args: Any, **options: Any) -> Any:
        _clock.inner.append(0.0)
        began = time.perf_counter()
        try:
            return original(*args, **options)
        finally:
            taken = time.perf_counter() - began
            _clock.sums[label] += taken - _clock.inner.pop()
            _clock.inner[-1] += taken
            if is_whole:
                _write_down()

    setattr(module, name, timed)


def _write_down() -> None:
    line = json.dumps(_clock.sums) + "\n"
    _clock.sums, _clock.inner = Counter(), [0.0]
    descriptor = os.open(os.environ[TIMES_FILE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def read_shares(file: Path) -> list[tuple[str, float, float]]:
    """Label, seconds and share of all seconds, largest first."""
    sums: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        sums.update(json.loads(line))
    whole = sum(sums.values()) or 1.0
    return [(label, seconds, seconds / whole) for label, seconds in sums.most_common()]
