"""How a web process begins: with every page at hand, so that nobody waits for what is imported."""

import os
import subprocess
import sys

BEGIN_A_PROCESS = """
import sys
from usage_portal import gunicorn_conf, wsgi
gunicorn_conf.post_worker_init(None)
print(*sorted(name for name in sys.modules if name.startswith(("accounts.", "insights."))))
"""


def test_every_page_is_imported_before_the_first_request() -> None:
    command = [sys.executable, "-c", BEGIN_A_PROCESS]

    told = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stderr[-2000:]
    assert {"insights.web.bill_line", "insights.api.bills"} <= set(told.stdout.split())
