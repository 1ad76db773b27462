"""Plans and their versions are written with an audit entry, and what is published stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections

from accounts.models import AuditEntry
from accounts.operations import UnableToChange
from accounts.tenancy import as_staff, as_worker
from insights.billing.catalogue_operations import (
    check_plan,
    delete_draft,
    load_plan,
    publish_version,
    retire_plan,
)
from insights.billing.catalogue_queries import UnknownPlan, get_plan, plan_document, sheets_of
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import parse_plan_toml
from insights.billing.plan_toml_text import plan_to_toml
from insights.models import Plan, PlanVersion, Price, Subscription, SubscriptionPhase
from tests import factories
from tests.billing.plan_files import NOW, PRO, fee_plan, publish

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
LATER = PRO.replace("2026-01-01", "2026-12-01").replace('"0.10"', '"0.08"')


@pytest.fixture(autouse=True)
def _meter(portal_db: None) -> None:
    factories.make_meter()


def load(text: str) -> Any:
    with as_staff():
        return load_plan(document=parse_plan_toml(text), actor=None)


def codes(raised: pytest.ExceptionInfo[InvalidPlan]) -> list[str]:
    return [fault.code for fault in raised.value.faults]


def acts() -> list[str]:
    with as_staff():
        return list(AuditEntry.objects.order_by("id").values_list("act", flat=True))


def subscribe(plan: Plan) -> None:
    account = factories.make_account("acme")
    with as_worker():
        subscription = Subscription.objects.create(
            account=account,
            name="Main",
            currency="USD",
            billing_zone="UTC",
            anchor_day=NOW.date(),
            starts_at=NOW,
        )
        SubscriptionPhase.objects.create(account=account, subscription=subscription, plan=plan, starts_at=NOW)


def test_a_file_becomes_a_draft_and_then_the_version_in_force() -> None:
    loaded = load(PRO)
    with as_staff():
        assert sheets_of([Plan.objects.get().pk]) == {Plan.objects.get().pk: ()}
        publish_version(key="pro", number=loaded.number, actor=None, now=NOW)

        in_force = get_plan("pro").in_force(NOW)

    assert in_force is not None
    assert in_force.sheet == parse_plan_toml(PRO).sheet(1)
    assert acts() == ["plan.load", "plan.publish"]


def test_loading_again_replaces_the_draft_and_not_what_is_published() -> None:
    publish(PRO)
    first, second = load(LATER), load(LATER.replace('"0.08"', '"0.07"'))

    assert (first.number, first.replaced_draft) == (2, False)
    assert (second.number, second.replaced_draft) == (2, True)
    with as_staff():
        assert [version.number for version in get_plan("pro").versions] == [1, 2]
        assert plan_document("pro") == parse_plan_toml(LATER.replace('"0.08"', '"0.07"'))
        assert plan_document("pro", number=1) == parse_plan_toml(PRO)


def test_prices_that_fit_no_meter_are_refused_and_nothing_is_stored() -> None:
    with pytest.raises(InvalidPlan) as raised:
        load(PRO.replace('"bytes_out"', '"bytes_in"').replace("currency", 'account = "nobody"\ncurrency'))

    assert codes(raised) == ["unknown_meter", "unknown_account"]
    assert acts() == []


def test_what_a_plan_is_stays() -> None:
    load(fee_plan("base"))

    with pytest.raises(InvalidPlan) as raised:
        load(fee_plan("base", kind="add_on", currency="EUR", interval="year"))

    assert [(fault.field, fault.code) for fault in raised.value.faults] == [
        ("kind", "fixed"),
        ("currency", "fixed"),
        ("interval", "fixed"),
    ]


@pytest.mark.parametrize("begins", ["2026-01-01", "2025-06-01"])
def test_a_version_begins_after_every_published_one(begins: str) -> None:
    publish(PRO)

    with pytest.raises(InvalidPlan) as raised:
        load(PRO.replace("2026-01-01", begins))

    assert codes(raised) == ["not_after_published"]


def test_a_version_of_a_plan_in_use_does_not_begin_in_the_past() -> None:
    subscribe(publish(PRO))
    load(PRO.replace("2026-01-01", "2026-11-20"))

    with as_staff(), pytest.raises(InvalidPlan) as raised:
        publish_version(key="pro", number=2, actor=None, now=NOW)

    assert codes(raised) == ["in_the_past"]


def test_a_published_version_is_refused_in_plain_words_and_by_the_database() -> None:
    publish(PRO)

    with as_staff():
        with pytest.raises(UnableToChange, match="a published version never changes"):
            delete_draft(key="pro", number=1, actor=None)
        with pytest.raises(UnableToChange, match="a published version never changes"):
            publish_version(key="pro", number=1, actor=None, now=NOW)
        with pytest.raises(IntegrityError):
            PlanVersion.objects.update(note="cheaper")
        with pytest.raises(IntegrityError):
            Price.objects.update(name="Cheaper")


def test_a_draft_is_dropped_and_its_number_used_again() -> None:
    publish(PRO)
    load(LATER)

    with as_staff():
        delete_draft(key="pro", number=2, actor=None)
        with pytest.raises(UnableToChange, match="no version 2"):
            delete_draft(key="pro", number=2, actor=None)

    assert load(LATER).number == 2


def test_a_plan_is_retired_once() -> None:
    publish(PRO)

    with as_staff():
        retire_plan(key="pro", actor=None, now=NOW)
        retire_plan(key="pro", actor=None, now=NOW)

        assert get_plan("pro").retired_at == NOW
        with pytest.raises(UnknownPlan):
            retire_plan(key="absent", actor=None, now=NOW)
    assert acts().count("plan.retire") == 1


def test_a_plan_loaded_twice_at_once_is_one_plan() -> None:
    def attempt(_number: int) -> str:
        try:
            return f"version {load(PRO).number}"
        except InvalidPlan as error:
            return error.faults[0].code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(attempt, range(4)))

    assert set(answers) <= {"version 1", "taken"}
    with as_staff():
        assert [len(plan.versions) for plan in [get_plan("pro")]] == [1]
        assert Price.objects.count() == 2


def test_two_who_publish_at_once_publish_once() -> None:
    load(PRO)

    def attempt(_number: int) -> str:
        try:
            with as_staff():
                publish_version(key="pro", number=1, actor=None, now=NOW)
        except UnableToChange:
            return "refused"
        finally:
            connections.close_all()
        return "published"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(attempt, range(4)))

    assert answers == ["published", "refused", "refused", "refused"]
    assert acts().count("plan.publish") == 1


def test_check_says_the_faults_and_stores_nothing() -> None:
    with as_staff():
        check_plan(document=parse_plan_toml(PRO))
        with pytest.raises(InvalidPlan):
            check_plan(document=parse_plan_toml(PRO.replace('"byte"', '"bit"')))

        assert not Plan.objects.exists()


class TestCommands:
    def test_a_plan_goes_in_and_comes_out_the_same(self, tmp_path: Path) -> None:
        file, again = tmp_path / "pro.toml", tmp_path / "again.toml"
        file.write_text(PRO)
        said = StringIO()

        call_command("load_plan", file, check=True, stdout=said)
        call_command("load_plan", file, publish=True, stdout=said)
        call_command("export_plan", "pro", output=again)

        assert said.getvalue() == "pro: 2 prices, nothing is wrong\npro: version 1 is published\n"
        assert parse_plan_toml(again.read_text()) == parse_plan_toml(PRO)
        assert plan_to_toml(parse_plan_toml(PRO)) == again.read_text()

    def test_every_fault_is_said(self, tmp_path: Path) -> None:
        file = tmp_path / "pro.toml"
        file.write_text(
            PRO.replace('"bytes_out"', '"bytes_in"').replace("currency", 'account = "x"\ncurrency')
        )

        with pytest.raises(CommandError) as raised:
            call_command("load_plan", file)

        assert str(raised.value).splitlines() == [
            "line 12, price out, meter: there is no meter bytes_in (unknown_meter)",
            "line 3, plan, account: no account has the reference x (unknown_account)",
        ]

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_a_file_that_cannot_be_read_is_said(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "pro.toml"
        if content:
            file.write_bytes(content)

        with pytest.raises(CommandError):
            call_command("load_plan", file)

    def test_an_absent_plan_is_said(self) -> None:
        with pytest.raises(CommandError):
            call_command("export_plan", "absent")
