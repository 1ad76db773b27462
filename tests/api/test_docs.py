"""docs/api.md is run: its commands do what it says, and its tables name every code and the limits that hold."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.tenancy import as_worker
from insights import tasks
from insights.api import body
from insights.api.errors import API_CODES
from insights.api.parameters import LIMIT_MAX
from insights.api.serializers import ReceiptSerializer
from insights.ingest.grammar import TEXT_CHARACTERS_MAX
from insights.ingest.limits import Limits
from insights.ingest.refusals import CODES
from insights.metering.usage_filter import HOURLY_DAYS_MAX, POINTS_MAX, PRESETS, SINGLE_PARAMETERS
from insights.models import Batch
from tests.api.conftest import Caller
from tests.api.serving import Server
from tests.conftest import Cast
from tests.factories import make_api_key

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: ([a-z ]+) -->\n```[a-z]+\n(.*?)```", PAGE, re.DOTALL))
TABLED = set(re.findall(r"`([a-z0-9_]+)`", PAGE))


class Shell:
    """Runs the page's examples as a reader would."""

    def __init__(self, server: Server, sender: Caller, reader: Caller, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            **os.environ,
            "PORTAL": server.url(""),
            "SOURCE_KEY": sender.key,
            "ACCOUNT_KEY": reader.key,
        }

    def run(self, name: str, **variables: str) -> str:
        done = subprocess.run(
            ["sh", "-e"],
            input=EXAMPLES[name],
            env={**self.environ, **variables},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout


@pytest.fixture
def shell(server: Server, sender: Caller, reader: Caller, tmp_path: Path) -> Shell:
    return Shell(server, sender, reader, tmp_path)


@pytest.mark.slow
@pytest.mark.database
def test_the_examples_about_money_answer_a_key_with_bills(shell: Shell, cast: Cast) -> None:
    _, key = make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read", "bills:read"])

    cost = json.loads(shell.run("cost", ACCOUNT_KEY=key))
    prices = json.loads(shell.run("next unit", ACCOUNT_KEY=key))

    assert (cost["measure"], cost["costs"], cost["is_subscribed"]) == ("cost", [], False)
    assert prices == {"prices": []}


@pytest.mark.slow
@pytest.mark.database
def test_the_examples_do_what_the_page_says(shell: Shell) -> None:
    sent = json.loads(shell.run("send"))
    with as_worker():
        tasks.ingest_batch(Batch.objects.get(public_id=sent["id"]).pk)

    receipt = json.loads(shell.run("receipt", BATCH=sent["id"]))
    aggregates = json.loads(shell.run("aggregates"))
    records = json.loads(shell.run("records"))
    shell.run("csv")
    [download_id] = re.findall(r"(?im)^download-id: (\S+)", (shell.directory / "head.txt").read_text())
    proof = json.loads(shell.run("proof", DOWNLOAD=download_id))

    assert receipt["counts"] == json.loads(EXAMPLES["receipt answer"])["counts"]
    assert aggregates["quantity"] == "2230000"
    assert [record["quantity"] for record in records["records"]] == ["1250000", "980000"]
    assert (proof["state"], proof["rows"]) == ("done", 2)
    assert proof["sha256"] == hashlib.sha256((shell.directory / "usage.csv").read_bytes()).hexdigest()


def test_the_receipt_has_the_fields_that_are_shown() -> None:
    shown = json.loads(EXAMPLES["receipt answer"])

    assert set(shown) == set(ReceiptSerializer().fields)
    counts = shown["counts"]
    assert counts["received"] == sum(counts.values()) - counts["received"] - counts["blank"]


def test_a_problem_is_as_shown(reader: Caller) -> None:
    answer = reader.get("/api/v1/account?form=2026-01-01").json()

    assert answer == json.loads(EXAMPLES["problem answer"])


def test_every_code_that_refuses_a_request_is_named() -> None:
    codes = set(API_CODES) | {fact.code for fact in CODES.values() if fact.status is not None}

    assert codes <= TABLED


def test_every_parameter_is_named() -> None:
    assert {*SINGLE_PARAMETERS, *(word for word in PRESETS)} <= {
        word.strip("`") for word in re.findall(r"`[a-z0-9_-]+`", PAGE)
    }


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("body as sent | {} MiB", settings.UPLOAD_MAX_SENT_BYTES // 2**20),
        ("body unpacked | {} MiB", settings.UPLOAD_MAX_UNPACKED_BYTES // 2**20),
        ("and {} times its size", Limits().ratio),
        ("lines | {:,}", settings.UPLOAD_MAX_LINES),
        ("one piece of 64 KiB to arrive | {:.0f} s", body.PIECE_SECONDS_MAX),
        ("text of a cell | {} characters", TEXT_CHARACTERS_MAX),
        ("points of an answer in days or months | {:,}", POINTS_MAX),
        ("days of an answer in hours | {}", HOURLY_DAYS_MAX),
        ("{} of an account", settings.DOWNLOADS_PER_ACCOUNT),
        ("{} in all", settings.DOWNLOADS_IN_ALL),
        ("taken by the reader | {} s", settings.DOWNLOAD_STALL_SECONDS),
        ("1 to {}", LIMIT_MAX),
    ],
)
def test_the_limits_are_those_that_hold(words: str, value: Any) -> None:
    assert words.format(value) in PAGE
