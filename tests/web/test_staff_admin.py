"""The admin writes meters and sources through their operations, and shows the rest read-only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import as_staff
from insights.models import LegalEntity, Meter, PlanVersion, Source
from tests import factories
from tests.billing.plan_files import fee_plan, publish
from tests.factories import ingest_now

pytestmark = pytest.mark.database

TOML = 'slug = "edge"\nname = "Edge"\nkey_kind = "window"\nwindow = "hour"\n'
METER = {
    "key": "requests",
    "version": "1",
    "name": "Requests",
    "unit": "request",
    "grain_seconds": "3600",
    "aggregation": "sum",
    "dimensions": "endpoint,region",
    "unique_dimensions": "",
    "position": "0",
}


@pytest.fixture
def admin(cast: Any, signed_in: Any) -> Any:
    """A browser of a superuser."""
    return signed_in(cast.superuser)


def audited() -> list[tuple[str, str]]:
    with as_staff():
        return list(AuditEntry.objects.order_by("id").values_list("act", "subject"))


def test_a_source_is_made_and_changed_from_toml(cast: Any, admin: Any) -> None:
    factories.make_meter()

    made = admin.post(reverse("admin:insights_source_add"), {"toml": TOML, "billable": "on"})
    with as_staff():
        source = Source.objects.get()
    changed = admin.post(
        reverse("admin:insights_source_change", args=[source.pk]),
        {"toml": TOML.replace('"Edge"', '"Edge traffic"'), "billable": "on"},
    )

    assert (made.status_code, changed.status_code) == (302, 302)
    assert audited() == [("source.create", "edge"), ("source.change", "edge")]


@pytest.mark.parametrize(
    "toml", ["slug =", TOML.replace("hour", "week"), TOML + "colour = 1\n", TOML.replace("edge", "new")]
)
def test_a_faulty_source_is_refused_on_the_form(cast: Any, admin: Any, toml: str) -> None:
    factories.make_meter()

    answer = admin.post(reverse("admin:insights_source_add"), {"toml": toml})

    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["toml"]
    assert audited() == []


def test_a_source_keeps_its_slug(cast: Any, admin: Any) -> None:
    factories.make_meter()
    admin.post(reverse("admin:insights_source_add"), {"toml": TOML})
    with as_staff():
        source = Source.objects.get()

    answer = admin.post(
        reverse("admin:insights_source_change", args=[source.pk]), {"toml": TOML.replace('"edge"', '"rim"')}
    )

    assert answer.context["adminform"].form.errors["toml"] == ["slug must stay 'edge'"]


def test_a_meter_is_made_and_renamed_with_audit_entries(cast: Any, admin: Any) -> None:
    made = admin.post(reverse("admin:insights_meter_add"), METER)
    with as_staff():
        meter = Meter.objects.get()
    changed = admin.post(
        reverse("admin:insights_meter_change", args=[meter.pk]), {**METER, "name": "Calls", "unit": "call"}
    )

    assert (made.status_code, changed.status_code) == (302, 302)
    with as_staff():
        stored = Meter.objects.get()
    assert (stored.name, stored.unit, stored.dimensions) == ("Calls", "request", ["endpoint", "region"])
    assert audited() == [("meter.create", "requests (version 1)"), ("meter.change", "requests (version 1)")]


@pytest.mark.parametrize("model", ["batch", "workitem", "ledgerentry"])
def test_what_the_pipeline_writes_is_only_shown(cast: Any, admin: Any, model: str) -> None:
    factories.make_meter()
    edge = factories.make_source("edge")
    ingest_now(edge, "account,meter,window_start,quantity\nansel,bytes_out,2026-11-03T01:00:00Z,1\n")

    page = admin.get(reverse(f"admin:insights_{model}_changelist"))
    row = page.context["cl"].result_list[0]

    assert page.status_code == 200
    assert admin.get(reverse(f"admin:insights_{model}_change", args=[row.pk])).status_code == 200
    assert admin.get(reverse(f"admin:insights_{model}_add")).status_code == 403
    assert admin.post(reverse(f"admin:insights_{model}_delete", args=[row.pk])).status_code == 403


def test_a_second_open_version_of_a_meter_is_refused_on_the_form(cast: Any, admin: Any) -> None:
    factories.make_meter("requests")

    page = admin.post(reverse("admin:insights_meter_add"), {**METER, "version": "2"})

    assert page.status_code == 200
    assert "Another version of this meter is open. Retire it first." in page.content.decode()


def test_a_version_before_one_that_exists_is_refused_on_the_form(cast: Any, admin: Any) -> None:
    factories.make_meter("requests", version=2, retired_at=datetime(2026, 11, 1, tzinfo=UTC))

    page = admin.post(reverse("admin:insights_meter_add"), METER)

    assert page.status_code == 200
    assert "A later version of this meter exists." in page.content.decode()


def test_the_end_of_a_meter_version_cannot_be_moved(cast: Any, admin: Any) -> None:
    end = datetime(2026, 11, 1, tzinfo=UTC)
    meter = factories.make_meter("requests", retired_at=end)

    admin.post(
        reverse("admin:insights_meter_change", args=[meter.pk]),
        {**METER, "name": "Calls", "retired_at": "2026-12-01 00:00"},
    )

    with as_staff():
        meter.refresh_from_db()
    assert (meter.name, meter.retired_at) == ("Calls", end)


@pytest.mark.parametrize("query", [{"act": "\0"}, {"q": "a\0"}, {"\0": "1"}])
def test_an_address_with_nul_is_refused(cast: Any, signed_in: Any, query: dict[str, str]) -> None:
    address = reverse("admin:accounts_auditentry_changelist")

    assert signed_in(cast.superuser).get(address, query).status_code == 400
    assert signed_in(cast.viewer).get(address, query).status_code == 404


def test_a_legal_entity_is_made_with_an_audit_entry_and_keeps_its_series(cast: Any, admin: Any) -> None:
    said = {"key": "us", "name": "We Ltd", "address": "Here", "number_prefix": "A-"}
    made = admin.post(reverse("admin:insights_legalentity_add"), said)
    with as_staff():
        entity = LegalEntity.objects.get()
    path = reverse("admin:insights_legalentity_change", args=[entity.pk])
    changed = admin.post(path, said | {"name": "We GmbH", "number_prefix": "B-"})

    assert (made.status_code, changed.status_code) == (302, 302)
    with as_staff():
        entity.refresh_from_db()
    assert (entity.name, entity.number_prefix) == ("We GmbH", "A-")
    assert audited() == [("legal_entity.create", "us"), ("legal_entity.change", "us")]


def test_versions_are_shown_with_their_prices_and_changed_nowhere(cast: Any, admin: Any) -> None:
    plan = publish(fee_plan("basic"))
    with as_staff():
        version = PlanVersion.objects.get(plan=plan)
    path = reverse("admin:insights_planversion_change", args=[version.pk])

    page = admin.get(path).content

    assert b"Base fee" in page
    assert b'href="/staff/plans/basic/edit/"' in page
    assert admin.post(path, {"number": "7"}).status_code == 403
    for listed in ("plan", "planversion"):
        table = admin.get(reverse(f"admin:insights_{listed}_changelist")).content
        assert b'href="/staff/plans/basic/edit/"' in table
