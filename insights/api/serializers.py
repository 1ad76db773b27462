"""The shapes that the API answers with; what stands here is what the schema says.

Quantities are texts, since a JSON number is a float to most readers and a float is not exact.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from insights.api.cost_serializers import CostSerializer
from insights.models import Aggregation, BatchState, DownloadState

QUANTITY_HELP = "Every digit, as text."


class FaultItemSerializer(serializers.Serializer[dict[str, Any]]):
    """One of several faults of a query."""

    code = serializers.CharField()
    field = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[dict[str, Any]]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="urn:usage-portal:problem: and the code.")
    code = serializers.CharField(help_text="Stable; programs decide by it.")
    status = serializers.IntegerField()
    title = serializers.CharField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    line = serializers.IntegerField(required=False, help_text="Physical line of the body, from 1.")
    field = serializers.CharField(required=False, help_text="Header, parameter or column.")
    # DRF takes declared fields off the class, so a field may be called like one of its attributes.
    instance = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="The receipt of a batch that was kept and then refused."
    )
    errors = FaultItemSerializer(  # type: ignore[assignment]
        many=True, required=False, help_text="Every fault, when a query has several."
    )


class CountsSerializer(serializers.Serializer[dict[str, Any]]):
    """received = new + replaced + duplicate + stale + rejected."""

    received = serializers.IntegerField(help_text="Lines with content, without the header.")
    new = serializers.IntegerField()
    replaced = serializers.IntegerField(help_text="A higher revision of a known fact.")
    duplicate = serializers.IntegerField(help_text="The same fact again; counted once.")
    stale = serializers.IntegerField(help_text="A lower revision than the known one.")
    rejected = serializers.IntegerField(help_text="Not taken; each with a reason.")
    blank = serializers.IntegerField(help_text="Blank lines, which are not received.")


class BatchErrorSerializer(serializers.Serializer[dict[str, Any]]):
    """Why a batch was refused as a whole."""

    code = serializers.CharField()
    detail = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    field = serializers.CharField(allow_null=True)


class RejectedLineSerializer(serializers.Serializer[dict[str, Any]]):
    """One refused line."""

    line = serializers.IntegerField(help_text="Physical line of the body, from 1.")
    code = serializers.CharField()
    field = serializers.CharField()
    value = serializers.CharField(help_text="What was sent, cut at 200 characters and escaped.")
    message = serializers.CharField()
    replayed_at = serializers.DateTimeField(allow_null=True, help_text="When it was taken after all.")


class ReceiptSerializer(serializers.Serializer[dict[str, Any]]):
    """Where a batch is on its way and what its lines came to so far."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    state = serializers.ChoiceField(choices=BatchState.values)
    received_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    complete_to = serializers.DateTimeField(allow_null=True)
    counts = CountsSerializer()
    lines_done = serializers.IntegerField(help_text="Physical lines that are settled.")
    lines_total = serializers.IntegerField(allow_null=True)
    duplicate_of = serializers.UUIDField(allow_null=True, help_text="An earlier batch with the same bytes.")
    backfill = serializers.UUIDField(allow_null=True, help_text="The backfill that it was sent to.")
    error = BatchErrorSerializer(allow_null=True)
    rejected_lines = RejectedLineSerializer(many=True, help_text="The first 100.")
    rejected_lines_url = serializers.CharField()


class RejectsSerializer(serializers.Serializer[dict[str, Any]]):
    """Refused lines in line order."""

    rejected_lines = RejectedLineSerializer(many=True)
    next_after_line = serializers.IntegerField(
        allow_null=True, help_text="Give it as after_line; null at the end."
    )


class MeterSerializer(serializers.Serializer[dict[str, Any]]):
    """One version of what is measured."""

    name = serializers.CharField(help_text="How queries name it: the key, or key:version for an older one.")
    key = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    description = serializers.CharField()
    unit = serializers.CharField()
    aggregation = serializers.ChoiceField(choices=Aggregation.values)
    dimensions = serializers.ListField(child=serializers.CharField())
    has_usage = serializers.BooleanField()


class MetersSerializer(serializers.Serializer[dict[str, Any]]):
    """Every meter, in the order of the pages."""

    meters = MeterSerializer(many=True)


class AccountSerializer(serializers.Serializer[dict[str, Any]]):
    """The account that the key reads."""

    id = serializers.UUIDField()
    reference = serializers.CharField(help_text="What usage files call it.")
    name = serializers.CharField()
    state = serializers.CharField()
    billing_zone = serializers.CharField(help_text="IANA zone that days and months are in.")
    currency = serializers.CharField()


class DownloadSerializer(serializers.Serializer[dict[str, Any]]):
    """What was sent for one CSV: compare rows, bytes and hash with the file you have."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    query = serializers.CharField(
        help_text="The query string that asks the same again, with its days written out."
    )
    state = serializers.ChoiceField(choices=DownloadState.values)
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    rows = serializers.IntegerField(allow_null=True, help_text="Lines without the header.")
    bytes = serializers.IntegerField(
        allow_null=True, help_text="Of the CSV before compression, or of the zip."
    )
    sha256 = serializers.CharField(
        allow_null=True, help_text="Of the CSV before compression, or of the zip, in hex."
    )


class RecordSerializer(serializers.Serializer[dict[str, Any]]):
    """One current usage record."""

    meter = serializers.CharField()
    window_start = serializers.DateTimeField()
    window = serializers.CharField(help_text="Length: 5min, 15min, 30min, hour or day.")
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(help_text=QUANTITY_HELP)
    unit = serializers.CharField()
    row_id = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    batch = serializers.UUIDField(allow_null=True)
    line = serializers.IntegerField()


class GroupSerializer(serializers.Serializer[dict[str, Any]]):
    """One part of the usage, in the order of `parts`."""

    part = serializers.ChoiceField(choices=["value", "none", "other"])
    value = serializers.CharField(allow_null=True)
    values_count = serializers.IntegerField(help_text="How many dimension values it holds.")
    quantity = serializers.CharField(help_text=QUANTITY_HELP)


class PointSerializer(serializers.Serializer[dict[str, Any]]):
    """One stretch of time, half-open."""

    window_start = serializers.CharField()
    window_end = serializers.CharField()
    state = serializers.ChoiceField(
        choices=["complete", "zero", "incomplete", "gap", "before", "daily", "unknown"],
        help_text="unknown: as known at an earlier moment, whose completeness was not kept.",
    )
    quantity = serializers.CharField(allow_null=True, help_text=QUANTITY_HELP)
    parts = serializers.ListField(
        child=serializers.CharField(allow_null=True), help_text="By group, in their order."
    )
    previous_quantity = serializers.CharField(allow_null=True)


class KnownAtSerializer(serializers.Serializer[dict[str, Any]]):
    """The moment that the usage was known at."""

    instant = serializers.DateTimeField(allow_null=True, help_text="As asked for; null if by position.")
    position = serializers.IntegerField(
        help_text="The last ledger position of the account by then; 0 before everything."
    )
    changed_at = serializers.DateTimeField(allow_null=True, help_text="When that position was written.")


class UsageSerializer(serializers.Serializer[dict[str, Any]]):
    """Aggregates or records, by `kind`; aggregates as groups and points, or with `measure=cost` as costs."""

    kind = serializers.ChoiceField(choices=["aggregates", "records"])
    meter = serializers.CharField()
    unit = serializers.CharField()
    first_day = serializers.DateField()
    last_day = serializers.DateField(help_text="Included.")
    zone = serializers.CharField(help_text="The zone of the days.")
    known_at = KnownAtSerializer(allow_null=True, help_text="null: as known now.")
    measure = serializers.ChoiceField(choices=["usage", "cost"], required=False)
    granularity = serializers.CharField(required=False)
    group_by = serializers.CharField(required=False, allow_null=True)
    complete_to = serializers.DateTimeField(required=False, allow_null=True)
    quantity = serializers.CharField(required=False, allow_null=True, help_text=QUANTITY_HELP)
    previous_quantity = serializers.CharField(required=False, allow_null=True)
    groups = GroupSerializer(many=True, required=False)
    points = PointSerializer(many=True, required=False)
    is_subscribed = serializers.BooleanField(
        required=False,
        help_text="Whether the account ever had a subscription; without one there is no price.",
    )
    costs = CostSerializer(many=True, required=False, help_text="By currency.")
    records = RecordSerializer(many=True, required=False)
    next_cursor = serializers.CharField(
        required=False, allow_null=True, help_text="Give it as cursor; null at the end."
    )
