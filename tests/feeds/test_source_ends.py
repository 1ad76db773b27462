"""From when to when a source counts: declared by staff, audited, and copied to where its accounts see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import as_staff
from insights.feeds import operations
from insights.ingest.source_definition import (
    InvalidSource,
    SourceDefinition,
    parse_source_toml,
    source_to_toml,
)
from insights.models import Source, Watermark
from tests import factories

pytestmark = pytest.mark.database
DEFINITION = SourceDefinition(slug="bound", name="Bound", key_kind="window", window="hour")
END = datetime(2026, 8, 21, tzinfo=UTC)


@pytest.fixture
def edge(cast: Any) -> Any:
    factories.make_meter()
    return cast


def stored(slug: str) -> Source:
    with as_staff():
        return Source.objects.get(slug=slug)


def mark_of(slug: str) -> Any:
    with as_staff():
        return Watermark.objects.get(source_slug=slug)


def test_switching_off_ends_a_source_with_its_last_window(edge: Any) -> None:
    source = factories.make_source("hourly")
    factories.make_account("mira")
    body = "account,meter,window_start,quantity\nmira,bytes_out,2026-11-03T01:00:00,5\n"
    factories.ingest_now(source, body)

    with as_staff():
        operations.set_source_enabled(slug="hourly", is_enabled=False, actor=edge.staff)
        entry = AuditEntry.objects.get(act="source.disable")

    last = datetime(2026, 11, 3, 2, tzinfo=UTC)
    assert stored("hourly").ended_at == mark_of("hourly").ended_at == last
    assert entry.details == {"ended_at": [None, last.isoformat()]}


def test_switching_on_clears_the_end(edge: Any) -> None:
    bound = replace(DEFINITION, account_id=edge.ours.pk, ended_at=END)
    with as_staff():
        operations.create_source(definition=bound, actor=edge.staff)
        assert mark_of("bound").ended_at == END
        operations.set_source_enabled(slug="bound", is_enabled=False, actor=edge.staff)
        assert stored("bound").ended_at == END
        operations.set_source_enabled(slug="bound", is_enabled=True, actor=edge.staff)

    assert (stored("bound").ended_at, mark_of("bound").ended_at) == (None, None)


def test_an_end_is_declared_and_taken_back(edge: Any) -> None:
    bound = replace(DEFINITION, account_id=edge.ours.pk)
    with as_staff():
        operations.create_source(definition=bound, actor=edge.staff)
        operations.change_source(definition=replace(bound, ended_at=END), actor=edge.staff)
        assert mark_of("bound").ended_at == END
        operations.change_source(definition=bound, actor=edge.staff)
        entries = AuditEntry.objects.filter(act="source.change").order_by("id")
        details = [entry.details for entry in entries]

    assert mark_of("bound").ended_at is None
    assert details == [{"ended_at": [None, END.isoformat()]}, {"ended_at": [END.isoformat(), None]}]


def test_a_source_switched_off_keeps_its_end_when_its_text_comes_again(edge: Any) -> None:
    with as_staff():
        operations.create_source(definition=DEFINITION, actor=edge.staff)
        operations.change_source(definition=replace(DEFINITION, enabled=False), actor=edge.staff)
        end = stored("bound").ended_at
        saved = operations.change_source(definition=replace(DEFINITION, enabled=False), actor=edge.staff)

    assert end is not None
    assert (saved.changed, stored("bound").ended_at) == ((), end)


def test_a_bound_source_is_expected_from_the_start_and_by_one_account(edge: Any) -> None:
    other = factories.make_account("mira")
    bound = replace(DEFINITION, account_id=edge.ours.pk)
    with as_staff():
        operations.create_source(definition=bound, actor=edge.staff)
        mark = mark_of("bound")
        operations.change_source(definition=replace(bound, account_id=other.pk), actor=edge.staff)
        marks = {row.account_id: row for row in Watermark.objects.filter(source_slug="bound")}

    assert (mark.complete_to, mark.last_received_at, mark.ended_at) == (None, None, None)
    assert marks[edge.ours.pk].ended_at == marks[edge.ours.pk].counts_from
    assert marks[other.pk].ended_at is None


def test_the_end_of_a_source_goes_round_as_toml() -> None:
    ended = replace(DEFINITION, ended_at=datetime(2026, 8, 21, 5, 6, 7, tzinfo=UTC))

    text = source_to_toml(ended)

    assert "ended_at = 2026-08-21T05:06:07Z\n" in text
    assert parse_source_toml(text) == ended
    with pytest.raises(InvalidSource, match="ended_at: must be an instant with its offset"):
        parse_source_toml(text.replace("07Z", "07"))
