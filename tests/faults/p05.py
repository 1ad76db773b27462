"""P5: order does not matter. Every permutation of the same files, cut anywhere, gives the same books."""

from __future__ import annotations

import random

from tests.faults import books, sabotage
from tests.faults.load import Load, Size, make_load
from tests.faults.site import Outcome, Site, source_ids, write_catalogue

SENTENCE = "Order does not matter"
COUNT = 300
FILES = 12
LINES = 25
CHUNKS = (1, 3, 7, 20, 50, 1_000, 5_000)


def run(site: Site) -> Outcome:
    """Ingest the same twelve files in many orders, each time for accounts of other names, and compare the books."""
    count = site.count or COUNT
    outcome = Outcome("P5", SENTENCE, site.seed, faults_asked=count)
    sabotage.apply_to_worker(site.sabotage)
    chance = random.Random(site.seed)
    # Without conflicts: of two contents of one revision the first stays, so there the order does matter.
    size = Size(files=FILES, lines=LINES, accounts=6, conflicts=0, revisions=0.35, repeats=0.1)
    load = make_load(site.directory / "load", seed=site.seed, size=size)
    write_catalogue(load)
    digests: dict[str, int] = {}
    for number in range(count):
        prefix = f"p{number:04d}"
        _open_accounts(load, prefix)
        order = list(load.files)
        if number:
            chance.shuffle(order)
        _ingest(load, [file.name for file in order], prefix, chance)
        digest = books.digest(site.conninfo, prefix=prefix)
        digests[digest] = digests.get(digest, 0) + 1
        outcome.faults += 1
        outcome.rows += FILES * LINES
    outcome.differences = count - max(digests.values())
    outcome.require(f"{len(digests)} different books", holds=len(digests) == 1)
    outcome.figures.append(f"{count} permutations of {FILES} files gave {len(digests)} different books")
    return outcome


def _open_accounts(load: Load, prefix: str) -> None:
    from accounts.models import Account
    from accounts.tenancy import as_worker

    with as_worker():
        Account.objects.bulk_create(
            Account(
                reference=plan.reference.replace("acct", prefix), name=plan.reference, billing_zone=plan.zone,
                currency=plan.currency,
            )
            for plan in load.accounts
        )  # fmt: skip


def _ingest(load: Load, names: list[str], prefix: str, chance: random.Random) -> None:
    from insights.ingest import operations
    from insights.tasks import ingest_batch

    files = {file.name: file for file in load.files}
    sources = source_ids()
    for name in names:
        operations.CHUNK_LINES = chance.choice(CHUNKS)
        body = load.body(files[name]).replace(b"acct-", prefix.encode() + b"-")
        upload = operations.Upload(source_id=sources[files[name].source], via="command", name=name)
        ingest_batch(operations.receive_upload(upload, [body]).batch_id)
