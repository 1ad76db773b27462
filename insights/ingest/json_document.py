"""One JSON document {"rows": [...]} to the texts of its rows.

Checks the document as a whole (depth, syntax, repeated and unknown keys) before the first row is
handed on, so a broken document is refused and never half read.
"""

from __future__ import annotations

import json
import re

from insights.ingest.cells import json_depth_above
from insights.ingest.grammar import NUMBER_CHARACTERS_MAX
from insights.ingest.limits import JSON_DEPTH_MAX
from insights.ingest.refusals import RequestRefused

_SPACE = re.compile(r"[ \t\n\r]*+")


def _refuse_long_number(token: str) -> None:
    if len(token) > NUMBER_CHARACTERS_MAX:
        detail = f"a number has more than {NUMBER_CHARACTERS_MAX} characters"
        raise RequestRefused("number_format", detail)


def _refuse_constant(name: str) -> object:
    raise RequestRefused("malformed_json", f"{name} is not JSON")


# Rows are decoded again one by one; here only their syntax and their ends matter.
_SCANNER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: None,
    parse_float=_refuse_long_number,
    parse_int=_refuse_long_number,
    parse_constant=_refuse_constant,
    strict=False,
)


def document_rows(text: str, *, rows_max: int) -> list[str]:
    """The text of each element of rows, in order."""
    if json_depth_above(text, JSON_DEPTH_MAX):
        raise RequestRefused("too_deep", f"the JSON is nested deeper than {JSON_DEPTH_MAX}")
    return _Document(text, rows_max).rows()


class _Document:
    """One pass over the top level; place is where reading stands."""

    def __init__(self, text: str, rows_max: int) -> None:
        self.text = text
        self.rows_max = rows_max
        self.place = 0

    def rows(self) -> list[str]:
        self._skip_space()
        if not self._at("{"):
            self._value()
            self._end()
            raise RequestRefused("shape", 'the body must be an object: {"rows": [...]}')
        members = self._members()
        self._end()
        names = [name for name, _ in members]
        if len(set(names)) < len(names):
            raise RequestRefused("duplicate_key", "a top-level key comes twice")
        for name in names:
            if name != "rows":
                raise RequestRefused("unknown_field", f"{name!r} is not known here", field=name)
        rows = members[0][1] if members else None
        if rows is None:
            raise RequestRefused("shape", '"rows" must be a list', field="rows")
        return rows

    def _members(self) -> list[tuple[str, list[str] | None]]:
        members: list[tuple[str, list[str] | None]] = []
        self._take("{")
        if self._at("}"):
            self._take("}")
            return members
        while True:
            if not self._at('"'):
                raise self._malformed("a key in double quotes")
            name = json.loads(self._value(), strict=False)
            self._take(":")
            if name == "rows" and self._at("["):
                members.append((name, self._elements()))
            else:
                self._value()
                members.append((name, None))
            if not self._at(","):
                self._take("}")
                return members
            self._take(",")

    def _elements(self) -> list[str]:
        elements: list[str] = []
        self._take("[")
        if self._at("]"):
            self._take("]")
            return elements
        while True:
            if len(elements) == self.rows_max:
                detail = f"the document has more than {self.rows_max} rows"
                raise RequestRefused("batch_too_many_rows", detail)
            elements.append(self._value())
            if not self._at(","):
                self._take("]")
                return elements
            self._take(",")

    def _value(self) -> str:
        start = self.place
        try:
            _, self.place = _SCANNER.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            self.place = error.pos
            raise self._malformed(error.msg) from None
        value = self.text[start : self.place]
        self._skip_space()
        return value

    def _at(self, character: str) -> bool:
        return self.text.startswith(character, self.place)

    def _take(self, character: str) -> None:
        if not self._at(character):
            raise self._malformed(f"expected {character}")
        self.place += 1
        self._skip_space()

    def _end(self) -> None:
        if self.place < len(self.text):
            raise self._malformed("nothing may follow the document")

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.place)
        self.place = match.end() if match else self.place

    def _malformed(self, what: str) -> RequestRefused:
        line = self.text.count("\n", 0, self.place) + 1
        detail = f"this is not JSON at character {self.place + 1}: {what}"
        return RequestRefused("malformed_json", detail, line=line)
