"""What few bits cost, as tables and charts: errors beside uniform 4-bit, bits saved by pairs, absences with reasons."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.questions.quantization import charts, tables
from bench.schema import Failure, RunRecord, Status
from bench.schema.config import configure
from tests.records import cases_of, learning, record

ERRORS = {"rmse": 0.92, "mae": 0.8, "mse": 0.73, "relative_error": 0.092}


def held(form: str = "nf4", **settings: Any) -> RunRecord:
    """A run in one format, whose errors are below those of uniform 4-bit; `numbers` are metrics of its own."""
    numbers = settings.pop("numbers", {})
    study = {"model": "smollm2-135m", "method": "full", "task": "addition", "study": "quantization"}
    config = configure(**{**study, "format": form, **settings})
    found = {f"quantization.{data}{name}": value for name, value in ERRORS.items() for data in ("", "normal_")}
    found |= {f"quantization.{data}uniform_{name}": 1.0 for name in ERRORS for data in ("", "normal_")}
    found |= {
        "quantization.bits": 4.127, "quantization.payload_bits": 4.0, "quantization.scale_bits": 0.127,
        "quantization.table_bits": 0.017, "quantization.model_bits": 9.0, "quantization.model_bytes": 160_000_000,
        "quantization.seconds": 2.0, "quantization.perplexity_before": 31.0, "quantization.perplexity": 38.0,
        "quantization.kl": 0.14, "quantization.flips": 0.25, "quantization.logit_difference": 11.0,
    }  # fmt: skip
    return replace(record(learning("full")), config=config, items={}, metrics={**found, **numbers})


def once(form: str = "nf4", **settings: Any) -> RunRecord:
    """The same format, its scales not quantised again."""
    numbers = {"quantization.bits": 4.501, "quantization.scale_bits": 0.5, "quantization.table_bits": 0.001}
    return held(form, double_quant=False, numbers=numbers, **settings)


def rows(number: int, *records: RunRecord) -> Any:
    return tables(cases_of(*records))[number].rows


@pytest.mark.parametrize("number", [0, 1])
def test_errors_stand_beside_those_of_uniform_codes(number: int) -> None:
    """Of the model's weights and of normal numbers: 0.73 against 1 is 27 % less, for each error its own."""
    (row,) = rows(number, held())

    against = {name: row[f"against_{name}"] for name in ("rmse", "mae", "mse")}
    assert {name: cell.value for name, cell in against.items()} == pytest.approx(
        {"rmse": -0.08, "mae": -0.2, "mse": -0.27}
    )
    assert against["mse"].text == "-27.00%"
    assert against["mse"].kind == "derived"


def test_only_formats_of_four_bits_are_held_against_uniform_four_bits() -> None:
    """A format of 8 or of 2 bits is no rival of uniform 4-bit, HQQ's of 4 bits is."""
    found = rows(0, held("int8"), held("hqq", bits=2), held("hqq", bits=4), held("bfloat16"))

    assert {row["format"].text for row in found if row["against_mse"].is_number} == {"HQQ, 4 bits"}


def test_what_double_quantisation_saves_is_the_difference_of_the_pair() -> None:
    """Scales of the same format quantised once, minus these; what the larger table takes is set against it."""
    found = {row["format"].text: row for row in rows(2, held(), once())}
    doubled, single = found["nf4"], found["nf4, quantised once"]

    assert doubled["saved_scales"].value == pytest.approx(0.373)
    assert doubled["saved"].value == pytest.approx(0.357)
    assert doubled["saved_scales"].runs != doubled["saved_scales"].against
    assert single["saved_scales"].text == ""


def test_a_pair_has_the_same_block_size() -> None:
    """Without its twin nothing is saved, and another block size is no twin."""
    found = rows(2, held(), once(blocksize=128))

    assert all(row.get("saved_scales") is None or row["saved_scales"].text == "" for row in found)


def test_words_that_a_wrong_kernel_would_have_said_are_absent_with_a_reason() -> None:
    """Where the model was not asked there is no number, and why stands below."""
    made = held(blocksize=128)
    said = ("perplexity", "kl", "flips", "logit_difference")
    left = {name: value for name, value in made.metrics.items() if name.removeprefix("quantization.") not in said}
    why = {f"quantization.{name}": "dequantisation is off by 18.9%" for name in said}
    table = tables(cases_of(held(), replace(made, metrics=left, absent=why)))[3]

    assert [row["quantization.kl"].text for row in table.rows] == ["0.140", "absent (1)"]
    assert any("off by 18.9%" in note for note in table.notes)


def test_a_format_that_is_not_there_is_a_row_and_its_words_a_note() -> None:
    """Unsupported is how it ended, in every table."""
    failure = Failure(phase="load", message="format 'hqq' needs the package 'hqq'")
    missing = replace(held("hqq"), status=Status.UNSUPPORTED, failure=failure, metrics={})

    for table in tables(cases_of(held(), missing)):
        assert "unsupported in load" in [cell.text for row in table.rows for cell in row.values()]
        assert any("needs the package 'hqq'" in note for note in table.notes)


def test_charts_show_errors_and_words_against_bits() -> None:
    """The findings name the formats with the least and the most, at the bits that were counted."""
    two = held("hqq", numbers={"quantization.bits": 3.0, "quantization.relative_error": 0.43, "quantization.kl": 1.5})
    errors, words = charts(cases_of(held(), two))

    assert errors.finding == (
        "Relative error of the weights: least with nf4, blocks of 64 (9.20% at 4.13 bit), most with HQQ, 2 bits, "
        "blocks of 64 (43.0% at 3.00 bit)."
    )
    assert [list(trace["x"]) for trace in errors.figure["data"]] == [[4.127], [3.0]]
    assert list(errors.figure["data"][1]["y"]) == pytest.approx([43])
    assert "KL divergence: least with nf4, blocks of 64 (0.140 at 4.13 bit)" in words.finding


def test_one_format_alone_is_no_chart() -> None:
    """A single point shows no relation."""
    assert charts(cases_of(held())) == []


def test_other_questions_cases_are_left_alone() -> None:
    """A training holds nothing in few bits: no rows, no charts."""
    others = cases_of(record(learning("lora")))

    assert [found.rows for found in tables(others)] == [(), (), (), ()]
    assert charts(others) == []
