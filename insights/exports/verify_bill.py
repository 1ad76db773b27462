#!/usr/bin/env python3
"""Checks a bill without the company that made it: python verify_bill.py bill-TG-000042.zip

Takes the proof of a bill (the zip, or the folder that it was unpacked to; without an argument the folder that this
file lies in), sums its usage records, applies its prices to them again and compares every line
with the one that was issued. Prints `equal` or what stands and what it must be. Needs Python 3.9 or newer and nothing
else, opens no connection and writes no file.

Exit code 0: all is equal. 1: something differs. 2: the file is not a proof of a bill in its form.

The rules are those of docs/pricing.md, the files of the zip those of docs/checking-a-bill.md. No line of this file is
shared with the program that makes bills, so that a fault there is not repeated here. From top to bottom: the zip,
numbers, one price, the records, the lines of a bill, the bill as a whole, corrections of earlier bills, the report.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

# What a proof may be at most. Anything larger is refused before it is read.
MEMBERS_MAX = 20_000
DOCUMENT_BYTES_MAX = 64 * 2**20
TABLE_BYTES_MAX = 16 * 2**30
ALL_BYTES_MAX = 64 * 2**30
LINE_BYTES_MAX = 64 * 2**10
# A table of records is packed to a twentieth or so; what shrinks far more was made to burst.
PACKED_TIMES_MAX = 400
DIGITS_MAX = 2_000
FORMAT = 1
TERMS_VERSION = 1
BILL_VERSION = 2

Document = Mapping[str, Any]


class NotInForm(Exception):
    """The file is not a proof of a bill; the message says where and why."""


class NoPrice(Exception):
    """The usage adds to less than nothing, or no price is for it: then there is no line either."""


# ---------------------------------------------------------------------------------------------------------------------
# The zip
# ---------------------------------------------------------------------------------------------------------------------


class Proof:
    """The files of a proof: checked for form when opened, read one after the other, never unpacked to disk."""

    def __init__(self, path: str) -> None:
        try:
            self._zip = _Folder(Path(path)) if Path(path).is_dir() else zipfile.ZipFile(path)
            infos = self._zip.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
            raise NotInForm(f"{path} is not a zip that can be read: {error}") from None
        self._infos = {info.filename: info for info in infos}
        _check_infos(infos)
        self.manifest = self.document("manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise NotInForm(
                f"the manifest is of format {self.manifest.get('format')!r}, this program reads {FORMAT}"
            )
        self.members: dict[str, Document] = {each["name"]: each for each in self.manifest["members"]}
        expected = {*self.members, "manifest.json"}
        if isinstance(self._zip, _Folder):
            # A folder may hold more, such as the zip itself; nothing of that is read.
            self._infos = {name: info for name, info in self._infos.items() if name in expected}
        for name in sorted(expected ^ set(self._infos)):
            where = (
                "in the zip but not in the manifest"
                if name in self._infos
                else "named in the manifest but missing"
            )
            raise NotInForm(f"{name} is {where}")

    def faults(self) -> Iterator[str]:
        """Every member that is not what the manifest says of it."""
        for name, said in sorted(self.members.items()):
            digest, size = hashlib.sha256(), 0
            for piece in self._pieces(name):
                digest.update(piece)
                size += len(piece)
            if (digest.hexdigest(), size) != (said["sha256"], said["bytes"]):
                yield f"{name} is not what the manifest says: its SHA-256 is {digest.hexdigest()}"

    def document(self, name: str) -> Document:
        """One JSON object; refuses names that come twice, and numbers with a point or without an end."""
        content = self.content(name)
        try:
            found = json.loads(
                content.decode("utf-8"),
                object_pairs_hook=_without_repetition,
                parse_float=_refuse_number,
                parse_constant=_refuse_number,
                parse_int=_whole_number,
            )
        except (ValueError, RecursionError) as error:
            raise NotInForm(f"{name}: {error}") from None
        if not isinstance(found, dict):
            raise NotInForm(f"{name} is not a JSON object")
        return found

    def content(self, name: str) -> bytes:
        """All bytes of a small member."""
        info = self._infos.get(name)
        if info is None:
            raise NotInForm(f"{name} is missing")
        if info.file_size > DOCUMENT_BYTES_MAX:
            raise NotInForm(
                f"{name} is said to have {info.file_size} bytes, at most {DOCUMENT_BYTES_MAX} are read"
            )
        return b"".join(self._pieces(name))

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """The lines of a CSV by the names of its columns, one after the other."""
        reader = csv.reader(self._lines(name), strict=True)
        try:
            columns = next(reader, None)
            if not columns or len(set(columns)) != len(columns):
                raise NotInForm(f"{name} has no heading, or two columns of one name")
            for cells in reader:
                if len(cells) != len(columns):
                    raise NotInForm(
                        f"{name}, line {reader.line_num}: {len(cells)} cells, {len(columns)} columns"
                    )
                yield dict(zip(columns, cells))
        except (csv.Error, UnicodeDecodeError) as error:
            raise NotInForm(f"{name}, line {reader.line_num}: {error}") from None

    def _lines(self, name: str) -> Iterator[str]:
        rest = b""
        for piece in self._pieces(name):
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                raise NotInForm(f"{name} has a line of more than {LINE_BYTES_MAX} bytes")
            for line in whole:
                yield line.decode("utf-8") + "\n"
        if rest:
            raise NotInForm(f"{name} does not end with its last line")

    def _pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(self._infos[name]) as member:
                while piece := member.read(2**16):
                    yield piece
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise NotInForm(f"{name} cannot be read: {error}") from None


_NAME = re.compile(r"(?:(?:records|earlier)/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")


class _Folder:
    """A proof that was unpacked, read as its zip is. Only plain files whose names a proof may have are seen."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def infolist(self) -> list[zipfile.ZipInfo]:
        """The files, with their sizes; links are not followed."""
        found = []
        for folder in ("", "records/", "earlier/"):
            inside = self._path / folder
            for file in sorted(inside.iterdir()) if inside.is_dir() and not inside.is_symlink() else ():
                name = f"{folder}{file.name}"
                if _NAME.fullmatch(name) and ".." not in name and file.is_file() and not file.is_symlink():
                    info = zipfile.ZipInfo(name)
                    info.file_size = info.compress_size = file.stat().st_size
                    found.append(info)
        return found

    def open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        """A file, to be read."""
        return (self._path / info.filename).open("rb")


def _check_infos(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse odd names, names that come twice, and sizes that no proof has."""
    if len(infos) > MEMBERS_MAX:
        raise NotInForm(f"the zip has {len(infos)} members, at most {MEMBERS_MAX} are read")
    seen = set()
    for info in infos:
        if not _NAME.fullmatch(info.filename) or ".." in info.filename:
            raise NotInForm(f"{info.filename[:200]!r} is not a name of a member of a proof")
        if info.filename in seen:
            raise NotInForm(f"{info.filename} is in the zip twice")
        seen.add(info.filename)
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotInForm(f"{info.filename} is encrypted or packed in another way than by deflate")
        if info.file_size > TABLE_BYTES_MAX:
            raise NotInForm(
                f"{info.filename} is said to have {info.file_size} bytes, at most {TABLE_BYTES_MAX} are read"
            )
        if info.file_size > 2**20 and info.file_size > PACKED_TIMES_MAX * info.compress_size:
            raise NotInForm(f"{info.filename} unpacks to more than {PACKED_TIMES_MAX} times its size")
    if sum(info.file_size for info in infos) > ALL_BYTES_MAX:
        raise NotInForm(f"the zip unpacks to more than {ALL_BYTES_MAX} bytes")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return found


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is a number that nothing in a proof is")


def _whole_number(text: str) -> int:
    if len(text) > 40:
        raise ValueError("a whole number has more than 40 digits")
    return int(text)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers: exact from the text that comes in to the whole minor units that go out
# ---------------------------------------------------------------------------------------------------------------------

ZERO, ONE = Fraction(0), Fraction(1)
PER_CENT = Fraction(1, 100)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_RATIO = re.compile(r"(-?[0-9]+)/([0-9]*[1-9][0-9]*)")
# How many decimals a minor unit has; two for every currency that is not named.
_DECIMALS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
    "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip


@lru_cache(maxsize=65_536)
def number(text: Any) -> Fraction:
    """The number written as decimal digits or as a ratio of two whole numbers; anything else is refused."""
    if isinstance(text, str) and len(text) <= DIGITS_MAX:
        if _NUMBER.fullmatch(text):
            return Fraction(text)
        ratio = _RATIO.fullmatch(text)
        if ratio:
            return Fraction(int(ratio[1]), int(ratio[2]))
    raise NotInForm(f"{str(text)[:80]!r} is not a number")


def number_text(value: Fraction) -> str:
    """The one text of a number: its decimals where they end, else `240/31`."""
    rest, places = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        places = max(places, count)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def minor_units(currency: str) -> int:
    """How many minor units are one of the currency."""
    return 10 ** _DECIMALS.get(currency, 2)


def money_text(minor: int, currency: str) -> str:
    """Minor units as an amount with the decimals of its currency."""
    places = _DECIMALS.get(currency, 2)
    digits = str(abs(minor)).rjust(places + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def rounded(value: Fraction) -> int:
    """The nearest whole number, a half away from zero."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return -whole if value < 0 else whole


def rounded_up(value: Fraction) -> int:
    """The whole number that is reached, any part of one counting as one."""
    return -(-value.numerator // value.denominator)


def allot(total: int, parts: Mapping[Any, Fraction]) -> dict[Any, int]:
    """Whole units for exact parts of a total, by the largest remainder.

    Each part is cut towards zero. What is missing goes one unit each to the parts that lost most, to the smaller key
    first where two lost the same; a part of zero gets none.
    """
    cut = {key: (-1 if part < 0 else 1) * int(abs(part)) for key, part in parts.items()}
    missing = total - sum(cut.values())
    one = -1 if missing < 0 else 1
    by_loss = sorted(
        (key for key in parts if parts[key]), key=lambda key: (one * (cut[key] - parts[key]), key)
    )
    for key in by_loss[: abs(missing)]:
        cut[key] += one
    return cut


def split(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """A total in minor units, in proportion to weights; the parts add to it exactly."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    return allot(total, {key: Fraction(total * weight, whole) for key, weight in weights.items()})


@lru_cache(maxsize=65_536)
def instant(text: str) -> datetime:
    """An instant written with its offset."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.utcoffset() is None:
        raise NotInForm(f"{text!r} has no offset")
    return found.astimezone(timezone.utc)


Share = tuple[int, int]
WHOLE: Share = (1, 1)


def share_of(start: datetime, end: datetime, whole: tuple[datetime, datetime]) -> Share:
    """A part of a period as elapsed seconds out of all its seconds."""
    second = timedelta(seconds=1)
    return (end - start) // second, (whole[1] - whole[0]) // second


def part_of_one(share: Share) -> Fraction:
    """The share as a number from 0 to 1."""
    if not 0 <= share[0] <= share[1] or not share[1]:
        raise NotInForm(f"{share[0]} of {share[1]} seconds is not a part of a period")
    return Fraction(share[0], share[1])


# ---------------------------------------------------------------------------------------------------------------------
# One price: a quantity becomes steps, and the steps add to an amount
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One part of a line's arithmetic, with the names that it has in the files."""

    kind: str
    amount: Fraction
    quantity: Fraction = ZERO
    base: Fraction = ZERO
    unit_amount: Fraction | None = None
    percent: Fraction | None = None
    tier: int | None = None
    above: Fraction | None = None
    up_to: Fraction | None = None
    share: Share = WHOLE
    note: str = ""
    is_taken_back: bool = False
    amount_minor: int = 0

    @property
    def is_sum(self) -> bool:
        """Whether two such steps can be put into one: twice the base is twice the amount."""
        return self.kind not in ("minimum", "maximum") and (
            self.kind != "discount" or self.percent is not None
        )

    def taken_back(self) -> Step:
        """The same figures, standing for the opposite."""
        return replace(
            self, quantity=-self.quantity, amount=-self.amount, amount_minor=-self.amount_minor,
            is_taken_back=not self.is_taken_back,
        )  # fmt: skip


def step_document(step: Step) -> dict[str, Any]:
    """The step as the files have it."""
    found: dict[str, Any] = {}
    for each in fields(Step):
        value = getattr(step, each.name)
        found[each.name] = number_text(value) if isinstance(value, Fraction) else value
    return {**found, "share": list(step.share)}


def step_of(document: Document) -> Step:
    """The step that a document of it says."""
    exact = ("amount", "quantity", "base", "unit_amount", "percent", "above", "up_to")
    numbers = {name: None if document[name] is None else number(document[name]) for name in exact}
    return Step(**{**document, **numbers, "share": _share(document["share"])})


def _share(value: Any) -> Share:
    seconds, of_seconds = value
    part_of_one((seconds, of_seconds))
    return seconds, of_seconds


@dataclass(frozen=True)
class Had:
    """What earlier plans of the period had of something that is due once where plans continue each other.

    A flat price, a discount by an amount, or a bound: what it says for the time so far, what of the lines it holds for,
    what it came to, and what they were charged under a bound when a lower one took its place.
    """

    place: str
    is_prorated: bool
    figure: Fraction
    base: Fraction
    amount: Fraction
    floor: Fraction = ZERO


@dataclass(frozen=True)
class Part:
    """What part of a billing period a line is for.

    `share` is for fees, minimum and maximum; `tier_share` for tiers and included usage; `before` is the quantity and
    the count that earlier plans of the period put into these tiers, None where they begin anew; `had` is what those had
    of what is due once.
    """

    share: Share = WHOLE
    tier_share: Share = WHOLE
    before: tuple[Fraction, Fraction] | None = None
    had: tuple[Had, ...] = ()


def part_document(part: Part) -> dict[str, Any]:
    """The part as a line says it."""
    before = part.before
    found = {
        "share": list(part.share),
        "tier_share": list(part.tier_share),
        "counted_before": before and {"quantity": number_text(before[0]), "count": number_text(before[1])},
    }
    if not part.had:
        return found
    figures = ("figure", "base", "amount")
    return {
        **found,
        "had_before": [
            {
                "place": one.place,
                "is_prorated": one.is_prorated,
                **{name: number_text(getattr(one, name)) for name in figures},
                **({"floor": number_text(one.floor)} if one.floor else {}),
            }
            for one in part.had
        ],
    }


def steps_of(terms: Document, quantity: Fraction, count: Fraction, part: Part) -> list[Step]:
    """Every step of a line in the order of the rules, exact and unrounded."""
    return _steps_and_had(terms, quantity, count, part)[0]


def _steps_and_had(
    terms: Document, quantity: Fraction, count: Fraction, part: Part
) -> tuple[list[Step], tuple[Had, ...]]:
    """Convert, exempt, included usage, charge model, proration, discounts, minimum, maximum.

    And what the plan that continues this one will find had.
    """
    if terms["version"] != TERMS_VERSION:
        raise NotInForm(f"terms are of version {terms['version']!r}, this program reads {TERMS_VERSION}")
    units = _converted(terms, quantity, count)
    if terms["exempt_reason"]:
        return [Step("exempt", ZERO, quantity=units, note=terms["exempt_reason"])] if units else [], part.had
    # What is charged by time does not fill tiers up, so a change of plan leaves its tiers whole.
    tiers = Part(share=part.share) if terms["is_prorated"] else part
    before = None if tiers.before is None else _converted(terms, *tiers.before)
    included, billed, billed_before = _included(terms, units, before, tiers.tier_share)
    had = {one.place: one for one in part.had}
    is_flat = terms["charge"]["model"] == "flat" and not terms["is_prorated"]
    steps = [*_charged(terms["charge"], billed, count, billed_before, tiers.tier_share)]
    if is_flat and "flat" in had:
        # It was due on a plan before, so that only the units have their place here.
        steps = [replace(step, base=ZERO, amount=ZERO) for step in steps]
    elif is_flat:
        amount = sum((step.amount for step in steps), ZERO)
        had["flat"] = Had("flat", False, amount, ZERO, amount)
    steps = [step for step in steps if step.quantity or step.amount]
    if terms["is_prorated"] and part.share[0] != part.share[1]:
        steps = [
            replace(step, amount=step.amount * part_of_one(part.share), share=part.share) for step in steps
        ]
    adjusted = _adjusted(steps, terms, part.share, had)
    return [*included, *adjusted], tuple(had[place] for place in sorted(had))


def _converted(terms: Document, quantity: Fraction, count: Fraction) -> Fraction:
    if quantity < 0 or count < 0:
        raise NoPrice("the usage adds to less than nothing")
    conversion = terms["conversion"]
    return quantity / number(conversion["units_per"]) if conversion else quantity


def _included(
    terms: Document, units: Fraction, before: Fraction | None, share: Share
) -> tuple[list[Step], Fraction, Fraction | None]:
    """Included usage comes off first. Returns its step, the units left, and where those begin in the tiers."""
    if not number(terms["included"]):
        return [], units, before
    allowance = number(terms["included"]) * part_of_one(share)
    used = before or ZERO
    free = min(allowance, used + units) - min(allowance, used)
    step = Step("included", ZERO, quantity=free, up_to=allowance, share=share)
    return [step] if free else [], units - free, None if before is None else used - min(allowance, used)


def _charged(
    charge: Document, billed: Fraction, count: Fraction, before: Fraction | None, share: Share
) -> Iterator[Step]:
    """The charge model: what the billed units cost. `before` is where in the tiers the first of them falls."""
    model, start = charge["model"], before or ZERO
    if model == "flat":
        amount = number(charge["amount"])
        yield Step("fee", amount, quantity=billed, base=ONE, unit_amount=amount)
    elif model == "per_unit":
        price = number(charge["unit_amount"])
        yield Step("units", billed * price, quantity=billed, base=billed, unit_amount=price)
    elif model in ("graduated", "graduated_percentage"):
        yield from _graduated(charge, billed, before, share)
    elif model == "volume":
        yield from _volume(charge, billed, before, share)
    elif model == "stairstep":
        yield from _stairstep(charge, billed, before, share)
    elif model == "package":
        size, amount = number(charge["size"]), number(charge["amount"])
        sold = billed / size
        if charge["counting"] == "whole":
            # One that was begun before is used up before the next is charged.
            sold = Fraction(rounded_up((start + billed) / size) - rounded_up(start / size))
        yield Step("packages", sold * amount, quantity=billed, base=sold, unit_amount=amount)
    elif model == "percentage":
        percent, fixed = number(charge["percent"]), number(charge["fixed_amount"])
        yield Step("percent", billed * percent * PER_CENT, quantity=billed, base=billed, percent=percent)
        yield Step("count_fee", count * fixed, base=count, unit_amount=fixed, note=charge["count_meter"])
    else:
        raise NotInForm(f"{model!r} is not a charge model")


def _bounds(tier: Document, share: Share) -> tuple[Fraction, Fraction | None]:
    """Above which quantity a tier begins and with which it ends; None for the last one, which is open."""
    part = part_of_one(share)
    up_to = tier["up_to"]
    return number(tier["above"]) * part, None if up_to is None else number(up_to) * part


def _tier_number(charge: Document, quantity: Fraction, share: Share) -> int:
    """Which tier a quantity falls in, from 1; a bound itself belongs to the lower one."""
    for position, tier in enumerate(charge["tiers"], 1):
        up_to = _bounds(tier, share)[1]
        if up_to is None or quantity <= up_to:
            return position
    raise NotInForm("the last tier of a price is not open")


def _tier_units(charge: Document, position: int, quantity: Fraction, share: Share) -> Step:
    tier = charge["tiers"][position - 1]
    above, up_to = _bounds(tier, share)
    step = Step("tier", ZERO, quantity=quantity, base=quantity, tier=position, above=above, up_to=up_to)
    if charge["model"] == "graduated_percentage":
        percent = number(tier["percent"])
        return replace(step, percent=percent, amount=quantity * percent * PER_CENT)
    price = number(tier["unit_amount"])
    return replace(step, unit_amount=price, amount=quantity * price)


def _tier_fee(charge: Document, position: int, share: Share) -> Step:
    tier = charge["tiers"][position - 1]
    above, up_to = _bounds(tier, share)
    fee = number(tier["flat_amount"])
    return Step(
        "tier_fee", fee * part_of_one(share), base=ONE, unit_amount=fee, share=share, tier=position, above=above,
        up_to=up_to,
    )  # fmt: skip


def _graduated(charge: Document, billed: Fraction, before: Fraction | None, share: Share) -> Iterator[Step]:
    """Each tier's units at that tier's price, and its flat amount when its first unit falls in it."""
    start = before or ZERO
    end = start + billed
    for position, tier in enumerate(charge["tiers"], 1):
        above, up_to = _bounds(tier, share)
        inside = (end if up_to is None else min(end, up_to)) - max(start, above)
        if inside > 0:
            yield _tier_units(charge, position, inside, share)
        if position == 1 and charge["flat_at_zero"]:
            is_due = before is None
        else:
            is_due = inside > 0 and start <= above
        if is_due:
            yield _tier_fee(charge, position, share)


def _volume(charge: Document, billed: Fraction, before: Fraction | None, share: Share) -> Iterator[Step]:
    """The new units at the price of the tier that all of them together reach."""
    start = before or ZERO
    position = _tier_number(charge, start + billed, share)
    yield _tier_units(charge, position, billed, share)
    if position == 1 and charge["flat_at_zero"]:
        is_due = before is None
    else:
        is_due = billed > 0 and (not start or _tier_number(charge, start, share) != position)
    if is_due:
        yield _tier_fee(charge, position, share)


def _stairstep(charge: Document, billed: Fraction, before: Fraction | None, share: Share) -> Iterator[Step]:
    """The amount of the tier that is reached, less the amount of the one that was reached before."""

    def reached_by(quantity: Fraction) -> int | None:
        return _tier_number(charge, quantity, share) if quantity or charge["flat_at_zero"] else None

    reached = reached_by((before or ZERO) + billed)
    earlier = None if before is None else reached_by(before)
    if reached is None:
        return
    fee = replace(_tier_fee(charge, reached, share), quantity=billed)
    if earlier == reached:
        yield replace(fee, base=ZERO, amount=ZERO)
        return
    yield fee
    if earlier is not None:
        yield _tier_fee(charge, earlier, share).taken_back()


def _adjusted(steps: list[Step], terms: Document, share: Share, had: dict[str, Had]) -> list[Step]:
    """Discounts one after the other, then what lifts to the minimum, then what lowers to the maximum.

    A fixed one holds once for this line and what `had` says of plans before it, and is written there.
    """
    adjusted = list(steps)

    def reached() -> Fraction:
        return sum((step.amount for step in adjusted), ZERO)

    def add(step: Step) -> None:
        if step.amount:
            adjusted.append(step)

    def add_once(place: str, kind: str, stated: Document) -> None:
        fixed, own = number(stated["amount"]), share if stated["is_prorated"] else WHOLE
        earlier, base, figure = had.get(place), reached(), fixed * part_of_one(own)
        if earlier is not None:
            base += earlier.base
            if stated["is_prorated"] and earlier.is_prorated:
                figure += earlier.figure
        floor = _not_taken_back(kind, figure, earlier)
        due = _due_once(kind, base, max(figure, floor))
        had[place] = Had(place, stated["is_prorated"], figure, base, due, floor)
        if earlier is None:
            add(Step(kind, due, base=_shown(kind, base), unit_amount=fixed, share=own))
        elif due != earlier.amount:
            add(_step_so_far(kind, had[place]))
            add(_step_so_far(kind, earlier).taken_back())

    fixed_before = 0
    for discount in terms["discounts"]:
        if discount["percent"] is None:
            fixed_before += 1
            add_once(f"discount {fixed_before}", "discount", discount)
        else:
            add(_discount_step(discount, reached(), share))
    for kind in ("minimum", "maximum"):
        if terms[kind]:
            add_once(kind, kind, terms[kind])
    return adjusted


def _due_once(kind: str, base: Fraction, figure: Fraction) -> Fraction:
    """What a discount by an amount takes off, what lifts to a minimum, or what lowers to a maximum."""
    if kind == "discount":
        return -min(max(base, ZERO), figure)
    return max(ZERO, figure - base) if kind == "minimum" else min(ZERO, figure - base)


def _not_taken_back(kind: str, figure: Fraction, earlier: Had | None) -> Fraction:
    """What plans before it were charged under a higher bound, which this one gives nothing back of."""
    if earlier is None:
        return ZERO
    is_charge = kind == "maximum" or (kind == "minimum" and earlier.amount)
    is_lower = figure < earlier.figure
    return max(earlier.floor, earlier.base + earlier.amount) if is_charge and is_lower else earlier.floor


def _step_so_far(kind: str, had: Had) -> Step:
    """What is due once for all plans so far; where the plan's own figure would give back, the one that was charged."""
    if had.amount == _due_once(kind, had.base, had.figure):
        return Step(kind, had.amount, base=_shown(kind, had.base), unit_amount=had.figure)
    return Step(kind, had.amount, base=had.base, unit_amount=had.base + had.amount, note="charged before")


def _shown(kind: str, base: Fraction) -> Fraction:
    """A discount is of nothing where more comes back than is charged."""
    return max(base, ZERO) if kind == "discount" else base


def _discount_step(discount: Document, amount: Fraction, share: Share) -> Step:
    """What a discount takes off, never more than there is; a percent is of what comes back too."""
    if discount["percent"] is not None:
        percent = number(discount["percent"])
        return Step("discount", -amount * percent * PER_CENT, base=amount, percent=percent)
    base = max(amount, ZERO)
    fixed, own = number(discount["amount"]), share if discount["is_prorated"] else WHOLE
    return Step("discount", -min(base, fixed * part_of_one(own)), base=base, unit_amount=fixed, share=own)


@dataclass(frozen=True)
class Priced:
    """What a line comes to: steps with their minor units, and the amount, rounded once."""

    metered: Fraction = ZERO
    billed: Fraction = ZERO
    steps: tuple[Step, ...] = ()
    minor: int = 0


def priced(terms: Document, quantity: Fraction, count: Fraction, part: Part) -> Priced:
    """Apply a price: the sum of the steps is rounded once, and its minor units are allotted to the steps."""
    steps = steps_of(terms, quantity, count, part)
    return _with_minor_units(terms, quantity, steps, _rounded_sum(terms, steps))


def priced_behind(
    terms: Document, quantity: Fraction, count: Fraction, part: Part, before: tuple[Fraction, Fraction] | None
) -> Priced:
    """What a quantity adds to a quantity and count before it: the difference of two rounded amounts."""
    if before is None:
        return priced(terms, quantity, count, part)
    old = steps_of(terms, *before, part)
    new = steps_of(terms, before[0] + quantity, before[1] + count, part)
    minor = _rounded_sum(terms, new) - _rounded_sum(terms, old)
    return _with_minor_units(terms, quantity, list(_steps_less(new, old)), minor)


def _rounded_sum(terms: Document, steps: Sequence[Step]) -> int:
    return rounded(sum((step.amount for step in steps), ZERO) * minor_units(terms["currency"]))


def _with_minor_units(terms: Document, quantity: Fraction, steps: Sequence[Step], minor: int) -> Priced:
    units = minor_units(terms["currency"])
    allotted = allot(minor, {position: step.amount * units for position, step in enumerate(steps)})
    return Priced(
        metered=quantity,
        billed=sum((step.quantity for step in steps if step.kind not in ("included", "exempt")), ZERO),
        steps=tuple(replace(step, amount_minor=allotted[position]) for position, step in enumerate(steps)),
        minor=minor,
    )


def less(after: Priced, before: Priced) -> Priced:
    """What one has more than the other, step by step; what is no sum is taken back and stands anew."""
    return Priced(
        metered=after.metered - before.metered,
        billed=after.billed - before.billed,
        steps=tuple(_steps_less(after.steps, before.steps)),
        minor=after.minor - before.minor,
    )


def _steps_less(after: Sequence[Step], before: Sequence[Step]) -> Iterator[Step]:
    remaining = _by_place(before)
    found = []
    for place, step in _by_place(after).items():
        earlier = remaining.get(place)
        if earlier is None or not (step.is_sum or step == earlier):
            found.append(step)
            continue
        del remaining[place]
        found.append(
            replace(
                step, quantity=step.quantity - earlier.quantity, base=step.base - earlier.base,
                amount=step.amount - earlier.amount, amount_minor=step.amount_minor - earlier.amount_minor,
            )
        )  # fmt: skip
    found += [step.taken_back() for step in remaining.values()]
    return (step for step in found if step.quantity or step.amount or step.amount_minor)


def _by_place(steps: Sequence[Step]) -> dict[Any, Step]:
    """Steps by what they are for; several that are for the same are told apart by their turn."""
    found: dict[Any, Step] = {}
    for step in steps:
        place = (step.kind, step.tier, step.unit_amount, step.percent, step.share, step.is_taken_back)
        turn = 1
        while (*place, turn) in found:
            turn += 1
        found[(*place, turn)] = step
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Bills and meters as the files have them
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    """A stretch of the billing period on one plan, or with one add-on, with all its prices."""

    start: datetime
    end: datetime
    policy: str
    counts: Document
    is_first: bool
    add_on: int | None
    sheet: Document


@dataclass(frozen=True)
class Meter:
    """One version of a meter: in which unit, and how the quantities of several windows become one."""

    key: str
    version: int
    unit: str
    aggregation: str
    unique_dimensions: tuple[str, ...]
    retired_at: datetime | None


class Bill:
    """An issued bill: its document, and what is often asked of it."""

    def __init__(self, document: Document) -> None:
        if document["version"] != BILL_VERSION:
            raise NotInForm(
                f"a bill is of version {document['version']!r}, this program reads {BILL_VERSION}"
            )
        self.head: Document = document["invoice"]
        self.lines: Sequence[Document] = document["lines"]
        self.details: Document = self.head["details"]
        self.number: str = self.head["number"]
        self.currency: str = self.head["currency"]
        self.start, self.end = instant(self.head["period_start"]), instant(self.head["period_end"])
        self.by_key = {line["key"]: line for line in self.lines}
        first, end = self.details["whole"]
        self.whole = (instant(first), instant(end))
        self.plans = [_segment(each) for each in self.details["segments"]]
        self.add_ons = [_segment(each) for each in self.details["add_ons"]]
        self.taxes: Document = self.details["taxes"]
        if len(self.by_key) != len(self.lines):
            raise NotInForm(f"bill {self.number} has two lines of one key")


def _segment(document: Document) -> Segment:
    return Segment(
        start=instant(document["start"]),
        end=instant(document["end"]),
        policy=document["policy"],
        counts=document["counts"],
        is_first=document["is_first"],
        add_on=document["add_on_id"],
        sheet=document["sheet"],
    )


def line_key(*parts: str) -> str:
    """The name of a line: its parts, or a hash of them where they are too long or hold a colon themselves."""
    key = ":".join(parts)
    if len(key) <= 300 and not any(":" in part for part in parts):
        return key
    text = "\n".join(f"{len(part)} {part}" for part in parts)
    return f"{parts[0]}:{hashlib.sha256(text.encode()).hexdigest()}"


def expected_line(
    key: str, kind: str, name: str, start: datetime, end: datetime, **more: Any
) -> dict[str, Any]:
    """A line as it must be, in the form of the files."""
    return {
        "key": key, "kind": kind, "name": name, "price_key": "", "plan_key": "", "plan_version": None,
        "meter_key": "", "meter_version": None, "values": {}, "service_start": start.isoformat(),
        "service_end": end.isoformat(), "metered_quantity": None, "billed_quantity": "", "unit": "", "terms": None,
        "segment": part_document(Part()), "steps": [], "allotted": {}, "taxes": [], "takes_credit": False,
        "amount_minor": "0", **more,
    }  # fmt: skip


def minor_of(line: Document) -> int:
    """What a line comes to, in minor units."""
    value = number(line["amount_minor"])
    if value.denominator != 1:
        raise NotInForm(f"line {line['key']} is not in whole minor units")
    return value.numerator


def priced_of(line: Document | None) -> Priced:
    """What a line says it comes to; without one, nothing."""
    if line is None:
        return Priced()
    return Priced(
        metered=ZERO if line["metered_quantity"] is None else number(line["metered_quantity"]),
        billed=number(line["billed_quantity"]) if line["billed_quantity"] else ZERO,
        steps=tuple(step_of(step) for step in line["steps"]),
        minor=minor_of(line),
    )


def with_figures(line: Document, found: Priced) -> dict[str, Any]:
    """The line with other figures; it keeps having quantities or not."""
    # Where it stands on another bill says nothing of this one.
    kept = {name: value for name, value in line.items() if name != "position"}
    return {
        **kept,
        "metered_quantity": None if line["metered_quantity"] is None else number_text(found.metered),
        "billed_quantity": number_text(found.billed) if line["billed_quantity"] else "",
        "steps": [step_document(step) for step in found.steps],
        "amount_minor": str(found.minor),
    }


# ---------------------------------------------------------------------------------------------------------------------
# The records: what was metered in each segment of a bill
# ---------------------------------------------------------------------------------------------------------------------

# Quantities of one meter in one segment, by the values of the dimensions that its price goes by.
Quantities = dict[tuple[str, ...], Fraction]
Metered = dict[tuple[int, Meter], Quantities]
NINE_PLACES = 10**9


def price_of(sheet: Document, meter: Meter) -> Document | None:
    """The price for a meter in its unit; a price in another unit is for another thing."""
    for price in sheet["prices"]:
        if price["meter_key"] == meter.key and all(
            terms["unit"] == meter.unit for _, terms in cells_of(price)
        ):
            return price
    return None


def cells_of(price: Document) -> list[tuple[tuple[str, ...], Document]]:
    """The values and terms of each cell of a price; the rest, or the only terms, last and without values."""
    cells = [(tuple(cell["values"]), cell["terms"]) for cell in price["cells"]]
    return [*cells, ((), price["terms"])] if price["terms"] else cells


def dimensions_of(sheet: Document, meter: Meter) -> tuple[str, ...]:
    """By which dimensions the quantities of a meter are told apart."""
    for price in sheet["prices"]:
        if price["meter_key"] == meter.key and price["dimensions"]:
            return tuple(price["dimensions"])
    return ()


class Tally:
    """The records of one meter in one segment, put together as its aggregation says."""

    def __init__(self, meter: Meter, dimensions: tuple[str, ...]) -> None:
        self.meter = meter
        self.dimensions = dimensions
        self.records = 0
        self._sums: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
        self._by_series: dict[tuple[tuple[str, ...], str], Fraction] = {}
        self._windows: dict[tuple[str, ...], set[tuple[Any, str]]] = defaultdict(set)

    def add(self, record: Document, about: Document) -> None:
        """Count one record. Those of a series come in the order of time, so that the last one is the latest."""
        self.records += 1
        values = tuple(about.get(name) or "" for name in self.dimensions)
        quantity = number(record["quantity"])
        aggregation = self.meter.aggregation
        if aggregation == "sum":
            self._sums[values] += quantity
        elif aggregation == "count":
            self._sums[values] += 1
        elif aggregation == "time_weighted_sum":
            self._sums[values] += quantity * number(record["window_seconds"])
        elif aggregation == "unique_count":
            same = tuple(about.get(name) for name in self.meter.unique_dimensions)
            if quantity > 0:
                self._windows[values].add((same, record["window_start"]))
        elif aggregation in ("max", "latest"):
            place = (values, record["series"])
            known = self._by_series.get(place)
            self._by_series[place] = (
                max(known, quantity) if known is not None and aggregation == "max" else quantity
            )
        else:
            raise NotInForm(f"{aggregation!r} is not a way to put quantities together")

    def quantities(self) -> Quantities:
        """The quantity by values; hours of something held are rounded to nine places."""
        found: dict[tuple[str, ...], Fraction] = defaultdict(Fraction, self._sums)
        for values, windows in self._windows.items():
            found[values] += len(windows)
        for (values, _), quantity in self._by_series.items():
            found[values] += quantity
        if self.meter.aggregation == "time_weighted_sum":
            found = {
                key: Fraction(rounded(sum_ / 3600 * NINE_PLACES), NINE_PLACES) for key, sum_ in found.items()
            }
        return dict(found)


def read_records(
    proof: Proof, bill: Bill, meters: Sequence[Meter], not_billed: frozenset[str]
) -> tuple[Metered, int]:
    """Sum the records of a bill's period by segment and meter; sources that are not billed are left out."""
    metered: Metered = {}
    count = 0
    edges = [(f"{plan.start:%Y-%m-%dT%H:%M:%SZ}", f"{plan.end:%Y-%m-%dT%H:%M:%SZ}") for plan in bill.plans]
    by_name = {(meter.key, meter.version): meter for meter in meters}
    for name, said in sorted(proof.members.items()):
        if said.get("records_of") != bill.number:
            continue
        meter = by_name.get((said["meter"], said["meter_version"]))
        if meter is None:
            raise NotInForm(f"{name} is of a meter that meters.json does not name")
        tallies = [Tally(meter, dimensions_of(plan.sheet, meter)) for plan in bill.plans]
        for record in proof.rows(name):
            if record["source"] in not_billed:
                continue
            for (start, end), tally in zip(edges, tallies):
                if start <= record["window_start"] < end:
                    tally.add(record, _about(record["dimensions"]))
        for position, tally in enumerate(tallies):
            metered[position, meter] = tally.quantities()
            count += tally.records
    return metered, count


@lru_cache(maxsize=4096)
def _about(text: str) -> Document:
    found = json.loads(text, object_pairs_hook=_without_repetition)
    if not isinstance(found, dict):
        raise NotInForm("the dimensions of a record are not a JSON object")
    return found


def metered_as_billed(bill: Bill, meters: Sequence[Meter]) -> Metered:
    """The quantities that the lines themselves say, for a bill whose records are archived."""
    metered: Metered = {(position, meter): {} for position in range(len(bill.plans)) for meter in meters}
    for line in bill.lines:
        if line["kind"] != "charge" or not line["meter_key"]:
            continue
        position = next(
            n for n, plan in enumerate(bill.plans) if plan.start == instant(line["service_start"])
        )
        meter = next(m for m in meters if (m.key, m.version) == (line["meter_key"], line["meter_version"]))
        # A line without values is for all that has no cell of its own; any other value stands for that.
        names = dimensions_of(bill.plans[position].sheet, meter)
        values = tuple(line["values"].get(name, "\0") for name in names)
        metered[position, meter][values] = number(line["metered_quantity"])
        for step in line["steps"]:
            if step["kind"] == "count_fee":
                counted = next((m for m in meters if m.key == step["note"]), None)
                if counted is not None and not metered[position, counted]:
                    metered[position, counted] = {(): number(step["base"])}
    return metered


# ---------------------------------------------------------------------------------------------------------------------
# The lines of a bill: usage and fees
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One segment's part of what a meter's usage with one set of values goes through, plan after plan."""

    position: int
    meter: Meter
    segment: Segment
    price: Document
    terms: Document
    quantity: Fraction
    count: Fraction


# What usage of one meter, in one unit and with one set of values, goes through, plan after plan.
Chain = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def usage_lines(
    bill: Bill, meters: Sequence[Meter], metered: Metered
) -> tuple[list[dict[str, Any]], dict[Any, Fraction], set[str]]:
    """A line for each price, set of values, segment and version; usage that no price is for, by meter.

    And the keys of prices that cannot be applied to what was used.
    """
    unrated: set[str] = set()
    chains: dict[Chain, list[Place]] = {}
    unpriced: dict[Any, Fraction] = defaultdict(Fraction)
    for position, segment in enumerate(bill.plans):
        for meter in meters:
            found = metered.get((position, meter), {})
            price = price_of(segment.sheet, meter)
            if price is None:
                unpriced[meter.key, meter.unit] += sum(found.values(), ZERO)
                continue
            # What has a price has a line though nothing was used: that of the version in force then.
            is_due = is_in_force(meter, meters, segment.end)
            try:
                for names, values, terms, quantity in _cells_used(price, found):
                    if quantity or is_due:
                        count = _count(terms, position, metered)
                        place = Place(position, meter, segment, price, terms, quantity, count)
                        chains.setdefault((meter.key, meter.unit, names, values), []).append(place)
            except NoPrice:
                unrated.add(price["key"])
    lines: list[dict[str, Any]] = []
    for (_, _, names, values), chain in chains.items():
        # A value that was used in one segment has its place in all of them, for tiers that go on or are shared.
        if values and not any(place.quantity for place in chain):
            continue
        try:
            for run in _runs_without_a_hole(chain):
                lines += list(_lines_of(bill, names, values, run))
        except NoPrice:
            unrated |= {place.price["key"] for place in chain}
    return lines, {key: total for key, total in unpriced.items() if total}, unrated


def usage_key(position: int, price: Document, meter: Meter, values: tuple[str, ...]) -> str:
    """The name of a line for usage."""
    return line_key("usage", str(position), price["key"], str(meter.version), *values)


def is_in_force(meter: Meter, meters: Sequence[Meter], at: datetime) -> bool:
    """Whether a version is the first that was not retired before an instant, or the last of all."""
    versions = [other for other in meters if other.key == meter.key]
    lasting = [other.version for other in versions if other.retired_at is None or other.retired_at >= at]
    return meter.version == (min(lasting) if lasting else max(other.version for other in versions))


def _cells_used(
    price: Document, found: Quantities
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Document, Fraction]]:
    """Which quantity falls in which cell: names and values of its dimensions, terms and quantity."""
    terms_of = dict(cells_of(price))
    if not price["dimensions"]:
        yield (), (), terms_of[()], sum(found.values(), ZERO)
        return
    quantities = dict.fromkeys(terms_of, ZERO)
    for values, quantity in found.items():
        cell = values if values in terms_of else ()
        if quantity and cell not in terms_of:
            raise NoPrice(f"no price for {', '.join(values)}")
        if quantity:
            quantities[cell] += quantity
    for values, quantity in quantities.items():
        yield tuple(price["dimensions"]) if values else (), values, terms_of[values], quantity


def _count(terms: Document, position: int, metered: Metered) -> Fraction:
    """How often the meter counted whose every count has an amount."""
    name = terms["charge"].get("count_meter")
    return sum(
        (
            sum(found.values(), ZERO)
            for (at, meter), found in metered.items()
            if name and at == position and meter.key == name
        ),
        ZERO,
    )


def _runs_without_a_hole(chain: Sequence[Place]) -> Iterator[list[list[Place]]]:
    """The chain by segments; where a plan in between had no such price, tiers begin anew."""
    by_segment: dict[int, list[Place]] = {}
    for place in chain:
        by_segment.setdefault(place.position, []).append(place)
    run: list[list[Place]] = []
    for versions in map(_versions_used, by_segment.values()):
        if run and run[-1][0].segment.end != versions[0].segment.start:
            yield run
            run = []
        run.append(versions)
    yield run


def _versions_used(versions: Sequence[Place]) -> list[Place]:
    """The versions of a meter that were used in a segment, the older first; one if none was."""
    in_order = sorted(versions, key=lambda place: place.meter.version)
    return [place for place in in_order if place.quantity] or in_order[-1:]


def _lines_of(
    bill: Bill, names: tuple[str, ...], values: tuple[str, ...], run: Sequence[Sequence[Place]]
) -> Iterator[dict[str, Any]]:
    for versions, part in _parts(bill, run):
        # A version's line is what it adds to the older ones': nothing is included or due twice.
        before: tuple[Fraction, Fraction] | None = None
        for place in versions:
            count = place.count if before is None else ZERO
            found = priced_behind(place.terms, place.quantity, count, part, before)
            # Of a value, a segment in which it was not used and costs nothing says nothing.
            if len(versions) > 1 or not values or found.metered or found.steps:
                yield _usage_line(bill, names, values, place, part, found)
            quantity, counted = before or (ZERO, ZERO)
            before = (quantity + place.quantity, counted + count)


def _usage_line(
    bill: Bill, names: tuple[str, ...], values: tuple[str, ...], place: Place, part: Part, found: Priced
) -> dict[str, Any]:
    sheet, price, meter = place.segment.sheet, place.price, place.meter
    return expected_line(
        usage_key(place.position, price, meter, values), "charge", price["name"], place.segment.start,
        place.segment.end, price_key=price["key"], plan_key=sheet["plan_key"], plan_version=sheet["version"],
        meter_key=meter.key, meter_version=meter.version, values=dict(zip(names, values)),
        metered_quantity=number_text(found.metered), billed_quantity=number_text(found.billed),
        unit=priced_unit(place.terms), terms=place.terms, segment=part_document(part),
        steps=[step_document(step) for step in found.steps],
        taxes=_taxes(bill) if price["is_taxable"] else [], takes_credit=price["takes_credit"],
        amount_minor=str(found.minor),
    )  # fmt: skip


def _parts(bill: Bill, run: Sequence[Sequence[Place]]) -> Iterator[tuple[Sequence[Place], Part]]:
    """What changes of plan leave of tiers and included usage for each segment, by the policy of each change."""
    stretches: list[list[Sequence[Place]]] = []
    for position, versions in enumerate(run):
        if position and versions[0].segment.policy == "continue":
            stretches[-1].append(versions)
        else:
            stretches.append([versions])
    for stretch in stretches:
        first, last = stretch[0][0].segment, stretch[-1][0].segment
        # The plan that follows may have no such price, and its change still leaves this one its part.
        behind = bill.plans[stretch[-1][0].position + 1 :][:1]
        tier_share = WHOLE
        if "shared_by_time" in (first.policy, *(segment.policy for segment in behind)):
            tier_share = share_of(first.start, last.end, bill.whole)
        before: tuple[Fraction, Fraction] | None = None
        had: tuple[Had, ...] = ()
        for versions in stretch:
            segment = versions[0].segment
            share = share_of(segment.start, segment.end, bill.whole)
            part = Part(share=share, tier_share=tier_share, before=before, had=had)
            yield versions, part
            quantity, count = before or (ZERO, ZERO)
            together = sum((place.quantity for place in versions), ZERO)
            before = (quantity + together, count + versions[0].count)
            had = _steps_and_had(versions[0].terms, together, versions[0].count, part)[1]


def priced_unit(terms: Document) -> str:
    """The unit that a price is for."""
    conversion = terms["conversion"]
    return str(conversion["unit"] if conversion else terms["unit"])


def _taxes(bill: Bill) -> list[str]:
    return list(bill.taxes)


@dataclass(frozen=True)
class Held:
    """How long a fee of one plan was held with one count."""

    start: datetime
    end: datetime
    sheet: Document
    price: Document
    count: Fraction
    is_first: bool
    add_on: int | None

    @property
    def fee(self) -> tuple[str, str, int | None]:
        """What makes two of these the same fee."""
        return self.sheet["plan_key"], self.price["key"], self.add_on


def fees_held(bill: Bill) -> list[Held]:
    """Fees in the order of time; neighbouring segments with the same terms and count are one stretch."""
    stretches: list[Held] = []
    last: dict[Any, int] = {}
    for segment in (*bill.plans, *bill.add_ons):
        for price in segment.sheet["prices"]:
            if price["meter_key"] or not price["terms"]:
                continue
            count = number(segment.counts.get(price["key"], "0")) if price["is_counted"] else ONE
            held = Held(
                segment.start, segment.end, segment.sheet, price, count, segment.is_first, segment.add_on
            )
            place = last.get(held.fee)
            if place is not None and _goes_on(stretches[place], held):
                stretches[place] = replace(stretches[place], end=held.end)
                continue
            last[held.fee] = len(stretches)
            stretches.append(held)
    return sorted(stretches, key=lambda held: held.start)


def _goes_on(before: Held, held: Held) -> bool:
    is_same = (before.price["terms"], before.count) == (held.price["terms"], held.count)
    return is_same and before.end == held.start


def fees_due(bill: Bill, timing: str) -> Iterator[dict[str, Any]]:
    """The lines of fees with one timing: those charged by time for each stretch, any other once for its plan."""
    seen = set()
    for held in fees_held(bill):
        terms = held.price["terms"]
        if terms["timing"] != timing or (timing == "once" and not held.is_first):
            continue
        if terms["is_prorated"] or held.fee not in seen:
            yield _fee_line(bill, held)
        seen.add(held.fee)


def _fee_line(bill: Bill, held: Held) -> dict[str, Any]:
    price, terms = held.price, held.price["terms"]
    part = Part(share=share_of(held.start, held.end, bill.whole))
    found = priced(terms, held.count, ZERO, part)
    add_on = () if held.add_on is None else (str(held.add_on),)
    key = line_key("fee", held.sheet["plan_key"], price["key"], f"{held.start:%Y%m%dT%H%M%S}", *add_on)
    is_counted = price["is_counted"]
    return expected_line(
        key, "charge", price["name"], held.start, held.end, price_key=price["key"],
        plan_key=held.sheet["plan_key"], plan_version=held.sheet["version"],
        metered_quantity=number_text(held.count) if is_counted else None,
        billed_quantity=number_text(found.billed) if is_counted else "", unit=priced_unit(terms), terms=terms,
        segment=part_document(part), steps=[step_document(step) for step in found.steps],
        taxes=_taxes(bill) if price["is_taxable"] else [], takes_credit=price["takes_credit"],
        amount_minor=str(found.minor),
    )  # fmt: skip


def is_fee_ahead(line: Document) -> bool:
    """Whether a line is a fee in advance, and not what comes back of one."""
    is_fee = line["kind"] == "charge" and not line["meter_key"] and line["terms"] is not None
    return is_fee and line["terms"]["timing"] == "in_advance" and not line["key"].startswith("correction:")


def fees_ahead(bill: Bill) -> Iterator[dict[str, Any]]:
    """Fees in advance for the following period. Its prices are on the next bill, so the line's own are taken."""
    for line in bill.lines:
        if not is_fee_ahead(line) or instant(line["service_start"]) < bill.whole[1]:
            continue
        seconds, of_seconds = _share(line["segment"]["share"])
        start, end = instant(line["service_start"]), instant(line["service_end"])
        seconds = (end - start) // timedelta(seconds=1)
        part = Part(share=(seconds, of_seconds))
        count = ONE if line["metered_quantity"] is None else number(line["metered_quantity"])
        found = priced(line["terms"], count, ZERO, part)
        kept = ("price_key", "plan_key", "plan_version", "metered_quantity", "terms", "takes_credit")
        yield expected_line(
            line["key"], "charge", line["name"], start, end, **{name: line[name] for name in kept},
            billed_quantity="" if line["metered_quantity"] is None else number_text(found.billed),
            unit=priced_unit(line["terms"]), segment=part_document(part),
            steps=[step_document(step) for step in found.steps],
            taxes=_taxes(bill) if line["taxes"] else [], amount_minor=str(found.minor),
        )  # fmt: skip


def fees_settled(
    bill: Bill, earlier: Sequence[Bill], left_out: Mapping[str, set[str]]
) -> Iterator[dict[str, Any]]:
    """What was billed ahead for this period and not used comes back; what was used and not billed is charged.

    `left_out` are fees that come back by making their bills again, by the bills' numbers.
    """
    due = {line["key"]: line for line in fees_due(bill, "in_advance")}
    for before, line in _billed_ahead(bill, earlier):
        if line["key"] in left_out.get(before.number, ()):
            continue
        same = due.pop(line["key"], None)
        found = _change_of_fee(same, line)
        if found is not None:
            yield {
                **with_figures(line, found),
                "key": line_key("correction", before.number, line["key"]),
                "allotted": {},
                "taxes": [name for name in line["taxes"] if name in bill.taxes],
                "takes_credit": False,
            }
    yield from due.values()


def _billed_ahead(bill: Bill, earlier: Sequence[Bill]) -> Iterator[tuple[Bill, Document]]:
    """The fees for this bill's period that others had in advance."""
    for before in earlier:
        for line in before.lines:
            is_for_this = (
                bill.start <= instant(line["service_start"]) and instant(line["service_end"]) <= bill.whole[1]
            )
            is_this = (before.head["kind"], before.start) == (bill.head["kind"], bill.start)
            if is_fee_ahead(line) and is_for_this and not is_this:
                yield before, line


def _change_of_fee(due: Document | None, billed: Document) -> Priced | None:
    """How much more a fee comes to than was billed of it; None where it is as it was billed."""
    names = ("amount_minor", "service_start", "service_end", "steps")
    if due is not None and all(due[name] == billed[name] for name in names):
        return None
    found = less(priced_of(due), priced_of(billed))
    return found if found.minor or found.steps else None


def fees_left_out(bill: Bill, earlier: Sequence[Bill], corrected: Sequence[str]) -> dict[str, set[str]]:
    """Which fees billed ahead are no part of the bills that are made again, by the bills' numbers.

    Those for a time after the end of a subscription that this bill closes. On any other bill, all that comes back of
    a bill if one of its fees would be given back otherwise than it was paid; of one that is not made again, what came
    to nothing.
    """
    found: dict[str, set[str]] = defaultdict(set)
    if bill.head["kind"] == "closing":
        for before in earlier:
            late = [line for line in before.lines if instant(line["service_start"]) >= bill.end]
            found[before.number] |= {line["key"] for line in late if is_fee_ahead(line)}
        return found
    due = {line["key"]: line for line in fees_due(bill, "in_advance")}
    unlike = set()
    for before, line in _billed_ahead(bill, earlier):
        if _change_of_fee(due.get(line["key"]), line) is not None:
            if before.number in corrected or not (minor_of(line) or line["steps"]):
                found[before.number].add(line["key"])
            if not _is_borne_alike(bill, before, line):
                unlike.add(before.number)
    return {name: keys for name, keys in found.items() if name in unlike}


def _is_borne_alike(bill: Bill, before: Bill, line: Document) -> bool:
    """Whether a charge on this bill has the discounts and taxes that a line had on its own, and no amount decides."""
    percents = [
        [number(one["percent"]) for one in each.plans[-1].sheet["discounts"] if one["percent"] is not None]
        if each.plans
        else []
        for each in (bill, before)
    ]
    taxes = [{name: number(percent) for name, percent in each.taxes.items()} for each in (bill, before)]
    is_taxed_alike = taxes[0] == taxes[1] or bool(taxes[1] and not line["taxes"])
    # An opening bill has neither bounds nor a discount by an amount.
    plans = [*bill.plans, *(() if before.head["kind"] == "opening" else before.plans)]
    # A credit after tax is allotted to no line, for it pays a part of everything.
    paid = [one["allotted"] for one in before.lines if one["kind"] == "credit"]
    is_paid = any(not allotted or allotted.get(line["key"]) for allotted in paid)
    is_by_amount = any(_goes_by_amount(plan.sheet) for plan in plans)
    return percents[0] == percents[1] and is_taxed_alike and not (is_by_amount or is_paid)


def _goes_by_amount(sheet: Document) -> bool:
    has_amount = any(one["amount"] is not None for one in sheet["discounts"])
    return has_amount or sheet["minimum"] is not None or sheet["maximum"] is not None


# ---------------------------------------------------------------------------------------------------------------------
# The bill as a whole: discounts, minimum, maximum, credits and taxes
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Credit:
    """Money that may be used instead of paying, as it stood when the bill was made."""

    key: str
    name: str
    kind: str
    remaining: int
    granted_at: datetime
    expires_at: datetime | None
    priority: int
    covers: frozenset[str] | None
    is_before_tax: bool


def credits_of(bill: Bill) -> list[Credit]:
    """The credits that a bill had to take from."""
    return [
        Credit(
            key=each["key"],
            name=each["name"],
            kind=each["kind"],
            remaining=each["remaining_minor"],
            granted_at=instant(each["granted_at"]),
            expires_at=instant(each["expires_at"]) if each["expires_at"] else None,
            priority=each["priority"],
            covers=None if each["covers"] is None else frozenset(each["covers"]),
            is_before_tax=each["is_before_tax"],
        )
        for each in bill.details["credits"]
    ]


@dataclass
class Whole:
    """A bill while it is put together: its lines so far, and what is left of each after what was taken off it."""

    bill: Bill
    lines: list[Document] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)

    def add(self, line: Document) -> None:
        """Put a line on the bill."""
        self.lines.append(line)
        self.left[line["key"]] = 0 if line["allotted"] else minor_of(line)
        for key, minor in line["allotted"].items():
            self.left[key] += minor

    def make(self, key: str, kind: str, name: str, minor: int, **more: Any) -> None:
        """Put a line on the bill that follows from the others."""
        start, end = self.bill.start, self.bill.end
        self.add(expected_line(key, kind, name, start, end, amount_minor=str(minor), **more))

    @property
    def due(self) -> int:
        """What all lines so far come to."""
        return sum(minor_of(line) for line in self.lines)

    def adjustable(self) -> dict[str, int]:
        """What discounts and bounds are taken of: charges, not corrections."""
        return {
            line["key"]: self.left[line["key"]]
            for line in self.lines
            if line["kind"] in ("charge", "minimum")
        }


def whole_lines(bill: Bill, lines: Sequence[Document], offers: Sequence[Credit]) -> list[Document]:
    """The lines that the others lead to, in order: discounts, minimum, maximum, credits, taxes, credits, carried."""
    whole = Whole(bill)
    for line in lines:
        whole.add(line)
    _add_discounts(whole)
    _add_bounds(whole)
    usable = sorted(
        (one for one in offers if _is_usable(one, bill.start)),
        key=lambda one: (
            one.priority,
            one.expires_at is None,
            one.expires_at or bill.start,
            one.granted_at,
            one.name,
            one.key,
        ),
    )
    paid = {line["key"]: line["price_key"] for line in whole.lines if line["takes_credit"]}
    still_open = {key: whole.left[key] for key in paid if whole.left[key] > 0}
    for credit in usable:
        if credit.is_before_tax:
            _use(whole, credit, still_open, paid)
    for name, percent in bill.taxes.items():
        taxed = [line for line in whole.lines if name in line["taxes"]]
        base = sum(whole.left[line["key"]] for line in taxed)
        if taxed:
            exact = number(percent) * PER_CENT * base
            whole.make(f"tax {name}", "tax", f"{name} {number_text(number(percent))} %", rounded(exact))
    for credit in usable:
        minor = min(credit.remaining, max(whole.due, 0))
        if not credit.is_before_tax and minor:
            whole.make(f"credit {credit.key}", "credit", credit.name, -minor)
    if whole.due < 0:
        whole.make("carried", "carried", "Carried to the next bill", -whole.due)
    return whole.lines[len(lines) :]


def _add_discounts(whole: Whole) -> None:
    """The discounts of the last plan, one after the other."""
    bill = whole.bill
    if not bill.plans:
        return
    units = minor_units(bill.currency)
    last = bill.plans[-1]
    for position, discount in enumerate(last.sheet["discounts"], 1):
        if discount["amount"] is not None and bill.head["kind"] == "opening":
            continue
        weights = whole.adjustable()
        terms = discount
        if discount["amount"] is not None and discount["is_prorated"]:
            times = [plan for plan in bill.plans if plan.sheet["plan_key"] == last.sheet["plan_key"]]
            held = sum((part_of_one(share_of(one.start, one.end, bill.whole)) for one in times), ZERO)
            minor = rounded(number(discount["amount"]) * held * units)
            terms = {**discount, "amount": number_text(Fraction(minor, units)), "is_prorated": False}
        minor = rounded(_discount_step(terms, Fraction(sum(weights.values()), units), WHOLE).amount * units)
        if minor:
            whole.make(f"discount {position}", "discount", "Discount", minor, allotted=split(minor, weights))


def _add_bounds(whole: Whole) -> None:
    """What lifts the bill to its minimum, or lowers it to its maximum; an opening bill has neither."""
    bill = whole.bill
    if not bill.plans or bill.head["kind"] == "opening":
        return
    minimum, maximum = _bound(bill, "minimum"), _bound(bill, "maximum")
    if any(plan.sheet["maximum"] is None for plan in bill.plans):
        maximum = None
    if minimum is not None and maximum is not None:
        minimum = min(minimum, maximum)
    if minimum is not None:
        missing = minimum - sum(whole.adjustable().values())
        if missing > 0:
            whole.make("minimum", "minimum", "Up to the minimum", missing, taxes=_taxes(bill))
    if maximum is not None:
        weights = whole.adjustable()
        excess = sum(weights.values()) - maximum
        if excess > 0:
            whole.make("maximum", "maximum", "Down to the maximum", -excess, allotted=split(-excess, weights))


def _bound(bill: Bill, name: str) -> int | None:
    """A bound in minor units: the last plan's if that is not by time, else each plan's for the time it was held."""
    last = bill.plans[-1].sheet[name]
    units = minor_units(bill.currency)
    if not any(plan.sheet[name] and plan.sheet[name]["is_prorated"] for plan in bill.plans):
        return last and rounded(number(last["amount"]) * units)
    if last is not None and not last["is_prorated"]:
        return rounded(number(last["amount"]) * units)
    held: dict[tuple[str, str, bool], Fraction] = defaultdict(Fraction)
    for plan in bill.plans:
        bound = plan.sheet[name]
        if bound is not None:
            place = plan.sheet["plan_key"], bound["amount"], bound["is_prorated"]
            held[place] += part_of_one(share_of(plan.start, plan.end, bill.whole))
    return sum(rounded(number(amount) * units * part) for (_, amount, _), part in held.items())


def _is_usable(credit: Credit, at: datetime) -> bool:
    return credit.remaining > 0 and (credit.expires_at is None or at < credit.expires_at)


def _use(whole: Whole, credit: Credit, still_open: dict[str, int], prices: Mapping[str, str]) -> None:
    """Use a credit for the lines it may pay, in proportion to what is open, never more than is due in all."""
    payable = {
        key: minor
        for key, minor in still_open.items()
        if minor and (credit.covers is None or prices[key] in credit.covers)
    }
    minor = min(credit.remaining, sum(payable.values()), max(whole.due, 0))
    if not minor:
        return
    used = split(minor, payable)
    for key, part in used.items():
        still_open[key] -= part
    allotted = {key: -part for key, part in used.items()}
    whole.make(f"credit {credit.key}", "credit", credit.name, -minor, allotted=allotted)


# ---------------------------------------------------------------------------------------------------------------------
# Corrections: an earlier bill is made again with the usage known by now, and without fees that come back
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usage:
    """What is known of usage: of the bill itself and of earlier ones, by their numbers."""

    meters: Sequence[Meter]
    metered: Mapping[str, Metered]


def corrections(
    bill: Bill,
    earlier: Sequence[Bill],
    corrected: Sequence[str],
    usage: Usage,
    left_out: Mapping[str, set[str]],
) -> list[dict[str, Any]]:
    """What each line of the corrected bills comes to now, less what it was billed at, less earlier corrections."""
    by_number = {one.number: one for one in earlier}
    found: list[dict[str, Any]] = []
    left = _credits_before_corrections(bill, [by_number[name] for name in corrected])
    for name in corrected:
        old = by_number[name]
        others = [line for one in earlier for line in one.lines if line["kind"] == "correction"]
        lines = _corrections_of(old, others, usage, left, left_out.get(name, set()))
        for credit in credits_of(old):
            key = line_key("correction", old.number, f"credit {credit.key}")
            changed = sum(minor_of(line) for line in lines if line["key"] == key)
            if credit.kind != "included" and credit.key in left:
                left[credit.key] += changed
        found += lines
    return found


def _credits_before_corrections(bill: Bill, corrected: Sequence[Bill]) -> dict[str, int]:
    """What was left of each grant before this bill's corrections took of it or gave back."""
    left = {credit.key: credit.remaining for credit in credits_of(bill) if credit.kind != "included"}
    for old in corrected:
        for credit in credits_of(old):
            line = bill.by_key.get(line_key("correction", old.number, f"credit {credit.key}"))
            if line is not None and credit.key in left:
                left[credit.key] -= minor_of(line)
    return left


def _corrections_of(
    old: Bill, others: Sequence[Document], usage: Usage, left: Mapping[str, int], left_out: set[str]
) -> list[dict[str, Any]]:
    used, unrated = _used_again(old, usage)
    if any(line["price_key"] in unrated for line in old.lines):
        # One of its lines cannot be rated any more, and the others say nothing then: it stays as it was.
        return []
    earlier = _corrections_by_key(old, others)
    kept = [
        line
        for line in old.lines
        if line["kind"] == "charge" and not line["meter_key"] and line["key"] not in left_out
        # A fee is corrected by nothing but being left out, and stays so.
        and not (is_fee_ahead(line) and line_key("correction", old.number, line["key"]) in earlier)
    ]  # fmt: skip
    before = [line for line in old.lines if line["kind"] == "correction"]
    base = [*kept, *used, *before]
    now = [*base, *whole_lines(old, base, _credits_for(old, others, left))]
    billed = {line["key"]: line for line in old.lines if line["kind"] != "correction"}
    found: list[dict[str, Any]] = []
    for line in now:
        if line["kind"] not in ("correction", "carried"):
            changes = earlier.pop(line_key("correction", old.number, line["key"]), [])
            found += _difference(old, billed.pop(line["key"], None), line, changes)
    for line in billed.values():
        # What was carried was paid out as a credit and is settled there.
        if line["kind"] != "carried":
            changes = earlier.pop(line_key("correction", old.number, line["key"]), [])
            found += _difference(old, line, None, changes)
    for changes in earlier.values():
        # The bill never had such a line: it came with corrections, and its usage is gone again.
        undone = Priced()
        for correction in changes:
            undone = less(undone, priced_of(correction))
        found += _correction(changes[-1], changes[-1]["key"], undone)
    return found


def _used_again(old: Bill, usage: Usage) -> tuple[list[dict[str, Any]], set[str]]:
    """The lines of usage of a bill that is made again, and prices that cannot be applied; an opening bill has none."""
    if old.head["kind"] == "opening":
        return [], set()
    used, _, unrated = usage_lines(old, usage.meters, usage.metered[old.number])
    return used, unrated


def _corrections_by_key(old: Bill, others: Sequence[Document]) -> dict[str, list[Document]]:
    """Earlier corrections of a bill. A key is a hash, so what it may be of is tried."""
    own = {line_key("correction", old.number, key) for key in _keys_of(old, others)}
    found: dict[str, list[Document]] = {}
    for line in others:
        if line["key"] in own:
            found.setdefault(line["key"], []).append(line)
    return found


def _keys_of(old: Bill, others: Sequence[Document]) -> Iterator[str]:
    """The keys of lines that a bill has, or might have had."""
    yield from old.by_key
    yield from ("minimum", "maximum")
    yield from (f"tax {name}" for name in old.taxes)
    yield from (f"credit {credit.key}" for credit in credits_of(old))
    for position, plan in enumerate(old.plans):
        yield from (f"discount {place}" for place, _ in enumerate(plan.sheet["discounts"], 1))
        for line in others:
            values = (line["values"][name] for name in _names_of(plan, line))
            yield line_key("usage", str(position), line["price_key"], str(line["meter_version"]), *values)


def _names_of(plan: Segment, line: Document) -> Sequence[str]:
    """The dimensions of a line's price in the order in which its key has their values."""
    for price in plan.sheet["prices"]:
        if price["key"] == line["price_key"] and set(price["dimensions"]) == set(line["values"]):
            return list(price["dimensions"])
    return sorted(line["values"])


def _credits_for(old: Bill, others: Sequence[Document], left: Mapping[str, int]) -> list[Credit]:
    """The credits an earlier bill had, as far as they are still there: what it took, and what nobody took since."""
    found = []
    for credit in credits_of(old):
        if credit.kind == "included":
            found.append(credit)
            continue
        key = line_key("correction", old.number, f"credit {credit.key}")
        own = [line for line in old.lines if line["key"] == f"credit {credit.key}"]
        taken = -sum(minor_of(line) for line in (*own, *(line for line in others if line["key"] == key)))
        more = min(credit.remaining - taken, left.get(credit.key, 0))
        found.append(replace(credit, remaining=taken + max(more, 0)))
    return found


def _difference(
    old: Bill, billed: Document | None, now: Document | None, earlier: Sequence[Document]
) -> Iterator[dict[str, Any]]:
    line = now or billed
    if line is None:
        return
    found = less(priced_of(now), priced_of(billed))
    for correction in earlier:
        found = less(found, priced_of(correction))
    yield from _correction(line, line_key("correction", old.number, line["key"]), found)


def _correction(line: Document, key: str, found: Priced) -> Iterator[dict[str, Any]]:
    """The line as a correction that comes to this, if it comes to anything."""
    if found.minor or found.metered or found.steps:
        changed = {"key": key, "kind": "correction", "allotted": {}, "taxes": [], "takes_credit": False}
        yield {**with_figures(line, found), **changed}


# ---------------------------------------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found; the lines are printed as they come."""

    lines: int = 0
    differing: int = 0
    others: int = 0

    def line(self, name: str, difference: str) -> None:
        """Say of one line whether it is equal."""
        self.lines += 1
        self.differing += bool(difference)
        print(f"{name}: {difference or 'equal'}")

    def check(self, name: str, difference: str) -> None:
        """Say the same of something that is no line."""
        self.others += bool(difference)
        print(f"{name}: {difference or 'equal'}")

    def finish(self) -> int:
        """Print the outcome and return the exit code."""
        outcome = f"all {self.lines} lines equal"
        if self.differing:
            outcome = f"{self.differing} of {self.lines} lines differ"
        if self.others:
            outcome += f", and {self.others} other {'check fails' if self.others == 1 else 'checks fail'}"
        print(outcome)
        return 1 if self.differing or self.others else 0


def verify(path: str) -> int:
    """Check the proof at a path, print what is found, and return the exit code. Raises NotInForm."""
    proof = Proof(path)
    try:
        return _verify(proof)
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        ArithmeticError,
        StopIteration,
    ) as error:
        raise NotInForm(f"something is missing or of another kind than it must be: {error!r}") from None


def _verify(proof: Proof) -> int:
    report = Report()
    content = proof.content("invoice.json")
    bill = Bill(proof.document("invoice.json"))
    meters = [
        Meter(
            each["key"],
            each["version"],
            each["unit"],
            each["aggregation"],
            tuple(each["unique_dimensions"]),
            instant(each["retired_at"]) if each["retired_at"] else None,
        )
        for each in proof.document("meters.json")["meters"]
    ]
    earlier = sorted(
        (Bill(proof.document(name)) for name in proof.members if name.startswith("earlier/")),
        key=lambda one: (one.start, one.head["number_in_series"]),
    )
    print(f"Bill {bill.number}, {bill.currency}, usage as of position {bill.head['usage_as_of']}")
    for fault in proof.faults():
        report.check("manifest", fault)
    issued = proof.manifest["invoice"]
    found = hashlib.sha256(content).hexdigest()
    is_same = (found, bill.number) == (issued["sha256"], issued["number"])
    report.check(
        "invoice.json as issued", "" if is_same else f"its SHA-256 is {found}, the bill's {issued['sha256']}"
    )
    usage, count = _usage(proof, bill, meters, earlier)
    expected, unpriced = expected_lines(bill, earlier, proof.manifest["corrected"], usage)
    _compare_lines(report, bill, expected)
    _compare_rest(report, proof, bill, expected, unpriced, count)
    return report.finish()


def _usage(
    proof: Proof, bill: Bill, meters: Sequence[Meter], earlier: Sequence[Bill]
) -> tuple[Usage, int | None]:
    """Sum the records of the bill and of those it corrects; the second is how many the bill itself is made of."""
    archived = {each["bill"]: each["months"] for each in proof.manifest["not_contained"]}
    not_billed = frozenset(bill.details["not_billed"])
    metered: dict[str, Metered] = {}
    records: int | None = None
    corrected = [old for old in earlier if old.number in proof.manifest["corrected"]]
    for one in (bill, *(old for old in corrected if old.head["kind"] != "opening")):
        if one.number in archived:
            months = ", ".join(month["month"] for month in archived[one.number])
            print(
                f"records of bill {one.number}: not contained, archived ({months}); its own quantities are taken"
            )
            metered[one.number] = metered_as_billed(one, meters)
            continue
        metered[one.number], count = read_records(proof, one, meters, not_billed)
        records = count if one is bill else records
    return Usage(meters, metered), records


def expected_lines(
    bill: Bill, earlier: Sequence[Bill], corrected: Sequence[str], usage: Usage
) -> tuple[list[Document], dict[Any, Fraction]]:
    """Every line that the bill must have, and the usage that no price is for."""
    if bill.head["kind"] == "opening":
        opening = list(fees_due(bill, "in_advance"))
        return [*opening, *whole_lines(bill, opening, [])], {}
    left_out = fees_left_out(bill, earlier, corrected)
    if bill.head["kind"] == "closing":
        changes = corrections(bill, earlier, corrected, usage, left_out)
        return [*changes, *whole_lines(bill, changes, credits_of(bill))], {}
    used, unpriced, _ = usage_lines(bill, usage.meters, usage.metered[bill.number])
    lines: list[Document] = [
        *fees_due(bill, "in_arrears"),
        *fees_due(bill, "once"),
        *fees_settled(bill, earlier, left_out),
        *fees_ahead(bill),
        *used,
        *corrections(bill, earlier, corrected, usage, left_out),
    ]
    return [*lines, *whole_lines(bill, lines, credits_of(bill))], unpriced


def _compare_lines(report: Report, bill: Bill, expected: Sequence[Document]) -> None:
    must_be = {line["key"]: line for line in expected}
    for position, line in enumerate(bill.lines, 1):
        name = f"{position}. {line['name']}, {money_text(minor_of(line), bill.currency)} {bill.currency}"
        other = must_be.pop(line["key"], None)
        if other is None:
            report.line(name, "differs: nothing in the terms and records leads to such a line")
        else:
            report.line(name, _difference_words(line, other, bill.currency))
    for line in must_be.values():
        amount = f"{money_text(minor_of(line), bill.currency)} {bill.currency}"
        report.line(f"-. {line['name']}", f"differs: there is no such line, there must be one of {amount}")


def _difference_words(line: Document, must_be: Document, currency: str) -> str:
    """The first field that differs, amounts before what they are made of; empty for equal lines."""
    if line["amount_minor"] != must_be["amount_minor"]:
        stands, must = (money_text(minor_of(one), currency) for one in (line, must_be))
        return f"differs: amount is {stands}, must be {must}{_step_words(line, must_be)}"
    # A bill has no order of taxes: each is taken of the same lines.
    line, must_be = ({**one, "taxes": sorted(one["taxes"])} for one in (line, must_be))
    for name in sorted(must_be):
        if name != "steps" and line.get(name) != must_be[name]:
            return f"differs: {name} is {_short(line.get(name))}, must be {_short(must_be[name])}"
    return (
        f"differs: the amount is the same{_step_words(line, must_be)}"
        if line["steps"] != must_be["steps"]
        else ""
    )


def _step_words(line: Document, must_be: Document) -> str:
    """Which step differs first, and in what."""
    stands, must = line["steps"], must_be["steps"]
    for position in range(max(len(stands), len(must))):
        if position >= len(stands):
            return f"; step {position + 1} is missing: {_short(must[position])}"
        if position >= len(must):
            return f"; step {position + 1} must not be there: {_short(stands[position])}"
        for name in must[position]:
            if stands[position].get(name) != must[position][name]:
                kind = must[position]["kind"]
                is_, be = _short(stands[position].get(name)), _short(must[position][name])
                return f"; step {position + 1} ({kind}): {name} is {is_}, must be {be}"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _compare_rest(
    report: Report,
    proof: Proof,
    bill: Bill,
    expected: Sequence[Document],
    unpriced: Mapping[Any, Fraction],
    count: int | None,
) -> None:
    """What is no line: the total, the records, usage without a price, and the table of the lines."""
    total = sum(minor_of(line) for line in expected)
    stands = int(number(bill.head["total_minor"]))
    report.check(
        f"total, {money_text(stands, bill.currency)} {bill.currency}",
        "" if stands == total else f"differs: must be {money_text(total, bill.currency)}",
    )
    if count is not None and bill.head["kind"] != "opening":
        said = bill.details["records"]
        report.check(f"{count} records", "" if count == said else f"differs: the bill was made of {said}")
        named: dict[Any, Fraction] = defaultdict(Fraction)
        for one in (*bill.details["unpriced"], *bill.details["priced_elsewhere"]):
            named[one["meter_key"], one["unit"]] += number(one["quantity"])
        is_same = dict(named) == dict(unpriced)
        report.check("usage without a price", "" if is_same else "differs from what the bill says of it")
    table = [
        [row[name] for name in ("position", "key", "quantity", "amount")] for row in proof.rows("lines.csv")
    ]
    own = [
        [
            str(line["position"]),
            line["key"],
            line["billed_quantity"],
            money_text(minor_of(line), bill.currency),
        ]
        for line in bill.lines
    ]
    report.check("lines.csv", "" if table == own else "differs from invoice.json")


def main(arguments: Sequence[str]) -> int:
    """The command line: one path, of a zip or of a folder; without one the folder that this file was unpacked to."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names on a bill may have letters that the terminal has not.
        sys.stdout.reconfigure(errors="replace")
    beside = Path(__file__).resolve().parent
    if not arguments and (beside / "manifest.json").is_file():
        arguments = [str(beside)]
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(
            "usage: python verify_bill.py bill-TG-000042.zip (the zip, or the folder that it was unpacked to; without "
            "either, beside its manifest.json, this folder)",
            file=sys.stderr,
        )
        return 2
    try:
        return verify(arguments[0])
    except (NotInForm, NoPrice) as error:
        print(f"not a proof of a bill: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
