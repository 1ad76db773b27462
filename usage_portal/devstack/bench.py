"""`./portal bench`: measures on servers of its own, so that it may empty them and never touches demo data."""

import sys

from usage_portal.devstack.management import DATABASE, is_present, migrate, run_in_foreground
from usage_portal.devstack.places import var_directory
from usage_portal.devstack.stack import running_servers
from usage_portal.devstack.static_files import collecting_static_files


def run_bench(arguments: list[str]) -> int:
    """Run the measurements, which start a web server and a worker that tell where their time goes."""
    if not is_present("tests.bench"):
        return 1
    with running_servers(
        var=var_directory() / "bench", mode="manage", database=DATABASE, alone=True
    ) as stack:
        migrate(stack)
        with collecting_static_files(stack) as collecting:
            collecting.wait()
        return run_in_foreground([sys.executable, "-m", "tests.bench", *arguments], env=stack.env)
