"""The columns of a chunk with their series, in the order of the ledger's key: written and counted as they are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from insights.ingest.columns import PlainColumns
from insights.ingest.verdicts import StagedLine
from insights.values.quantity import SCALE_MAX

_MONTH_CHARACTERS = len("2026-01")

# Files repeat the same few thousand instants chunk after chunk.
_instant_text = lru_cache(maxsize=65_536)(datetime.isoformat)


class SeriesFact(NamedTuple):
    """What a record carries of its series."""

    account_id: int
    series_id: int
    meter_id: int


class Probe(NamedTuple):
    """Windows of one series in one month, as an array of PostgreSQL's."""

    account_id: int
    series_id: int
    first: str
    last: str
    windows: str


class AccountSpan(NamedTuple):
    """The lines of one account in a chunk: how many, their first and last window, first and last line."""

    account_id: int
    lines: int
    first_window: datetime
    last_window: datetime
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class StagedColumns:
    """Lines sorted by account, series and window: line_no, series, start, row_id, revision, quantity.

    series and start are places in the lists beside, which rise and are distinct.
    """

    frame: pl.DataFrame
    series: list[SeriesFact]
    starts: list[datetime]

    @property
    def count(self) -> int:
        return self.frame.height

    def has_repeats(self, *, key_kind: str) -> bool:
        """Whether two lines name the same fact."""
        if key_kind == "window":
            is_repeat = (pl.col("series") == pl.col("series").shift()) & (
                pl.col("start") == pl.col("start").shift()
            )
            return bool(self.frame.select(is_repeat.any()).item())
        facts = self.frame.select(self._of_series("account_id"), pl.col("row_id"))
        return facts.n_unique() < facts.height

    def copy_text(self, *, phase: int) -> bytes:
        """The lines as COPY reads them: line, account, series, window, row id, revision, quantity, meter, phase."""
        # Control characters never come this far, so the backslash is all that COPY would misread.
        row_id = pl.col("row_id").str.replace_all("\\", "\\\\", literal=True)
        text = io.BytesIO()
        self.frame.select(
            "line_no",
            self._of_series("account_id"),
            self._of_series("series_id"),
            self._windows(),
            row_id,
            "revision",
            "quantity",
            self._of_series("meter_id"),
            pl.lit(phase).alias("phase"),
        ).write_csv(text, include_header=False, separator="\t", quote_style="never")
        return text.getvalue()

    def probes(self) -> list[Probe]:
        """What to look up, in the order of the lines. By months, since records are kept by them."""
        window = pl.col("window")
        groups = (
            self.frame.select("series", self._windows())
            .group_by("series", window.str.head(_MONTH_CHARACTERS).alias("month"), maintain_order=True)
            .agg(window.first().alias("first"), window.last().alias("last"), window.str.join(","))
        )
        return [
            Probe(
                self.series[series].account_id, self.series[series].series_id, first, last, f"{{{windows}}}"
            )
            for series, _month, first, last, windows in groups.iter_rows()
        ]

    def content_text(self) -> str:
        """What the lines say beside their series and windows, written as PostgreSQL writes stored records."""
        parts = pl.col("quantity").str.splitn(".", 2).struct
        fraction = parts.field("field_1").fill_null("").str.pad_end(SCALE_MAX, "0")
        said = pl.format("{} {}.{} {}", "revision", parts.field("field_0"), fraction, "row_id")
        return str(self.frame.select(said.str.join("\n")).item())

    def lines(self) -> list[StagedLine]:
        """The lines one by one, in their order in the file."""
        return self._lines(self.frame.sort("line_no"))

    def sample(self, lines_max: int) -> list[StagedLine]:
        """A few lines from all over the chunk."""
        return self._lines(self.frame.gather_every(-(-self.count // lines_max)))

    def _lines(self, frame: pl.DataFrame) -> list[StagedLine]:
        # A NamedTuple's own constructor takes twice the time, on every line.
        make: Any = tuple.__new__
        return [
            make(
                StagedLine,
                (line_no, *self.series[series][:2], self.starts[start], row_id, revision, Decimal(quantity)),
            )
            for line_no, series, start, row_id, revision, quantity in frame.iter_rows()
        ]

    def spans(self) -> list[AccountSpan]:
        """One span for each account, in the order of accounts."""
        line, start = pl.col("line_no"), pl.col("start")
        rows = (
            self.frame.select(self._of_series("account_id"), line, start)
            .group_by("account_id")
            .agg(pl.len(), start.min(), start.max().alias("last"), line.min(), line.max().alias("last_line"))
            .sort("account_id")
        )
        return [
            AccountSpan(account_id, count, self.starts[first], self.starts[last], first_line, last_line)
            for account_id, count, first, last, first_line, last_line in rows.iter_rows()
        ]

    def _windows(self) -> pl.Series:
        texts = pl.Series(list(map(_instant_text, self.starts)), dtype=pl.String)
        return texts.gather(self.frame["start"]).alias("window")

    def _of_series(self, name: str) -> pl.Series:
        values = [getattr(fact, name) for fact in self.series]
        return pl.Series(values, dtype=pl.Int64).gather(self.frame["series"]).alias(name)


def stage_columns(columns: PlainColumns, facts: Sequence[SeriesFact]) -> StagedColumns:
    """Give the lines their series and sort them; `facts` stand beside the subjects of the columns."""
    series = sorted(set(facts))
    places: Mapping[SeriesFact, int] = {fact: place for place, fact in enumerate(series)}
    series_of = pl.Series([places[fact] for fact in facts], dtype=pl.Int64).gather(columns.frame["subject"])
    key = series_of * len(columns.starts) + columns.frame["start"]
    frame = columns.frame.with_columns(series_of.alias("series"), key.alias("key")).sort("key")
    ordered = frame.select("line_no", "series", "start", "row_id", "revision", "quantity")
    return StagedColumns(ordered, series, columns.starts)
