"""Sends files to a source, as a customer would by HTTP, and shows how far the workers have come."""

from __future__ import annotations

import sys
import time
import uuid
from argparse import ArgumentParser
from itertools import count
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from accounts.tenancy import as_worker
from insights import tasks
from insights.ingest.lines import form_named
from insights.ingest.operations import PIECE_BYTES, Upload, receive_upload
from insights.ingest.queries import Receipt, get_receipt
from insights.ingest.refusals import RequestRefused
from insights.ingest.splitting import Part, parts_of
from insights.models import Source

POLL_SECONDS = 0.2
RING_AGAIN_SECONDS = 10.0


class Command(BaseCommand):
    help = "Send usage files to a source and wait until they are counted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the source and the files."""
        parser.add_argument("source", help="slug of the source")
        parser.add_argument("files", nargs="+", type=Path, help="CSV, NDJSON or JSON files, plain or gzipped")
        parser.add_argument(
            "--create-accounts", action="store_true", help="open an account for every new reference"
        )
        parser.add_argument("--revision", type=int, help="revision of lines that name none")
        parser.add_argument(
            "--backfill", type=uuid.UUID, metavar="NUMBER", help="hold everything for this open backfill"
        )
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
        if options["backfill"]:
            self.stdout.write(
                f"{len(kept)} batches held for backfill {options['backfill']}; upload {upload_id}"
            )
            return
        if options["no_wait"]:
            self.stdout.write(f"{len(kept)} batches kept; upload {upload_id}")
            return
        self._report(self._follow(kept))

    def _send(
        self, source: Source, path: Path, *, upload_id: uuid.UUID, first_part: int, options: dict[str, Any]
    ) -> list[uuid.UUID]:
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        named = form_named(path.name) if source.format == "any" else None
        is_last_file = path == options["files"][-1]
        kept: list[uuid.UUID] = []
        with path.open("rb") as stream:
            pieces = iter(lambda: stream.read(PIECE_BYTES), b"")
            waiting = parts_of(pieces, expected=source.format, declared=named)
            following = next(waiting, None)
            for number in count(first_part):
                if following is None:
                    return kept
                # One part ahead, so that the last one says that the upload is whole.
                part, following = following, next(waiting, None)
                upload = Upload(
                    source_id=source.pk,
                    via="command",
                    media_type=part.form,
                    name=f"{path.name}, part {number}",
                    create_accounts=options["create_accounts"],
                    revision=options["revision"],
                    upload_id=upload_id,
                    upload_part=number,
                    is_last_part=is_last_file and following is None,
                    backfill=options["backfill"],
                )
                kept.append(self._keep(upload, part))
        return kept

    def _keep(self, upload: Upload, part: Part) -> uuid.UUID:
        try:
            received = receive_upload(upload, part.pieces)
        except RequestRefused as refusal:
            raise CommandError(f"{upload.name}: {refusal.code}: {refusal.detail}") from None
        if upload.backfill is None:
            tasks.ring(received.batch_id)
        return received.public_id

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
