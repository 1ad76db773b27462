"""Tables that other apps add to the staff page of an account, since this app knows nothing of usage.

A panel shows counts and times, never a quantity: staff without support access do not see usage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Account


@dataclass(frozen=True, slots=True)
class Panel:
    """One table: a heading, column names and rows of finished texts; `numeric` counts the last columns that are."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty_text: str
    numeric: int = 0


MakePanel = Callable[[Account, datetime], Panel]
_makers: list[MakePanel] = []


def register_panel(maker: MakePanel) -> None:
    """Add a panel; called once from an app's ready()."""
    if maker not in _makers:
        _makers.append(maker)


def list_panels(account: Account, *, now: datetime) -> tuple[Panel, ...]:
    """Make every panel for one account."""
    return tuple(maker(account, now) for maker in _makers)
