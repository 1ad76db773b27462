"""Staff read the catalogue in words, see every fault and difference before they save, and publish once."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import AuditEntry
from accounts.tenancy import as_staff
from insights.billing.catalogue_queries import get_plan
from insights.billing.plan_toml import parse_plan_toml
from insights.models import Plan, PlanVersion
from insights.web.plan_words import price_rows
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


EDIT = "/staff/plans/pro/edit/"
PRICE = "/staff/plans/pro/prices/out/"
TIERS = {
    "name": "Data out",
    "model": "graduated",
    "included": "5",
    "tier_above": ["0", "100"],
    "tier_up_to": ["100", ""],
    "tier_unit_amount": ["0.10", "0.08"],
    "tier_flat_amount": ["", ""],
    "act": "save",
}


def test_the_next_version_begins_as_a_copy_with_a_month_to_come(staff: Any) -> None:
    publish(PRO)

    page = staff.get(EDIT).content.decode()

    assert "copy of version 1, which is published and never changes" in page
    assert "unit_amount = &quot;0.1&quot;" in page
    assert "effective_from = 2026-01-01" not in page
    assert "Nothing is wrong with it" in page
    assert "No price is different." in page


def test_a_fault_is_named_with_its_line_while_it_is_typed(staff: Any) -> None:
    publish(PRO)
    text = GAP.replace('above = "200", unit_amount = "0.08"', 'above = "200", unit_amount = 0.08')
    line = text[: text.index("unit_amount = 0.08")].count("\n") + 1

    answer = staff.post(EDIT, {"text": text, "act": "check"}, headers={"HX-Request": "true"})

    part = answer.content.decode()
    assert answer.status_code == 422
    assert "<html" not in part
    assert f'data-line="{line}">{line}<' in part
    assert "Price out, tier 2" in part
    assert ": float</span>" in part


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        (GAP, "tiers = ", "quantities above 100 up to 200 fall in no tier"),
        (GAP.replace('"200"', '"50"'), "tiers = ", "overlap"),
        (PRO.replace("USD", "XXX"), "currency", "unknown_currency"),
        (PRO.replace("bytes_out", "absent"), "meter", "unknown_meter"),
        (PRO.replace('name = "Seats"\n', ""), '[[prices]]\nkey = "seats"', "missing"),
        (PRO + "a = [b\n", "a = [b", "not_toml"),
        (PRO.replace('key = "pro"', 'key = "other"'), "key", "another plan"),
        (PRO, "effective_from", "not_after_published"),
    ],
)
def test_every_kind_of_fault_has_its_line(staff: Any, text: str, at: str, words: str) -> None:
    publish(PRO)
    line = text[: text.index(at)].count("\n") + 1

    page = staff.post(EDIT, {"text": text, "act": "save"}).content.decode()

    assert words in page
    assert f'data-line="{line}"' in page
    with as_staff():
        assert PlanVersion.objects.count() == 1


def test_the_text_is_saved_as_the_draft_and_published_from_another_instant(staff: Any) -> None:
    publish(PRO)

    saved = staff.post(EDIT, {"text": LATER, "act": "save", "mark": ""})
    refused = staff.post("/staff/plans/pro/publish/", {"version": "2", "effective_from": "soon"})
    early = staff.post("/staff/plans/pro/publish/", {"version": "2", "effective_from": "2025-01-01T00:00"})
    done = staff.post("/staff/plans/pro/publish/", {"version": "2", "effective_from": "2098-05-01T06:30:00"})

    assert (saved.status_code, saved.url) == (302, EDIT)
    assert (refused.status_code, early.status_code, done.status_code) == (422, 422, 302)
    assert b"must be written like" in refused.content
    assert b"not_after_published" in early.content
    with as_staff():
        version = get_plan("pro").versions[1]
        acts = list(AuditEntry.objects.order_by("id").values_list("act", "actor__email"))
    assert (version.effective_from.year, version.effective_from.minute) == (2098, 30)
    assert [act for act, _ in acts[-2:]] == ["plan.load", "plan.publish"]
    assert acts[-1][1] == acts[-2][1] != ""


def test_a_draft_that_somebody_else_saved_meanwhile_is_not_overwritten(staff: Any) -> None:
    publish(PRO)
    staff.post(EDIT, {"text": LATER, "act": "save", "mark": ""})

    late = staff.post(EDIT, {"text": LATER.replace("0.08", "0.01"), "act": "save", "mark": ""})
    price = staff.post(PRICE, TIERS | {"mark": ""})
    mark = staff.get(EDIT).content.decode().split('name="mark" value="')[1][:16]
    again = staff.post(EDIT, {"text": LATER.replace("0.08", "0.01"), "act": "save", "mark": mark})

    assert (late.status_code, price.status_code, again.status_code) == (422, 422, 302)
    assert b"changed_meanwhile" in late.content
    assert b"changed_meanwhile" in price.content


def test_the_heading_is_saved_in_the_draft(staff: Any) -> None:
    publish(PRO)
    said = {"name": "Pro plus", "effective_from": "2098-01-01T00:00", "note": "a better name", "mark": ""}

    refused = staff.post("/staff/plans/pro/heading/", said | {"effective_from": "2025-01-01T00:00"})
    empty = staff.post("/staff/plans/pro/heading/", said | {"name": " "})
    saved = staff.post("/staff/plans/pro/heading/", said)

    assert (refused.status_code, empty.status_code, saved.status_code) == (422, 422, 302)
    assert b"not_after_published" in refused.content
    with as_staff():
        facts = get_plan("pro")
    assert (facts.name, facts.draft.note if facts.draft else "") == ("Pro plus", "a better name")


def test_the_tiers_of_a_price_are_changed_in_a_table(staff: Any) -> None:
    publish(PRO)

    shown = staff.post(PRICE, TIERS | {"act": "check"}, headers={"HX-Request": "true"}).content.decode()
    saved = staff.post(PRICE, TIERS | {"mark": ""})

    assert "above 100" in shown
    assert "0.08 USD per GB" in shown
    assert saved.status_code == 302
    with as_staff():
        draft = get_plan("pro").draft
    assert draft is not None
    price = draft.sheet.price("out")
    assert price is not None
    assert price.terms == parse_plan_toml(TIERED).prices[0].terms
    form = staff.get(PRICE).content.decode()
    assert 'name="tier_above" value="100"' in form


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tier_above": ["0", "200"]}, "quantities above 100 up to 200 fall in no tier"),
        ({"tier_above": ["0", "50"]}, "overlap"),
        ({"tier_up_to": ["100", "90"]}, "tier 2"),
        ({"tier_unit_amount": ["0.10", "0,08"]}, "must be digits"),
        ({"tier_unit_amount": ["0.10", "\x00"]}, "must be digits"),
        ({"tier_unit_amount": ["-1", "1"]}, "tier 1"),
        ({"tier_percent": ["3", ""]}, "is not a field here"),
        ({"tier_above": [], "tier_up_to": [], "tier_unit_amount": []}, "is missing"),
        ({"model": "per_unit"}, "is not used by the charge model per_unit"),
        ({"model": "free"}, "must be one of"),
        ({"model": ""}, "write one of flat"),
        ({"name": ""}, "must not be empty"),
        ({"name": "a\x00b"}, "cannot be seen"),
        ({"included": "1e3"}, "must be digits"),
        ({"minimum": "9", "maximum": "1"}, "minimum"),
        ({"timing": "in_advance"}, "usage is charged in_arrears"),
        ({"included": "9" * 61}, "must be digits"),
    ],
)
def test_a_price_that_cannot_be_is_refused_and_stays_as_typed(
    staff: Any, changes: dict[str, Any], words: str
) -> None:
    publish(PRO)

    answer = staff.post(PRICE, TIERS | changes)

    assert answer.status_code == 422
    assert words in answer.content.decode()
    with as_staff():
        assert PlanVersion.objects.count() == 1


def test_another_charge_model_shows_its_own_fields(staff: Any) -> None:
    publish(PRO)

    part = staff.post(PRICE, {"model": "package", "act": "model"}, headers={"HX-Request": "true"})

    assert b'name="size"' in part.content
    assert b'name="tier_above"' not in part.content
    assert b"<html" not in part.content


@pytest.mark.parametrize(
    "path", ["absent/", "out/?part=1", "out/?part=x", "out/?part=99999", "out/?part=%D9%A1"]
)
def test_a_price_or_part_that_is_not_there_is_not_found(staff: Any, path: str) -> None:
    publish(PRO)

    assert staff.get(f"/staff/plans/pro/prices/{path}").status_code == 404
    assert staff.get("/staff/plans/absent/edit/").status_code == 404


def test_one_cell_of_a_price_by_dimension_is_changed_alone(staff: Any) -> None:
    text = PRO.replace(
        'model = "per_unit"\nunit_amount = "0.10"\nincluded = "5"\n',
        'dimensions = ["region"]\n[[prices.cells]]\nvalues = { region = "eu" }\nmodel = "per_unit"\n'
        'unit_amount = "0.10"\n[prices.otherwise]\nmodel = "per_unit"\nunit_amount = "0.20"\n',
    )
    publish(text)
    said = {"name": "Data out", "model": "per_unit", "unit_amount": "0.07", "act": "save", "mark": ""}

    assert "region eu" in staff.get(f"{PRICE}?part=0").content.decode()
    assert staff.post(f"{PRICE}?part=1", said).status_code == 302

    with as_staff():
        draft = get_plan("pro").draft
    assert draft is not None
    price = draft.sheet.price("out")
    assert price is not None
    words = [row.words for row in price_rows(draft.sheet)][:2]
    assert words == ["0.10 USD per GB", "0.07 USD per GB"]
