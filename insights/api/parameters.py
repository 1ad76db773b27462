"""Reads query strings strictly: a parameter that is unknown, repeated or not in its one form is refused,
never fixed.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl

from django.http import HttpRequest

from insights.api.errors import Problem

Pairs = tuple[tuple[str, str], ...]
PARAMETERS_MAX = 200
LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
_NAME_SHOWN = 80


def query_pairs(request: HttpRequest) -> Pairs:
    """Return the parameters in the order in which they were given, repeated ones repeatedly."""
    text = request.META.get("QUERY_STRING", "")
    if not text:
        return ()
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except UnicodeDecodeError:
        raise Problem("encoding", "The query string is not UTF-8.", status=400) from None
    except ValueError:
        raise Problem("parameter", f"At most {PARAMETERS_MAX} parameters.") from None
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise Problem(
                "control_char", "A parameter holds the character U+0000.", field=_shown(name), status=400
            )
    return tuple(pairs)


def single_values(pairs: Pairs, *, allowed: Collection[str]) -> dict[str, str]:
    """Return the parameters by name; one that is not allowed or given twice is refused."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise Problem("unknown_parameter", f"There is no parameter “{_shown(name)}”.", field=_shown(name))
        if name in values:
            raise Problem("duplicate_parameter", f"“{name}” was given twice.", field=name)
        values[name] = value
    return values


def whole_number(values: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number in plain ASCII digits, or refuse it with the range it must be in."""
    text = values.get(name)
    if text is None:
        return default
    is_plain = (
        text.isascii() and text.isdigit() and len(text) <= len(str(most)) and (text == "0" or text[0] != "0")
    )
    if not is_plain or not least <= int(text) <= most:
        raise Problem(name, f"{name} must be a whole number from {least} to {most}.", field=name)
    return int(text)


def limit_of(values: dict[str, str]) -> int:
    """Return how many rows a page may have; too many is refused, never cut in silence."""
    return whole_number(values, "limit", default=LIMIT_DEFAULT, least=1, most=LIMIT_MAX)


def choice(values: dict[str, str], name: str, *, choices: tuple[str, ...], default: str | None = None) -> str:
    """Return one of a few words; without a default the parameter has to be given."""
    text = values.get(name, default)
    if text is None:
        raise Problem("missing_parameter", f"Say which {name}: {' or '.join(choices)}.", field=name)
    if text not in choices:
        raise Problem(name, f"{name} must be {' or '.join(choices)}.", field=name)
    return text


def _shown(name: str) -> str:
    return name[:_NAME_SHOWN]
