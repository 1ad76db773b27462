"""The strict reading of one line: every rule in one order, one refusal per line.

This is the meaning of a line; the quick reading in parse.py may only repeat what is accepted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from insights.ingest.catalogue import AccountFact, Catalogue, MeterFact
from insights.ingest.cells import read_object
from insights.ingest.grammar import scan_quantity, scan_revision, scan_text
from insights.ingest.layout import Header, layout_of
from insights.ingest.limits import LINE_BYTES_MAX
from insights.ingest.lines import bytes_above
from insights.ingest.outcomes import AcceptedLine, RejectedLine, rejected_line
from insights.ingest.refusals import Refusal
from insights.ingest.source_definition import SourceDefinition
from insights.ingest.source_faults import DIMENSION
from insights.ingest.windows import Clock, window_start
from insights.values.quantity import InexactConversion, convert

Values = Mapping[str, object]
Doubtful = tuple[AcceptedLine, RejectedLine]
_ALWAYS = datetime.min.replace(tzinfo=UTC)


class Subject(NamedTuple):
    """Who used what: the part of a line that repeats from line to line."""

    account_id: int
    meter: MeterFact
    dimensions: tuple[tuple[str, str], ...]
    factor: Decimal | None
    begins_at: datetime | None
    ends_at: datetime | None


class LineReader:
    """Reads lines of one delivery against one catalogue, as of one moment."""

    def __init__(
        self,
        *,
        header: Header,
        definition: SourceDefinition,
        catalogue: Catalogue,
        now: datetime,
        aged_at: datetime | None = None,
        batch_revision: int | None = None,
    ) -> None:
        self.definition = definition
        self.catalogue = catalogue
        self.layout = layout_of(header, definition, catalogue.dimension_keys)
        self.clock = Clock(
            zone=_zone_named(definition.clock_zone),
            length=timedelta(seconds=definition.window_seconds),
            start_field=self.layout.column_of("window_start"),
            end_field=self.layout.column_of("window_end"),
        )
        self.latest = now + timedelta(seconds=definition.max_ahead_seconds)
        days = definition.max_age_days
        self.oldest = _ALWAYS if days is None else (aged_at or now) - timedelta(days=days)
        self.usual_revision = definition.default_revision if batch_revision is None else batch_revision
        self.bound = self._bound_account()
        self.dimension_fields = tuple(
            field
            for field in dict.fromkeys((*self.layout.fields, *definition.constants))
            if field.startswith(DIMENSION)
        )

    def _bound_account(self) -> AccountFact | None:
        if self.definition.account_id is None:
            return None
        for fact in self.catalogue.accounts.values():
            if fact.id == self.definition.account_id:
                return fact
        raise LookupError("the account that the source is bound to is not in the catalogue")

    def read_line(self, line_no: int, line: str) -> AcceptedLine | RejectedLine | Doubtful | None:
        """The outcome for one line, None for a blank one."""
        if not line.strip(" \t"):
            return None
        account_id = None if self.bound is None else self.bound.id
        reference: str | None = None
        try:
            values = self._values(line)
            reference = self._reference(values)
            account = self._account(reference)
            account_id = account.id
            accepted = self._accepted(line_no, account, values)
        except Refusal as refusal:
            return self._rejected(line_no, line, refusal, account_id, reference)
        if accepted.window_start < self.oldest:
            too_old = self._too_old(values)
            return accepted, self._rejected(line_no, line, too_old, account_id, reference)
        return accepted

    def _rejected(
        self,
        line_no: int,
        line: str,
        refusal: Refusal,
        account_id: int | None,
        reference: str | None,
    ) -> RejectedLine:
        # A bound source must not learn whether another account's reference exists.
        known_reference = reference if self.bound is None else None
        return rejected_line(line_no, line, refusal, account_id=account_id, account_reference=known_reference)

    def _values(self, line: str) -> dict[str, object]:
        if bytes_above(line, LINE_BYTES_MAX):
            message = f"the line is above {LINE_BYTES_MAX} bytes"
            raise Refusal("field_too_long", "", message, line)
        if self.layout.form == "csv":
            return self.layout.values_of_cells(line)
        return self.layout.values_of_object(read_object(line))

    def _accepted(self, line_no: int, account: AccountFact, values: Values) -> AcceptedLine:
        newest = self._meter(values)
        window_start = self.window_start(values)
        subject = self._subject(account, newest.at(window_start), values)
        self._refuse_ended(account, subject.meter, window_start, values)
        return AcceptedLine(
            line_no=line_no,
            account_id=account.id,
            meter_id=subject.meter.id,
            dimensions=subject.dimensions,
            window_start=window_start,
            quantity=self._quantity(subject, values),
            row_id=self._row_id(values),
            revision=self.revision(values),
        )

    def _reference(self, values: Values) -> str | None:
        """The account's reference in NFC; None when a bound source leaves it out."""
        value = self.definition.constants.get("account") or values.get("account", "")
        if value == "" and self.bound is not None:
            return None
        return scan_text(value, self.layout.column_of("account"))

    def _account(self, reference: str | None) -> AccountFact:
        fact = self.bound if reference is None else self.catalogue.accounts.get(reference)
        column = self.layout.column_of("account")
        if self.bound is not None and (fact is None or fact.id != self.bound.id):
            message = "this source may not write for that account"
            raise Refusal("forbidden_account", column, message, reference)
        if fact is None:
            raise Refusal("unknown_account", column, "no account has that reference", reference)
        return fact

    def subject_of(self, values: Values) -> Subject:
        """The subject of a line in the newest version of its meter, as quick reading remembers it."""
        return self._subject(self._account(self._reference(values)), self._meter(values), values)

    def _subject(self, account: AccountFact, meter: MeterFact, values: Values) -> Subject:
        self._refuse_unfit_windows(meter, values)
        ends = [end for end in (_end_of(account), meter.retired_at) if end is not None]
        return Subject(
            account_id=account.id,
            meter=meter,
            factor=self._factor(meter, values),
            dimensions=self._dimensions(meter, values),
            begins_at=meter.begins_at,
            ends_at=min(ends, default=None),
        )

    def _meter(self, values: Values) -> MeterFact:
        column = self.layout.column_of("meter")
        value = self.definition.constants.get("meter") or values.get("meter", "")
        meter = self.catalogue.meters.get(key := scan_text(value, column))
        if meter is None:
            raise Refusal("unknown_meter", column, "no meter has that key", key)
        return meter

    def _refuse_unfit_windows(self, meter: MeterFact, values: Values) -> None:
        if meter.grain_seconds % self.definition.window_seconds:
            message = f"windows of this source do not fit into the meter {meter.key}"
            raise Refusal("window_misaligned", self.layout.column_of("meter"), message, meter.key)

    def _factor(self, meter: MeterFact, values: Values) -> Decimal | None:
        """What to multiply by; None when the quantity is in the meter's own unit already."""
        conversion = self.definition.conversions.get(meter.key)
        value = self.definition.constants.get("unit") or values.get("unit", "")
        column = self.layout.column_of("unit")
        unit = "" if value in ("", None) else scan_text(value, column)
        if conversion is not None and unit in ("", conversion.unit):
            self._refuse_former_unit(meter, conversion.unit, column)
            return conversion.factor
        if not unit:
            return None
        if unit != meter.unit:
            message = f"the meter {meter.key} is in {meter.unit}; this source declares no conversion"
            raise Refusal("bad_unit", column, message, unit)
        return None

    def _refuse_former_unit(self, meter: MeterFact, sent_unit: str, column: str) -> None:
        """A source's factor leads to the unit of the newest version; an earlier version may be in another."""
        newest = self.catalogue.meters[meter.key]
        if meter.unit != newest.unit:
            message = f"the meter {meter.key} was in {meter.unit} then, this source converts to {newest.unit}"
            raise Refusal("bad_unit", column, message, sent_unit)

    def _dimensions(self, meter: MeterFact, values: Values) -> tuple[tuple[str, str], ...]:
        found = []
        for field in self.dimension_fields:
            value = self.definition.constants.get(field) or values.get(field, "")
            if value == "":
                continue
            key = field.removeprefix(DIMENSION)
            column = self.layout.column_of(field)
            if key not in meter.dimensions:
                message = f"the meter {meter.key} has no dimension {key}"
                raise Refusal("unknown_field", column, message, value)
            found.append((key, _dimension_text(value, column)))
        return tuple(sorted(found))

    def window_start(self, values: Values) -> datetime:
        sent = values.get("window_start", "")
        start = window_start(self.clock, sent, values.get("window_end", ""))
        if start > self.latest:
            column = self.clock.start_field
            message = f"{column} is more than {self.definition.max_ahead_seconds} seconds ahead"
            raise Refusal("timestamp_future", column, message, sent)
        return start

    def _refuse_ended(self, account: AccountFact, meter: MeterFact, start: datetime, values: Values) -> None:
        column = self.layout.column_of("window_start")
        closed_at = _end_of(account)
        if closed_at is not None and start >= closed_at:
            message = "the window begins after the account was closed"
            raise Refusal("account_closed", column, message, values.get("window_start"))
        if meter.retired_at is not None and start >= meter.retired_at:
            message = f"the window begins after the meter {meter.key} was retired"
            raise Refusal("meter_retired", column, message, values.get("window_start"))

    def _quantity(self, subject: Subject, values: Values) -> Decimal:
        column = self.layout.column_of("quantity")
        quantity = scan_quantity(values.get("quantity"), column)
        if quantity < 0 and not subject.meter.allows_negative:
            message = f"the meter {subject.meter.key} takes no negative quantity"
            raise Refusal("negative_not_allowed", column, message, values.get("quantity"))
        if subject.factor is None:
            return quantity
        try:
            return convert(quantity, subject.factor)
        except InexactConversion as error:
            code = "precision_exceeded" if error.too_large else "scale_exceeded"
            message = f"in {subject.meter.unit} this quantity has too many digits"
            raise Refusal(code, column, message, values.get("quantity")) from None

    def _row_id(self, values: Values) -> str:
        if self.definition.key_kind == "window":
            return ""
        return scan_text(values.get("row_id"), self.layout.column_of("row_id"))

    def revision(self, values: Values) -> int:
        value = values.get("revision")
        if value in ("", None):
            return self.usual_revision
        return scan_revision(value, self.layout.column_of("revision"))

    def _too_old(self, values: Values) -> Refusal:
        column = self.layout.column_of("window_start")
        message = f"{column} is more than {self.definition.max_age_days} days back"
        return Refusal("timestamp_too_old", column, message, values.get("window_start"))


def _zone_named(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    # Files in UTC are the most frequent, and UTC itself is much quicker than a zone that equals it.
    return UTC if name in ("UTC", "Etc/UTC") else ZoneInfo(name)


def _end_of(account: AccountFact) -> datetime | None:
    """From when an account takes no usage; a closed account without a date takes none at all."""
    if account.closed_at is not None or account.state != "closed":
        return account.closed_at
    return _ALWAYS


def _dimension_text(value: object, column: str) -> str:
    if value is None:
        raise Refusal("shape", column, f"{column} must be a text", value)
    if isinstance(value, str) and not value.strip(" "):
        raise Refusal("field_format", column, f"{column} holds only spaces", value)
    return scan_text(value, column)
