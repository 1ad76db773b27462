"""Sends files to a source, as a customer would by HTTP, and shows how far the workers have come."""

from __future__ import annotations

import gzip
import sys
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from accounts.tenancy import as_worker
from insights import tasks
from insights.ingest.operations import Upload, receive_upload
from insights.ingest.queries import Receipt, get_receipt
from insights.ingest.refusals import RequestRefused
from insights.ingest.splitting import split_lines
from insights.models import Source

POLL_SECONDS = 0.2
RING_AGAIN_SECONDS = 10.0


class Command(BaseCommand):
    help = "Send usage files to a source and wait until they are counted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the source and the files."""
        parser.add_argument("source", help="slug of the source")
        parser.add_argument("files", nargs="+", type=Path, help="CSV or NDJSON files, plain or .gz")
        parser.add_argument(
            "--create-accounts", action="store_true", help="open an account for every new reference"
        )
        parser.add_argument("--revision", type=int, help="revision of lines that name none")
        parser.add_argument("--no-wait", action="store_true", help="return once everything is safely kept")

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep every part, ring for it, and follow the work until it is done."""
        with as_worker():
            source = Source.objects.filter(slug=options["source"]).first()
        if source is None:
            raise CommandError(f"There is no source {options['source']!r}.")
        upload_id = uuid.uuid4()
        kept: list[uuid.UUID] = []
        for path in options["files"]:
            kept += self._send(source, path, upload_id=upload_id, first_part=len(kept) + 1, options=options)
        if options["no_wait"]:
            self.stdout.write(f"{len(kept)} batches kept; upload {upload_id}")
            return
        self._report(self._follow(kept))

    def _send(
        self, source: Source, path: Path, *, upload_id: uuid.UUID, first_part: int, options: dict[str, Any]
    ) -> list[uuid.UUID]:
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        kept = []
        with open_file(path) as stream:
            for number, part in enumerate(_parts(stream), first_part):
                upload = Upload(
                    source_id=source.pk,
                    via="command",
                    name=f"{path.name}, part {number}",
                    create_accounts=options["create_accounts"],
                    revision=options["revision"],
                    upload_id=upload_id,
                    upload_part=number,
                )
                try:
                    received = receive_upload(upload, [part])
                except RequestRefused as refusal:
                    raise CommandError(
                        f"{path.name}, part {number}: {refusal.code}: {refusal.detail}"
                    ) from None
                tasks.ring(received.batch_id)
                kept.append(received.public_id)
        return kept

    def _follow(self, public_ids: list[uuid.UUID]) -> list[Receipt]:
        rung_at = time.monotonic()
        with tqdm(unit=" lines", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
            while True:
                receipts = [
                    receipt for public_id in public_ids if (receipt := get_receipt(public_id=public_id))
                ]
                bar.total = sum(receipt.lines_total or 0 for receipt in receipts)
                bar.update(sum(receipt.lines_done for receipt in receipts) - bar.n)
                if all(receipt.is_finished for receipt in receipts):
                    return receipts
                if time.monotonic() - rung_at > RING_AGAIN_SECONDS:
                    rung_at = time.monotonic()
                    for receipt in receipts:
                        if receipt.state == "received":
                            tasks.ring(receipt.batch_id)
                time.sleep(POLL_SECONDS)

    def _report(self, receipts: list[Receipt]) -> None:
        names = ("received", "new", "replaced", "duplicate", "stale", "rejected")
        totals = {name: sum(getattr(receipt.counts, name) for receipt in receipts) for name in names}
        self.stdout.write(", ".join(f"{name} {totals[name]}" for name in names))
        failed = [receipt for receipt in receipts if receipt.state != "done"]
        for receipt in failed:
            detail = receipt.fault.detail if receipt.fault else ""
            self.stderr.write(f"{receipt.name}: {receipt.state}: {detail}")
        if failed:
            raise CommandError(f"{len(failed)} of {len(receipts)} batches were not finished.")


def open_file(path: Path) -> IO[bytes]:
    """Open a plain or gzipped file for reading lines."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _parts(stream: IO[bytes]) -> Iterator[bytes]:
    first = stream.peek(64)[:64].lstrip(b"\xef\xbb\xbf \t\r\n")  # type: ignore[attr-defined]
    return split_lines(stream, has_header=not first.startswith(b"{"))
