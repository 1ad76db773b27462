"""Loading the demo: through the real door, exact in the end, and harmless to repeat."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command

from accounts.models import Account, AuditEntry, Membership, User
from accounts.tenancy import account_scope, as_worker, connection
from insights import tasks
from insights.management import demo_notes, demo_setup
from insights.management.commands import load_demo
from insights.metering.queries import list_meters
from insights.metering.usage_filter import parse_usage_filter
from insights.models import Backfill, Batch, ChartNote, Meter, SavedView, Source
from usage_portal.demo import cast
from usage_portal.demo.company import Company, build_company
from usage_portal.demo.totals import expected_totals

NOW = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)
SMALL = ("halyard-commerce", "plover-parcel", "tinwhistle-radio", "marrow-lane-press", "ashgrove-observatory")

ROLLUPS = """
    SELECT a.reference, s.slug, m.key, to_char(r.day, 'YYYY-MM'), sum(r.records),
           CASE WHEN m.aggregation = 'unique_count' THEN sum(r.windows_used) ELSE sum(r.quantity) END
    FROM insights_usagerollup r
    JOIN accounts_account a ON a.id = r.account_id
    JOIN insights_series e ON e.account_id = r.account_id AND e.id = r.series_id
    JOIN insights_source s ON s.id = e.source_id
    JOIN insights_meter m ON m.id = r.meter_id
    WHERE s.slug <> 'edge-trial'
    GROUP BY 1, 2, 3, 4, m.aggregation
"""


@pytest.fixture
def small_company() -> Company:
    """A cast small enough to load in a second, without the account of half a million records."""
    return build_company(now=NOW, only=SMALL[1:])


@pytest.fixture
def loading(portal_db: None, small_company: Company, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the command with a small cast; a bell that is rung is answered at once, here."""
    monkeypatch.setattr(load_demo, "build_company", lambda *, now: small_company)
    monkeypatch.setattr(load_demo, "ring", tasks.ingest_batch)
    monkeypatch.setattr(load_demo, "issue_demo_key", lambda *, now: None)

    def load() -> str:
        output = io.StringIO()
        call_command("load_demo", stdout=output)
        return output.getvalue()

    return load


def _stored_totals() -> dict[tuple[str, ...], tuple[int, int]]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(ROLLUPS)
        return {tuple(row[:4]): (row[4], int(row[5])) for row in cursor.fetchall()}


def test_what_is_loaded_comes_to_the_expected_totals(loading: Any, small_company: Company) -> None:
    said = loading()

    assert load_demo.LEDGER_TIMES in said

    assert _stored_totals() == {
        (total.account, total.source, total.meter, total.month): (total.records, total.quantity)
        for total in expected_totals(small_company)
    }
    assert cast.OWNER_EMAIL in said
    assert cast.DEMO_PASSWORD in said


def test_one_backfill_is_closed_and_one_waits_with_its_preview(loading: Any) -> None:
    loading()
    loading()

    with as_worker():
        first, second = Backfill.objects.order_by("id")
        batches = list(Batch.objects.filter(source__slug="edge-trial").order_by("id").values("state", "new"))
    assert (first.state, second.state) == ("closed", "ready")
    assert batches == [{"state": "done", "new": 288}, {"state": "held", "new": 0}]
    assert second.preview["totals"] == {
        "received": 386, "new": 288, "replaced": 96, "duplicate": 0, "stale": 0, "rejected": 2,
    }  # fmt: skip


def test_a_second_start_stores_nothing(loading: Any) -> None:
    loading()
    with as_worker():
        before = (Batch.objects.count(), Account.objects.count(), User.objects.count())

    loading()

    with as_worker():
        assert (Batch.objects.count(), Account.objects.count(), User.objects.count()) == before


def test_an_interrupted_start_goes_on_where_it_was(
    loading: Any, small_company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, received = load_demo._receive, []

    def receive_three(batch: Any, **named: Any) -> None:
        if len(received) == 3:
            raise KeyboardInterrupt
        received.append(batch.name)
        receive(batch, **named)

    monkeypatch.setattr(load_demo, "_receive", receive_three)
    with pytest.raises(KeyboardInterrupt):
        loading()
    monkeypatch.setattr(load_demo, "_receive", receive)
    loading()

    assert len(_stored_totals()) == len(expected_totals(small_company))


def test_the_story_ends_where_the_first_start_ended_it() -> None:
    stored = frozenset({"demo:2026-11-23T14:edge-2026-11-22T00.csv"})

    assert load_demo._story_end(stored) == datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert load_demo._story_end(frozenset()) is None


def test_set_up_makes_everything_once(portal_db: None) -> None:
    company = build_company(now=NOW, only=SMALL)

    with as_worker():
        demo_setup.set_up(company)
        entries = AuditEntry.objects.count()
        demo_setup.set_up(company)

        assert AuditEntry.objects.count() == entries
        assert set(Source.objects.values_list("slug", flat=True)) == {"edge", "edge-history", "domains"}
        assert Meter.objects.count() == len(company.meters)
        assert Account.objects.get(reference="marrow-lane-press").state == "closed"
        assert Membership.objects.filter(user__email=cast.OWNER_EMAIL).count() == 2
        assert User.objects.get(email=cast.VIEWER_EMAIL).check_password(cast.DEMO_PASSWORD)
        assert not User.objects.get(email="owner@plover.example").has_usable_password()


def test_the_demo_key_is_made_once(portal_db: None) -> None:
    with as_worker():
        demo_setup.set_up(build_company(now=NOW, only=SMALL))

        assert demo_setup.issue_demo_key(now=NOW) is not None
        assert demo_setup.issue_demo_key(now=NOW) is None


def test_notes_and_views_are_made_once_and_can_be_shown(portal_db: None) -> None:
    company = build_company(now=NOW, only=SMALL[:1])
    with as_worker():
        demo_setup.set_up(company)
        for _ in range(2):
            demo_notes.make_notes(company)

        notes = list(ChartNote.objects.order_by("-at"))
        views = list(SavedView.objects.order_by("name"))
        account = Account.objects.get(reference=SMALL[0])

    assert [note.author_name for note in notes] == [
        cast.VIEWER_EMAIL, cast.OWNER_EMAIL, cast.OWNER_EMAIL, cast.VIEWER_EMAIL,
    ]  # fmt: skip
    assert all(note.at < NOW for note in notes)
    assert len(views) == 2
    with account_scope(account.pk, read_only=True):
        meters = list_meters(account)
    for view in views:
        question = parse_usage_filter(
            parse_qsl(view.query), meters=meters, zone=ZoneInfo(account.billing_zone), now=NOW
        )
        assert question.query_string() == view.query
