"""Rates every issued invoice again and prints, by its id, the hash of its lines as stored and as they come out now."""

from __future__ import annotations

import json
import sys
from hashlib import sha256


def hashes() -> dict[str, tuple[str, str]]:
    """By invoice: of the stored lines, and of the same rated again at the stored terms and quantities."""
    from accounts.tenancy import as_worker
    from insights.models import Invoice, LineItem
    from tests.billing.rerating import lines_text, rated_again

    found = {}
    with as_worker():
        issued = list(
            Invoice.objects.filter(state="issued", kind="period").order_by("pk").values_list("pk", "account")
        )
    for invoice_id, account_id in issued:
        with as_worker():
            lines = LineItem.objects.filter(account=account_id, invoice=invoice_id).exclude(kind="carried")
            stored = lines_text(lines.order_by("position"))
        try:
            again = rated_again(invoice_id, by_own_quantities=True)
        except ValueError as error:
            again = str(error)
        found[str(invoice_id)] = (sha256(stored.encode()).hexdigest(), sha256(again.encode()).hexdigest())
    return found


if __name__ == "__main__":
    import django

    django.setup()
    json.dump(hashes(), sys.stdout)
