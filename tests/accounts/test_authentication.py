"""Bearer keys: who they let in, and that an invented one costs no query."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts import keys, queries
from accounts.authentication import KeyFacts, check_key
from accounts.models import ApiKey
from accounts.operations import close_account, revoke_api_key, suspend_account
from accounts.tenancy import account_scope, as_staff, as_worker
from insights.models import SourceKey
from tests import factories
from tests.conftest import Cast

ENDPOINT = "/api/v1/account"


def ask(key: str | None, scheme: str = "Bearer") -> Any:
    headers = {} if key is None else {"Authorization": f"{scheme} {key}"}
    return Client().get(ENDPOINT, headers=headers)


def refusal(plain: str) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        check_key(plain, now=timezone.now())
    return str(caught.value.get_codes())


def test_good_key_opens_its_account(cast: Cast) -> None:
    row, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    facts = check_key(plain, now=timezone.now())
    assert facts == KeyFacts("account", row.pk, cast.ours.pk, None, None, ("usage:read",), "test key")
    answer = ask(plain)
    assert answer.status_code == 200
    assert "CANARY" not in answer.content.decode()


def test_source_key_names_its_source(cast: Cast) -> None:
    source = factories.make_source("edge")
    plain, prefix, sha256 = keys.make_key()
    with as_worker():
        row = SourceKey.objects.create(source=source, name="edge", prefix=prefix, secret_sha256=sha256)
    facts = check_key(plain, now=timezone.now())
    assert facts == KeyFacts("source", row.pk, None, source.pk, "edge", ("usage:write",), "edge")
    with as_worker():
        assert SourceKey.objects.get().last_used_at is not None


@pytest.mark.parametrize(
    "made_up", ["", "x", "up_live_0000000000000000_" + "0" * 39, "é", "up_live_\x00", "a" * 10_000]
)
def test_invented_key_costs_no_query(portal_db: None, monkeypatch: pytest.MonkeyPatch, made_up: str) -> None:
    monkeypatch.setattr(queries, "find_key", lambda prefix: pytest.fail("asked the database"))
    assert refusal(made_up) == "invalid_key"


def test_ten_thousand_keys_with_one_wrong_character_cost_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "find_key", lambda prefix: pytest.fail("asked the database"))
    for number in range(10_000):
        plain = keys.make_key()[0]
        place = 8 + number % (len(plain) - 8)
        wrong = "A" if plain[place] != "A" else "B"
        with pytest.raises(AuthenticationFailed):
            check_key(plain[:place] + wrong + plain[place + 1 :], now=timezone.now())


def test_right_prefix_with_another_secret_is_unknown(cast: Cast) -> None:
    other = keys.make_key()[0]
    body = other[: -keys.CHECKSUM_LENGTH]
    row, _ = factories.make_api_key(cast.ours, created_by=cast.owner, prefix=body.split("_")[2])
    assert row.prefix in other
    assert refusal(other) == "invalid_key"


def test_revoked_key_is_refused_from_the_next_request(cast: Cast) -> None:
    row, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    assert ask(plain).status_code == 200
    with account_scope(cast.ours.pk):
        revoke_api_key(account=cast.ours, key=row, actor=cast.owner, role="owner", now=timezone.now())
    answer = ask(plain)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert refusal(plain) == "revoked_key"


def test_expired_key_is_refused(cast: Cast) -> None:
    _, plain = factories.make_api_key(
        cast.ours, created_by=cast.owner, expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert refusal(plain) == "expired_key"


def test_suspended_account_reads_and_closed_one_does_not(cast: Cast) -> None:
    _, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    with as_staff():
        suspend_account(account=cast.ours, actor=cast.staff)
    assert ask(plain).status_code == 200
    with as_staff():
        close_account(account=cast.ours, actor=cast.staff, now=timezone.now())
    assert refusal(plain) == "closed"
    assert ask(plain).status_code == 401


@pytest.mark.parametrize("header", [None, "", "Basic", "Bearer", "Bearer a b", "bearer x", "Bearer é"])
def test_no_or_bad_key_is_401_with_a_challenge(cast: Cast, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = Client().get(ENDPOINT, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"


def test_key_without_the_scope_is_403(cast: Cast) -> None:
    _, plain = factories.make_api_key(cast.ours, created_by=cast.owner, scopes=[])
    assert ask(plain).status_code == 403


def test_session_opens_no_endpoint(cast: Cast, signed_in: Any) -> None:
    assert signed_in(cast.owner).get(ENDPOINT).status_code == 401


def test_key_in_the_address_is_not_looked_at(cast: Cast) -> None:
    _, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    assert Client().get(ENDPOINT, {"key": plain}).status_code == 401


def test_use_is_noted_once_a_minute(cast: Cast) -> None:
    _, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    start = timezone.now()
    for seconds, noted in [(0, 0), (30, 0), (61, 61)]:
        check_key(plain, now=start + timedelta(seconds=seconds))
        with account_scope(cast.ours.pk):
            assert ApiKey.objects.get().last_used_at == start + timedelta(seconds=noted)


def test_logs_hold_no_key() -> None:
    plain, prefix, _ = keys.make_key()
    configuration = dict(settings.LOGGING["formatters"]["structured"])
    formatter = configuration.pop("()")(**configuration)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "refused %s", (f"Bearer {plain}",), None)
    line = formatter.format(record)
    assert plain not in line
    assert f"up_live_{prefix}_" in line
