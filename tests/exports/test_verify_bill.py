"""The program that checks a bill: equal for what the engine made, caught whatever digit was changed, and hard to break.

Neither side knows the other: the bills are made by the engine, and the program shares no line with it.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from insights.exports import verify_bill
from insights.exports.bundle import Bundle, IssuedText
from tests.exports.proofs import Chain, zip_of

# Five bills each.
CHAINS = int(os.environ.get("CHAINS", "200"))
TAMPERED = int(os.environ.get("TAMPERED", "200"))
SEED = int(os.environ.get("SEED", "20261126"))
PROGRAM = Path(verify_bill.__file__)


def check(content: bytes, folder: Path) -> tuple[int, list[str]]:
    """The exit code and what is printed."""
    path = folder / "bill-TG-1.zip"
    path.write_bytes(content)
    said = io.StringIO()
    with redirect_stdout(said):
        code = verify_bill.verify(str(path))
    return code, said.getvalue().splitlines()


def proofs(chains: int) -> Iterator[Bundle]:
    for number in range(chains):
        chain = Chain(SEED + number)
        for bill in chain.issue_all():
            yield chain.bundle(bill)


@pytest.mark.slow
def test_a_thousand_bills_are_equal(tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    bills = 0
    for bundle in proofs(CHAINS):
        code, said = check(zip_of(bundle), tmp_path)
        assert code == 0, [bundle.bill.number, *(line for line in said if not line.endswith(": equal"))]
        lines = json.loads(bundle.bill.text)["lines"]
        assert said[-1] == f"all {len(lines)} lines equal"
        kinds.update(line["kind"] for line in lines)
        kinds.update(
            f"a fee left out of an earlier bill, {bundle.bill.number[-1]}"
            for line in lines
            if line["kind"] == "correction" and line["terms"] and line["terms"]["timing"] == "in_advance"
        )
        kinds.update(step["kind"] for line in lines for step in line["steps"])
        kinds.update(line["terms"]["charge"]["model"] for line in lines if line["terms"])
        bills += 1
    assert bills == 5 * CHAINS
    assert set(kinds) >= {
        "charge", "correction", "discount", "minimum", "maximum", "credit", "tax", "carried", "exempt", "included",
        "fee", "units", "tier", "tier_fee", "packages", "percent", "count_fee", "flat", "per_unit", "graduated",
        "volume", "package", "percentage", "graduated_percentage", "stairstep",
        # The second bill corrects the one that opened the subscription, the last one closes it.
        *(f"a fee left out of an earlier bill, {number}" for number in (2, 3, 4, 5)),
    }, kinds  # fmt: skip


@dataclass(frozen=True)
class Tampering:
    """A proof with one digit changed and every hash made anew, and what was changed."""

    bundle: Bundle
    where: str


def other_digit(text: str, random: Random) -> str:
    """The text with one of its digits changed to another one."""
    places = [place for place, char in enumerate(text) if char.isdigit()]
    place = random.choice(places)
    digit = random.choice([char for char in "0123456789" if char != text[place]])
    return text[:place] + digit + text[place + 1 :]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers in a document, written as text or not."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))
    elif type(value) is int or (isinstance(value, str) and re.fullmatch(r"-?[0-9]+([./][0-9]+)?", value)):
        yield path


def change(document: Any, path: tuple[Any, ...], random: Random) -> None:
    for step in path[:-1]:
        document = document[step]
    value = document[path[-1]]
    changed = other_digit(str(value), random)
    document[path[-1]] = changed if isinstance(value, str) else int(changed)


def of_lines(document: Any, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [
        ("lines", place, *path)
        for place, line in enumerate(document["lines"])
        for path in leaves({name: line[name] for name in fields})
    ]


def of_this_period(document: Any, fields: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The same, but of fees for the following period: their prices are on the next bill, as the page says."""
    end = document["invoice"]["details"]["whole"][1]
    return [
        path
        for path in of_lines(document, fields)
        if document["lines"][path[1]]["service_start"] < end or document["lines"][path[1]]["kind"] != "charge"
    ]


def of_sheets(document: Any) -> list[tuple[Any, ...]]:
    """Numbers in the terms of prices that have a line on the bill."""
    details = document["invoice"]["details"]
    used = {(line["plan_key"], line["price_key"]) for line in document["lines"] if line["kind"] == "charge"}
    return [
        ("invoice", "details", "segments", number, "sheet", "prices", place, "terms", *path)
        for number, segment in enumerate(details["segments"])
        for place, price in enumerate(segment["sheet"]["prices"])
        if (segment["sheet"]["plan_key"], price["key"]) in used
        and not price["dimensions"]
        and price["meter_key"]
        for path in leaves(price["terms"])
        if _has_line(document, segment, price)
    ]


def _has_line(document: Any, segment: Any, price: Any) -> bool:
    return any(
        line["price_key"] == price["key"] and line["service_start"] == segment["start"]
        for line in document["lines"]
        if line["kind"] == "charge"
    )


FIELDS: dict[str, Callable[[Any], list[tuple[Any, ...]]]] = {
    "amount": lambda document: of_lines(document, ("amount_minor",)),
    "quantity": lambda document: of_lines(document, ("metered_quantity", "billed_quantity")),
    "step": lambda document: of_lines(document, ("steps",)),
    "terms of a line": lambda document: of_this_period(document, ("terms",)),
    "terms of a plan": of_sheets,
    "part of a period": lambda document: of_this_period(document, ("segment",)),
    "allotted": lambda document: of_lines(document, ("allotted",)),
    "tax": lambda document: [
        ("invoice", "details", "taxes", name)
        for name in document["invoice"]["details"]["taxes"]
        if any(line["key"] == f"tax {name}" for line in document["lines"])
    ],
    "total": lambda document: [("invoice", "total_minor")],
}


def tampered(bundle: Bundle, what: str, random: Random) -> Tampering | None:
    """Change one digit; the zip is then made anew, with hashes and table that fit it. None where there is no such."""
    if what == "record":
        return _tampered_record(bundle, random)
    document = json.loads(bundle.bill.text)
    places = FIELDS[what](document)
    if not places:
        return None
    path = random.choice(places)
    change(document, path, random)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    changed = replace(
        bundle,
        bill=IssuedText(number=bundle.bill.number, text=text),
        sha256=hashlib.sha256(text).hexdigest(),
    )
    return Tampering(changed, f"{what} {path}")


def _tampered_record(bundle: Bundle, random: Random) -> Tampering | None:
    places = [
        (place, number)
        for place, table in enumerate(bundle.tables)
        for number, record in enumerate(table.source)
        if record.source == "edge" and not table.is_corrected
    ]
    if not places:
        return None
    place, number = random.choice(places)
    table = bundle.tables[place]
    record = table.source[number]
    quantity = Decimal(other_digit(f"{record.quantity.normalize():f}", random))
    source = [*table.source[:number], replace(record, quantity=quantity), *table.source[number + 1 :]]
    tables = (*bundle.tables[:place], replace(table, source=source), *bundle.tables[place + 1 :])
    return Tampering(replace(bundle, tables=tables), f"record {record} is {quantity}")


@pytest.mark.slow
def test_two_hundred_changed_digits_are_caught_though_every_hash_fits(tmp_path: Path) -> None:
    random = Random(SEED)
    ways = ["record", "record", *FIELDS]
    caught: Counter[str] = Counter()
    for bundle in proofs(100_000):
        what = ways[sum(caught.values()) % len(ways)]
        tampering = tampered(bundle, what, random)
        if tampering is None:
            continue
        try:
            code, said = check(zip_of(tampering.bundle), tmp_path)
        except verify_bill.NotInForm:
            # A part of a period that is larger than the whole, for one.
            code, said = 2, []
        assert code in (1, 2), (bundle.bill.number, tampering.where, said[-1:])
        assert not said or any("differ" in line for line in said)
        caught[what] += 1
        if sum(caught.values()) == TAMPERED:
            break
    assert set(caught) == set(ways)


@pytest.fixture(scope="module")
def proof() -> bytes:
    """The proof of a month with records and corrections."""
    chain = Chain(3)
    return zip_of(chain.bundle(chain.issue_all()[-2]))


def test_it_runs_alone_and_says_how_it_went(proof: bytes, tmp_path: Path) -> None:
    """Without site packages, from anywhere, on the oldest Python that it is for, if there is one here."""
    path = tmp_path / "bill-TG-1.zip"
    path.write_bytes(proof)
    with zipfile.ZipFile(path) as opened:
        program = opened.extract("verify_bill.py", tmp_path)

    run = subprocess.run(
        [sys.executable, "-I", "-S", program, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(r"all [0-9]+ lines equal", run.stdout.splitlines()[-1])
    assert re.search(r"^1\. .+: equal$", run.stdout, re.MULTILINE)


def test_it_is_one_file_of_the_standard_library_for_old_pythons() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"), feature_version=(3, 9))

    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {name.partition(".")[0] for name in imported} - {"__future__"} <= sys.stdlib_module_names
    assert not [name for name in imported if name.startswith(("insights", "socket", "urllib", "http", "os"))]


def remade(proof: bytes, change: Callable[[dict[str, bytes]], None], *, fits: bool = True) -> bytes:
    """The zip with its members changed; `fits` makes the manifest anew."""
    with zipfile.ZipFile(io.BytesIO(proof)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    if fits and {"manifest.json", "invoice.json"} <= set(members):
        manifest = json.loads(members["manifest.json"])
        for member in manifest["members"]:
            content = members.get(member["name"], b"")
            member |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["invoice"]["sha256"] = hashlib.sha256(members["invoice.json"]).hexdigest()
        members["manifest.json"] = json.dumps(manifest).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return written.getvalue()


def with_member(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: content})


def without_member(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


def replaced(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        assert old in members[name]
        members[name] = members[name].replace(old, new, 1)

    return change


def first_records(members: Mapping[str, bytes]) -> str:
    return next(name for name in members if name.startswith("records/"))


def long_line(members: dict[str, bytes]) -> None:
    members[first_records(members)] += b"1," + b"9" * 10**6 + b"\n"


def cell_too_many(members: dict[str, bytes]) -> None:
    members[first_records(members)] += b"1,2,3\n"


def other_bytes(members: dict[str, bytes]) -> None:
    members[first_records(members)] += b"\xff,\xfe\n"


BROKEN: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "no invoice": (without_member("invoice.json"), "missing"),
    "no manifest": (without_member("manifest.json"), "missing"),
    "one member more": (with_member("extra.txt", b"x"), "not in the manifest"),
    "a way out": (with_member("../../evil.sh", b"x"), "not a name"),
    "an absolute way": (with_member("/etc/passwd", b"x"), "not a name"),
    "a way of Windows": (with_member("records\\..\\evil", b"x"), "not a name"),
    "not a number": (replaced("invoice.json", b'"amount_minor":"', b'"amount_minor":NaN,"x":"'), "nothing in a proof"),
    "an endless number": (replaced("invoice.json", b'"position":1,', b'"position":Infinity,'), "nothing in a proof"),
    "a float": (replaced("invoice.json", b'"position":1,', b'"position":1.0,'), "nothing in a proof"),
    "a number of many digits": (
        replaced("invoice.json", b'"position":1,', b'"position":' + b"1" * 5000 + b","), "digits",
    ),
    "an amount of many digits": (
        replaced("invoice.json", b'"amount_minor":"', b'"amount_minor":"' + b"1" * 5000), "not a number",
    ),
    "an amount with an exponent": (
        replaced("invoice.json", b'"amount_minor":"', b'"amount_minor":"1e9'), "not a number",
    ),
    "a name twice": (replaced("invoice.json", b'"position":1,', b'"position":1,"position":2,'), "twice"),
    "too deep": (with_member("invoice.json", b"[" * 100_000), "invoice.json"),
    "no object": (with_member("invoice.json", b"[]"), "not a JSON object"),
    "another form": (with_member("invoice.json", b'{"version":2}'), "missing"),
    "a field of another kind": (replaced("invoice.json", b'"lines":[', b'"lines":7,"x":['), "of another kind"),
    "no text": (with_member("invoice.json", b"\xff\xfe"), "invoice.json"),
    "another format": (replaced("manifest.json", b'"format": 1', b'"format": 2'), "format"),
    "a long line": (long_line, "line"),
    "a cell too many": (cell_too_many, "cells"),
    "records that are no text": (other_bytes, "decode"),
    "an open tier": (replaced("invoice.json", b'"up_to":null', b'"up_to":"0"'), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_in_form_is_refused_in_words(
    proof: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    change, words = BROKEN[case]
    path = tmp_path / "bill.zip"
    path.write_bytes(remade(proof, change))

    code = verify_bill.main([str(path)])

    said = capsys.readouterr()
    # An odd number may also just be a wrong one.
    assert code == 2 or (case == "an open tier" and code == 1)
    assert code == 1 or said.err.startswith("not a proof of a bill: ")
    assert words in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("size", [0, 1, 21, 200, 5000, -1, -30])
def test_a_cut_zip_is_refused(
    proof: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    path = tmp_path / "bill.zip"
    path.write_bytes(proof[:size])

    assert verify_bill.main([str(path)]) == 2
    assert capsys.readouterr().err.startswith("not a proof of a bill: ")


def test_every_byte_may_be_wrong(proof: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed byte anywhere: nothing but an answer, and never `all equal` with other content."""
    random = Random(SEED)
    path = tmp_path / "bill.zip"
    for _ in range(60):
        content = bytearray(proof)
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)
        code = verify_bill.main([str(path)])
        assert code in (0, 1, 2)
        if code == 0:
            with zipfile.ZipFile(path) as changed, zipfile.ZipFile(io.BytesIO(proof)) as original:
                assert {n: changed.read(n) for n in changed.namelist()} == {
                    n: original.read(n) for n in original.namelist()
                }
    capsys.readouterr()


def test_a_bomb_is_refused_before_it_is_read(
    proof: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bill.zip"
    path.write_bytes(remade(proof, with_member("records/bomb-v1.csv", b"0" * 2**26)))
    assert verify_bill.main([str(path)]) == 2
    assert "times its size" in capsys.readouterr().err

    # A size that is only said: more than any document has.
    content = bytearray(remade(proof, lambda members: None))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)
    assert verify_bill.main([str(path)]) == 2
    assert capsys.readouterr().err.startswith("not a proof of a bill: ")


def test_what_is_no_file_and_no_argument_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_bill.main([str(tmp_path / "absent.zip")]) == 2
    assert verify_bill.main([str(tmp_path)]) == 2
    assert verify_bill.main([]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_other_bytes_than_the_manifest_says_are_named(proof: bytes, tmp_path: Path) -> None:
    code, said = check(remade(proof, with_member("README.txt", b"another\n"), fits=False), tmp_path)

    assert code == 1
    assert said[-1].endswith("and 1 other check fails")
    assert any(line.startswith("manifest: README.txt is not what the manifest says") for line in said)


def test_a_line_that_is_left_out_or_added_is_named(proof: bytes, tmp_path: Path) -> None:
    def without_first_line(members: dict[str, bytes]) -> None:
        document = json.loads(members["invoice.json"])
        # A fee for the next period follows from nothing else.
        place = next(
            n for n, line in enumerate(document["lines"]) if line["meter_key"] and line["kind"] == "charge"
        )
        del document["lines"][place]
        members["invoice.json"] = json.dumps(document).encode()

    code, said = check(remade(proof, without_first_line), tmp_path)
    assert code == 1
    assert any("there is no such line, there must be one of" in line for line in said)

    def with_another(members: dict[str, bytes]) -> None:
        document = json.loads(members["invoice.json"])
        document["lines"].append(
            {**document["lines"][-1], "key": "handling", "position": len(document["lines"]) + 1}
        )
        members["invoice.json"] = json.dumps(document).encode()

    code, said = check(remade(proof, with_another), tmp_path)
    assert code == 1
    assert any("nothing in the terms and records leads to such a line" in line for line in said)
