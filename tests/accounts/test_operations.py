"""Operations on their own: what they refuse, what they write, and that act and audit entry go together."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts import operations
from accounts.models import Account, AuditEntry, SupportAccess
from accounts.operations import UnableToChange, lifecycle
from accounts.panels import list_panels
from accounts.tenancy import account_scope, as_staff, as_worker
from tests.conftest import Cast
from tests.isolation.rows import fill_every_table

REASON = "Bill of October doubled"


def test_accounts_named_by_files_are_made_once(portal_db: None) -> None:
    with as_worker():
        first = operations.ensure_account(reference="sgsc-1", actor_name="ingest of sgsc")
        second = operations.ensure_account(reference="sgsc-1", actor_name="ingest of sgsc")
        acts = list(AuditEntry.objects.values_list("act", "actor_name", "subject"))
    assert first.pk == second.pk
    assert first.name == "sgsc-1"
    assert acts == [("account.create", "ingest of sgsc", "sgsc-1")]


def test_accounts_named_by_two_files_at_once_are_made_once(portal_db: None) -> None:
    made: list[int] = []

    def ensure() -> None:
        try:
            with as_worker():
                made.append(operations.ensure_account(reference="both", actor_name="ingest").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1


@pytest.mark.parametrize("reference", ["", "  ", "x" * 201, "a\x00b", "a\nb", "a\u202eb"])
def test_unusable_reference_is_refused(portal_db: None, reference: str) -> None:
    with as_worker(), pytest.raises(UnableToChange):
        operations.ensure_account(reference=reference, actor_name="ingest")


def test_act_without_its_audit_entry_does_not_happen(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the audit trail is away")

    monkeypatch.setattr(lifecycle, "record_act", fail)
    with as_staff(), pytest.raises(RuntimeError):
        operations.suspend_account(account=cast.ours, actor=cast.staff)
    with as_staff():
        assert Account.objects.get(pk=cast.ours.pk).state == "active"


@pytest.mark.parametrize("reason", ["", "short", " " * 40, "a" * 501, "because\x00because"])
def test_support_needs_a_reason(cast: Cast, reason: str) -> None:
    with as_staff(), pytest.raises(UnableToChange):
        operations.start_support_access(
            staff=cast.staff, account=cast.ours, reason=reason, now=timezone.now()
        )


def test_support_is_for_staff(cast: Cast) -> None:
    with as_staff(), pytest.raises(UnableToChange):
        operations.start_support_access(
            staff=cast.owner, account=cast.ours, reason=REASON, now=timezone.now()
        )


def test_support_is_open_once_and_runs_out(cast: Cast) -> None:
    now = timezone.now()
    with as_staff():
        start = operations.start_support_access
        first = start(staff=cast.staff, account=cast.ours, reason=REASON, now=now)
        assert first.expires_at - first.started_at == timedelta(minutes=30)
        with pytest.raises(UnableToChange):
            start(staff=cast.staff, account=cast.ours, reason=REASON, now=now + timedelta(minutes=29))
        start(staff=cast.superuser, account=cast.ours, reason=REASON, now=now)
        start(staff=cast.staff, account=cast.ours, reason="Asked once more", now=now + timedelta(minutes=30))
        assert SupportAccess.objects.count() == 3
        assert operations.end_support_access(
            staff=cast.staff, account=cast.ours, now=now + timedelta(minutes=31)
        )
        assert not operations.end_support_access(
            staff=cast.staff, account=cast.ours, now=now + timedelta(minutes=31)
        )


def test_two_starts_at_once_open_one(cast: Cast) -> None:
    outcomes: list[str] = []

    def start() -> None:
        try:
            with as_staff():
                operations.start_support_access(
                    staff=cast.staff, account=cast.ours, reason=REASON, now=timezone.now()
                )
            outcomes.append("open")
        except UnableToChange:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["open", "refused"]


def test_one_transaction_serves_one_account(cast: Cast) -> None:
    with account_scope(cast.ours.pk), pytest.raises(RuntimeError), account_scope(cast.other.pk):
        pass


def test_read_only_scope_refuses_writes_in_the_database(cast: Cast) -> None:
    with pytest.raises(Exception, match="read-only transaction"), account_scope(cast.ours.pk, read_only=True):
        operations.record_act(account=cast.ours, actor=cast.owner, act="x", subject="x")


def test_audit_trail_only_grows(cast: Cast) -> None:
    with as_staff(), transaction.atomic(using="staff"):
        operations.record_act(account=cast.ours, actor=cast.staff, act="x", subject="x")
    for alias in (as_staff, as_worker):
        with alias(), pytest.raises(Exception, match="permission denied"):
            AuditEntry.objects.update(subject="y")
        with alias(), pytest.raises(Exception, match="permission denied"):
            AuditEntry.objects.all()._raw_delete(using="staff" if alias is as_staff else "worker")


def test_staff_page_counts_lines_of_the_account(cast: Cast) -> None:
    fill_every_table(cast.ours)
    with as_staff():
        (panel,) = list_panels(cast.ours, now=timezone.now())
        (nothing,) = list_panels(cast.other, now=timezone.now())
    assert len(panel.rows) >= 1
    assert all(len(row) == len(panel.columns) for row in panel.rows)
    assert nothing.rows == ()
