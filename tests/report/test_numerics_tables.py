"""Which kernels are right, as tables and a map: verdicts from the numbers, refusals in sight, versions apart."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bench.report.questions.numerics import charts, tables
from bench.schema import Failure, RunRecord, Status
from bench.schema.config import configure
from tests.records import cases_of, learning, record

CHECKS = "in evaluation; weights afterwards"


def checked(operation: str = "evaluation", held: str = "nf4", error: float = 1e-8, **settings: Any) -> RunRecord:
    """A run of two checks: the first is right, the second off by `error` where rounding explains 1e-6."""
    version = settings.pop("version", "0.50.2")
    study = {"model": "none", "method": "full", "task": "none", "study": "numerics"}
    config = configure(**{**study, "operation": operation, "format": held, **settings})
    made = record(learning("full"))
    return replace(
        made, config=config, items={}, resolved={"numerics.checks": CHECKS},
        metrics={"numerics.error": error, "numerics.allowed": 1e-6, "numerics.wrong": 0.5 if error > 1e-6 else 0.0},
        series={"numerics.check_error": (1e-8, error), "numerics.check_allowed": (1e-6, 1e-6)},
        environment={**made.environment, "package.bitsandbytes": version},
    )  # fmt: skip


def refused(message: str = "a product is refused: AssertionError: N must be divisible", **settings: Any) -> RunRecord:
    """A run whose kernel refused."""
    failure = Failure(phase="check", message=message)
    return replace(checked(**settings), status=Status.UNSUPPORTED, failure=failure, metrics={}, series={})


def test_a_row_says_how_many_are_wrong_and_how_wrong_at_most() -> None:
    """Of one operation and format the right, wrong and refused are counted; the largest error of a wrong one stands."""
    records = (
        checked(error=0.2), checked(error=1.4, dtype="bfloat16"), checked(rows=64), refused(rows=72),
        checked(held="int8"),
    )  # fmt: skip

    nf4, int8 = tables(cases_of(*records))[0].rows

    assert nf4["told"].text == "2 wrong, 1 unsupported of 4"
    assert (nf4["error"].value, nf4["dtypes"].text) == (1.4, "float32, bfloat16")
    assert (int8["told"].text, int8["error"].text) == ("all 1 right", "")


def test_versions_are_rows_of_their_own() -> None:
    """The same kernel under two versions is two rows, each with its verdict; upgrading shows as what it changes."""
    summary, every = tables(cases_of(checked(error=0.2), checked(version="0.51.0")))

    assert [(row["library"].text, row["told"].text) for row in summary.rows] == [
        ("bitsandbytes 0.50.2", "1 wrong of 1"), ("bitsandbytes 0.51.0", "all 1 right"),
    ]  # fmt: skip
    assert [row["verdict"].text for row in every.rows] == ["wrong", "right"]


def test_wrong_ones_come_first_and_name_what_is_wrong() -> None:
    """Wrong before refused before right; the checks beyond what rounding explains are named, the others not."""
    records = checked(), refused(rows=72), checked(rows=64, error=0.2)
    (_, every) = tables(cases_of(*records))

    assert [row["verdict"].text for row in every.rows] == ["wrong", "unsupported", "right"]
    assert [row["which"].text for row in every.rows] == ["weights afterwards", "", ""]


def test_numbers_that_are_not_finite_are_named_wrong() -> None:
    """A check without a finite error is wrong, and the largest error says so instead of giving a smaller one."""
    made = checked(error=0.2)
    lost = replace(made, metrics={"numerics.wrong": 0.5}, series={**made.series, "numerics.check_error": (1e-8, None)},
                   absent={"numerics.error": "not finite: weights afterwards."})  # fmt: skip

    summary, every = tables(cases_of(lost))

    assert summary.rows[0]["error"].text == "not finite"
    assert every.rows[0]["which"].text == "weights afterwards"


def test_refusals_in_the_same_words_share_a_note() -> None:
    """Two shapes refused alike are one note that names both; another refusal is another note."""
    records = refused(rows=72), refused(rows=33), refused("K must be even", columns=129)
    notes = tables(cases_of(*records))[1].notes

    assert len([note for note in notes if "N must be divisible" in note]) == 1
    (shared,) = (note for note in notes if "N must be divisible" in note)
    assert "72 × 256" in shared
    assert "33 × 256" in shared


def test_shapes_say_how_blocks_lie() -> None:
    """Whole blocks, rows that straddle them, and a short last block are told apart; int8 has no blocks."""
    shapes = ((128, 256), (64, 160), (33, 70))
    records = [checked(rows=rows, columns=columns) for rows, columns in shapes]
    every = tables(cases_of(*records, checked(held="int8")))[1]

    assert {row["shape"].text for row in every.rows} == {
        "128 × 256, whole blocks of 64", "64 × 160, rows straddle blocks of 64", "33 × 70, last block short of 64",
        "128 × 256",
    }  # fmt: skip


def test_the_map_shows_every_verdict_and_its_finding_counts_them() -> None:
    """A row an operation and format, a column a shape and dtype; what was not checked is empty."""
    records = checked(error=0.2), checked("forward"), refused(rows=72), checked("forward", rows=72, held="int8")
    (chart,) = charts(cases_of(*records))

    (trace,) = chart.figure["data"]
    assert [list(row) for row in trace["text"]] == [["right", ""], ["", "right"], ["wrong", "unsupported"]]
    assert [list(row) for row in trace["z"]] == [[0, None], [None, 0], [1, 0.5]]
    assert chart.finding == (
        "Of 4 kernels 1 are wrong and 1 are refused (bitsandbytes 0.50.2): train, evaluate, train, nf4 wrong."
    )


def test_a_finding_claims_nothing_wrong_where_nothing_is() -> None:
    """All right is said as such."""
    (chart,) = charts(cases_of(checked()))

    assert chart.finding == "All 1 kernels that were checked are right (bitsandbytes 0.50.2)."


def test_other_questions_cases_are_left_alone() -> None:
    """A training is no check of a kernel: no rows, no map."""
    others = cases_of(record(learning("lora")))

    assert [found.rows for found in tables(others)] == [(), ()]
    assert charts(others) == []
