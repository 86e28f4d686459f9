"""What the platform says and what the client understands are the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from interlock.api.resources.metrics import MetricEnvelope
from interlock.client import metrics
from interlock.client.moments import Moment
from interlock.safety.answer import State
from interlock.transform.metrics import MetricRow, PartitionSafety


def test_a_metric_is_understood_as_it_is_served():
    now, day = datetime.now(UTC), date(2013, 1, 5)
    part = PartitionSafety(
        dataset="fct_flights", partition="2013-01-05", state=State.SAFE, safe=True, version=6, contract_version="1.0.0",
        verdict_id=6,
    )  # fmt: skip
    group = {"carrier_code": "AA", "flights__is_delayed": True, "metric_time__day": day}
    sent = MetricEnvelope(
        metric="on_time_rate", description="", value=None, safe=True, reasons=(), as_of=now,
        valid_until=now + timedelta(hours=1), contract_versions={"fct_flights": ("1.0.0",)}, inputs=(part,), start=day,
        end=day, group_by=tuple(group), rows=(MetricRow(group=group, value=0.5),), bootstrapped=False, warnings=0,
        clock_offset_seconds=None,
    )  # fmt: skip
    wanted = {"metric": "on_time_rate", "group_by": tuple(group), "start": day, "end": day}
    found = metrics.metric_from(sent.model_dump(mode="json"), Moment.now(), wanted)
    assert [row.value for row in found.rows] == [0.5]
    assert found.rows[0].group["carrier_code"] == "AA"
