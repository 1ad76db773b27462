"""Pages, CSV and API over an archived month: figures stay, and what needs records says that they are archived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accounts.models import Account, User
from accounts.tenancy import as_worker
from insights.models import Batch
from tests import factories
from tests.retention import months
from tests.retention.months import archive, send

pytestmark = pytest.mark.database

JUNE_BY_DAY = "meter=bytes_out&from=2024-06-01&to=2024-06-30&granularity=day"
JUNE_BY_HOUR = "meter=bytes_out&from=2024-06-14&to=2024-06-15&granularity=hour"


@pytest.fixture
def batch(archives: Path) -> Batch:
    """Usage over the month's edges for three accounts."""
    return send(months.make_world("window"), *months.month_lines())


@pytest.fixture
def owner(batch: Batch) -> User:
    """Who looks at Cedar, whose clock is UTC."""
    person = factories.make_user("cedar@example.com")
    factories.make_membership(cedar(), person)
    return person


def cedar() -> Account:
    with as_worker():
        return Account.objects.get(reference="cedar")


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_figures_of_days_and_months_stay_and_the_page_says_what_is_archived(
    owner: User, signed_in: Any
) -> None:
    browser, path = signed_in(owner), f"/a/{cedar().public_id}/usage/"
    csv = f"{path}aggregates.csv?{JUNE_BY_DAY}"
    before = body_of(browser.get(csv))
    assert b"2024-06-15T00:00:00Z" in before
    archive()

    page = browser.get(f"{path}?{JUNE_BY_DAY}")

    assert page.status_code == 200
    assert "The records of June 2024 are archived" in page.content.decode()
    assert "records.csv" not in page.content.decode()
    assert body_of(browser.get(csv)) == before
    assert (
        "archived" not in browser.get(f"{path}?{JUNE_BY_DAY.replace('2024-06', '2024-07')}").content.decode()
    )


@pytest.mark.parametrize("htmx", [{}, {"HX-Request": "true"}])
def test_hours_of_an_archived_month_are_refused_with_a_way_out(
    owner: User, signed_in: Any, htmx: Any
) -> None:
    browser, path = signed_in(owner), f"/a/{cedar().public_id}/usage/"
    assert browser.get(f"{path}?{JUNE_BY_HOUR}").status_code == 200
    archive()

    page = browser.get(f"{path}?{JUNE_BY_HOUR}", headers=htmx)

    assert page.status_code == (422 if htmx else 400)
    assert "The usage records of June 2024 are archived. Choose day or month" in page.content.decode()


def test_hours_after_an_archived_month_are_not_compared_with_it(owner: User, signed_in: Any) -> None:
    browser, path = signed_in(owner), f"/a/{cedar().public_id}/usage/"
    archive()

    page = browser.get(f"{path}?meter=bytes_out&from=2024-07-01&to=2024-07-02&granularity=hour")

    assert page.status_code == 200
    assert "28 to 30 Jun" not in page.content.decode()


def test_the_csv_of_archived_records_is_refused_and_not_empty(owner: User, signed_in: Any) -> None:
    browser, path = signed_in(owner), f"/a/{cedar().public_id}/usage/records.csv"
    archive()

    refused = browser.get(f"{path}?{JUNE_BY_DAY}")
    served = browser.get(f"{path}?{JUNE_BY_DAY.replace('2024-06', '2024-07')}")

    assert refused.status_code == 400, refused
    assert "The usage records of June 2024 are archived" in refused.content.decode()
    assert body_of(served).count(b"\n") == 3


def test_a_month_that_is_archived_after_the_question_ends_the_download(
    owner: User, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "insights.exports.answer_queries.refuse_archived_records", lambda *_arguments: archive()
    )
    path = f"/a/{cedar().public_id}/usage/records.csv"

    answer = signed_in(owner).get(f"{path}?{JUNE_BY_DAY}")

    assert answer.status_code == 400
    assert "archived" in answer.content.decode()


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("usage?kind=records&" + JUNE_BY_DAY, "from"),
        ("usage?" + JUNE_BY_HOUR, "granularity"),
        ("usage.csv?kind=records&" + JUNE_BY_DAY, "from"),
        ("usage.csv?kind=aggregates&" + JUNE_BY_HOUR, "granularity"),
    ],
)
def test_the_api_refuses_with_code_and_field(owner: User, client: Any, address: str, field: str) -> None:
    _row, key = factories.make_api_key(cedar(), created_by=owner)
    archive()

    answer = client.get(f"/api/v1/{address}", headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["field"]) == ("period_archived", field)


def test_a_page_of_a_batch_says_which_of_its_records_are_archived(
    owner: User, batch: Batch, signed_in: Any
) -> None:
    archive()

    page = signed_in(owner).get(f"/a/{cedar().public_id}/batches/{batch.public_id}/")

    assert "Its records of June 2024 are archived and left out below" in page.content.decode()
