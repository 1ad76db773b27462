"""Bills enough for PostgreSQL to plan as it does for a portal with many: one issued as usual, and copies of it."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from accounts.models import Account
from accounts.tenancy import as_owner, connection
from insights.models import CreditGrant, Invoice, InvoiceState
from insights.rating.charges import PerUnit
from tests.billing.scene import bill, fee, instant, make_plan, make_profile, subscribe, usage_price

# Tables that grow with bills.
TABLES = frozenset(
    {
        "insights_invoice", "insights_lineitem", "insights_settlement", "insights_invoicefile",
        "insights_creditgrant", "insights_credituse",
    }
)  # fmt: skip

# The large account has four years of bills, each small one a year and a draft.
_COPIES = """
INSERT INTO insights_subscription (public_id, account_id, name, currency, billing_zone, anchor_day, interval_months,
    starts_at)
SELECT gen_random_uuid(), a.id, 'Small', 'EUR', 'UTC', '2020-01-01', 1, '2020-01-01Z' FROM accounts_account a
WHERE a.reference LIKE 'small-%';
INSERT INTO insights_invoice (public_id, account_id, subscription_id, kind, operation, state, period_start, period_end,
    issue_from, currency, total_minor, usage_as_of, complete_to, drafted_at, details, parked_for, released,
    legal_entity_id, number, number_in_series, issued_at, due_at, sha256)
SELECT gen_random_uuid(), s.account_id, s.id, i.kind, 'copy', i.state, i.period_start - n * interval '40 days',
    i.period_end - n * interval '40 days', i.issue_from, i.currency, i.total_minor, i.usage_as_of, i.complete_to,
    i.drafted_at, i.details, i.parked_for, i.released, i.legal_entity_id, i.number || '-' || s.id || '-' || n,
    i.number_in_series, i.issued_at, i.due_at, i.sha256
FROM insights_invoice i, insights_subscription s,
    generate_series(1, CASE WHEN s.account_id = i.account_id THEN 48 ELSE 12 END) n WHERE i.id = {invoice};
INSERT INTO insights_invoice (public_id, account_id, subscription_id, kind, operation, state, period_start, period_end,
    issue_from, currency, total_minor, usage_as_of, complete_to, drafted_at, details, parked_for, released)
SELECT gen_random_uuid(), s.account_id, s.id, i.kind, '', i.state, i.period_start, i.period_end, i.issue_from,
    i.currency, 0, i.usage_as_of, i.complete_to, i.drafted_at, i.details, i.parked_for, i.released
FROM insights_invoice i JOIN insights_subscription s ON s.account_id <> i.account_id WHERE i.id = {draft};
INSERT INTO insights_lineitem (account_id, invoice_id, position, key, kind, name, price_key, plan_key, plan_version,
    meter_key, meter_version, "values", service_start, service_end, metered_quantity, billed_quantity, unit, terms,
    segment, steps, allotted, taxes, takes_credit, amount_minor)
SELECT c.account_id, c.id, l.position, l.key, l.kind, l.name, l.price_key, l.plan_key, l.plan_version, l.meter_key,
    l.meter_version, l."values", l.service_start, l.service_end, l.metered_quantity, l.billed_quantity, l.unit,
    l.terms, l.segment, l.steps, l.allotted, l.taxes, l.takes_credit, l.amount_minor
FROM insights_invoice c CROSS JOIN insights_lineitem l WHERE c.operation = 'copy' AND l.invoice_id = {invoice};
INSERT INTO insights_settlement (account_id, invoice_id, state, reason)
SELECT account_id, id, 'paid', '' FROM insights_invoice WHERE operation = 'copy';
INSERT INTO insights_invoicefile (account_id, invoice_id, media_type, content, sha256)
SELECT account_id, id, 'application/pdf', 'a file', sha256('a file') FROM insights_invoice WHERE state = 'issued';
INSERT INTO insights_creditgrant (public_id, account_id, kind, name, amount_minor, currency, granted_at, priority,
    is_before_tax, reason)
SELECT gen_random_uuid(), a.id, 'promotion', 'Welcome', 100, 'EUR', '2026-01-01Z', 100, true, 'welcome'
FROM accounts_account a CROSS JOIN generate_series(1, 6) n;
INSERT INTO insights_credituse (account_id, grant_id, invoice_id, amount_minor, is_return)
SELECT i.account_id, (SELECT min(g.id) FROM insights_creditgrant g WHERE g.account_id = i.account_id), i.id, 1, false
FROM insights_invoice i WHERE i.operation = 'copy';
ANALYZE;
"""


def fill_bills(account: Account) -> Invoice:
    """Issue a bill of the account with every kind of row beside it, copy it for all accounts, and return it."""
    make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
    fees = [fee(f"fee_{number}", f"{number}", currency="EUR") for number in range(1, 9)]
    price = usage_price("requests", PerUnit(unit_amount=Decimal("0.01")), unit="requests", currency="EUR")
    plan = make_plan("sold", [price, *fees], currency="EUR")
    subscription = subscribe(account, plan, "2026-10-01")
    with as_owner():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=500, currency="EUR",
            granted_at=instant("2026-09-01"), reason="welcome",
        )  # fmt: skip
    issued, draft = bill(subscription, "2026-11-05")
    assert issued.state == InvoiceState.ISSUED, issued.parked_for
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        cursor.execute(_COPIES.format(invoice=issued.pk, draft=draft.pk).replace("%", "%%") % ())
    return issued
