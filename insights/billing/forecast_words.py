"""A forecast in plain words. Pure."""

from __future__ import annotations

from insights.billing.forecast import BillForecast
from insights.billing.price_words import money_words
from insights.scenarios.forecast import WEEKS_MIN


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
