"""API keys: their form, their checksum, and who they let in."""

from __future__ import annotations

import pytest

from accounts import keys


def test_made_key_is_found_by_its_prefix() -> None:
    plain, prefix, sha256 = keys.make_key()
    assert plain.startswith(f"up_live_{prefix}_")
    assert keys.find_prefix(plain) == prefix
    assert keys.hash_key(plain) == sha256


@pytest.mark.parametrize("position", range(8, len(keys.make_key()[0])))
def test_one_wrong_character_is_seen_without_asking_the_database(position: int) -> None:
    plain, _, _ = keys.make_key()
    wrong = "0" if plain[position] != "0" else "1"
    assert keys.find_prefix(plain[:position] + wrong + plain[position + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "up_live_", "up_live_x_y", "Bearer", "up_live_" + "0" * 16 + "_" + "0" * 39, "\x00"]
)
def test_what_is_not_a_key_has_no_prefix(text: str) -> None:
    assert keys.find_prefix(text) is None


def test_hidden_key_keeps_its_prefix_only() -> None:
    plain, prefix, _ = keys.make_key()
    hidden = keys.hide_keys(f"refused {plain} today")
    assert hidden == f"refused up_live_{prefix}_… today"
