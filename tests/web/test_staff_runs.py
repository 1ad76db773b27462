"""The staff page of billing passes: how far they are, which stand still, and that its CSV is the same table."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.urls import reverse

from accounts.tenancy import as_owner
from insights.models import BillingRun

pytestmark = pytest.mark.database


def make_run(**given: Any) -> BillingRun:
    """A pass to issue, begun two minutes ago."""
    began = datetime.now(UTC) - timedelta(minutes=2)
    with as_owner():
        return BillingRun.objects.create(**{"kind": "issue", "started_at": began, "total": 4_000, **given})


@pytest.mark.parametrize("name", ["staff-runs", "staff-runs-csv"])
@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
def test_for_customers_there_is_no_such_page(cast: Any, signed_in: Any, name: str, who: str) -> None:
    assert signed_in(getattr(cast, who)).get(reverse(name)).status_code == 404


def test_a_pass_under_way_says_how_far_it_is_and_asks_again(cast: Any, signed_in: Any) -> None:
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)
    make_run(done=1_000, part=1, parts=2, started_at=now - 2 * minute, advanced_at=now - minute)

    page = signed_in(cast.staff).get(reverse("staff-runs")).content.decode()

    assert "1 pass under way" in page
    assert "Issue what is due, part 2 of 2" in page
    assert "1,000 of 4,000 subscriptions" in page
    assert '<progress aria-label="Issue what is due, part 2 of 2" value="1000" max="4000">' in page
    # A quarter took one minute.
    assert "about 3 minutes left" in page
    assert "data-poll" in page


def test_one_that_stands_still_is_named(cast: Any, signed_in: Any) -> None:
    make_run(started_at=datetime.now(UTC) - timedelta(minutes=16))

    page = signed_in(cast.staff).get(reverse("staff-runs")).content.decode()

    assert "A pass stands still" in page
    assert "Nothing was finished for a quarter of an hour" in page
    assert "left at its pace" not in page


def test_what_is_over_is_a_table_that_rests(cast: Any, signed_in: Any) -> None:
    now = datetime.now(UTC)
    make_run(done=4_000, issued=3_990, parked=8, failed=2, problem="TG-1: <no price>", finished_at=now)

    page = signed_in(cast.staff).get(reverse("staff-runs")).content.decode()

    assert "No pass is under way" in page
    assert "data-poll" not in page
    assert "TG-1: &lt;no price&gt;" in page
    assert all(f'<td class="num">{number}' in page for number in ("4,000", "3,990", "8", "2"))


def test_the_csv_has_every_pass(cast: Any, signed_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insights.web.csv_files.ROWS_AT_ONCE", 1)
    make_run(kind="draft", done=4_000, finished_at=datetime.now(UTC))
    make_run(failed=1, problem="=cmd")

    answer = signed_in(cast.staff).get(reverse("staff-runs-csv"))
    rows = list(csv.DictReader(StringIO(b"".join(answer.streaming_content).decode())))

    assert [(row["kind"], row["done"], row["problem"]) for row in rows] == [
        ("issue", "0", "'=cmd"),
        ("draft", "4000", ""),
    ]
    assert (rows[0]["finished_at"], bool(rows[1]["finished_at"])) == ("", True)


def test_older_passes_are_on_further_pages(cast: Any, signed_in: Any) -> None:
    with as_owner():
        BillingRun.objects.bulk_create(
            BillingRun(kind="draft", total=number, finished_at=datetime.now(UTC)) for number in range(60)
        )
    browser = signed_in(cast.staff)

    first = browser.get(reverse("staff-runs")).content.decode()
    oldest = first.split("?before=")[1].split('"')[0]
    second = browser.get(reverse("staff-runs"), {"before": oldest}).content.decode()

    assert first.count('<th scope="row">Draft what changed') == 50
    assert second.count('<th scope="row">Draft what changed') == 10
    assert browser.get(reverse("staff-runs"), {"before": "x"}).status_code == 400
    assert browser.get(reverse("staff-runs"), {"before": "9" * 19}).status_code == 400
