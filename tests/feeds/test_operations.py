"""Sources, keys and meters change with an audit entry, and never turn what was sent into other facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.keys import find_prefix, hash_key
from accounts.models import AuditEntry
from accounts.tenancy import as_staff, as_worker
from insights.feeds import operations
from insights.ingest.mapping import definition_of
from insights.ingest.source_definition import InvalidSource, SourceDefinition, source_to_toml
from insights.models import Batch, Meter, Source, SourceKey
from tests import factories

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
DEFINITION = SourceDefinition(
    slug="edge",
    name="Edge",
    key_kind="window",
    window="hour",
    columns={"account": "who", "meter": "what", "window_start": "at", "quantity": "much"},
    ignored=("note",),
)


def acts() -> list[tuple[str, str]]:
    with as_staff():
        return list(AuditEntry.objects.order_by("id").values_list("act", "subject"))


def stored(slug: str = "edge") -> Source:
    with as_staff():
        return Source.objects.get(slug=slug)


def add_batch(source: Source) -> None:
    with as_worker():
        Batch.objects.create(source=source, via="api", media_type="csv", sha256=b"", size_bytes=0)


@pytest.fixture
def edge(cast: Any) -> Any:
    factories.make_meter()
    with as_staff():
        operations.create_source(definition=DEFINITION, actor=cast.staff)
    return cast


def test_a_stored_source_gives_back_the_definition_it_was_made_from(edge: Any) -> None:
    assert definition_of(stored()) == DEFINITION
    assert acts() == [("source.create", "edge")]


def test_a_source_is_made_once(edge: Any) -> None:
    with as_staff(), pytest.raises(InvalidSource) as refused:
        operations.create_source(definition=DEFINITION, actor=edge.staff)

    assert refused.value.errors == (("slug", "is taken by another source"),)
    assert acts() == [("source.create", "edge")]


@pytest.mark.parametrize("slug", ["new", "Über", "a/b", "a b", "", "x" * 61, "-x"])
def test_a_slug_that_cannot_stand_in_an_address_is_refused(cast: Any, slug: str) -> None:
    factories.make_meter()

    with as_staff(), pytest.raises(InvalidSource) as refused:
        operations.create_source(definition=replace(DEFINITION, slug=slug), actor=cast.staff)

    assert "slug" in dict(refused.value.errors)


def test_a_change_is_audited_with_both_values(edge: Any) -> None:
    with as_staff():
        saved = operations.change_source(definition=replace(DEFINITION, cadence_seconds=60), actor=edge.staff)

    assert saved.changed == ("cadence_seconds",)
    with as_staff():
        entry = AuditEntry.objects.get(act="source.change")
    assert entry.details == {"cadence_seconds": [3600, 60]}
    assert entry.actor_name == "staff@example.com"


def test_saving_the_same_writes_no_audit_entry(edge: Any) -> None:
    with as_staff():
        saved = operations.change_source(definition=DEFINITION, actor=edge.staff)

    assert saved.changed == ()
    assert acts() == [("source.create", "edge")]


def test_what_makes_two_lines_the_same_fact_is_fixed_once_something_came(edge: Any) -> None:
    by_row_id = replace(DEFINITION, key_kind="row_id", columns={**DEFINITION.columns, "row_id": "id"})
    add_batch(stored())

    with as_staff(), pytest.raises(InvalidSource) as refused:
        operations.change_source(definition=by_row_id, actor=edge.staff)

    assert [name for name, _ in refused.value.errors] == ["key_kind"]
    assert stored().key_kind == "window"


def test_the_account_of_a_source_is_fixed_once_something_came(edge: Any) -> None:
    add_batch(stored())

    with as_staff(), pytest.raises(InvalidSource) as refused:
        operations.change_source(definition=replace(DEFINITION, account_id=edge.ours.pk), actor=edge.staff)

    assert [name for name, _ in refused.value.errors] == ["account_id"]


def test_toml_goes_round(edge: Any) -> None:
    text = source_to_toml(definition_of(stored()))

    with as_staff():
        saved = operations.import_source_toml(text=text, actor=edge.staff)
        copy = operations.import_source_toml(text=text.replace('"edge"', '"copy"'), actor=edge.staff)

    assert (saved.is_new, saved.changed) == (False, ())
    assert copy.is_new
    assert replace(definition_of(stored("copy")), slug="edge") == DEFINITION


def test_import_keeps_the_account_that_toml_does_not_carry(cast: Any) -> None:
    factories.make_meter()
    bound = replace(DEFINITION, account_id=cast.ours.pk, columns={}, ignored=())
    with as_staff():
        operations.create_source(definition=bound, actor=cast.staff)
        text = source_to_toml(bound).replace('name = "Edge"', 'name = "Ansel edge"')
        operations.import_source_toml(text=text, actor=cast.staff)

    assert (stored().name, stored().account_id) == ("Ansel edge", cast.ours.pk)


def test_switching_off_is_audited_once(edge: Any) -> None:
    with as_staff():
        operations.set_source_enabled(slug="edge", is_enabled=False, actor=edge.staff)
        operations.set_source_enabled(slug="edge", is_enabled=False, actor=edge.staff)

    assert not stored().enabled
    assert acts() == [("source.create", "edge"), ("source.disable", "edge")]


def test_only_the_hash_of_a_key_is_kept(edge: Any) -> None:
    with as_staff():
        issued = operations.issue_source_key(slug="edge", name="nightly", actor=edge.staff)
        key = SourceKey.objects.get()

    assert find_prefix(issued.plain) == issued.prefix == key.prefix
    assert bytes(key.secret_sha256) == hash_key(issued.plain)
    with as_staff():
        assert issued.plain not in str(list(AuditEntry.objects.values_list("details", flat=True)))


def test_a_key_is_revoked_once(edge: Any) -> None:
    with as_staff():
        operations.issue_source_key(slug="edge", name="nightly", actor=edge.staff)
        public_id = SourceKey.objects.get().public_id
        ended = [
            operations.revoke_source_key(slug="edge", key_public_id=public_id, actor=edge.staff, now=NOW)
            for _ in range(2)
        ]

    assert ended == [True, False]
    assert [act for act, _ in acts()].count("source_key.revoke") == 1


def test_a_meter_change_is_audited(cast: Any) -> None:
    meter = factories.make_meter()
    meter.name = "Bytes sent"

    with as_staff():
        operations.save_meter(meter=meter, actor=cast.staff)
        entry = AuditEntry.objects.get()

    assert (entry.act, entry.details) == ("meter.change", {"name": ["Bytes out", "Bytes sent"]})


def test_a_new_meter_is_audited_with_its_meaning(cast: Any) -> None:
    with as_staff():
        operations.save_meter(meter=Meter(key="requests", name="Requests", unit="request"), actor=cast.staff)
        entry = AuditEntry.objects.get()

    assert (entry.act, entry.subject) == ("meter.create", "requests (version 1)")
    assert entry.details["unit"] == [None, "request"]
