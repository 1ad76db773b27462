"""`./portal test`: the style, import and type checks, then pytest, whose closing lines come last."""

import os
import subprocess
import sys
from pathlib import Path

from usage_portal.devstack.places import ROOT

PROGRAMS = Path(sys.executable).parent
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ruff", ("ruff", "check", "--quiet", ".")),
    ("ruff format", ("ruff", "format", "--check", "--quiet", ".")),
    ("import-linter", ("lint-imports", "--no-logo")),
    ("mypy", ("mypy",)),
)

# The whole suite goes to two processes, each with a database of its own, a file at a time: files share what they make.
WHOLE_SUITE = ("-n", "2", "--dist", "loadfile")

# mypy reads the settings to know the models; it connects to nothing.
SETTINGS_ENVIRONMENT = {
    "PORTAL_MODE": "test",
    "SECRET_KEY": "for the type check only",
    "DATABASE_URL": "postgresql://nobody@/nothing",
}


def run_tests(arguments: list[str]) -> int:
    """Run every check and every test even when an earlier one fails; any failure fails the whole."""
    failed = [name for name, command in CHECKS if not _passes(name, command)]
    pytest_code = subprocess.run(
        [sys.executable, "-m", "pytest", *(arguments or WHOLE_SUITE)], cwd=ROOT, check=False
    ).returncode
    if failed:
        print(f"portal: these checks failed, see above: {', '.join(failed)}.", file=sys.stderr)
    return pytest_code or bool(failed)


def _passes(name: str, command: tuple[str, ...]) -> bool:
    program, *arguments = command
    env = os.environ | SETTINGS_ENVIRONMENT
    print(f"Checking with {name} ...", flush=True)
    return subprocess.run([PROGRAMS / program, *arguments], cwd=ROOT, env=env, check=False).returncode == 0
