"""Sharing the work as a table: efficiency against one device, bytes by collective, the peak of a process."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.questions import QUESTIONS
from bench.report.tables import Table
from bench.schema import RunRecord
from tests.records import cases_of, learning, record

FOUND = {"one": (1.0, 4000, 0), "ddp": (0.625, 4400, 800), "fsdp2": (0.5, 2200, 1800)}
"""By strategy: seconds a step, peak tensors in bytes, bytes exchanged."""


def shared(strategy: str, method: str = "lora", **settings: object) -> RunRecord:
    """Make a record of a strategy."""
    made = record(learning(method, study="distributed", strategy=strategy, evaluate_items=0, packing=True, **settings))
    seconds, peak, sent = FOUND[strategy]
    steps = len(made.series["step.loss"])
    timed = steps - made.config.untimed_steps
    return replace(
        made,
        series={**made.series, "step.seconds": (seconds,) * steps, "step.tokens_real": (100,) * steps},
        metrics={**made.metrics, "train.peak_allocated": peak, "distributed.bytes": sent,
                 "train.timed_seconds": seconds * timed,
                 "distributed.all_reduce_bytes": sent},
        items={},
    )  # fmt: skip


def tables(*records: RunRecord) -> list[Table]:
    """Return the question's tables of records."""
    return QUESTIONS["distributed"].tables(cases_of(*records))


def test_efficiency_is_the_speed_against_one_device_by_the_number_of_devices() -> None:
    """Twice as fast on two is 1; 1.6 times as fast is 0.8; one device has none."""
    costs, *_ = tables(*map(shared, FOUND))

    found = {row["spread"].text: row["efficiency"] for row in costs.rows}
    assert found["one device"].text == ""
    assert found["DDP"].number == pytest.approx(0.8)
    assert found["FSDP2"].number == pytest.approx(1.0)
    assert (found["DDP"].kind, found["DDP"].metric) == ("derived", ""), "it is no ratio of a metric, as pages check one"


def test_without_one_device_on_the_same_work_there_is_no_efficiency() -> None:
    """Another method, or another number of sequences, is other work."""
    costs, *_ = tables(shared("ddp"), shared("one", "full"), shared("one", batch_size=2))

    (row,) = (row for row in costs.rows if row["spread"].text == "DDP")
    assert row["efficiency"].text == ""


def test_one_device_exchanges_nothing_and_has_no_row_among_those_who_do() -> None:
    """Bytes by collective are shown for several processes only."""
    _, exchanged, _ = tables(*map(shared, FOUND))

    assert {row["spread"].text: row["distributed.bytes"].number for row in exchanged.rows} == {
        "DDP": 800,
        "FSDP2": 1800,
    }


def test_the_chart_says_who_holds_most_and_least() -> None:
    """A bar a way of sharing, and the finding in words; nothing is drawn where nothing was shared."""
    (chart,) = QUESTIONS["distributed"].charts(cases_of(*map(shared, FOUND)))

    assert chart.finding.startswith("Peak tensor memory of a process: from ")
    assert "LoRA, DDP on 2" in chart.finding
    assert "LoRA, FSDP2 on 2" in chart.finding
    assert QUESTIONS["distributed"].charts(cases_of(shared("one"))) == []
