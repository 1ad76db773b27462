"""What every endpoint shares: a key with the right scope, strict negotiation, and no answer to OPTIONS."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import READ_USAGE, WRITE_USAGE, KeyFacts
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.negotiation import StatedNegotiation


class Endpoint(APIView):
    """One address of the API. Subclasses name the scope their key needs."""

    content_negotiation_class = StatedNegotiation
    http_method_names = ["get", "head", "post"]
    required_scope: str
    key_kind: str

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Check key and scope as DRF does, then that the key is of the kind that the scope belongs to."""
        super().initial(request, *args, **kwargs)
        if self.key_facts.kind != self.key_kind:
            raise Problem("permission_denied", "This kind of key does not open this address.")

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
