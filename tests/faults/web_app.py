"""The product's WSGI application, with a sabotage applied when the run asks for one."""

from __future__ import annotations

from tests.faults import sabotage
from usage_portal.wsgi import application as product

application = sabotage.apply_to_web(product)
