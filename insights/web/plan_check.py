"""What a plan's next version would be: its faults, its prices in words, and what is different from the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from insights.billing.catalogue_operations import check_plan
from insights.billing.catalogue_queries import PlanFacts, UnknownPlan, VersionFacts, get_plan, plan_document
from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.billing.plan_toml_text import plan_to_toml
from insights.billing.subscription_queries import count_subscribers
from insights.billing.toml_lines import located
from insights.rating.sheet import PriceSheet
from insights.web.plan_words import differences, price_rows
from insights.web.prices import whole_words


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """A plan as it was written: what it is, or every fault of it."""

    document: PlanDocument | None
    faults: tuple[PlanFault, ...] = ()


def check_text(text: str, facts: PlanFacts | None) -> PlanCheck:
    """Read the text as the next version of the plan, or of a new one; each fault has its line."""
    try:
        document = parse_plan_toml(text)
        check_plan(document=document)
    except InvalidPlan as error:
        return PlanCheck(None, located(text, error.faults))
    if facts is not None and document.key != facts.key:
        message = f"is {facts.key} on this page; another plan is written on a page of its own"
        return PlanCheck(None, located(text, [PlanFault("plan", "key", "fixed", message)]))
    return PlanCheck(document)


def preview_context(document: PlanDocument, facts: PlanFacts | None) -> dict[str, Any]:
    """What the document says in words, and what it changes in the plan of its key, if there is one."""
    known = facts or _find_plan(document.key)
    before = _before(known.versions) if known else None
    sheet = document.sheet(1)
    return {
        "document": document,
        "before": before,
        "changes": differences(before.sheet if before else None, sheet),
        "prices": price_rows(sheet),
        "whole": whole_words(sheet),
    }


def _find_plan(key: str) -> PlanFacts | None:
    try:
        return get_plan(key)
    except UnknownPlan:
        return None


def draft_context(facts: PlanFacts) -> dict[str, Any]:
    """The draft of a plan, if it has one, and what it changes."""
    draft = facts.draft
    return {
        "draft": draft,
        "changes": differences(_sheet_before(facts), draft.sheet) if draft else (),
        "subscribers": count_subscribers([facts.id])[facts.id],
    }


def draft_mark(facts: PlanFacts | None) -> str:
    """A mark of the draft there is, which is another one once somebody saved another draft."""
    if facts is None or facts.draft is None:
        return ""
    return hashlib.sha256(plan_to_toml(plan_document(facts.key)).encode()).hexdigest()[:16]


def changed_faults(facts: PlanFacts, mark: str) -> tuple[PlanFault, ...]:
    """A fault if the draft is another one than when the page of this mark was opened."""
    if mark == draft_mark(get_plan(facts.key)):
        return ()
    message = "was changed by somebody since this page was opened; open it again and change what they saved"
    return (PlanFault("the draft", "", "changed_meanwhile", message),)


def _sheet_before(facts: PlanFacts) -> PriceSheet | None:
    before = _before(facts.versions)
    return before.sheet if before else None


def _before(versions: Iterable[VersionFacts]) -> VersionFacts | None:
    """The published version that begins last, which the next one comes after."""
    published = [each for each in versions if each.published_at]
    return max(published, key=lambda each: each.effective_from, default=None)
