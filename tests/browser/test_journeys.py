"""What people do here, in a real browser: ask, go back, pass a link on, make a key, look in, send a file."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from playwright.sync_api import FilePayload, Page, expect

from accounts.tenancy import as_owner
from insights.models import Batch
from insights.tasks import ingest_batch
from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE
from tests.browser.world import HEADER, PASSWORD, World

IS_SAME_PAGE = "() => window.isSamePage === true"


def usage(world: World, query: str = "") -> str:
    return f"/a/{world.account.public_id}/usage/{query}"


def mark(page: Page) -> None:
    """Leave a note in the window that a full load would wipe."""
    page.evaluate("() => { window.isSamePage = true; }")


def total_of(page: Page) -> Decimal:
    return Decimal(page.locator(".answer data").first.get_attribute("value") or "")


def test_questions_swap_in_place_and_come_back(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.page
    visitor.open(usage(world))
    mark(page)

    page.click("#group-region")

    expect(page.locator("h2", has_text="By region")).to_be_visible()
    expect(page).to_have_url(re.compile("group_by=region"))
    assert page.evaluate(IS_SAME_PAGE)
    assert page.evaluate("document.activeElement.id") == "group-region"
    expect(page.locator(".barlayer .trace")).to_have_count(2)
    page.go_back()
    expect(page.locator("h2", has_text="By region")).to_have_count(0)
    page.go_forward()
    expect(page.locator("h2", has_text="By region")).to_be_visible()
    assert visitor.complaints == []


def test_a_colleague_sees_the_same_behind_the_permanent_link(world: World, visit: Visit) -> None:
    asked, seen = visit("owner"), visit("viewer")
    asked.open(usage(world, "?meter=bytes_out&period=last-7-days&group_by=endpoint"))

    link = asked.page.locator("#permalink").get_attribute("href")
    seen.open(usage(world, link or ""))

    for part in (".answer", "[aria-label^='Usage by'] tbody >> nth=0"):
        assert seen.page.locator(part).inner_text() == asked.page.locator(part).inner_text()


def test_a_row_leads_to_the_hours_within_it(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.open(usage(world, "?period=last-7-days"))

    visitor.page.locator("tbody a.plain").first.click()

    expect(visitor.page.locator("h2", has_text="By hour")).to_be_visible()
    assert "granularity=hour" in visitor.page.url


def test_a_refused_period_stays_as_typed_with_the_focus_in_it(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.page
    visitor.open(usage(world, "?group_by=region"))

    page.click("#period-choice")
    today = datetime.now(UTC).date()
    earlier, middle, later = ((today - timedelta(days=days)).isoformat() for days in (9, 6, 3))
    page.fill("#period-from", later)
    page.fill("#period-to", middle)
    page.click(".period-panel button")

    expect(page.locator("#period-error")).to_contain_text("The first day is after the last day.")
    expect(page.locator("#period-from")).to_be_focused()
    assert page.input_value("#period-from") == later
    page.fill("#period-from", earlier)
    page.click(".period-panel button")
    expect(page.locator("h2", has_text="By region")).to_be_visible()
    expect(page.locator("#period-choice")).to_be_focused()


def test_all_of_it_works_without_script(world: World, visit: Visit) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    visitor.open(usage(world))
    page.fill("input[name=login]", "owner@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button[type=submit]")

    page.click("#group-region")
    page.fill("[name='dimension.endpoint']", "api.example")
    page.click("#apply-filter")

    assert "group_by=region" in page.url
    expect(page.get_by_label("Filters in force").locator(".chip")).to_contain_text("endpoint: api.example")
    expect(page.locator("[aria-label^='Usage by'] tbody").first).to_contain_text("eu-west")
    address = page.get_by_role("link", name="CSV of this table").get_attribute("href") or ""
    rows = csv.DictReader(io.StringIO(page.request.get(visitor.site + address).text()))
    assert sum(Decimal(row["quantity"] or 0) for row in rows) == total_of(page)
    page.click("nav >> text=Settings")
    page.fill("#id_name", "without script")
    page.click("text=Make a key")
    expect(page.locator("#key-once")).to_contain_text("up_live_")


def test_both_downloads_add_up_to_the_page(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    visitor.open(usage(world, "?meter=bytes_out&group_by=endpoint"))

    for name in ("CSV of this table", "CSV of the records"):
        address = visitor.page.get_by_role("link", name=name).get_attribute("href") or ""
        rows = csv.DictReader(io.StringIO(visitor.page.request.get(visitor.site + address).text()))
        assert sum(Decimal(row["quantity"] or 0) for row in rows) == total_of(visitor.page)


def test_a_key_is_shown_once_and_ends_when_revoked(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.page
    visitor.open(f"/a/{world.account.public_id}/settings/")

    page.fill("#id_name", "from the browser")
    page.click("text=Make a key")
    expect(page.locator("#key-once")).to_be_focused()
    key = page.locator("#key-once").inner_text()
    ask = {"Authorization": f"Bearer {key}"}

    assert visitor.list_faults(((WIDE, "light"), (NARROW, "dark"))) == []
    assert page.request.get(f"{visitor.site}/api/v1/meters", headers=ask).status == 200
    page.reload()
    expect(page.locator("#key-once")).to_have_count(0)
    row = page.locator("#settings-keys tr", has_text="from the browser")
    row.locator("summary").click()
    row.get_by_role("button").click()
    expect(row).to_contain_text("Revoked")
    assert page.request.get(f"{visitor.site}/api/v1/meters", headers=ask).status == 401


def test_support_looks_under_a_banner_and_changes_nothing(world: World, visit: Visit) -> None:
    visitor = visit("staff")
    page = visitor.page
    visitor.open(f"/staff/accounts/{world.account.public_id}/")
    page.fill("#id_reason", "ticket 77: which day was lower")
    page.click("text=Start support access")

    banner = page.locator(".support-banner")
    expect(banner).to_contain_text("ticket 77")
    page.click("nav >> text=Usage")
    page.click("#group-region")
    expect(page.locator("h2", has_text="By region")).to_be_visible()
    expect(banner).to_be_visible()
    headers = {"X-CSRFToken": page.input_value(".support-banner [name=csrfmiddlewaretoken]")}
    settings = f"{visitor.site}/a/{world.account.public_id}/settings/"
    refused = page.request.post(f"{settings}keys/", form={"name": "not mine"}, headers=headers)
    assert refused.status == 403
    page.click("text=End access")
    assert page.request.get(settings).status in (403, 404)
    assert visitor.complaints == []


def test_an_upload_is_followed_to_its_end_without_loading_again(world: World, visit: Visit) -> None:
    visitor = visit("staff")
    page = visitor.page
    good = "ansel,requests,2026-11-02T10:00:00Z,7,new.example,eu-west,https"
    bad = "ansel,requests,2026-11-02T10:00:00Z,seven,new.example,eu-west,https"
    body = "\n".join((",".join(HEADER), good, bad, ""))
    visitor.open(f"/staff/sources/{world.source.slug}/")

    page.set_input_files(
        "#source-upload input[type=file]",
        files=FilePayload(name="two.csv", mimeType="text/csv", buffer=body.encode()),
    )
    page.click("#source-upload .button--primary")
    expect(page.locator("progress")).to_be_visible()
    mark(page)
    with as_owner():
        batch = Batch.objects.get(name="two.csv")
    ingest_batch(batch.pk)

    expect(page.locator(".answer")).to_contain_text("2 lines received, 1 of them rejected")
    expect(page.locator("#rejects-region")).to_contain_text("number_format")
    assert page.evaluate(IS_SAME_PAGE)
    assert visitor.complaints == []


def test_a_chosen_theme_stays_and_is_taken_back(world: World, visit: Visit) -> None:
    visitor = visit("owner", color_scheme="light")
    page = visitor.page
    ground = "getComputedStyle(document.body).backgroundColor"
    visitor.open(usage(world))
    light = page.evaluate(ground)

    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) != light
    page.reload()
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="As the system").click()
    assert page.evaluate(ground) == light


def test_the_keyboard_is_enough(world: World, visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.page
    visitor.open(usage(world))

    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.locator("#period-choice").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".period-panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".period-panel")).to_be_hidden()
    expect(page.locator("#period-choice")).to_be_focused()


def test_a_narrow_screen_has_its_navigation_in_a_drawer(world: World, visit: Visit) -> None:
    visitor = visit("owner", viewport={"width": NARROW, "height": 800})
    page = visitor.page
    visitor.open(f"/a/{world.account.public_id}/")
    expect(page.locator(".nav")).to_be_hidden()

    page.get_by_role("button", name="Menu", exact=True).click()
    page.locator(".nav").get_by_role("link", name="Batches").click()

    expect(page.locator("h1")).to_have_text("Batches")
    expect(page.locator(".nav")).to_be_hidden()


def test_print_leaves_the_controls_out_and_less_motion_means_none(world: World, visit: Visit) -> None:
    visitor = visit("owner", reduced_motion="reduce")
    page = visitor.page
    visitor.open(usage(world))
    assert (
        page.evaluate("parseFloat(getComputedStyle(document.querySelector('.swap')).animationDuration)")
        < 0.001
    )

    page.emulate_media(media="print")

    for gone in (".sidebar", ".page-head .actions", ".segmented >> nth=0", "#apply-filter"):
        expect(page.locator(gone)).to_be_hidden()
    for kept in (".answer", ".chart-canvas", "tbody >> nth=0"):
        expect(page.locator(kept)).to_be_visible()
