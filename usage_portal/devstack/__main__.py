"""The commands behind `./portal`: runs the one named first and turns failures into one sentence."""

import os
import signal
import sys
from collections.abc import Callable

from usage_portal.devstack.bench import run_bench
from usage_portal.devstack.checks import run_tests
from usage_portal.devstack.demo import run_demo, stop_demo
from usage_portal.devstack.environment import MixedDatabases
from usage_portal.devstack.management import run_faults, run_manage
from usage_portal.devstack.places import UnsafeDirectory
from usage_portal.devstack.postgres import NoPostgres
from usage_portal.devstack.processes import ChildFailed
from usage_portal.devstack.stack import StackBusy
from usage_portal.devstack.valkey import NoValkey

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "demo": run_demo,
    "stop": stop_demo,
    "test": run_tests,
    "manage": run_manage,
    "bench": run_bench,
    "faults": run_faults,
}
EXIT_INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        print("./portal gives the list of commands.", file=sys.stderr)
        return os.EX_USAGE
    # Being asked to end and Ctrl-C both unwind the stack, which stops the children in order.
    for asked_to_end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked_to_end, signal.default_int_handler)
    try:
        return command(arguments[1:])
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (ChildFailed, MixedDatabases, NoPostgres, NoValkey, StackBusy, UnsafeDirectory) as failure:
        print(f"portal: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
