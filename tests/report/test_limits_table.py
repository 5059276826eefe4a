"""The table of limits says how exactly each is known, and how what failed ended."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.limits import limits, peak_so_far
from bench.schema import RunRecord
from tests.records import GIB, cases_of, failed, fixed_shape, record


def good(size: int, **changes: object) -> RunRecord:
    return record(fixed_shape("lora", batch_size=size, **changes))


def bad(size: int, **changes: object) -> RunRecord:
    return failed(fixed_shape("lora", batch_size=size, **changes))


@pytest.mark.parametrize(
    ("runs", "fits", "fails", "known"),
    [
        ([good(7), bad(8)], "7", "8", "exact"),
        ([good(4), bad(6)], "4", "6", "within 2"),
        ([good(4), bad(64)], "4", "64", "within 60"),
        ([good(4), good(8)], "8", "all fit", "not reached"),
        ([bad(4), bad(8)], "none of those tried", "4", "below all tried"),
        ([good(4), bad(8), good(16)], "4", "8", "unsure: 16 went well too"),
    ],
)
def test_how_exactly_a_limit_is_known(runs: list[RunRecord], fits: str, fails: str, known: str) -> None:
    """Adjacent sizes are exact; a gap is named; ends that were not reached and contradictions are said."""
    (row,) = limits(cases_of(*runs)).rows
    assert (row["fits"].text, row["fails"].text, row["known"].text) == (fits, fails, known)


def test_the_run_that_failed_says_where_how_much_and_how_high() -> None:
    """Phase, bytes asked for and the highest peak it had reached, beside the same sort of the largest that fits."""
    fitting, short = good(4), bad(5)
    (row,) = limits(cases_of(fitting, short)).rows
    assert (row["phase"].text, row["requested"].value) == ("train", 4 * GIB)
    assert (row["peak"].value, row["peak"].metric) == (7.5 * GIB, "train.peak_resident")
    assert row["peak_fits"].value == fitting.metrics["train.peak_resident"]
    assert row["sort"].text == "process memory"


def test_a_failure_that_names_no_size_has_none() -> None:
    """Bytes that the message did not name are not 0, and a record without any peak has none."""
    short = bad(5)
    assert short.failure is not None
    silent = replace(short, failure=replace(short.failure, bytes_requested=None), metrics={})
    (row,) = limits(cases_of(good(4), silent)).rows
    assert (row["requested"].value, row["requested"].text) == (None, "not said")
    assert "peak" not in row
    assert peak_so_far(silent) is None


def test_a_memory_limit_is_part_of_the_answer() -> None:
    """Where runs were limited, the table says to how much; elsewhere it has no such column."""
    limited = limits(cases_of(good(4, memory_limit=8 * GIB), bad(8, memory_limit=8 * GIB)))
    assert limited.rows[0]["memory_limit"].text == "8.00 GiB"
    free = limits(cases_of(good(4), bad(8)))
    assert "memory_limit" not in [column.key for column in free.columns]


def test_nothing_searched_is_an_empty_table() -> None:
    """A single size is no search and makes no row."""
    table = limits(cases_of(good(4)))
    assert (table.rows, table.notes) == ((), ())
