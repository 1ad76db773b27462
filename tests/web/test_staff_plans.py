"""Staff read the catalogue in words, see every fault and difference before they save, and publish once."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.tenancy import as_staff
from insights.billing.catalogue_queries import get_plan
from insights.billing.plan_toml import parse_plan_toml
from insights.models import Plan, PlanVersion
from tests import factories
from tests.billing.plan_files import PRO, fee_plan, publish

pytestmark = pytest.mark.database
TIERED = PRO.replace('model = "per_unit"\nunit_amount = "0.10"', "").replace(
    'included = "5"',
    'model = "graduated"\nincluded = "5"\ntiers = [{ up_to = 100, unit_amount = "0.10" }, { unit_amount = "0.08" }]',
)
LATER = TIERED.replace("2026-01-01", "2099-01-01")
GAP = LATER.replace("{ unit_amount", '{ above = "200", unit_amount')


@pytest.fixture
def staff(cast: Any, signed_in: Any) -> Any:
    """A browser of staff, with the meter of the plan there."""
    factories.make_meter()
    return signed_in(cast.staff)


def test_no_plan_says_how_to_make_one(staff: Any) -> None:
    page = staff.get("/staff/plans/").content.decode()

    assert "No plans yet." in page
    assert 'href="/staff/plans/new/"' in page


def test_plans_are_listed_with_what_is_in_force(staff: Any) -> None:
    publish(PRO)

    page = staff.get("/staff/plans/").content.decode()
    table = staff.get("/staff/plans.csv").content.decode().splitlines()

    assert "1 plan is offered" in page
    assert "version 1" in page
    assert table[1] == "pro,Pro,base,USD,month,1,,0,no"


def test_a_plan_shows_every_version_in_words_with_tiers(staff: Any) -> None:
    publish(PRO)
    staff.post("/staff/plans/new/", {"text": LATER, "act": "save"})

    page = staff.get("/staff/plans/pro/").content.decode()
    table = staff.get("/staff/plans/pro/prices.csv").content.decode()

    assert "0.10 USD per GB, 5 GB included" in page
    assert "above 100" in page
    assert "The draft of version 2" in page
    assert "1 price differs from the version before" in page
    assert "pro,2,2099-01-01T00:00:00Z,no,out,Data out,bytes_out,,above 100,0.08 USD per GB" in table


def test_the_toml_loads_to_the_same_prices(staff: Any) -> None:
    publish(PRO)

    for question in ("", "?version=1"):
        text = staff.get(f"/staff/plans/pro/plan.toml{question}").content.decode()
        assert parse_plan_toml(text) == parse_plan_toml(PRO)
    for question in ("?version=2", "?version=x", "?version=%00", "?version=99999999999999999999"):
        assert staff.get(f"/staff/plans/pro/plan.toml{question}").status_code == 404


def test_every_fault_is_shown_by_field_and_the_text_is_kept(staff: Any) -> None:
    answer = staff.post("/staff/plans/new/", {"text": GAP.replace("USD", "XXX"), "act": "save"})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "2 things to mend" in page
    assert "quantities above 100 up to 200 fall in no tier" in page
    assert "XXX is not a currency known here" in page
    assert "above = &quot;200&quot;" in page
    with as_staff():
        assert not Plan.objects.exists()


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"text": " "},
        {"text": "\x00"},
        {"file": SimpleUploadedFile("a.toml", b"\xff")},
        {"file": SimpleUploadedFile("a.toml", b"#" * 200_002)},
        {"text": "a = " + "[" * 5000},
    ],
)
def test_what_is_no_plan_is_refused(staff: Any, sent: dict[str, Any]) -> None:
    assert staff.post("/staff/plans/new/", sent).status_code == 422


def test_a_preview_says_the_differences_and_saves_nothing(staff: Any) -> None:
    publish(PRO)

    file = SimpleUploadedFile("pro.toml", LATER.encode())
    page = staff.post("/staff/plans/new/", {"file": file, "act": "check"}).content.decode()

    assert "Compared with version 1, 1 price differs" in page
    assert "by 2 tiers" in page
    assert "2099-01-01T00:00:00Z" in page
    with as_staff():
        assert PlanVersion.objects.count() == 1


def test_a_draft_is_published_once_and_stays(staff: Any) -> None:
    staff.post("/staff/plans/new/", {"text": PRO, "act": "save"})

    first = staff.post("/staff/plans/pro/publish/", {"version": "1"})
    second = staff.post("/staff/plans/pro/publish/", {"version": "1"})
    dropped = staff.post("/staff/plans/pro/drop/", {"version": "1"})

    assert (first.status_code, second.status_code, dropped.status_code) == (302, 422, 422)
    assert b"a published version never changes" in dropped.content
    with as_staff():
        assert [version.published_at is None for version in get_plan("pro").versions] == [False]


def test_a_draft_that_no_longer_fits_says_its_faults(staff: Any) -> None:
    staff.post("/staff/plans/new/", {"text": LATER, "act": "save"})
    publish_first = staff.post("/staff/plans/pro/drop/", {"version": "1"})
    assert publish_first.status_code == 302
    publish(PRO)
    staff.post("/staff/plans/new/", {"text": LATER, "act": "save"})
    with as_staff():
        PlanVersion.objects.filter(number=2).update(effective_from="2025-01-01T00:00:00Z")

    answer = staff.post("/staff/plans/pro/publish/", {"version": "2"})

    assert answer.status_code == 422
    assert b"not_after_published" in answer.content


def test_a_plan_is_retired(staff: Any) -> None:
    publish(fee_plan("basic"))

    assert staff.post("/staff/plans/basic/retire/").status_code == 302
    assert b"Retired" in staff.get("/staff/plans/basic/").content


@pytest.mark.parametrize("path", ["publish", "drop"])
@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 40, "\u0661"])
def test_a_number_that_is_none_is_not_there(staff: Any, path: str, version: str) -> None:
    publish(fee_plan("basic"))

    assert staff.post(f"/staff/plans/basic/{path}/", {"version": version}).status_code == 404
