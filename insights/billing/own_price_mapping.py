"""An account's own prices laid over a plan's, as long as they are for what the plan has a price for.

A plan may get a version whose price under the same key is for another meter, unit or dimension than the one that was
agreed upon; then the plan's price stands, in bills and in estimates alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from insights.billing.catalogue_queries import sheet_in_force
from insights.billing.sheet_mapping import own_prices_at, sheet_with_own
from insights.models import PriceOverride
from insights.rating.sheet import PriceSheet, SheetPrice


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSheet:
    """The sheet with the account's own prices, and the keys of those that do not fit it."""

    sheet: PriceSheet
    unfit: tuple[str, ...] = ()

    @property
    def unfit_words(self) -> str:
        """Why the plan's price stands; empty where each own price fits."""
        if not self.unfit:
            return ""
        return (
            f"The account's own price for {', '.join(self.unfit)} was agreed for another meter, unit or dimension than "
            f"{self.sheet.plan_name} has now; the plan's price stands here."
        )


def own_sheet(
    sheet: PriceSheet, overrides: Iterable[PriceOverride], at: datetime, *, versions: Sequence[PriceSheet]
) -> OwnSheet:
    """The sheet with those own prices that hold at the instant and fit; `versions` are all of the plan."""
    own = own_prices_at(overrides, at)
    unfit = tuple(key for key, override in own.items() if not _fits(sheet, override, versions))
    return OwnSheet(
        sheet=sheet_with_own(sheet, {key: own[key] for key in own.keys() - set(unfit)}), unfit=unfit
    )


def _fits(sheet: PriceSheet, override: PriceOverride, versions: Sequence[PriceSheet]) -> bool:
    """Whether the price is still for what it was for when the account got its own: meter, unit and dimensions."""
    agreed = sheet_in_force(versions, override.starts_at)
    then = agreed.price(override.price_key) if agreed else None
    now = sheet.price(override.price_key)
    return then is None or now is None or _is_for(then) == _is_for(now)


def _is_for(price: SheetPrice) -> tuple[str, frozenset[str], tuple[str, ...]]:
    return price.meter_key, price.units, () if price.matrix is None else price.matrix.dimensions
