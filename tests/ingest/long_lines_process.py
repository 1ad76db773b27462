"""A process of its own that receives or works in one delivery of long lines; prints the most memory it had, in MiB."""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usage_portal.settings")
django.setup()

from accounts.tenancy import as_worker  # noqa: E402
from insights.ingest.operations import receive_batch  # noqa: E402
from insights.models import Source  # noqa: E402
from insights.tasks import ingest_batch  # noqa: E402

NOTE_CHARACTERS = 8_000


def plain_lines(count: int) -> Iterator[bytes]:
    """Lines of 8 kB; every other one is refused, which keeps all of it for a second try."""
    yield b"account,meter,window_start,quantity,row_id,note\n"
    for number in range(count):
        account = b"absent" if number % 2 else b"ansel"
        note = (b"%08d" % number) * (NOTE_CHARACTERS // 8)
        yield account + b",bytes_out,2026-11-01T00:00:00Z,5,r%d," % number + note + b"\n"


def packed_pieces(count: int) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    for line in plain_lines(count):
        if piece := packer.compress(line):
            yield piece
    yield packer.flush()


def peak_mebibytes() -> int:
    """The most memory this process ever had. What getrusage tells includes the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0


def main(act: str, count: str) -> None:
    with as_worker():
        source = Source.objects.get(slug="edge")
    if act == "receive":
        print(receive_batch(pieces=packed_pieces(int(count)), source_id=source.pk, via="api").batch_id)
    else:
        ingest_batch(int(act))
    print(peak_mebibytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
