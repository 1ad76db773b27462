"""The filters and tags of every page: quantities, times, states and small drawings, in plain words.

Refuses to guess: a missing value says so, a time needs its zone, and nothing here reads the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from insights.billing.price_words import money_words
from insights.templatetags import figures
from insights.templatetags.cells import column_decimals, fixed, with_exact
from insights.templatetags.navigation import NAV_OF_URL
from insights.templatetags.tones import COMPLETENESS, STATES, TONE_ICONS
from insights.values.money import Money
from insights.values.quantity import THIN_SPACE, Scale, exact_in, exact_with_unit, grouped_text, scaled

register = template.Library()

NO_DATA: SafeString = format_html('<span class="no-data">{}</span>', "no data")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# There are some forty, of which each page draws twenty.
_ICONS_KEPT = 200
_SPANS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


# --- Quantities -------------------------------------------------------------------------------
@register.filter
def quantity(value: Decimal | int | None, unit: str = "") -> SafeString:
    """Scale a quantity for reading, with every digit of it in the title and the data value."""
    if value is None:
        return NO_DATA
    number = Decimal(value)
    return with_exact(str(scaled(number, unit)), number, unit)


@register.simple_tag
def quantity_in(
    value: Decimal | int | None, unit: str, scale: Scale, decimals: int | None = None
) -> SafeString:
    """Write a quantity in the scale its column shares, the decimal points under each other."""
    if value is None:
        return NO_DATA
    number = Decimal(value)
    if decimals is None:
        decimals = column_decimals(number, scale)
    return with_exact(fixed(scale.number_of(number), decimals), number, unit)


@register.simple_tag
def quantity_as(value: Decimal | int | None, unit: str, scale: Scale | None = None) -> SafeString:
    """Scale a quantity for reading as `quantity` does, in the unit of its price where there is one."""
    if value is None:
        return NO_DATA
    number = Decimal(value)
    return with_exact(str(scaled(number, unit, scale=scale)), number, unit)


@register.simple_tag
def exact_as(value: Decimal | int | None, unit: str, scale: Scale | None = None) -> SafeString:
    """Write a quantity with every digit, in the unit of its price where there is one; never the unit's name.

    A binary unit may take thirty decimals: then it is rounded to six, and says so. The title has what was metered.
    """
    if value is None:
        return NO_DATA
    number = Decimal(value)
    return with_exact(exact_in(number, scale), number, unit)


@register.filter
def exact(value: Decimal | int | None, unit: str = "") -> str:
    """Write every digit of a quantity, grouped, and its unit."""
    if value is None:
        return NO_DATA
    return exact_with_unit(Decimal(value), unit)


@register.simple_tag
def exact_unit(value: Decimal | int | None, unit: str, scale: Scale | None = None) -> SafeString:
    """Write a quantity as `exact_as` does, and behind it the unit that it is in."""
    if value is None:
        return NO_DATA
    number = Decimal(value)
    return with_exact(exact_with_unit(number, unit, scale), number, unit)


@register.filter
def integer(value: int | None) -> str:
    """Write a count in full, grouped."""
    return NO_DATA if value is None else grouped_text(Decimal(value))


@register.filter
def percent(ratio: Decimal | None, decimals: int = 1) -> str:
    """Write a ratio as a percentage: 0.043 is 4.3 %."""
    return NO_DATA if ratio is None else f"{fixed(Decimal(ratio) * 100, decimals)}{THIN_SPACE}%"


@register.filter
def signed_percent(ratio: Decimal | None, decimals: int = 1) -> str:
    """Write a change as a percentage with its sign; no change has none."""
    if ratio is None:
        return NO_DATA
    text = percent(ratio, decimals)
    return f"+{text}" if ratio > 0 and not text.startswith("<") else text


@register.filter
def money(value: Money | None) -> str:
    """Write an amount with all its digits and its currency; it does not break in two."""
    return NO_DATA if value is None else money_words(value)


# --- Times ------------------------------------------------------------------------------------
@register.filter
def day(value: date | None) -> str:
    """Write a calendar day: 3 Nov 2026. An instant is refused, since its day depends on the zone."""
    return NO_DATA if value is None else f"{day_short(value)} {value.year}"


@register.filter
def day_short(value: date | None) -> str:
    """Write a calendar day without its year: 3 Nov."""
    if value is None:
        return NO_DATA
    if isinstance(value, datetime):
        raise TypeError("an instant has no day of its own; use the instant filter with a zone")
    return f"{value.day} {_MONTHS[value.month - 1]}"


@register.filter
def instant(value: datetime | None, zone: str | tzinfo = UTC) -> SafeString:
    """Write an instant on the clock of a zone, with UTC to the second in the title."""
    if value is None:
        return NO_DATA
    local = value.astimezone(ZoneInfo(zone) if isinstance(zone, str) else zone)
    return _time_element(value, f"{day(local.date())}, {local:%H:%M}")


@register.filter
def ago(value: datetime | None, now: datetime) -> SafeString:
    """Say how long ago or ahead an instant is, seen from now."""
    if value is None:
        return NO_DATA
    span = duration(abs(now - value), 1)
    if abs(now - value) < timedelta(seconds=10):
        text = "just now"
    else:
        text = f"{span} ago" if value <= now else f"in {span}"
    return _time_element(value, text)


@register.filter
def duration(value: timedelta | int | None, parts_max: int = 2) -> str:
    """Say a span of time in its largest whole units: 1 day 4 hours."""
    if value is None:
        return NO_DATA
    seconds = int(value.total_seconds()) if isinstance(value, timedelta) else value
    words = []
    for size, name in _SPANS:
        count, seconds = divmod(seconds, size)
        if count:
            words.append(f"{count:,} {name}{'' if count == 1 else 's'}")
    return " ".join(words[:parts_max]) or "0 seconds"


def _time_element(value: datetime, text: str) -> SafeString:
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{day(utc.date())}, {utc:%H:%M:%S} UTC",
        text,
    )


# --- States -----------------------------------------------------------------------------------
@register.simple_tag
@lru_cache(_ICONS_KEPT)
def icon(name: str) -> SafeString:
    """Draw one icon of static/img/icons.svg; the words beside it carry the meaning."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("img/icons.svg"),
        name,
    )


@register.simple_tag
def badge(tone: str, words: str, icon_name: str = "") -> SafeString:
    """Show a state as an icon and words; the colour only repeats them."""
    drawn = icon(icon_name or TONE_ICONS.get(tone, "minus"))
    return format_html('<span class="badge badge--{}">{}{}</span>', tone, drawn, words)


@register.simple_tag
def state_badge(state: str) -> SafeString:
    """Show a stored state word with the tone and icon it has on every page."""
    words = str(state).replace("_", " ")
    tone, icon_name = STATES.get(words, ("neutral", "minus"))
    return badge(tone, words.capitalize(), icon_name)


@register.simple_tag
def completeness_badge(state: str, label: str, detail: str = "") -> SafeString:
    """Say how complete the figure beside it is; the longer sentence is in the title."""
    tone, icon_name = COMPLETENESS.get(str(state), COMPLETENESS["none"])
    return format_html(
        '<span class="badge badge--{}" title="{}">{}{}</span>', tone, detail or label, icon(icon_name), label
    )


@register.simple_tag
def change(ratio: Decimal | None) -> SafeString:
    """Show a change against an earlier value: an arrow and a signed percentage."""
    if ratio is None:
        return format_html('<span class="change">{}</span>', "no comparison")
    arrow = "flat" if not ratio else "up" if ratio > 0 else "down"
    return format_html('<span class="change">{} {}</span>', icon(arrow), signed_percent(ratio))


@register.simple_tag(takes_context=True)
def current_if(context: template.Context, entry: str) -> str:
    """Mark the navigation entry that the page belongs to, as the view says or as the address shows."""
    match = getattr(context.get("request"), "resolver_match", None)
    here = context.get("nav") or NAV_OF_URL.get(getattr(match, "url_name", None) or "")
    return format_html(' aria-current="{}"', "page") if here == entry else ""


@register.filter
def as_options(values: Iterable[str]) -> SafeString:
    """Write the values that a field offers; some have two hundred, for which a loop takes ten times as long."""
    return SafeString("".join(f'<option value="{escape(value)}"></option>' for value in values))


# --- Small drawings ---------------------------------------------------------------------------
@register.inclusion_tag("_sparkline.html")
def sparkline(points: Sequence[Mapping[str, Any]], summary: str) -> dict[str, Any]:
    """Draw one bar for each point; a mapping of y, kind (value, zero, gap, incomplete) and perhaps title."""
    drawing = figures.sparkline_of(points)
    # A template takes ten times as long, for thirty bars of each meter.
    bars = SafeString("".join(map(_rectangle, drawing.bars)))
    return {"drawing": drawing, "bars": bars, "summary": summary}


def _rectangle(bar: figures.Rectangle) -> str:
    fill = ' fill="url(#hatch)"' if bar.kind == "incomplete" else ""
    title = f"<title>{escape(bar.title)}</title>" if bar.title else ""
    place = f'x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}"'
    return f'<rect class="kind-{escape(bar.kind)}" {place}{fill}>{title}</rect>'


@register.inclusion_tag("_share_bar.html")
def share_bar(parts: Sequence[Mapping[str, Any]], summary: str) -> dict[str, Any]:
    """Draw parts of a whole; each is a mapping of label, series, weight and perhaps value and share."""
    return {"segments": figures.share_segments(parts), "width": figures.SHARE_WIDTH, "summary": summary}


@register.inclusion_tag("_mini_bar.html")
def bar(value: Decimal | int | None, maximum: Decimal | int, series: int | str = 1) -> dict[str, Any]:
    """Draw a table row's value against the largest of its column; the number beside it is the value."""
    width = figures.width_of(Decimal(value or 0), Decimal(maximum or 0))
    return {"width": width, "total": figures.SHARE_WIDTH, "series_class": figures.series_class(series)}


@register.inclusion_tag("_meter_bar.html")
def meter_bar(used: Decimal | int, included: Decimal | int, summary: str) -> dict[str, Any]:
    """Draw what was used against what is included; what goes beyond gets its own mark."""
    used_number, included_number = Decimal(used), Decimal(included)
    within = figures.width_of(min(used_number, included_number), max(used_number, included_number))
    over = figures.SHARE_WIDTH - within if used_number > included_number else 0
    return {"within": within, "over": over, "total": figures.SHARE_WIDTH, "summary": summary}
