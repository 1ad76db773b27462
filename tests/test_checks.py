"""The checks of our settings: silent on those that ship, and each says what contradicts what."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from accounts import zones
from insights import checks


def ids_of(messages: list[Any]) -> set[str]:
    return {message.id for message in messages if message.id.startswith("insights.")}


def test_the_settings_that_ship_agree() -> None:
    assert ids_of(run_checks(include_deployment_checks=True)) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UPLOAD_MAX_SENT_BYTES", 0),
        ("UPLOAD_MAX_SENT_BYTES", 1_000_000),
        ("UPLOAD_MAX_SENT_BYTES", 2**40),
        ("UPLOAD_MAX_LINES", 0),
        ("UPLOAD_WAIT_SECONDS", 31),
        ("UPLOAD_WAIT_SECONDS", -1),
        ("DOWNLOADS_PER_ACCOUNT", 7),
        ("DOWNLOADS_PER_ACCOUNT", 0),
        ("DOWNLOAD_STALL_SECONDS", 0),
    ],
)
def test_limits_that_contradict_each_other_are_an_error(settings: Any, name: str, value: int) -> None:
    setattr(settings, name, value)

    assert ids_of(run_checks()) == {"insights.E002"}


def test_a_role_without_address_is_an_error_of_the_deployment(settings: Any) -> None:
    settings.DATABASES = {name: value for name, value in settings.DATABASES.items() if name != "export"}

    [message] = checks.check_every_role_has_an_address()

    assert (message.id, "export" in message.msg) == ("insights.E001", True)


def test_a_clock_that_is_not_utc_is_an_error(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"

    assert ids_of(checks.check_clocks()) == {"insights.E003"}


def test_a_zone_without_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "billing_zones", lambda: (*zones.billing_zones(), "Europe/Nowhere"))

    assert ids_of(checks.check_clocks()) == {"insights.E004"}
