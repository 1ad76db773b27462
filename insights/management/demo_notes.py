"""Notes and saved views of the demo's largest account, so that its charts have something written on them."""

from __future__ import annotations

from datetime import UTC, timedelta

from accounts.models import Account, User
from insights.management.demo_setup import LARGEST
from insights.models import SavedView
from insights.notebook.operations import add_note, save_view
from usage_portal.demo.cast import OWNER_EMAIL, VIEWER_EMAIL
from usage_portal.demo.company import Company

# How many days before the story's end, at which hour in UTC, who wrote it, and what.
_NOTES = (
    (3, 11, VIEWER_EMAIL, "Newsletter to all customers at noon"),
    (9, 8, OWNER_EMAIL, "Released the new checkout"),
    (24, 13, OWNER_EMAIL, "Load test of the image service, three hours"),
    (41, 9, VIEWER_EMAIL, "Moved two shops to us-east"),
)
_VIEWS = (
    ("Bytes out by region", "meter=bytes_out&period=last-30-days&granularity=day&group_by=region", True),
    ("Requests of this week", "meter=requests&period=last-7-days&granularity=hour", False),
)


def make_notes(company: Company) -> None:
    """Write what is missing; nothing where the cast is without that account."""
    account = Account.objects.filter(reference=LARGEST).first()
    if account is None:
        return
    people = {user.email: user for user in User.objects.filter(email__in=[OWNER_EMAIL, VIEWER_EMAIL])}
    for days, hour, email, text in _NOTES:
        day = company.now.astimezone(UTC) - timedelta(days=days)
        at = day.replace(hour=hour, minute=0, second=0, microsecond=0)
        add_note(account=account, at=at, text=text, author=people[email])
    known = set(SavedView.objects.for_account(account).values_list("name", flat=True))
    for name, query, is_shared in _VIEWS:
        if name not in known:
            save_view(account=account, name=name, query=query, is_shared=is_shared, owner=people[OWNER_EMAIL])
