"""What fits on which card: one row a configuration, one column a card, small ones first; nothing is guessed."""

from __future__ import annotations

from msgspec.structs import replace

from bench.report.fits import fits
from bench.schema import Failure, Status
from tests.records import cases_of, fixed_shape, predicted


def test_a_cell_says_whether_it_fits_and_what_it_needs() -> None:
    """Both words and need stand in the cell, which leads to the prediction; what nobody predicted is a dash."""
    config = fixed_shape("lora")
    found = fits(cases_of(predicted(config, "h100-80gb"), predicted(config, "l40s", fits=False),
                          predicted(fixed_shape("full"), "l40s")))  # fmt: skip
    lora = next(row for row in found.rows if row["method"].text.startswith("LoRA"))
    full = next(row for row in found.rows if row["method"].text == "Full")
    assert lora["fake-h100-80gb"].text.startswith("fits: ")
    assert lora["fake-l40s"].text.startswith("does not fit: ")
    assert lora["fake-l40s"].text.endswith("GiB")
    assert lora["fake-l40s"].link.startswith("cases/fake-l40s/")
    assert full["fake-h100-80gb"].text == "-"


def test_cards_stand_by_their_memory_and_models_by_their_size() -> None:
    """The card with least memory comes first, and so does the smallest model."""
    large = predicted(fixed_shape("lora"), "h100-80gb")
    large = replace(large, config=large.config.but(model="llama-3.1-8b"))
    found = fits(cases_of(large, predicted(fixed_shape("lora"), "l40s"), predicted(fixed_shape("lora"), "l4")))
    assert [column.key for column in found.columns[-3:]] == ["fake-l4", "fake-l40s", "fake-h100-80gb"]
    assert [row["model"].text for row in found.rows] == ["SmolLM2-135M-Instruct", "Llama-3.1-8B"]


def test_a_prediction_that_could_not_be_made_is_none() -> None:
    """A refused prediction says so, and no number stands in its place."""
    made = predicted(fixed_shape("lora"))
    failure = Failure(phase="start", message="unsupported here")
    refused = replace(made, status=Status.UNSUPPORTED, failure=failure, metrics={})
    (row,) = fits(cases_of(refused)).rows
    assert row["fake-l40s"].text == "no prediction"
