"""The catalogue as files: plans, every price of a plan, and a version as TOML; and the lines of the table of plans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import staff_page
from insights.billing.catalogue_queries import (
    PlanFacts,
    UnknownPlan,
    VersionFacts,
    get_plan,
    list_plans,
    plan_document,
)
from insights.billing.plan_toml_text import plan_to_toml
from insights.billing.subscription_queries import count_subscribers
from insights.exports.formatting import safe_text
from insights.web.csv_files import csv_file
from insights.web.plan_words import PRICE_COLUMNS, price_rows

INTERVAL_WORDS = {1: "month", 3: "quarter", 12: "year"}


@staff_page
@require_safe
def plans_csv(request: HttpRequest) -> HttpResponse:
    """Download the same table."""
    columns = (
        "plan",
        "name",
        "kind",
        "currency",
        "interval",
        "in_force",
        "draft",
        "subscriptions",
        "retired",
    )
    rows = [columns, *(_csv_row(line) for line in plan_lines(timezone.now()))]
    return csv_file((map(safe_text, row) for row in rows), "plans.csv")


@staff_page
@require_safe
def plan_csv(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Download every price of every version."""
    facts = plan_or_404(plan_key)
    rows: list[tuple[str, ...]] = [PRICE_COLUMNS]
    for version in facts.versions:
        rows += _price_lines(facts, version)
    return csv_file((map(safe_text, row) for row in rows), f"{facts.key}-prices.csv")


@staff_page
@require_safe
def plan_toml(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Give a version as a TOML file that loads to the same prices: the one asked for, or the newest."""
    number = request.GET.get("version", "")
    if number and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise Http404
    try:
        document = plan_document(plan_key, number=int(number) if number else None)
    except UnknownPlan:
        raise Http404 from None
    response = HttpResponse(plan_to_toml(document), content_type="application/toml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{document.key}.toml"'
    return response


def plan_or_404(plan_key: str) -> PlanFacts:
    """The plan of that key, or the page that says there is none."""
    try:
        return get_plan(plan_key)
    except UnknownPlan:
        raise Http404 from None


def plan_lines(now: datetime) -> list[dict[str, Any]]:
    """Each plan with the version in force and how many subscriptions have or had it."""
    found = list_plans()
    subscribers = count_subscribers(facts.id for facts in found)
    return [
        {
            "plan": facts,
            "interval": INTERVAL_WORDS[facts.interval_months],
            "in_force": facts.in_force(now),
            "subscribers": subscribers[facts.id],
        }
        for facts in found
    ]


def _csv_row(line: dict[str, Any]) -> tuple[str, ...]:
    facts: PlanFacts = line["plan"]
    return (
        facts.key,
        facts.name,
        facts.kind,
        facts.currency,
        line["interval"],
        str(line["in_force"].number) if line["in_force"] else "",
        str(facts.draft.number) if facts.draft else "",
        str(line["subscribers"]),
        "yes" if facts.retired_at else "no",
    )


def _price_lines(facts: PlanFacts, version: VersionFacts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in price_rows(version.sheet):
        head = (
            facts.key,
            str(version.number),
            f"{version.effective_from:%Y-%m-%dT%H:%M:%SZ}",
            "yes" if version.published_at else "no",
            row.key,
            row.name,
            row.meter_key,
            row.what,
        )
        rows.append((*head, "", ", ".join((row.words, *row.marks))))
        rows += [(*head, tier.units, tier.price) for tier in row.tiers]
    return rows
