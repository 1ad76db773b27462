"""Meters described as TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from insights.feeds.meter_toml import AGGREGATIONS, GRAINS_SECONDS, InvalidMeters, parse_meters_toml
from insights.models import Aggregation

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "electricity.toml"


def test_the_shipped_example_is_one_meter_in_kilowatt_hours() -> None:
    (meter,) = parse_meters_toml(EXAMPLE.read_text())

    assert (meter.key, meter.unit, meter.grain_seconds, meter.aggregation) == (
        "electricity",
        "kWh",
        1800,
        "sum",
    )


def test_the_names_are_those_of_the_catalogue() -> None:
    assert set(AGGREGATIONS) == set(Aggregation.values)
    assert all(86400 % grain == 0 for grain in GRAINS_SECONDS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('colour = "red"', "colour is not a field"),
        ('grain_seconds = "3600"', "grain_seconds has the wrong type"),
        ("grain_seconds = 7", "grain_seconds must be one of"),
        ('aggregation = "average"', "aggregation must be one of"),
        ('aggregation = "unique_count"', "unique_count needs unique_dimensions"),
        ('unique_dimensions = ["endpoint"]', "which dimensions does not"),
        ('dimensions = ["End Point"]', "must be lower case"),
        ("allows_negative = 1", "allows_negative has the wrong type"),
    ],
)
def test_a_wrong_value_is_named(line: str, words: str) -> None:
    with pytest.raises(InvalidMeters, match=words):
        parse_meters_toml(f'[[meters]]\nkey = "m"\nname = "M"\nunit = "byte"\n{line}\n')


@pytest.mark.parametrize("text", ["", "meters = 1", "[meters]\nkey = 1", "[[meters]]\n[[other]]\n", "= ="])
def test_anything_but_tables_of_meters_is_refused(text: str) -> None:
    with pytest.raises(InvalidMeters):
        parse_meters_toml(text)
