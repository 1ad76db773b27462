"""What gunicorn serves in a run: the product, with a clock around the taking in of an upload."""

from __future__ import annotations

from usage_portal.wsgi import application

__all__ = ["application"]

# The product's modules can be imported once the application is there.
from insights.api import batches
from insights.ingest import operations
from tests.bench.stages import wrap

wrap(batches, "receive_batch", "web: take in", is_whole=True)
wrap(operations, "spool", "web: read and hash the body")
wrap(operations, "_look", "web: look at every line")
wrap(operations, "_keep", "web: keep the bytes")
