"""The proof of an invoice over the API, and the page that says how to check a bill, followed to the letter."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.tenancy import as_worker
from insights.exports.bundle import VERIFIER
from insights.models import Download, Invoice
from insights.rating.charges import PerUnit
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.serving import Server
from tests.billing.bills import make_invoice
from tests.billing.scene import (
    bill,
    complete,
    deliver,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "checking-a-bill.md").read_text(encoding="utf-8")


@pytest.fixture
def bill_reader(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    key = factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read", "bills:read"])
    return caller(key[1])


@pytest.fixture
def march(cast: Cast) -> Invoice:
    meters("requests")
    source = factories.make_source("edge", clock_zone="")
    make_profile(cast.ours, tax_name="VAT", tax_percent=Decimal(19))
    price = usage_price("requests", PerUnit(unit_amount=Decimal("0.10")), currency="EUR")
    subscription = subscribe(
        cast.ours, make_plan("plain", [price], currency="EUR"), "2026-03-01", billing_zone="UTC"
    )
    deliver(source, cast.ours, [("requests", "2026-03-05", "100"), ("requests", "2026-03-31T23", "7")])
    complete(cast.ours, "2026-04-01")
    return bill(subscription, "2026-04-01T01")[0]


def read(response: Any) -> bytes:
    content: bytes = b"".join(response.streaming_content)
    response.close()
    return content


def path_of(invoice: Invoice) -> str:
    return f"/api/v1/invoices/{invoice.public_id}/proof"


def test_a_key_for_bills_and_usage_gets_it(cast: Cast, march: Invoice, bill_reader: Caller) -> None:
    head = bill_reader.head(path_of(march))
    response = bill_reader.get(path_of(march))

    assert (head.status_code, head.headers["Content-Type"]) == (200, "application/zip")
    names = zipfile.ZipFile(io.BytesIO(read(response))).namelist()
    assert "records/requests-v1.csv" in names
    with as_worker():
        [download] = Download.objects.all()
    assert (download.kind, download.state, download.rows) == ("proof", "done", 2)
    assert response.headers["Download-Id"] == str(download.public_id)
    assert bill_reader.get(f"/api/v1/downloads/{download.public_id}").json()["state"] == "done"


@pytest.mark.parametrize("scopes", [["usage:read"], ["bills:read"]])
def test_one_of_the_two_is_not_enough(
    cast: Cast, march: Invoice, caller: Callable[[str], Caller], scopes: list[str]
) -> None:
    reader = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=scopes)[1])

    problem_of(reader.get(path_of(march)), status=403, code="permission_denied")


def test_absent_foreign_and_unissued_ones_have_none(cast: Cast, bill_reader: Caller) -> None:
    draft, foreign = make_invoice(cast.ours, state="draft"), make_invoice(cast.other)

    problem_of(bill_reader.get(path_of(draft)), status=404, code="not_issued")
    assert bill_reader.get(path_of(foreign)).json() == problem_of(
        bill_reader.get("/api/v1/invoices/00000000-0000-4000-8000-000000000000/proof"),
        status=404,
        code="not_found",
    )
    problem_of(bill_reader.get(f"{path_of(draft)}?x=1"), status=400, code="unknown_parameter")


@pytest.mark.slow
def test_the_page_is_followed_to_the_letter(
    cast: Cast, march: Invoice, bill_reader: Caller, server: Server, tmp_path: Path
) -> None:
    steps = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / VERIFIER.name).write_bytes(VERIFIER.read_bytes())
    environ = os.environ | {
        "PORTAL": server.url(""),
        "INVOICE": str(march.public_id),
        "ACCOUNT_KEY": bill_reader.key,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    done = subprocess.run(
        ["sh", "-e"],
        input="".join(steps),
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert "1. Requests, 10.70 EUR: equal" in said
    assert said[-1] == "all 2 lines equal"


def test_the_page_names_every_file_and_column(cast: Cast, march: Invoice, bill_reader: Caller) -> None:
    with zipfile.ZipFile(io.BytesIO(read(bill_reader.get(path_of(march))))) as opened:
        names = opened.namelist()
        columns = opened.read("records/requests-v1.csv").decode().splitlines()[0].split(",")
    named = set(re.findall(r"`([\w./]+)`", PAGE))

    assert {f"{name.partition('/')[0]}/" if "/" in name else name for name in names} | {"earlier/"} == {
        name for name in named if name in names or name.endswith("/")
    }
    assert set(columns) <= named
