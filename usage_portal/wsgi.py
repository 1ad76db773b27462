"""The entry for web servers. Streams stay flat in memory under WSGI; ASGI would buffer them whole."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usage_portal.settings")

application = get_wsgi_application()
