"""Every address against every kind of visitor: another account's things answer like things that do not exist.

The addresses come from the URL configuration, so that a page added later is covered or turns a test red.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from accounts import keys
from accounts.models import Account
from accounts.tenancy import as_owner, connection
from insights.models import Backfill, Batch, BatchPart, Download, LineItem, Source, SourceKey
from tests import factories
from tests.conftest import Cast
from tests.isolation.addresses import Address, absent_values, list_addresses
from tests.isolation.rows import CANARY, fill_every_table

ADDRESSES = list_addresses()
ACCOUNT_PAGES = [address for address in ADDRESSES if address.kind == "account"]
STAFF_PAGES = [address for address in ADDRESSES if address.kind == "staff"]
ENDPOINTS = [address for address in ADDRESSES if address.kind == "api"]
METHODS = ("get", "post")
ENDPOINT_METHODS = (*METHODS, "delete")
# What a page has to be asked to show usage; the rest shows something without being asked.
QUESTIONS = dict.fromkeys(
    ("usage-explorer", "usage-aggregates-csv", "usage-records-csv"),
    "?meter={meter}&from=2026-11-01&to=2026-11-30&granularity=day",
) | {"usage-changes-csv": "?meter={meter}&from=2026-11-01&to=2026-11-30&position=0"}
# Each renders another token each time; everything else of an answer is compared byte by byte.
CHANGING = re.compile(rb'(csrfmiddlewaretoken" value="|X-CSRFToken": ")[A-Za-z0-9]+')


@dataclass(frozen=True, slots=True)
class Scene:
    """Two filled accounts and the values that name their things in addresses."""

    cast: Cast
    ours: dict[str, Any]
    other: dict[str, Any]


@pytest.fixture
def scene(cast: Cast) -> Scene:
    return Scene(cast, ours=values_of(cast.ours, "own"), other=values_of(cast.other, CANARY))


def values_of(account: Account, text: str) -> dict[str, Any]:
    rows = fill_every_table(account, text=text)
    batch, download, source = rows["insights_batch"], rows["insights_download"], rows["insights_source"]
    assert isinstance(batch, Batch)
    assert isinstance(download, Download)
    assert isinstance(source, Source)
    with as_owner():
        # A customer knows a batch by the public id that their part of it carries.
        BatchPart.objects.filter(account=account).update(batch_public_id=batch.public_id)
        # The records behind a line are those of its meter.
        meter: Any = rows["insights_meter"]
        LineItem.objects.filter(account=account).update(meter_key=meter.key, meter_version=meter.version)
        backfill = Backfill.objects.create(source=source, reason=text)
    return {
        "account_uuid": account.public_id,
        "backfill_uuid": backfill.public_id,
        "batch_uuid": batch.public_id,
        "batch_id": batch.public_id,
        "bill_uuid": rows["insights_invoice"].public_id,  # type: ignore[attr-defined]
        "invoice_id": rows["insights_invoice"].public_id,  # type: ignore[attr-defined]
        "key_uuid": rows["accounts_apikey"].public_id,  # type: ignore[attr-defined]
        "user_uuid": rows["accounts_user"].public_id,  # type: ignore[attr-defined]
        "download_id": download.public_id,
        "note_id": rows["insights_chartnote"].public_id,  # type: ignore[attr-defined]
        "finding_uuid": rows["insights_uncoveredusage"].public_id,  # type: ignore[attr-defined]
        "note_uuid": rows["insights_chartnote"].public_id,  # type: ignore[attr-defined]
        "view_uuid": rows["insights_savedview"].public_id,  # type: ignore[attr-defined]
        "slug": source.slug,
        "subscription_uuid": rows["insights_subscription"].public_id,  # type: ignore[attr-defined]
        "plan_key": rows["insights_plan"].key,  # type: ignore[attr-defined]
        # A plan of one row has no version, and so no price.
        "price_key": "none",
        "meter": rows["insights_meter"].key,  # type: ignore[attr-defined]
        "position": 1,
    }


def own_path(scene: Scene, address: Address) -> str:
    """Return our own address with a question that has an answer."""
    return address.path(scene.ours) + QUESTIONS.get(address.name, "").format_map(scene.ours)


def send(browser: Client, method: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    """Ask and return status, body and headers, streamed answers read to their end."""
    browser.raise_request_exception = False
    answer: HttpResponseBase = getattr(browser, method)(path)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    headers = {name: value for name, value in answer.headers.items() if name not in {"Date", "Server-Timing"}}
    return answer.status_code, CHANGING.sub(rb"\1", body), headers


def assert_private(answer: tuple[int, bytes, dict[str, str]], *, where: str) -> None:
    status, body, headers = answer
    assert status < 500, where
    assert headers.get("Cache-Control") == "no-store", where
    assert CANARY.encode() not in body.upper(), where
    assert CANARY not in str(headers).upper(), where


def test_every_address_declares_who_may_open_it() -> None:
    assert [address.route for address in ADDRESSES if address.kind == "undeclared"] == []


def test_every_variable_part_is_known() -> None:
    values = absent_values("absent")
    for address in ADDRESSES:
        if address.kind in {"account", "staff", "api", "signed_in"}:
            address.path(values)


def test_enough_addresses_are_seen() -> None:
    assert len(ACCOUNT_PAGES) >= 7
    assert len(STAFF_PAGES) >= 10
    assert len(ENDPOINTS) >= 5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["viewer", "owner", "stranger to us", "staff", "anonymous"])
def test_another_account_answers_like_an_absent_one(
    scene: Scene, signed_in: Any, who: str, method: str
) -> None:
    """The visitor asks for an account that is not theirs, and for one that does not exist."""
    person = {"viewer": scene.cast.viewer, "owner": scene.cast.owner, "staff": scene.cast.staff}.get(who)
    theirs = scene.other
    if who == "stranger to us":
        person, theirs = scene.cast.stranger, scene.ours
    browser = signed_in(person)
    for address in ACCOUNT_PAGES:
        path = address.path(theirs)
        absent_path = address.path({**theirs, "account_uuid": uuid.uuid4()})
        there, absent = send(browser, method, path), send(browser, method, absent_path)
        assert_private(there, where=path)
        if who == "anonymous":
            assert (there[0], absent[0]) == (302, 302), path
            assert there[2]["Location"].startswith("/auth/login/"), path
        else:
            assert there[0] == 404, path
            assert there == absent, path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["viewer", "owner"])
def test_another_accounts_things_under_our_own_address(
    scene: Scene, signed_in: Any, who: str, method: str
) -> None:
    """Our account in the address, and a batch or key of the other account behind it."""
    browser = signed_in(getattr(scene.cast, who))
    for address in ACCOUNT_PAGES:
        if len(address.parts) < 2:
            continue
        mixed = {**scene.other, "account_uuid": scene.ours["account_uuid"]}
        absent = {**absent_values("absent"), "account_uuid": scene.ours["account_uuid"]}
        there, nothing = (
            send(browser, method, address.path(mixed)),
            send(browser, method, address.path(absent)),
        )
        assert_private(there, where=address.route)
        assert there[0] in {403, 404, 405}, address.route
        assert there == nothing, address.route


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["viewer", "owner"])
def test_own_pages_hold_nothing_of_the_other(scene: Scene, signed_in: Any, who: str, method: str) -> None:
    browser = signed_in(getattr(scene.cast, who))
    role = "viewer" if who == "viewer" else "owner"
    for address in ACCOUNT_PAGES:
        answer = send(browser, method, own_path(scene, address))
        assert_private(answer, where=address.route)
        if role not in address.roles:
            assert answer[0] == 403, address.route
        elif method == "get":
            assert answer[0] in {200, 302}, address.route
        assert "Support-Access" not in answer[2], address.route


def test_support_reads_everything_and_writes_nothing(scene: Scene, signed_in: Any) -> None:
    factories.open_support_access(scene.cast.ours, scene.cast.staff)
    browser = signed_in(scene.cast.staff)
    served = 0
    for address in ACCOUNT_PAGES:
        seen = send(browser, "get", own_path(scene, address))
        assert_private(seen, where=address.route)
        assert seen[0] in {200, 302, 403}, address.route
        assert seen[2]["Support-Access"].startswith("active; expires="), address.route
        served += 1
        before = checksum()
        for method in ("post", "put", "patch", "delete", "options"):
            assert send(browser, method, address.path(scene.ours))[0] == 403, (method, address.route)
        assert checksum() == before, address.route
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM accounts_supportaccesspage p JOIN accounts_supportaccess a "
            "ON a.id = p.support_access_id WHERE a.staff_user_id = %s",
            [scene.cast.staff.pk],
        )
        assert cursor.fetchone() == (served,)


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_support_ends_with_the_right_to_it(scene: Scene, signed_in: Any, change: dict[str, bool]) -> None:
    """Looked at on every request: a person who is no longer staff is out at the next click."""
    factories.open_support_access(scene.cast.ours, scene.cast.staff)
    browser = signed_in(scene.cast.staff)
    settings = f"/a/{scene.cast.ours.public_id}/settings/"
    assert send(browser, "get", settings)[0] == 200
    factories.change_user(scene.cast.staff, **change)
    for address in ACCOUNT_PAGES:
        assert send(browser, "get", address.path(scene.ours))[0] in {302, 404}, address.route


def test_removed_member_is_out_at_the_next_click(scene: Scene, signed_in: Any) -> None:
    browser = signed_in(scene.cast.viewer)
    settings = f"/a/{scene.cast.ours.public_id}/settings/"
    assert send(browser, "get", settings)[0] == 200
    with as_owner():
        scene.cast.viewer.memberships.all().delete()
    assert send(browser, "get", settings)[0] == 404


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_suspended_and_closed_accounts_are_read_only(scene: Scene, signed_in: Any, state: str) -> None:
    closed_at = "now()" if state == "closed" else "NULL"
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            f"UPDATE accounts_account SET state = %s, closed_at = {closed_at} WHERE id = %s",
            [state, scene.cast.ours.pk],
        )
    browser = signed_in(scene.cast.owner)
    for address in ACCOUNT_PAGES:
        assert send(browser, "get", own_path(scene, address))[0] in {200, 302}, address.route
        before = checksum()
        assert send(browser, "post", address.path(scene.ours))[0] == 403, address.route
        assert checksum() == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["viewer", "owner", "stranger", "anonymous"])
def test_staff_pages_are_not_there_for_others(scene: Scene, signed_in: Any, who: str, method: str) -> None:
    browser = signed_in(getattr(scene.cast, who, None))
    before = checksum()
    for address in STAFF_PAGES:
        there = send(browser, method, address.path(scene.other))
        absent = send(browser, method, address.path(absent_values("absent")))
        assert there[0] == (302 if who == "anonymous" else 404), address.route
        assert there[0] == absent[0], address.route
        assert_private(
            (there[0], b"" if who == "anonymous" else there[1], {"Cache-Control": "no-store"}), where=""
        )
    assert checksum() == before


def test_staff_pages_never_show_a_cell_or_a_quantity(scene: Scene, signed_in: Any) -> None:
    """Staff see names and counts of every account; what a customer sent is behind support access."""
    with as_owner(), connection().cursor() as cursor:
        cursor.execute("UPDATE insights_rejectedline SET value = 'SECRETCELL', message = 'SECRETCELL'")
        cursor.execute("UPDATE insights_rejectedline SET raw = 'SECRETCELL'::bytea")
        cursor.execute("UPDATE insights_seriesdimension SET value = 'SECRETCELL'")
        cursor.execute("UPDATE insights_usagerollup SET quantity = 918273645")
        cursor.execute("UPDATE insights_uncoveredusage SET quantity = 918273645")
    browser = signed_in(scene.cast.staff)
    for address in STAFF_PAGES:
        status, body, headers = send(browser, "get", address.path(scene.ours))
        assert status < 500, address.route
        assert headers["Cache-Control"] == "no-store", address.route
        assert b"SECRETCELL" not in body, address.route
        assert b"918273645" not in body.replace(b",", b""), address.route
        assert send(browser, "get", address.path(absent_values("absent")))[0] < 500, address.route


@pytest.mark.parametrize("method", ENDPOINT_METHODS)
def test_endpoints_answer_for_their_own_key_only(scene: Scene, signed_in: Any, method: str) -> None:
    _, account_key = factories.make_api_key(
        scene.cast.ours, created_by=scene.cast.owner, scopes=["usage:read", "bills:read", "notes:write"]
    )
    source_key = make_source_key()
    revoked, revoked_key = factories.make_api_key(scene.cast.ours, created_by=scene.cast.owner)
    with as_owner():
        type(revoked).objects.filter(pk=revoked.pk).update(revoked_at="2026-01-01T00:00:00Z")
    for address in ENDPOINTS:
        theirs, absent = address.path(scene.other), address.path(absent_values("absent"))
        for key, expected in [(account_key, None), (source_key, None), (revoked_key, 401), ("nonsense", 401)]:
            browser = signed_in(None, headers={"Authorization": f"Bearer {key}"})
            there = send(browser, method, theirs)
            assert_private(there, where=address.route)
            assert there[0] == (expected or there[0]), address.route
            if address.parts:
                assert there[0] in {401, 403, 404, 405}, address.route
                assert there[:2] == send(browser, method, absent)[:2], address.route
        assert send(signed_in(None), method, theirs)[0] in {401, 405}, address.route
        assert send(signed_in(scene.cast.owner), method, theirs)[0] in {401, 405}, address.route


def make_source_key() -> str:
    """Make a key for a source of nobody's, so that every batch there is, is another's."""
    plain, prefix, sha256 = keys.make_key()
    source = factories.make_source("someone")
    with as_owner():
        SourceKey.objects.create(source=source, name="x", prefix=prefix, secret_sha256=sha256)
    return plain


@pytest.mark.parametrize(
    "malformed", ["0", "-1", str(2**63), str(2**64), "abc", "%00", "..%2f", "x" * 4096, "%F0%9F"]
)
def test_malformed_ids_answer_like_absent_pages(scene: Scene, signed_in: Any, malformed: str) -> None:
    browser = signed_in(scene.cast.owner)
    absent = send(browser, "get", f"/a/{uuid.uuid4()}/")
    for path in [f"/a/{malformed}/", f"/a/{malformed}/settings/", f"/a/{malformed}/usage/"]:
        assert send(browser, "get", path)[:2] == absent[:2]


@pytest.mark.parametrize("method", ["head", "options", "trace", "put", "patch", "delete"])
def test_other_methods_give_no_data_and_change_nothing(scene: Scene, signed_in: Any, method: str) -> None:
    browser = signed_in(scene.cast.stranger)
    before = checksum()
    for address in (*ACCOUNT_PAGES, *STAFF_PAGES):
        status, body, _ = send(browser, method, address.path(scene.ours))
        assert status == 404, address.route
        assert b"Ansel" not in body
    assert checksum() == before


def checksum() -> str:
    """Hash every row of both accounts, apart from the trail of pages that support leaves by looking."""
    left_out = {"accounts_supportaccesspage", "django_session", "accounts_user", "insights_download"}
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition ORDER BY relname"
        )
        tables = [row[0] for row in cursor.fetchall() if row[0] not in left_out]
        parts = " UNION ALL ".join(f"SELECT '{t}' || t::text AS line FROM {t} t" for t in tables)
        cursor.execute(f"SELECT md5(string_agg(line, '' ORDER BY line)) FROM ({parts}) everything")
        return str(cursor.fetchone()[0])
