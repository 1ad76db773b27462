"""One physical line to its cells or its JSON object, strictly.

Knows quoting and JSON, nothing of accounts or meters. What an ordinary reader forgives (a stray
quote, a repeated key, a number that loses digits) is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from insights.ingest.grammar import NumberToken
from insights.ingest.limits import JSON_DEPTH_MAX
from insights.ingest.refusals import Refusal

_QUOTED_CELL = re.compile(r'"((?:[^"]++|"")*+)"(?=,|\Z)')
_PLAIN_CELL = re.compile(r'[^",]*+(?=,|\Z)')
# The closing quote is optional, so that an open string is passed over once and not tried again.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^\[\]{}]+")


def split_cells(line: str) -> list[str]:
    """The cells of a CSV line: comma, double quotes only around a whole cell and doubled inside."""
    cells: list[str] = []
    place = 0
    while True:
        match = (_QUOTED_CELL if line.startswith('"', place) else _PLAIN_CELL).match(line, place)
        if match is None:
            message = f"the quotes in cell {len(cells) + 1} do not close or do not surround it"
            raise Refusal("csv_quote", "", message, line[place:])
        cells.append(match[1].replace('""', '"') if match.re is _QUOTED_CELL else match[0])
        place = match.end() + 1
        if place > len(line):
            return cells


class _RepeatedKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _RepeatedKey(key)
        seen.add(key)
    return members


def _refuse_constant(name: str) -> object:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


# Control characters inside strings pass here and are refused by name where the text is read.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_of,
    parse_float=NumberToken,
    parse_int=NumberToken,
    parse_constant=_refuse_constant,
    strict=False,
)


def read_object(line: str) -> dict[str, object]:
    """The JSON object that one line holds, its numbers as their exact characters."""
    if json_depth_above(line, JSON_DEPTH_MAX):
        message = f"the JSON is nested deeper than {JSON_DEPTH_MAX}"
        raise Refusal("too_deep", "", message, line)
    try:
        value = _DECODER.decode(line)
    except _RepeatedKey as error:
        message = f"the key {error.key!r} comes twice"
        raise Refusal("duplicate_key", error.key, message, line) from None
    except json.JSONDecodeError as error:
        message = f"this is not one JSON object: {error.msg} at character {error.pos + 1}"
        raise Refusal("malformed_json", "", message, line) from None
    if not isinstance(value, dict):
        raise Refusal("shape", "", "a row must be a JSON object", line)
    return value


def json_depth_above(text: str, depth_max: int) -> bool:
    """Whether brackets nest deeper than depth_max, told without parsing."""
    if text.count("{") + text.count("[") <= depth_max:
        return False
    depth = 0
    for bracket in _NOT_BRACKETS.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > depth_max:
            return True
    return False


def strings_in(value: object) -> Iterator[str]:
    """Every text inside a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
