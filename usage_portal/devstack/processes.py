"""Child processes that stop in order and never outlive the launcher."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.05
LOG_LINES_SHOWN = 15

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildFailed(Exception):
    """A process we depend on did not start, did not become ready, or died."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running process, the signal that stops it gently and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    log: Path | None

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def failure(self, sentence: str) -> ChildFailed:
        return ChildFailed(f"{self.name} {sentence}{_end_of_log(self.log)}")


def die_with_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """Ask Linux to send `stop_signal` when the launcher dies, even by kill -9.

    Other systems have no such call; there a killed launcher leaves its children to be stopped by hand.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def start(
    *,
    name: str,
    command: Sequence[str | Path],
    env: Mapping[str, str],
    stop_signal: signal.Signals = signal.SIGTERM,
    log: Path | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a child in its own session, so that Ctrl-C reaches only the launcher, which stops in order."""
    options: dict[str, Any] = {}
    if log is not None:
        options = {"stdout": log.open("ab"), "stderr": subprocess.STDOUT}
    try:
        process = subprocess.Popen(
            [os.fspath(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(stop_signal),
            **options,
        )
    finally:
        if options:
            options["stdout"].close()
    return Child(name=name, process=process, stop_signal=stop_signal, log=log)


def wait_until_ready(child: Child, *, is_ready: Callable[[], bool], seconds_max: float) -> None:
    deadline = time.monotonic() + seconds_max
    while not is_ready():
        if child.has_ended():
            raise child.failure(f"ended with code {child.process.returncode} while starting.")
        if time.monotonic() > deadline:
            raise child.failure(f"was not ready after {seconds_max:.0f} s.")
        time.sleep(POLL_SECONDS)


def wait_until_done(child: Child) -> None:
    if child.process.wait() != 0:
        raise child.failure(f"ended with code {child.process.returncode}.")


def stop(child: Child, *, seconds_max: float = STOP_SECONDS_MAX) -> None:
    """Stop gently, then by force: a child that hangs must not keep the others running."""
    if not child.has_ended():
        child.process.send_signal(child.stop_signal)
        try:
            child.process.wait(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
    _end_orphans(child)


def _end_orphans(child: Child) -> None:
    """A child that died badly may leave processes of its own, as a killed worker leaves its beat."""
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _end_of_log(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return f" The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)
