"""What every endpoint shares: a key with the right scope, strict negotiation, and no answer to OPTIONS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import READ_USAGE, WRITE_USAGE, KeyFacts
from accounts.rate_limit import Allowance, take
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.negotiation import StatedNegotiation


class Endpoint(APIView):
    """One address of the API. Subclasses name the scope their key needs."""

    content_negotiation_class = StatedNegotiation
    http_method_names = ["get", "head", "post"]
    required_scope: str
    key_kind: str

    allowance: Allowance | None = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Check key and scope as DRF does, then the kind of the key, then how often it asks."""
        super().initial(request, *args, **kwargs)
        if self.key_facts.kind != self.key_kind:
            raise Problem("permission_denied", "This kind of key does not open this address.")
        self.allowance = take(
            f"{self.key_kind}:{self.key_facts.key_id}", size=settings.API_REQUESTS_PER_MINUTE
        )
        if not self.allowance.is_allowed:
            detail = f"This key may make {self.allowance.size} requests a minute; see Retry-After."
            raise Problem("too_many_requests", detail, retry_after=self.allowance.retry_after_seconds)

    def finalize_response(self, request: Request, response: Any, *args: object, **kwargs: object) -> Response:
        """Tell every key how much of its minute is left, in the words of the RateLimit header fields draft."""
        final = super().finalize_response(request, response, *args, **kwargs)
        if self.allowance is not None:
            final["RateLimit-Policy"] = f'"requests";q={self.allowance.size};w=60'
            final["RateLimit"] = (
                f'"requests";r={self.allowance.remaining};t={self.allowance.retry_after_seconds}'
            )
        return final

    @property
    def key_facts(self) -> KeyFacts:
        """Whose key was presented."""
        facts = self.request.auth
        if not isinstance(facts, KeyFacts):
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return facts


class WriteEndpoint(Endpoint):
    """An address for source keys; it sees batches of that source and nothing else."""

    required_scope = WRITE_USAGE
    key_kind = "source"

    @property
    def source_id(self) -> int:
        """The one source the key writes to."""
        source_id = self.key_facts.source_id
        if source_id is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return source_id


class ReadEndpoint(Endpoint):
    """An address for customer keys; it reads one account and changes nothing."""

    required_scope = READ_USAGE
    key_kind = "account"

    @property
    def account_id(self) -> int:
        """The one account the key reads."""
        account_id = self.key_facts.account_id
        if account_id is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return account_id
