"""A small company for the browser: accounts in each state, weeks of usage, rejected lines, keys, support access."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import make_password

from accounts import keys
from accounts.models import Account, ApiKey, User
from accounts.tenancy import account_scope, as_owner, as_worker
from insights.billing.add_on_operations import start_add_on
from insights.billing.catalogue_operations import load_plan
from insights.billing.override_operations import set_override
from insights.billing.plan_toml import parse_plan_toml
from insights.billing.subscription_operations import change_plan, start_subscription
from insights.ingest.operations import receive_batch
from insights.models import Batch, Source, SourceKey, Subscription
from insights.notebook.operations import add_note, save_view
from insights.rating.plan_change import ChangePolicy
from tests import factories
from tests.billing.bills import (
    LineSpec,
    gigabytes,
    line_named,
    make_grant,
    make_invoice,
    make_profile,
    usual_lines,
)
from tests.billing.plan_files import PRO, fee_plan, publish
from tests.ingest.held import close, opened, preview

PASSWORD = "a long password of the tests"
DAYS = 40
# Windows back from now, four a day, before which one meter is enough.
LONG_AGO = 4 * 8
HEADER = ("account", "meter", "window_start", "quantity", "endpoint", "region", "protocol")
PLACES = (("api.example", "eu-west"), ("www.example", "us-east"), ("shop.example", "eu-west"))
METERS = (("requests", "requests", 1000), ("bytes_out", "byte", 7_000_000_000))


@dataclass(frozen=True, slots=True)
class World:
    """Who and what the pages are about."""

    account: Account
    closed: Account
    empty: Account
    people: dict[str, User]
    source: Source
    batch: Batch
    waiting: Batch
    backfill: UUID
    closed_backfill: UUID
    bill: UUID
    checked_bill: UUID
    draft_bill: UUID
    key: ApiKey
    source_key: SourceKey
    subscription: Subscription
    note: UUID
    view: UUID

    def values(self, kind: str) -> dict[str, Any]:
        """Return what stands in the variable parts of addresses."""
        return {
            "account_uuid": self.account.public_id,
            "backfill_uuid": self.backfill,
            "batch_uuid": self.batch.public_id,
            "bill_uuid": self.bill,
            "plan_key": "pro",
            "price_key": "out",
            "subscription_uuid": self.subscription.public_id,
            "position": 2,  # Of data out; the fee before it has no records.
            "key_uuid": (self.key if kind == "account" else self.source_key).public_id,
            "user_uuid": self.people["viewer"].public_id,
            "slug": self.source.slug,
            "note_uuid": self.note,
            "view_uuid": self.view,
            "finding_uuid": self.note,  # Of no finding; its address only takes what a form sends.
        }


def make_world() -> World:
    """Fill the database; every instant lies before now, the newest day is not complete."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    account = factories.make_account("ansel", name="Ansel Ltd", billing_zone="Europe/Berlin", currency="EUR")
    people = _people(account)
    for key, unit, _ in METERS:
        factories.make_meter(key, unit=unit)
    source = factories.make_source("edge", name="Edge, hourly", lateness_seconds=3600)
    batch = factories.ingest_now(source, _usage(now), name="usage.csv", via="browser")
    row, _ = factories.make_api_key(account, created_by=people["owner"], name="nightly export")
    factories.open_support_access(account, people["looker"], reason="ticket 512: why is one day lower")
    subscription = _subscription(account, people["staff"], now)
    bill, checked_bill, draft_bill = _bills(account, now)
    return World(
        bill=bill,
        checked_bill=checked_bill,
        draft_bill=draft_bill,
        account=account,
        closed=factories.make_account("closed", name="Closed Ltd", state="closed", closed_at=now),
        empty=_account_without_usage(people["owner"]),
        people=people,
        source=source,
        batch=batch,
        waiting=_waiting_batch(),
        backfill=_backfill(source, people["staff"]),
        closed_backfill=_closed_backfill(people["staff"]),
        key=row,
        source_key=_source_key(source),
        subscription=subscription,
        note=_note(account, people["owner"], now),
        view=_view(account, people["owner"]),
    )


def _note(account: Account, author: User, now: datetime) -> UUID:
    with account_scope(account.pk):
        at = now - timedelta(days=2)
        return add_note(account=account, at=at, text="Released v2 here", author=author)[0].public_id


def _view(account: Account, owner: User) -> UUID:
    query = "meter=requests&period=last-7-days&granularity=hour"
    with account_scope(account.pk):
        return save_view(
            account=account, name="Requests by hour", query=query, is_shared=True, owner=owner
        ).public_id


def _people(account: Account) -> dict[str, User]:
    hashed = make_password(PASSWORD)
    people = {
        "owner": factories.make_user("owner@example.com", name="Olive Owner"),
        "viewer": factories.make_user("viewer@example.com"),
        "staff": factories.make_user("staff@example.com", is_staff=True),
        "looker": factories.make_user("looker@example.com", is_staff=True),
        "root": factories.make_user("root@example.com", is_staff=True, is_superuser=True),
    }
    for name in ("owner", "staff"):
        factories.change_user(people[name], password=hashed)
        people[name].password = hashed
    factories.make_membership(account, people["owner"], role="owner")
    factories.make_membership(account, people["viewer"], role="viewer")
    return people


def _subscription(account: Account, staff: User, now: datetime) -> Subscription:
    """A subscription whose plan changes soon, with an add-on and a price of its own; its plan has a draft besides."""
    pro = PRO.replace("USD", "EUR").replace("2026-01-01T", "2025-01-01T")
    for text in (
        pro,
        fee_plan("team", currency="EUR", effective_from="2025-01-01T00:00:00Z"),
        fee_plan("support", kind="add_on", currency="EUR", effective_from="2025-01-01T00:00:00Z"),
    ):
        publish(text, now=now)
    start = (now - timedelta(days=200)).replace(day=1, hour=0)
    soon = now + timedelta(days=40)
    with as_worker():
        load_plan(document=parse_plan_toml(_in_tiers(pro)), actor=staff)
        subscription = start_subscription(
            account_id=account.pk,
            plan_key="pro",
            name="Production",
            anchor_day=start.date(),
            starts_at=start,
            counts={"seats": "3"},
            by=staff,
        )
        own = {"account_id": account.pk, "by": staff}
        start_add_on(
            subscription_id=subscription.public_id, plan_key="support", starts_at=start, counts={}, **own
        )
        change_plan(
            subscription_id=subscription.public_id,
            plan_key="team",
            starts_at=soon,
            policy=ChangePolicy.RESTART,
            counts={},
            reason="wants a fee alone",
            **own,
        )
        set_override(
            plan_key="pro",
            price_key="out",
            toml='model = "per_unit"\nunit_amount = "0.07"',
            starts_at=start,
            ends_at=None,
            reason="as agreed",
            **own,
        )
    return subscription


def _in_tiers(plan: str) -> str:
    tiers = 'model = "graduated"\ntiers = [{ up_to = 100, unit_amount = "0.10" }, { unit_amount = "0.08" }]'
    later = plan.replace("2025-01-01T", "2099-01-01T")
    return later.replace('model = "per_unit"\nunit_amount = "0.10"', tiers)


def _bills(account: Account, now: datetime) -> tuple[UUID, UUID, UUID]:
    """An issued bill with a correction and a credit, one that waits for a person, and the one of this month."""
    make_profile(account)
    grant = make_grant(account, minor=5000)
    this = now.replace(day=1, hour=0)
    starts = [this]
    for _ in range(4):
        starts.append((starts[-1] - timedelta(days=1)).replace(day=1))
    october, september, august, july = starts[1:]
    first = make_invoice(account, period=(july, august), settlement="paid")
    data = line_named(first, "Data out")
    late = LineSpec(
        name="Data out",
        terms=gigabytes(),
        quantity=Decimal(52_500_000_000),
        meter_key="bytes_out",
        corrects=data,
    )
    issued = make_invoice(account, period=(august, september), lines=[*usual_lines(), late], granted=[grant])
    checked = make_invoice(account, period=(october, this), state="parked", operation="checked")
    make_invoice(account, period=(september, october), settlement="void")
    end = (this + timedelta(days=32)).replace(day=1)
    draft = make_invoice(account, period=(this, end), state="draft", complete_to=now)
    return issued.public_id, checked.public_id, draft.public_id


def _account_without_usage(owner: User) -> Account:
    account = factories.make_account("brook", name="Brook Ltd")
    factories.make_membership(account, owner, role="owner")
    return account


def _waiting_batch() -> Batch:
    """Store a file that no worker takes, since the tests run none."""
    lab = factories.make_source("lab", name="Lab")
    line = "ansel,requests,2026-11-01T10:00:00Z,5,api.example,eu-west,https\n"
    received = receive_batch(
        source_id=lab.pk, pieces=[f"{','.join(HEADER)}\n{line}".encode()], via="browser", name="waiting.csv"
    )
    with as_owner():
        return Batch.objects.get(pk=received.batch_id)


def _backfill(source: Source, staff: User) -> UUID:
    """Hold two files, one of them with a line to reject and one that replaces, and have them previewed."""
    backfill = opened(source, staff)
    for number in (1, 2):
        lines = [
            f"ansel,requests,2024-02-{day:02d}T10:00:00Z,{number},api.example,eu-west,https,{number}"
            for day in range(1, 29)
        ]
        lines.append(f"ansel,requests,2024-02-29T10:00:00Z,{'x' * number},api.example,eu-west,https,1")
        body = "\n".join((",".join((*HEADER, "revision")), *lines)).encode()
        receive_batch(
            source_id=source.pk,
            pieces=[body],
            via="command",
            name=f"february-{number}.csv",
            backfill=backfill,
        )
    preview(backfill, staff)
    return backfill


def _closed_backfill(staff: User) -> UUID:
    source = factories.make_source("archive", name="Archive")
    backfill = opened(source, staff)
    line = "ansel,requests,2023-01-01T10:00:00Z,5,api.example,eu-west,https\n"
    receive_batch(
        source_id=source.pk, pieces=[f"{','.join(HEADER)}\n{line}".encode()], via="api", backfill=backfill
    )
    preview(backfill, staff)
    close(backfill, staff)
    return backfill


def _source_key(source: Source) -> SourceKey:
    _, prefix, sha256 = keys.make_key()
    with as_worker():
        return SourceKey.objects.create(source=source, name="feed", prefix=prefix, secret_sha256=sha256)


def _usage(now: datetime) -> str:
    """Four windows a day for weeks, every second place quiet on one day, and four lines to reject."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for back in range(DAYS * 4):
        at = now - timedelta(hours=2 + 6 * back)
        for number, (endpoint, region) in enumerate(PLACES):
            if back // 4 == 7 and region == "us-east":
                continue
            for meter, _, size in METERS if back < LONG_AGO else METERS[1:]:
                quantity = size * (number + 1) + back
                writer.writerow(
                    ("ansel", meter, f"{at:%Y-%m-%dT%H:%M:%SZ}", quantity, endpoint, region, "https")
                )
    at = now - timedelta(hours=3)
    for wrong in ("1_000", "abc", "", "1e5"):
        writer.writerow(
            ("ansel", "requests", f"{at:%Y-%m-%dT%H:%M:%SZ}", wrong, "api.example", "eu-west", "https")
        )
    return out.getvalue()
