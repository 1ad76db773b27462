"""A bill as a PDF. Pure: the same bill gives the same bytes, whatever the time, the machine or the bill's settlement.

Printed in Roboto, which has Latin, Greek and Cyrillic. A character that it lacks is printed as the replacement
character, so that nothing vanishes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, Table

from insights.billing.bill import Bill, BillLine, BillSection, Party
from insights.billing.price_words import money_words, number_words
from insights.billing.words import bill_why, line_price_words, line_sentence, values_words

REGULAR, BOLD = "Roboto", "Roboto-Bold"
REPLACEMENT = "\ufffd"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MARGIN = 18 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_COLUMNS = [_WIDTH - 110 * mm, 25 * mm, 14 * mm, 33 * mm, 38 * mm]
_GREY, _LINE = colors.HexColor("#576070"), colors.HexColor("#c9cfd8")


def render_invoice_pdf(bill: Bill) -> bytes:
    """The bill on A4 pages: whom it is from and for, every line with its amount, subtotals and what is due.

    A bill that is not issued says on every page that it is a draft.
    """
    _register_fonts()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=22 * mm,
        bottomMargin=20 * mm,
        title=printable(_title(bill)),
        author=printable(bill.seller.name),
        invariant=1,
        lang="en",
    )
    head = printable(_title(bill))
    document.build(
        [
            *_parties(bill),
            Spacer(1, 7 * mm),
            _text(_answer(bill), size=15, leading=19, bold=True),
            *([_text(why, grey=True)] if (why := bill_why(bill.head.kind)) else []),
            Spacer(1, 5 * mm),
            _line_table(bill),
            Spacer(1, 5 * mm),
            *_notes(bill),
        ],
        canvasmaker=lambda *arguments, **named: _NumberedPages(*arguments, heading=head, **named),
    )
    return out.getvalue()


def printable(text: str) -> str:
    """The text with the replacement character for each that the font cannot print."""
    known = _register_fonts()
    return "".join(char if ord(char) in known and char >= " " else REPLACEMENT for char in text)


@lru_cache(maxsize=1)
def _register_fonts() -> frozenset[int]:
    """Make both fonts known, and return which characters they both have."""
    known: list[set[int]] = []
    for name, file in ((REGULAR, "Roboto-Regular.ttf"), (BOLD, "Roboto-Bold.ttf")):
        font = TTFont(name, str(files("font_roboto") / "files" / file))
        pdfmetrics.registerFont(font)
        known.append(set(font.face.charToGlyph))
    return frozenset(known[0] & known[1])


class _NumberedPages(Canvas):  # type: ignore[misc]
    """Pages that say which of how many they are, which is known only when the last one is made."""

    def __init__(self, *arguments: Any, heading: str, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._heading = heading
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - the name is reportlab's.
        """Keep the page until all of them are there."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Draw head and foot on every page, and write them."""
        for number, page in enumerate(self._pages, 1):
            self.__dict__.update(page)
            self.setFont(REGULAR, 8)
            self.setFillColor(_GREY)
            self.drawString(_MARGIN, A4[1] - 13 * mm, self._heading)
            self.drawRightString(A4[0] - _MARGIN, 11 * mm, f"Page {number} of {len(self._pages)}")
            super().showPage()
        super().save()


def _title(bill: Bill) -> str:
    if bill.head.is_issued:
        return f"Invoice {bill.head.number}"
    return "Draft, not an invoice: amounts may still change"


def _answer(bill: Bill) -> str:
    if bill.head.is_issued and bill.head.due_at:
        return f"{money_words(bill.total)}, due on {_day(bill.head.due_at, bill)}"
    return f"{money_words(bill.total)} so far"


def _day(instant: datetime, bill: Bill) -> str:
    local = instant.astimezone(ZoneInfo(bill.head.zone))
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def _clock(instant: datetime, bill: Bill) -> str:
    return f"{_day(instant, bill)}, {instant.astimezone(ZoneInfo(bill.head.zone)):%H:%M}"


def _text(
    text: str, *, size: int = 8, leading: int = 0, bold: bool = False, grey: bool = False, right: bool = False
) -> Any:
    style = ParagraphStyle(
        "text",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=leading or size + 3,
        textColor=_GREY if grey else colors.black,
        splitLongWords=1,
        **({"alignment": TA_RIGHT} if right else {}),
    )
    return Paragraph(escape(printable(text)), style)


def _parties(bill: Bill) -> Iterable[Any]:
    facts = [(name, value) for name, value in _facts(bill) if value]
    table = Table(
        [
            [
                _party("From", bill.seller),
                _party("To", bill.buyer),
                [_text(f"{name}: {value}") for name, value in facts],
            ],
        ],
        colWidths=[_WIDTH / 3] * 3,
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)],
    )
    yield _text(_title(bill), size=13, leading=17, bold=True)
    yield Spacer(1, 5 * mm)
    yield table


def _party(what: str, party: Party) -> list[Any]:
    lines = [party.name, *party.address, f"Tax number {party.tax_id}" if party.tax_id else "", party.email]
    return [_text(what, grey=True), *(_text(line) for line in lines if line)]


def _facts(bill: Bill) -> list[tuple[str, str]]:
    head = bill.head
    return [
        ("Number", head.number),
        ("Issued", _day(head.issued_at, bill) if head.issued_at else ""),
        ("Due", _day(head.due_at, bill) if head.due_at else ""),
        ("From", _clock(head.period.start, bill)),
        ("Until", _clock(head.period.end, bill)),
        ("Times in", head.zone),
        ("Purchase order", bill.buyer.purchase_order),
        ("Account", bill.buyer.reference),
    ]


def _line_table(bill: Bill) -> Any:
    rows: list[list[Any]] = [
        [
            _text("Description", grey=True),
            _text("Quantity", grey=True, right=True),
            _text("Unit", grey=True),
            _text("Price", grey=True),
            _text("Amount", grey=True, right=True),
        ]
    ]
    style: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 1, _GREY),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    for section in bill.sections:
        rows.append([_text(section.title, bold=True), "", "", "", _subtotal(section)])
        style.append(("LINEABOVE", (0, len(rows) - 1), (-1, len(rows) - 1), 1, _LINE))
        rows += [_line_row(line) for line in section.lines]
    rows.append(
        [
            _text("Total", size=10, bold=True),
            "",
            "",
            "",
            _text(money_words(bill.total), bold=True, right=True),
        ]
    )
    style.append(("LINEABOVE", (0, len(rows) - 1), (-1, len(rows) - 1), 1, colors.black))
    return LongTable(rows, colWidths=_COLUMNS, repeatRows=1, splitInRow=1, style=style)


def _subtotal(section: BillSection) -> Any:
    return _text(money_words(section.subtotal), bold=True, right=True) if len(section.lines) > 1 else ""


def _line_row(line: BillLine) -> list[Any]:
    below = [text for text in (values_words(line), line_sentence(line)) if text]
    return [
        [_text(line.name), *(_text(text, size=7, grey=True) for text in below)],
        _text("" if line.billed_quantity is None else number_words(line.billed_quantity), right=True),
        _text(line.unit),
        _text(line_price_words(line), size=7),
        _text(money_words(line.amount), right=True),
    ]


def _notes(bill: Bill) -> Sequence[Any]:
    notes = [bill.tax_exempt_reason]
    if bill.usage_as_of:
        complete = f", complete to {_clock(bill.head.complete_to, bill)}" if bill.head.complete_to else ""
        notes.append(f"Usage is counted up to position {bill.usage_as_of:,} of the ledger{complete}.")
    if bill.sha256:
        notes.append(f"SHA-256 of what was issued: {bill.sha256}")
    return [_text(note, size=7, grey=True) for note in notes if note]
