"""How gunicorn serves the portal: few processes, many threads, since requests mostly wait for PostgreSQL."""

import gc
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

bind = os.environ.get("BIND") or f"127.0.0.1:{os.environ.get('PORT') or '8000'}"
workers = int(os.environ.get("WEB_CONCURRENCY") or "2")
worker_class = "usage_portal.web_worker.PortalWorker"
threads = 16
timeout = 60
graceful_timeout = 10
keepalive = 5
# A heartbeat file on a slow disk can block a worker; memory cannot.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# The control socket would lie in the home directory, shared by every gunicorn of this user.
control_socket_disable = True


# A page of many hours is some ten thousand tuples without a cycle among them.
OBJECTS_BETWEEN_COLLECTIONS = 50_000


def post_worker_init(worker: Any) -> None:
    """Import every page before the first request; look for cycles seldom, and never among what was imported.

    The first page of a process took over a second, and looking for cycles a third of the time of a long page.
    """
    # Settings can be read by now, and not where this file is.
    from django.conf import settings

    import_module(settings.ROOT_URLCONF)
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 10, 10)


def child_exit(server: Any, worker: Any) -> None:
    """Drop the gauges of a worker that is gone, so that /metrics counts only the living."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)
