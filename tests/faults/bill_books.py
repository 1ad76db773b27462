"""Puts companies that are billed into the product, lets it bill them, and holds every line to the oracle's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.bill_facts import Invoice, Line
from tests.faults.bill_oracle import Oracle

FAR = datetime(2100, 1, 1, tzinfo=UTC)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
ROUNDS_MAX = 6
# What made-up companies run into of themselves; anything else is a fault of this world.
LOOKED_AT = frozenset({"jump", "no_usage", "uncovered_usage"})
Place = tuple[str, str, datetime]


def open_companies(directory: Path) -> dict[str, Any]:
    """Load the plans, and make the accounts with all they buy; returns the world as it was written."""
    from accounts.tenancy import as_worker
    from insights.models import LegalEntity, Meter, Source

    world: dict[str, Any] = json.loads((directory / "bills.json").read_text())
    with as_worker():
        Meter.objects.bulk_create(
            Meter(name=meter["key"].title(), grain_seconds=3600, **meter) for meter in world["meters"]
        )
        Source.objects.create(slug="edge", name="Edge", clock_zone="UTC", max_age_days=None)
        _load_plans(directory, world["plans"])
        entity = LegalEntity.objects.create(
            key="tidegate", name="Tidegate", address="1 Quay", number_prefix="TG-"
        )
        for account in world["accounts"]:
            _open_account(account, entity)
    _name_add_ons(directory, world)
    return world


def _load_plans(directory: Path, names: list[str]) -> None:
    from insights.billing.catalogue_operations import load_plan, publish_version
    from insights.billing.plan_toml import parse_plan_toml

    for name in names:
        document = parse_plan_toml((directory / name).read_text())
        loaded = load_plan(document=document, actor=None)
        publish_version(key=loaded.key, number=loaded.number, actor=None, now=EPOCH)


def _open_account(row: Mapping[str, Any], entity: Any) -> None:
    from accounts.models import Account
    from insights.models import AddOn, BillingProfile, CreditGrant, Plan, Subscription, SubscriptionPhase

    plans = {plan.key: plan for plan in Plan.objects.filter(currency=row["currency"])}
    account = Account.objects.create(
        reference=row["reference"],
        name=row["reference"].title(),
        billing_zone=row["zone"],
        currency=row["currency"],
    )
    name, percent = row["tax"] or ("", "0")
    BillingProfile.objects.create(
        account=account, legal_entity=entity, grace_days=0, tax_name=name, tax_percent=percent,
        recipients=[f"{row['reference']}@example.com"],
    )  # fmt: skip
    subscription = Subscription.objects.create(
        account=account, name="Standing order", currency=row["currency"], anchor_day=date.fromisoformat(row["anchor"]),
        starts_at=datetime.fromisoformat(row["starts_at"]), billing_zone=row["zone"],
    )  # fmt: skip
    SubscriptionPhase.objects.bulk_create(
        SubscriptionPhase(
            account=account, subscription=subscription, **{**phase, "plan": plans[phase["plan"]]}
        )
        for phase in row["phases"]
    )
    for add_on in row["add_ons"]:
        AddOn.objects.create(
            account=account, subscription=subscription, **{**add_on, "plan": plans[add_on["plan"]]}
        )
    CreditGrant.objects.bulk_create(
        CreditGrant(
            account=account,
            currency=row["currency"],
            kind="promotion",
            name="Welcome",
            reason="welcome",
            **grant,
        )
        for grant in row["grants"]
    )


def _name_add_ons(directory: Path, world: dict[str, Any]) -> None:
    """An add-on's lines are called by its id, which only the database knows."""
    from accounts.tenancy import as_worker
    from insights.models import AddOn

    with as_worker():
        ids = {row.account.reference: str(row.pk) for row in AddOn.objects.select_related("account")}
    for account in world["accounts"]:
        for add_on in account["add_ons"]:
            add_on["id"] = ids[account["reference"]]
    (directory / "bills.json").write_text(json.dumps(world, indent=1))


def follow(
    directory: Path, world: Mapping[str, Any], *, after_pass: Callable[[datetime], None] | None = None
) -> None:
    """Deliver and bill in the order in which everything happens; raises AssertionError where billing fails."""
    from accounts.tenancy import as_worker
    from insights.models import Source

    with as_worker():
        source = Source.objects.get(slug="edge")
    for step in world["steps"]:
        if "deliver" in step:
            deliver(source, (directory / step["deliver"]).read_bytes())
        else:
            now = datetime.fromisoformat(step["bill"])
            bill_everybody(now)
            if after_pass is not None:
                after_pass(now)


def deliver(source: Any, body: bytes) -> None:
    """Send a file the usual way as complete to a far day, and do the worker's task at once."""
    from tests.factories import ingest_now

    batch = ingest_now(source, body, complete_to=FAR)
    if (batch.state, batch.rejected) != ("done", 0):
        raise AssertionError(f"batch {batch.pk} is {batch.state}, {batch.rejected} lines are refused")


def bill_everybody(now: datetime) -> None:
    """Bring all invoices up to an instant; those that a bound parks are let through, as a person would."""
    from accounts.tenancy import as_worker
    from insights.billing.period_queries import list_subscription_ids, list_subscriptions
    from insights.billing.run_operations import issue_due
    from insights.models import Invoice as InvoiceRow

    for _ in range(ROUNDS_MAX):
        with as_worker():
            tally = issue_due(list_subscriptions(list_subscription_ids("issue", now)), now)
            if tally.failed:
                raise AssertionError(tally.problem)
            parked = InvoiceRow.objects.filter(state="parked")
            codes = {one.pk: [found["finding"] for found in one.parked_for] for one in parked}
            unexpected = {found["code"] for one in parked for found in one.parked_for} - LOOKED_AT
            if unexpected:
                raise AssertionError(f"parked for {sorted(unexpected)}")
            for invoice_id, released in codes.items():
                InvoiceRow.objects.filter(pk=invoice_id).update(released=released)
        if not codes:
            return
    raise AssertionError(f"{len(codes)} invoices stay parked")


# What the product has.


def read_numbers(conninfo: str) -> dict[Place, str]:
    """The number of every issued invoice by account, kind and start."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT a.reference, i.kind, i.period_start, i.number FROM insights_invoice i "
            "JOIN accounts_account a ON a.id = i.account_id WHERE i.state = 'issued'"
        ).fetchall()
    return {(reference, kind, start.astimezone(UTC)): number for reference, kind, start, number in rows}


_LINES = """
SELECT a.reference, i.kind, i.period_start, i.total_minor, i.period_end, l.key, l.kind, l.amount_minor,
    l.metered_quantity, l.billed_quantity, l.service_start, l.service_end
FROM insights_invoice i JOIN accounts_account a ON a.id = i.account_id
LEFT JOIN insights_lineitem l ON l.account_id = i.account_id AND l.invoice_id = i.id
WHERE i.state = 'issued' ORDER BY i.id, l.position
"""
_CARRIED = """
SELECT 'grant ' || g.public_id, i.period_start FROM insights_creditgrant g
JOIN insights_invoice i ON i.account_id = g.account_id AND i.id = g.from_invoice_id
"""
Said = tuple[str, int, Fraction, Fraction]


def read_invoices(conninfo: str) -> dict[Place, tuple[int, datetime, dict[str, Said]]]:
    """Total, end and lines by key of every issued invoice: kind, amount, metered and billed quantity of each."""
    found: dict[Place, tuple[int, datetime, dict[str, Said]]] = {}
    with psycopg.connect(conninfo) as connection:
        carried = {
            key: f"carried {start.astimezone(UTC):%Y%m%dT%H%M%S}"
            for key, start in connection.execute(_CARRIED).fetchall()
        }
        for (
            reference,
            kind,
            start,
            total,
            end,
            key,
            line_kind,
            minor,
            metered,
            billed,
            _,
            _,
        ) in connection.execute(_LINES):
            place = (reference, kind, start.astimezone(UTC))
            lines = found.setdefault(place, (int(total), end.astimezone(UTC), {}))[2]
            if key is None:
                continue
            for grant, name in carried.items() if "credit grant" in key else ():
                key = key.replace(grant, name)
            lines[key] = (line_kind, int(minor), Fraction(metered or 0), Fraction(billed or 0))
    return found


def said(line: Line) -> Said:
    return line.kind, line.minor, line.metered or Fraction(0), line.billed or Fraction(0)


def compare_bills(directory: Path, conninfo: str) -> tuple[int, int, list[str]]:
    """Hold every line to the oracle's: how many invoices and lines were compared, and every difference."""
    expected = {invoice.place: invoice for invoice in Oracle(directory, read_numbers(conninfo)).run()}
    stored = read_invoices(conninfo)
    differences = [
        f"{place} is {'missing' if place in expected else 'too many'}"
        for place in expected.keys() ^ stored.keys()
    ]
    lines = 0
    for place in sorted(expected.keys() & stored.keys()):
        total, end, found = stored[place]
        invoice = expected[place]
        lines += len(found)
        if (total, end) != (invoice.total, invoice.span[1]):
            differences.append(f"{place}: {total} until {end}, not {invoice.total} until {invoice.span[1]}")
        differences += (f"{place}: {text}" for text in _differences(invoice, found))
    return len(expected), lines, differences


def _differences(invoice: Invoice, found: Mapping[str, Said]) -> Iterator[str]:
    wanted = {line.key: said(line) for line in invoice.lines}
    for key in wanted.keys() | found.keys():
        # A correction may change steps alone; there is nothing to add to it.
        if wanted.get(key) != found.get(key) and any((wanted.get(key) or found[key])[1:]):
            yield f"{key}: {found.get(key)}, not {wanted.get(key)}"
