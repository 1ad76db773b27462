"""A forecast in plain words. Pure."""

from __future__ import annotations

from insights.billing.forecast import BillForecast
from insights.billing.price_words import money_words
from insights.scenarios.forecast import WEEKS_MIN
from insights.values.money import Money


def forecast_sentence(forecast: BillForecast) -> str:
    """What the bill is expected to come to, and the band; or why nothing is said."""
    if not forecast.is_known:
        named = ", ".join(forecast.too_new)
        return (
            f"There is too little history for a forecast: it takes {WEEKS_MIN} complete weeks of every meter in use, "
            f"and there are fewer of {named}."
        )
    if forecast.low == forecast.high:
        return f"By the end of the period it is expected to come to {money_words(forecast.expected)}."
    return (
        f"By the end of the period it is expected to come to {money_words(forecast.expected)}, "
        f"between {money_words(forecast.low)} and {money_words(forecast.high)}."
    )


def expected_against(forecast: BillForecast, period: str, other: Money, than: str) -> str:
    """What the bill is expected to come to against a whole other one, without a full stop; empty if nothing is."""
    if not forecast.is_known:
        return ""
    band = ""
    if forecast.low != forecast.high:
        band = f" (between {money_words(forecast.low)} and {money_words(forecast.high)})"
    expected = f"By the end of {period} it is expected to come to {money_words(forecast.expected)}{band}"
    return f"{expected}, {against_words(forecast.expected - other, than)}"


def against_words(change: Money, than: str) -> str:
    """How an amount stands to that of another bill: 3.20 USD more than October 2026."""
    if not change.minor:
        return f"as much as {than}"
    size = Money(abs(change.minor), change.currency)
    return f"{money_words(size)} {'less' if change.minor < 0 else 'more'} than {than}"


def band_sentence(forecast: BillForecast) -> str:
    """How often the band held at this point of earlier periods; empty where nothing is forecast."""
    if not forecast.is_known:
        return ""
    if not forecast.tested:
        return "No earlier period has enough history to say how often such a band held."
    band = (
        "the least and the most that this method gave at this point of it, by the days as they are known now."
    )
    if forecast.tested == 1:
        side = "ended between" if forecast.inside else "did not end between"
        return f"In the one earlier period with enough history the bill {side} {band}"
    return f"In {forecast.inside} of the last {forecast.tested} periods the bill ended between {band}"
