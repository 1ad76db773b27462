"""The reading side: meters, the account, and usage as aggregates or records, by the same questions as the
pages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import documents
from insights.api.cost import cost_document, refuse_without_bills
from insights.api.cursor import read_cursor, write_cursor
from insights.api.endpoint import ReadEndpoint
from insights.api.errors import Problem
from insights.api.parameters import Pairs, choice, limit_of, query_pairs, single_values
from insights.api.serializers import AccountSerializer, MetersSerializer, UsageSerializer
from insights.explain.cost_queries import read_cost
from insights.exports.aggregates import instant_text, part_name, quantity_text
from insights.exports.cost_rows import refuse_cost_of_records
from insights.exports.queries import AGGREGATES, KINDS, RECORDS, RecordRow, list_records, records_filter
from insights.metering.aggregations import unit_of
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.explore import Bucket, Exploration
from insights.metering.known_moment import KnownAt
from insights.metering.known_moment_queries import settle_known
from insights.metering.queries import explore, list_meters
from insights.metering.usage_filter import COST, USAGE, UsageFilter, meter_name, parse_usage_filter
from insights.values.quantity import exact_text


class MeterList(ReadEndpoint):
    """What is measured."""

    @extend_schema(**documents.LIST_METERS)
    def get(self, request: Request) -> Response:
        """List the meters and say which of them the account has usage of."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            meters = list_meters(Account.objects.get(pk=self.account_id))
        documents_of_meters = [
            {
                "name": meter_name(meter),
                "key": meter.key,
                "version": meter.version,
                "title": meter.name,
                "description": meter.description,
                "unit": meter.unit,
                "aggregation": meter.aggregation,
                "dimensions": meter.dimensions,
                "has_usage": meter.has_usage,
            }
            for meter in meters
        ]
        return Response(MetersSerializer({"meters": documents_of_meters}).data)


class AccountDetail(ReadEndpoint):
    """Whose usage the key reads."""

    @extend_schema(**documents.READ_ACCOUNT)
    def get(self, request: Request) -> Response:
        """Read the account of the key."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
        document: dict[str, Any] = {
            "id": account.public_id,
            "reference": account.reference,
            "name": account.name,
            "state": account.state,
            "billing_zone": account.billing_zone,
            "currency": account.currency,
        }
        return Response(AccountSerializer(document).data)


class UsageDetail(ReadEndpoint):
    """Usage as JSON."""

    @extend_schema(**documents.READ_USAGE)
    def get(self, request: Request) -> Response:
        """Read aggregates, whole, or records, page by page."""
        own, question_pairs = split_pairs(query_pairs(request), own=("kind", "limit", "cursor"))
        kind = choice(own, "kind", choices=KINDS, default=AGGREGATES)
        now = timezone.now()
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            question = read_question(question_pairs, account=account, now=now)
            refuse_without_bills(question, self.key_facts.scopes)
            if kind == RECORDS:
                refuse_cost_of_records(question)
                document = _records_page(account, question, own)
            else:
                _refuse_paging(own)
                document = _answer(account, question, now)
        return Response(UsageSerializer({**_head(account, question, kind), **document}).data)


def _answer(account: Account, question: UsageFilter, now: datetime) -> dict[str, Any]:
    """Aggregates in what was asked for: in units, or in money."""
    if question.measure == COST:
        return cost_document(read_cost(account, question, now), account)
    return _aggregates(account, explore(account, question, now))


def split_pairs(pairs: Pairs, *, own: tuple[str, ...]) -> tuple[dict[str, str], Pairs]:
    """Part the endpoint's own parameters, each at most once, from those of the question."""
    mine = tuple(pair for pair in pairs if pair[0] in own)
    return single_values(mine, allowed=own), tuple(pair for pair in pairs if pair[0] not in own)


def read_question(pairs: Pairs, *, account: Account, now: datetime) -> UsageFilter:
    """Read the question as the usage page does; empty values are faults. Raises UsageFilterRefused."""
    question = parse_usage_filter(
        pairs,
        meters=list_meters(account),
        zone=ZoneInfo(account.billing_zone),
        now=now,
        from_form=False,
    )
    return settle_known(account, question)


def _refuse_paging(own: dict[str, str]) -> None:
    for name in ("limit", "cursor"):
        if name in own:
            detail = f"Aggregates are always whole; {name} is for kind=records."
            raise Problem("unknown_parameter", detail, field=name)


def _head(account: Account, question: UsageFilter, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "meter": meter_name(question.meter),
        "unit": unit_of(question.meter) if kind == AGGREGATES else question.meter.unit,
        "first_day": question.first_day,
        "last_day": question.last_day,
        "zone": account.billing_zone,
        "known_at": _known(question.known) if question.known else None,
    }


def _known(known: KnownAt) -> dict[str, Any]:
    return {"instant": known.instant, "position": known.position, "changed_at": known.changed_at}


def _records_page(account: Account, question: UsageFilter, own: dict[str, str]) -> dict[str, Any]:
    limit = limit_of(own)
    asked = question.permanent().query_string()
    after = read_cursor(own["cursor"], account_id=account.pk, question=asked) if "cursor" in own else None
    # One more than asked for tells whether there is a next page.
    rows = list_records(records_filter(account, question), after=after, limit=limit + 1)
    refuse_archived_records(account, question.period(ZoneInfo(account.billing_zone)))
    shown = rows[:limit]
    cursor = (
        write_cursor(shown[-1].position, account_id=account.pk, question=asked) if len(rows) > limit else None
    )
    return {"records": [_record(row) for row in shown], "next_cursor": cursor}


def _record(row: RecordRow) -> dict[str, Any]:
    return {
        "meter": row.meter,
        "window_start": row.position.window_start,
        "window": row.window,
        "dimensions": row.dimensions,
        "quantity": exact_text(row.quantity),
        "unit": row.unit,
        "row_id": row.position.row_id or None,
        "revision": row.revision,
        "source": row.source,
        "batch": row.batch,
        "line": row.line,
    }


def _text(quantity: Any) -> str | None:
    return quantity_text(quantity) or None


def _aggregates(account: Account, answer: Exploration) -> dict[str, Any]:
    zone = ZoneInfo("UTC" if answer.filter.clock == "utc" else account.billing_zone)
    groups = [
        {
            "part": part_name(group),
            "value": group.value,
            "values_count": group.members,
            "quantity": exact_text(group.total),
        }
        for group in answer.groups
    ]
    return {
        "measure": USAGE,
        "granularity": answer.filter.granularity,
        "group_by": answer.filter.group_by or None,
        "complete_to": answer.completeness.complete_to,
        "quantity": _text(answer.total),
        "previous_quantity": _text(answer.previous),
        "groups": groups,
        "points": [_point(bucket, zone) for bucket in answer.buckets],
    }


def _point(bucket: Bucket, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "window_start": instant_text(bucket.slot.start, zone),
        "window_end": instant_text(bucket.slot.end, zone),
        "state": str(bucket.kind),
        "quantity": _text(bucket.quantity),
        "parts": [_text(part) for part in bucket.parts],
        "previous_quantity": _text(bucket.previous),
    }
