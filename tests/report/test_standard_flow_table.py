"""The standard flow as a table: the line as it was printed, and a refusal in sight."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.questions import QUESTIONS
from bench.schema import Failure, Status
from tests.records import cases_of, learning, record

LINE = "trainable params: 33,554,432 || all params: 8,031,432,704 || trainable%: 0.4178"


def test_the_line_stands_in_the_table_and_a_refused_flow_beside_it() -> None:
    """What was printed is shown whole; the flow as written, refused here, is a row with its reason below."""
    ran = record(learning("qlora", study="standard_flow", optimizer="adamw_8bit"))
    ran = replace(
        ran, resolved={**ran.resolved, "flow.line": LINE}, metrics={**ran.metrics, "flow.trainable": 33_554_432}
    )
    refused = record(learning("qlora", study="standard_flow", optimizer="paged_adamw_8bit", autocast="float16"))
    failure = Failure(phase="start", message="paged optimisers need a CUDA GPU")
    refused = replace(refused, status=Status.UNSUPPORTED, failure=failure, metrics={}, items={}, series={})

    shown = cases_of(ran, refused, record(learning("qlora")))
    (table,) = QUESTIONS["standard_flow"].tables(shown)
    (chart,) = QUESTIONS["standard_flow"].charts(shown)

    by_optimizer = {row["optimizer"].text: row for row in table.rows}
    assert by_optimizer["AdamW 8-bit"]["line"].text == LINE
    assert by_optimizer["AdamW 8-bit, paged"]["flow.trainable"].text == "unsupported in start"
    (trace,) = chart.figure["data"]
    assert list(trace["y"]) == pytest.approx(list(ran.series["step.loss"]), rel=1e-4)
    assert any("need a CUDA GPU" in note for note in table.notes)
