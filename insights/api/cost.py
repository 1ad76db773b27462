"""Usage in money: the answer that the usage page shows, for keys that may read bills too, and the next unit's price."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import READ_BILLS
from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bills import BillsEndpoint
from insights.api.errors import Problem
from insights.api.parameters import query_pairs, single_values
from insights.billing.bill_document import instant_text as bill_instant_text
from insights.billing.next_unit_words import countdown_words, effect_words, next_price_words, reprice_words
from insights.billing.price_words import money_number
from insights.explain.cost import Left
from insights.explain.cost_answer import BillCost, CostAnswer, CostBucket, CostGroup, CurrencyCost
from insights.explain.next_unit_queries import NextUnitPrice, list_next_units
from insights.exports.aggregates import instant_text
from insights.exports.cost_rows import group_part, rest_part
from insights.metering.usage_filter import COST, UsageFilter
from insights.rating.next_unit import Edge
from insights.values.exact import exact_number_text
from insights.values.quantity import exact_text


def refuse_without_bills(question: UsageFilter, scopes: tuple[str, ...]) -> None:
    """Refuse money to a key that reads usage alone."""
    if question.measure == COST and READ_BILLS not in scopes:
        raise Problem("permission_denied", "Cost is for keys with bills:read; this one reads usage.")


def cost_document(answer: CostAnswer, account: Account) -> dict[str, Any]:
    """The answer as JSON: exact texts, instants on the clock that was asked for."""
    zone = ZoneInfo("UTC" if answer.filter.clock == "utc" else account.billing_zone)
    return {
        "measure": COST,
        "granularity": answer.filter.granularity,
        "group_by": answer.filter.group_by or None,
        "is_subscribed": answer.is_subscribed,
        "costs": [_currency(one, zone) for one in answer.currencies],
    }


def _currency(one: CurrencyCost, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "currency": one.total.currency,
        "amount": money_number(one.total),
        "points": [_point(bucket, zone) for bucket in one.buckets],
        "no_single_point": money_number(one.undated),
        "groups": [_group(group) for group in one.groups],
        "no_single_group": money_number(one.unvalued),
        "invoices": [_bill(bill) for bill in one.bills],
        "not_parted": [_left(left) for left in one.left],
    }


def _point(bucket: CostBucket, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "window_start": instant_text(bucket.slot.start, zone),
        "window_end": instant_text(bucket.slot.end, zone),
        "state": str(bucket.state),
        "amount": None if bucket.amount is None else money_number(bucket.amount),
        "quantity": None if bucket.quantity is None else exact_text(bucket.quantity),
        "parts": [money_number(part) for part in bucket.parts],
    }


def _group(group: CostGroup) -> dict[str, Any]:
    return {
        "part": group_part(group),
        "value": group.value,
        "values_count": group.members,
        "amount": money_number(group.amount),
        "quantity": exact_text(group.quantity),
    }


def _bill(bill: BillCost) -> dict[str, Any]:
    return {
        "invoice": str(bill.head.public_id),
        "number": bill.head.number or None,
        "status": str(bill.head.status),
        "shown": money_number(bill.shown),
        "besides": [
            {
                "what": rest_part(part.group),
                "meter": part.meter_key or None,
                "amount": money_number(part.amount),
            }
            for part in bill.rest
        ],
        "total": money_number(bill.total),
    }


def _left(left: Left) -> dict[str, Any]:
    return {
        "invoice": str(left.bill_id),
        "line": left.position,
        "name": left.name,
        "amount": money_number(left.amount),
        "reason": str(left.reason),
    }


class NextUnitPrices(BillsEndpoint):
    """What one more unit of each meter costs."""

    @extend_schema(**bill_schema.LIST_NEXT_UNITS)
    def get(self, request: Request) -> Response:
        """List the price of the next unit of everything that the running invoices have a price for."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            prices = list_next_units(account, now=timezone.now())
        return Response({"prices": [_price(one) for one in prices]})


def _price(one: NextUnitPrice) -> dict[str, Any]:
    found, terms = one.next_unit, one.terms
    return {
        "invoice": str(one.bill_id),
        "line": one.position,
        "name": one.name,
        "meter": one.meter_key,
        "values": dict(one.values),
        "used": exact_text(one.used),
        "used_unit": terms.unit,
        "complete_to": None if one.complete_to is None else bill_instant_text(one.complete_to),
        "unit": terms.priced_unit,
        "currency": terms.currency,
        "amount": exact_number_text(found.amount),
        "place": found.place,
        "included_left": exact_number_text(found.included_left),
        "held_by": None if found.held_by is None else str(found.held_by),
        "edge": None if found.edge is None else _edge(found.edge),
        "words": [
            text
            for text in (
                next_price_words(terms, found),
                countdown_words(terms, found),
                reprice_words(terms, found),
                effect_words(terms, found),
            )
            if text
        ],
    }


def _edge(edge: Edge) -> dict[str, Any]:
    return {
        "kind": str(edge.kind),
        "left": exact_number_text(edge.left),
        "left_metered": exact_text(edge.metered),
        "amount": exact_number_text(edge.amount),
        "tier": edge.tier,
        "reprices": exact_number_text(edge.reprices) if edge.reprices else None,
    }
