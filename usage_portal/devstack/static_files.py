"""Collects and compresses the static files, only when something they come from has changed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from usage_portal.devstack.management import MANAGE
from usage_portal.devstack.places import ROOT
from usage_portal.devstack.processes import Child, start, stop, wait_until_done
from usage_portal.devstack.stack import Stack

# What decides the result: our files, the packages, how they are named and packed.
SOURCES = ("requirements.txt", "usage_portal/settings.py", "usage_portal/static_assets.py")


@dataclass(frozen=True, slots=True)
class Collecting:
    """The work under way, or nothing to do, and the stamp to write when it is done."""

    child: Child | None
    stamp: Path
    checksum: str

    def wait(self) -> None:
        if self.child is not None:
            wait_until_done(self.child)
            self.stamp.write_text(self.checksum)


@contextmanager
def collecting_static_files(stack: Stack) -> Iterator[Collecting]:
    """Collect beside whatever else starts; leaving early stops it."""
    stamp = stack.places.var / "static-collected"
    checksum = _checksum()
    if stamp.exists() and stamp.read_text() == checksum and stack.places.static.is_dir():
        yield Collecting(child=None, stamp=stamp, checksum=checksum)
        return
    stamp.unlink(missing_ok=True)
    child = start(
        name="Collecting the static files",
        command=[*MANAGE, "collectstatic", "--clear", "--no-input", "--verbosity=0"],
        env=stack.env,
        log=stack.places.log / "static.log",
    )
    try:
        yield Collecting(child=child, stamp=stamp, checksum=checksum)
    finally:
        stop(child)


def _checksum() -> str:
    digest = hashlib.sha256()
    ours = sorted(file for file in (ROOT / "static").rglob("*") if file.is_file())
    for file in [*ours, *(ROOT / name for name in SOURCES)]:
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
