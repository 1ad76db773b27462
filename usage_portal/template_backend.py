"""Django's templates, whose contexts let go of what a page was made of as soon as it is written."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.template import TemplateDoesNotExist
from django.template.backends.django import DjangoTemplates, Template, reraise
from django.template.context import make_context


class PageTemplate(Template):
    """A template after which nothing of its context is left to be looked for."""

    def render(self, context: dict[str, Any] | None = None, request: HttpRequest | None = None) -> Any:
        """Write the page.

        A context holds itself, by what was pushed onto it. So all that a page shows, tens of thousands of tuples, would
        wait for the next search for cycles, which stops some later page for as long as a short one takes.
        """
        made = make_context(context, request, autoescape=self.backend.engine.autoescape)
        try:
            return self.template.render(made)
        except TemplateDoesNotExist as error:
            reraise(error, self.backend)
        finally:
            made.dicts.clear()


class PageTemplates(DjangoTemplates):
    """The engine of these templates."""

    def from_string(self, template_code: str) -> PageTemplate:
        """Make a template of a text."""
        return PageTemplate(self.engine.from_string(template_code), self)

    def get_template(self, template_name: str) -> PageTemplate:
        """Find a template by its name."""
        try:
            return PageTemplate(self.engine.get_template(template_name), self)
        except TemplateDoesNotExist as error:
            reraise(error, self)
            raise
