"""Staff edit one price of a plan in a form: its charge model, its figures, and its tiers as a table."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.access import staff_page
from insights.billing.catalogue_operations import check_plan
from insights.billing.catalogue_queries import PlanFacts, next_document
from insights.billing.plan_edit import (
    NoSuchPart,
    PriceTexts,
    part_title,
    part_words,
    read_part,
    with_part,
)
from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.plan_toml import PlanDocument
from insights.rating.sheet import SheetPrice
from insights.web.partials import render_page
from insights.web.plan_check import draft_mark, preview_context
from insights.web.plan_downloads import plan_or_404
from insights.web.plan_editor import save_draft
from insights.web.plan_forms import (
    TIERS_IN_FORM_MAX,
    PriceForm,
    add_faults,
    column_heads,
    posted_price,
    tier_rows_of,
)

PART_DIGITS_MAX = 4


@staff_page
@require_http_methods(["GET", "HEAD", "POST"])
def plan_price(request: HttpRequest, plan_key: str, price_key: str) -> HttpResponse:
    """Show one price of the next version, or one cell of it, and what it would be as typed; save it in the draft."""
    facts = plan_or_404(plan_key)
    document = next_document(facts.key, now=timezone.now())
    part = _part_number(request.GET.get("part", "0"))
    try:
        said = read_part(document, price_key, part)
    except NoSuchPart:
        raise Http404 from None
    page = _PricePage(facts, document, price_key, part)
    if request.method != "POST":
        return page.render(request, said)
    posted, act = posted_price(request.POST), request.POST.get("act")
    if act == "model":
        return page.render(request, posted, part_name="price-fields")
    try:
        changed = with_part(document, price_key, part, posted)
        check_plan(document=changed)
        if act == "save":
            return save_draft(request, changed, facts)
    except InvalidPlan as error:
        return page.render(request, posted, faults=error.faults)
    return page.render(request, posted, changed=changed)


class _PricePage:
    """The page of one part of one price."""

    def __init__(self, facts: PlanFacts, document: PlanDocument, price_key: str, part: int) -> None:
        self.facts = facts
        self.document = document
        self.price: SheetPrice = next(each for each in document.prices if each.key == price_key)
        self.part = part
        self.title = part_title(document, price_key, part)
        self.unit = self.price.every_terms()[part][1].priced_unit

    def render(
        self,
        request: HttpRequest,
        said: PriceTexts,
        *,
        faults: tuple[PlanFault, ...] = (),
        changed: PlanDocument | None = None,
        part_name: str = "price-check",
    ) -> HttpResponse:
        """Render the page, or the part that htmx asked for."""
        model = said.texts.get("model", "")
        document = changed or self.document
        context: dict[str, Any] = {
            "nav": "plans",
            "plan": self.facts,
            "price": self.price,
            "part": self.part,
            "what": part_words(self.price)[self.part],
            "form": self._form(said, faults),
            "tier_columns": column_heads(model, currency=document.currency, unit=self.unit),
            "tier_rows": tier_rows_of(said, self.title, faults),
            "tier_faults": [fault.message for fault in faults if fault.field == "tiers"],
            "has_too_many_tiers": len(said.tiers) > TIERS_IN_FORM_MAX,
            "faults": faults,
            "mark": draft_mark(self.facts),
            **(preview_context(document, self.facts) if not faults else {}),
        }
        context["own_rows"] = [row for row in context.get("prices", ()) if self._is_own(row)]
        status = 422 if faults else 200
        return render_page(request, "staff/plan_price.html", context, part=part_name, status=status)

    def _is_own(self, row: Any) -> bool:
        return (row.key, row.part) == (self.price.key, self.part)

    def _form(self, said: PriceTexts, faults: tuple[PlanFault, ...]) -> PriceForm:
        values = {"name": said.name, **said.texts, **dict.fromkeys(said.flags, "on")}
        form = PriceForm(
            values,
            model=said.texts.get("model", ""),
            currency=self.document.currency,
            unit=self.unit,
            is_fee=not self.price.meter_key,
        )
        # The reader of plan files alone says what is wrong.
        form.errors.clear()
        add_faults(form, self.title, faults)
        return form


def _part_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= PART_DIGITS_MAX):
        raise Http404
    return int(text)
