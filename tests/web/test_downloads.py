"""CSV from the browser: what the page shows, for members and for support, and for nobody else."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, SupportAccess, SupportAccessPage, User
from accounts.operations import end_support_access
from accounts.tenancy import as_owner, as_staff, as_worker
from insights.exports import stream
from insights.models import Download, Source
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.database

QUERY = "?meter=bytes_out&from=2026-11-01&to=2026-11-30"
NAMES = ["usage-aggregates-csv", "usage-records-csv"]


@pytest.fixture
def edge(cast: Cast) -> Source:
    factories.make_meter()
    source = factories.make_source("edge", clock_zone="")
    rows = [
        f"{account},bytes_out,2026-11-03T{hour:02}:00:00Z,1.5,{endpoint}\n"
        for account, endpoint in (("ansel", "api"), ("brook-CANARY", "CANARY"))
        for hour in range(4)
    ]
    factories.ingest_now(source, "account,meter,window_start,quantity,endpoint\n" + "".join(rows))
    return source


def url(cast: Cast, name: str) -> str:
    return reverse(name, args=[cast.ours.public_id]) + QUERY


def read(response: Any) -> bytes:
    content: bytes = b"".join(response.streaming_content)
    response.close()
    return content


@pytest.mark.parametrize("name", NAMES)
def test_the_csv_adds_up_to_what_was_used(cast: Cast, edge: Source, signed_in: Any, name: str) -> None:
    response = signed_in(cast.viewer).get(url(cast, name))

    text = read(response).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(Decimal(row["quantity"]) for row in rows if row["quantity"]) == 6
    assert response.headers["Content-Type"].startswith("text/csv")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="usage-bytes_out-')
    assert "CANARY" not in text


@pytest.mark.parametrize("name", NAMES)
def test_a_browser_gets_it_compressed(cast: Cast, edge: Source, signed_in: Any, name: str) -> None:
    client = signed_in(cast.viewer)
    plain = read(client.get(url(cast, name)))

    response = client.get(url(cast, name), headers={"Accept-Encoding": "gzip, deflate, br"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(read(response)) == plain


@pytest.mark.parametrize("name", NAMES)
def test_strangers_have_no_such_address(cast: Cast, edge: Source, signed_in: Any, name: str) -> None:
    assert signed_in(cast.stranger).get(url(cast, name)).status_code == 404
    assert signed_in(cast.staff).get(url(cast, name)).status_code == 404
    assert signed_in(None).get(url(cast, name)).status_code == 302


def test_support_downloads_read_only_and_is_logged(cast: Cast, edge: Source, signed_in: Any) -> None:
    factories.open_support_access(cast.ours, cast.staff)

    response = signed_in(cast.staff).get(url(cast, "usage-records-csv"))

    assert len(read(response).splitlines()) == 5
    with as_worker():
        [download] = Download.objects.all()
        [page] = SupportAccessPage.objects.all()
    assert (download.state, download.asked_by) == ("done", "support: staff@example.com")
    assert "records.csv" in page.path


def lose_membership(cast: Cast) -> None:
    Membership.objects.filter(user=cast.viewer).delete()


def leave(cast: Cast) -> None:
    User.objects.filter(pk__in=(cast.viewer.pk, cast.staff.pk)).update(is_active=False)


def leave_staff(cast: Cast) -> None:
    User.objects.filter(pk=cast.staff.pk).update(is_staff=False)


def end_support(cast: Cast) -> None:
    with as_staff():
        assert end_support_access(staff=cast.staff, account=cast.ours, now=timezone.now())


def let_support_run_out(cast: Cast) -> None:
    SupportAccess.objects.update(
        started_at=timezone.now() - timedelta(hours=2), expires_at=timezone.now() - timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("who", "lose"),
    [
        ("viewer", lose_membership),
        ("viewer", leave),
        ("staff", leave),
        ("staff", leave_staff),
        ("staff", end_support),
        ("staff", let_support_run_out),
    ],
)
def test_a_download_ends_with_the_right_to_it(
    cast: Cast,
    edge: Source,
    signed_in: Any,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
    lose: Callable[[Cast], None],
) -> None:
    monkeypatch.setattr(stream, "RECHECK_BYTES", 1)
    factories.open_support_access(cast.ours, cast.staff)
    client = signed_in(getattr(cast, who))
    assert read(client.get(url(cast, "usage-records-csv")))

    response = client.get(url(cast, "usage-records-csv"))
    with as_owner():
        lose(cast)

    with pytest.raises(stream.NoLongerAllowed):
        read(response)
    with as_worker():
        assert [one.state for one in Download.objects.order_by("started_at")] == ["done", "cut"]


def test_head_notes_no_download(cast: Cast, edge: Source, signed_in: Any) -> None:
    response = signed_in(cast.viewer).head(url(cast, "usage-records-csv"))

    assert response.status_code == 200
    with as_worker():
        assert not Download.objects.exists()


@pytest.mark.parametrize(
    "query", ["?meter=nope", "?meter=bytes_out&typo=1", "?meter=bytes_out&group_by=planet"]
)
def test_a_question_at_fault_is_refused_as_a_page(
    cast: Cast, edge: Source, signed_in: Any, query: str
) -> None:
    response = signed_in(cast.viewer).get(reverse("usage-records-csv", args=[cast.ours.public_id]) + query)

    assert response.status_code == 400


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_the_third_at_once_is_asked_to_wait(
    cast: Cast, edge: Source, signed_in: Any, cleanup: ExitStack
) -> None:
    client = signed_in(cast.viewer)
    for _number in range(2):
        cleanup.callback(client.get(url(cast, "usage-records-csv")).close)

    response = client.get(url(cast, "usage-records-csv"))

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "Two downloads of this account are running" in response.content.decode()
