"""A source's description: read strictly, written back alike, checked against the catalogue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.ingest.source_definition import (
    InvalidSource,
    SourceDefinition,
    UnitConversion,
    parse_source_toml,
    source_to_toml,
    validate_definition,
)
from insights.ingest.source_faults import WINDOW_SECONDS, definition_faults
from tests.ingest.deliveries import CATALOGUE, source

SMALLEST = 'slug = "edge"\nname = "Edge"\nkey_kind = "window"\nwindow = "hour"\n'


def errors(text: str) -> dict[str, str]:
    with pytest.raises(InvalidSource) as caught:
        parse_source_toml(text)
    return dict(caught.value.errors)


def test_the_example_describes_the_trial() -> None:
    definition = parse_source_toml(Path("docs/examples/sgsc.toml").read_text(encoding="utf-8"))

    assert definition.columns["quantity"] == "general_supply_kwh"
    assert definition.ignored == ("event_key", "controlled_load_kwh")
    assert definition.max_age_days is None
    assert validate_definition(definition, CATALOGUE.meters) == ()


def test_what_is_left_out_has_a_default() -> None:
    definition = parse_source_toml(SMALLEST)

    assert (definition.format, definition.max_age_days, definition.max_ahead_seconds) == ("any", 35, 300)
    assert definition.required_fields == ("window_start", "quantity", "account", "meter")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("slug =", ""),
        (SMALLEST + "colour = 1", "colour"),
        (SMALLEST + "account_id = 1", "account_id"),
        (SMALLEST.replace('"edge"', "5"), "slug"),
        (SMALLEST.replace('"edge"', '"Edge feed"'), "slug"),
        (SMALLEST.replace('"Edge"', '" "'), "name"),
        (SMALLEST.replace('window = "hour"\n', ""), "window"),
        (SMALLEST.replace('"hour"', '"7min"'), "window"),
        (SMALLEST.replace('"window"', '"id"'), "key_kind"),
        (SMALLEST + 'format = "xml"', "format"),
        (SMALLEST + 'clock_zone = "Mars/Olympus"', "clock_zone"),
        (SMALLEST + 'clock_zone = "../UTC"', "clock_zone"),
        (SMALLEST + "max_age_days = true", "max_age_days"),
        (SMALLEST + "max_age_days = 0", "max_age_days"),
        (SMALLEST + 'max_age_days = "35"', "max_age_days"),
        (SMALLEST + "max_ahead_seconds = -1", "max_ahead_seconds"),
        (SMALLEST + "cadence_seconds = 1.5", "cadence_seconds"),
        (SMALLEST + "default_revision = 0", "default_revision"),
        (SMALLEST + "enabled = 1", "enabled"),
        (SMALLEST + 'ignored = "note"', "ignored"),
        (SMALLEST + "ignored = [1]", "ignored"),
        (SMALLEST + "columns = 1", "columns"),
        (SMALLEST + '[columns]\nnote = "note"', "columns.note"),
        (SMALLEST + '[columns]\nrow_id = "id"', "columns.row_id"),
        (SMALLEST + '[columns]\naccount = "a"', "columns.quantity"),
        (SMALLEST + '[columns]\naccount = "a"\nmeter = "a"', "columns"),
        (SMALLEST + '[columns]\naccount = ""', "columns.account"),
        (SMALLEST + '[columns]\n"dimension." = "x"', "columns.dimension."),
        (SMALLEST + '[constants]\nquantity = "5"', "constants.quantity"),
        (SMALLEST + '[constants]\nmeter = " m"', "constants.meter"),
        (SMALLEST + '[columns]\nmeter = "m"\n[constants]\nmeter = "m"', "constants.meter"),
        (SMALLEST + '[conversions.m]\nunit = "GB"', "conversions.m"),
        (SMALLEST + '[conversions.m]\nunit = "GB"\nfactor = 0.5', "conversions.m.factor"),
        (SMALLEST + '[conversions.m]\nunit = "GB"\nfactor = "1e3"', "conversions.m.factor"),
        (SMALLEST + '[conversions.m]\nunit = "GB"\nfactor = 0', "conversions.m"),
        (SMALLEST + '[conversions.m]\nunit = ""\nfactor = 1', "conversions.m"),
    ],
)
def test_a_wrong_description_names_the_field(text: str, field: str) -> None:
    assert field in errors(text)


def test_every_fault_is_found_at_once() -> None:
    assert set(errors('slug = 1\nname = "x"\ncolour = 2')) == {"slug", "colour", "key_kind", "window"}


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (source(constants={"meter": "absent"}), "constants.meter"),
        (source(conversions={"absent": UnitConversion("GB", Decimal(1))}), "conversions.absent"),
        (source(conversions={"bytes_out": UnitConversion("GB", Decimal("1" * 29))}), "conversions.bytes_out"),
        (source(conversions={"bytes_out": UnitConversion("GB", Decimal("1e28"))}), "conversions.bytes_out"),
        (source(conversions={"bytes_out": UnitConversion("GB", Decimal("1e-19"))}), "conversions.bytes_out"),
        (source(constants={"dimension.colour": "red"}), "constants.dimension.colour"),
        (
            source(constants={"meter": "daily", "dimension.region": "eu"}),
            "constants.dimension.region",
        ),
        (source(constants={"meter": "bytes_out"}, window="day"), "window"),
        (source(account_id=1, constants={"account": "ansel"}), "constants.account"),
    ],
)
def test_a_definition_must_fit_the_catalogue(definition: SourceDefinition, field: str) -> None:
    assert field in dict(validate_definition(definition, CATALOGUE.meters))


def test_a_sound_definition_has_no_faults() -> None:
    assert validate_definition(source(), CATALOGUE.meters) == ()
    for factor in (Decimal("1" * 28), Decimal("1e27"), Decimal("1e-18"), Decimal("1" * 10 + "." + "1" * 18)):
        conversions = {"bytes_out": UnitConversion("GB", factor)}
        assert validate_definition(source(conversions=conversions), CATALOGUE.meters) == ()
    assert validate_definition(source(window="day", constants={"meter": "daily"}), CATALOGUE.meters) == ()


words = st.text(st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        SourceDefinition,
        slug=st.from_regex(r"[a-z0-9][-_a-z0-9]{0,59}", fullmatch=True),
        name=words,
        key_kind=st.just("window"),
        window=st.sampled_from(sorted(WINDOW_SECONDS)),
        format=st.sampled_from(["csv", "any"]),
        columns=st.just({}),
        ignored=st.lists(words, unique=True, max_size=3).map(tuple),
        constants=st.dictionaries(st.sampled_from(["meter", "unit", "dimension.a b"]), words),
        clock_zone=st.sampled_from([None, "UTC", "Europe/Berlin"]),
        conversions=st.dictionaries(
            words,
            st.builds(UnitConversion, words, st.decimals("0.000001", "1000000", places=6)),
            max_size=2,
        ),
        max_age_days=st.sampled_from([None, 1, 35]),
        enabled=st.booleans(),
    )
)
def test_a_description_written_and_read_is_the_same(definition: SourceDefinition) -> None:
    assert definition_faults(definition) == ()
    assert parse_source_toml(source_to_toml(definition)) == definition
