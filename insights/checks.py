"""System checks that refuse settings which contradict each other, before anybody is served with them.

`manage.py check` runs them all; those about a whole production installation need `check --deploy`.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from accounts.zones import billing_zones
from insights.ingest.limits import Limits
from usage_portal.celery import TASK_SECONDS_MAX, VISIBILITY_SECONDS

ROLES = ("default", "worker", "staff", "intake", "export")
# A proxy ends a request after about this long, whatever the sender was about to hear.
WAIT_SECONDS_MAX = 30


@register(Tags.database, deploy=True)
def check_every_role_has_an_address(**_options: Any) -> list[CheckMessage]:
    """A missing role shows only when the first page needs it, which may be weeks later."""
    missing = [role for role in ROLES if role not in settings.DATABASES]
    if not missing:
        return []
    return [
        Error(
            f"No database address for the roles {', '.join(missing)}.",
            hint="See the table of variables in docs/operations.md.",
            id="insights.E001",
        )
    ]


@register(Tags.compatibility)
def check_limits_agree(**_options: Any) -> list[CheckMessage]:
    """A limit behind another one would never be reached, and so not be what was meant."""
    rules = (
        (
            0 < settings.UPLOAD_MAX_SENT_BYTES <= settings.UPLOAD_MAX_UNPACKED_BYTES,
            "UPLOAD_MAX_SENT_BYTES must be above 0 and at most UPLOAD_MAX_UNPACKED_BYTES.",
        ),
        (
            Limits().json_bytes <= settings.UPLOAD_MAX_SENT_BYTES,
            f"UPLOAD_MAX_SENT_BYTES must take a JSON document of {Limits().json_bytes} bytes.",
        ),
        (settings.UPLOAD_MAX_LINES > 0, "UPLOAD_MAX_LINES must be above 0."),
        (settings.UPLOAD_OPEN_BATCHES_MAX > 0, "UPLOAD_OPEN_BATCHES_MAX must be above 0."),
        (
            0 <= settings.UPLOAD_WAIT_SECONDS <= WAIT_SECONDS_MAX,
            f"UPLOAD_WAIT_SECONDS must be from 0 to {WAIT_SECONDS_MAX}.",
        ),
        (
            0 < settings.DOWNLOADS_PER_ACCOUNT <= settings.DOWNLOADS_IN_ALL,
            "DOWNLOADS_PER_ACCOUNT must be above 0 and at most DOWNLOADS_IN_ALL.",
        ),
        (settings.DOWNLOAD_STALL_SECONDS > 0, "DOWNLOAD_STALL_SECONDS must be above 0."),
        (
            VISIBILITY_SECONDS > TASK_SECONDS_MAX,
            "Celery's visibility timeout must be longer than its longest task, or tasks run twice.",
        ),
    )
    return [Error(message, id="insights.E002") for holds, message in rules if not holds]


@register(Tags.compatibility)
def check_clocks(**_options: Any) -> list[CheckMessage]:
    """Months on pages come from the time zone data, and everything stored is UTC."""
    messages: list[CheckMessage] = []
    if not settings.USE_TZ or settings.TIME_ZONE != "UTC":
        messages.append(Error("USE_TZ must be on and TIME_ZONE must be UTC.", id="insights.E003"))
    unknown = [name for name in billing_zones() if not _is_known(name)]
    if unknown:
        messages.append(
            Error(
                f"The time zone data lacks {len(unknown)} billing zones, among them {unknown[0]}.",
                hint="Install the tzdata package of the lock file.",
                id="insights.E004",
            )
        )
    return messages


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return False
    return True
