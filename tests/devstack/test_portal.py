"""The sh entry: what it answers before any Python of ours runs."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from usage_portal.devstack.places import ROOT

PORTAL = ROOT / "portal"


def _portal(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PORTAL, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        cwd="/",
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("word", ["", "help", "--help"])
def test_help_names_every_command(word: str) -> None:
    answer = _portal(*filter(None, [word]))

    assert answer.returncode == 0
    for command in ("demo", "stop", "test", "manage", "bench", "faults", "PORTAL_VAR", "REDIS_URL"):
        assert command in answer.stdout


def test_unknown_command_is_named_and_fails() -> None:
    answer = _portal("deploy")

    assert answer.returncode == os.EX_USAGE
    assert "deploy" in answer.stderr


@pytest.mark.parametrize("script", ["portal", ".ci/run"])
def test_scripts_are_plain_sh(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / script], check=True)


def test_busy_port_is_said_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])

        answer = _portal("demo", PORT=port, PORTAL_VAR=str(tmp_path))

    assert answer.returncode == 1
    assert f"Port {port} cannot be used" in answer.stderr
    assert "PORT=" in answer.stderr


def test_stop_with_nothing_running_is_no_failure(tmp_path: Path) -> None:
    answer = _portal("stop", PORTAL_VAR=str(tmp_path))

    assert (answer.returncode, answer.stdout) == (0, "Nothing is running.\n")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-demo.txt", "requirements-dev.txt"])
def test_locked_requirements_carry_hashes_and_no_index_address(name: str) -> None:
    text = (ROOT / name).read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    assert "://" not in text
    assert all("==" in line and line.endswith("\\") for line in lines if line[0].isalpha())
    assert all(line.startswith("    --hash=sha256:") for line in lines if not line[0].isalpha())


def test_larger_sets_only_add_to_the_smaller() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split(" ;")[0].rstrip(" \\") for line in lines if line[:1].isalpha()}

    assert pins("requirements.txt") < pins("requirements-demo.txt") < pins("requirements-dev.txt")
