"""The broker is a doorbell: losing it is quick to notice, and nothing is acknowledged before it is done."""

import time
from pathlib import Path

import kombu.exceptions
import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured

from usage_portal import celery as portal_celery
from usage_portal.devstack.management import WORKER_PROCESSES


def test_tasks_are_acknowledged_after_the_work_and_found_again_soon() -> None:
    conf = portal_celery.app.conf

    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result
    assert conf.accept_content == ["json"]
    options = conf.broker_transport_options
    assert options["visibility_timeout"] > conf.task_time_limit
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] == 10


def test_publishing_without_a_broker_fails_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis+socket://{tmp_path}/absent.sock")
    app = Celery("lonely", set_as_current=False)
    app.add_defaults(portal_celery.configuration)
    began = time.monotonic()

    with pytest.raises(kombu.exceptions.OperationalError):
        app.send_task("nothing")

    assert time.monotonic() - began < 1.5


def test_a_lost_broker_is_tried_for_at_even_intervals(tmp_path: Path) -> None:
    # Workers and beat take their connections from the app in this way.
    connection = portal_celery.app.connection_for_read(f"redis+socket://{tmp_path}/absent.sock")
    waits: list[float] = []

    with pytest.raises(kombu.exceptions.OperationalError):
        connection.ensure_connection(lambda _error, seconds: waits.append(seconds), 3)

    assert waits == [1.0] * 3


def test_timetable_rings_every_ten_seconds_and_names_tasks_that_exist() -> None:
    portal_celery.app.loader.import_default_modules()
    timetable = portal_celery.timetable()

    assert timetable["ring_waiting_work"]["schedule"].total_seconds() == 10
    assert all(entry["task"] == portal_celery.app.tasks[entry["task"]].name for entry in timetable.values())


def test_passes_are_asked_for_in_as_many_parts_as_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_PARTS", "3")

    asked = [entry for entry in portal_celery.timetable().values() if "draft_invoices" in entry["task"]]

    assert [entry["args"] for entry in asked] == [[0, 3], [1, 3], [2, 3]]


def test_passes_leave_a_process_of_the_worker_to_usage() -> None:
    for name in ("draft_invoices", "issue_invoices"):
        asked = [entry for entry in portal_celery.timetable().values() if name in entry["task"]]
        assert [entry["args"] for entry in asked] == [[0, 2], [1, 2]]
        assert len(asked) < WORKER_PROCESSES


@pytest.mark.parametrize("text", ["0", "-1", "65", "1.5", "two", "\u0662"])
def test_parts_that_would_leave_accounts_out_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BILLING_PARTS", text)

    with pytest.raises(ImproperlyConfigured, match="BILLING_PARTS must be a whole number from 1 to 64"):
        portal_celery.timetable()
