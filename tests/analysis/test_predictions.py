"""A prediction is held against the same case on the same card only, and its error says no more than n allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.cases import group, read
from bench.analysis.predictions import (
    CHECKED,
    PLAIN,
    QUANTISED,
    Check,
    accuracy,
    card,
    checks,
    checks_below,
    expected_error,
    family,
    released,
)
from bench.schema import Failure, Kind, RunRecord, Status
from tests.records import METHODS, cases_of, failed, filled, fixed_shape, on_card, predicted, published, record

RESERVED = "train.peak_reserved"
ROOT = Path(__file__).parents[2]


def holding(made: RunRecord, **peaks: int) -> RunRecord:
    """The record with these peaks of training and no other metric of `CHECKED`."""
    kept = {name: value for name, value in made.metrics.items() if name not in CHECKED}
    return replace(made, metrics={**kept, **{f"train.peak_{sort}": value for sort, value in peaks.items()}})


def pair(ours: int, theirs: int, method: str = "lora", **changes: Any) -> list[RunRecord]:
    """A prediction and a published number of one case, both of reserved memory."""
    config = fixed_shape(method, **changes)
    return [holding(predicted(config), reserved=ours), published(config, theirs)]


def found(*records: RunRecord) -> list[Check]:
    return checks(cases_of(*records))


def test_the_error_is_predicted_over_known_minus_one() -> None:
    """11 against 10 is a tenth too high, 7 against 8 an eighth too low, for measured and published alike."""
    config = fixed_shape("full")
    ours = holding(predicted(config), allocated=11_000, reserved=7_000, process=12_000)
    measured = holding(on_card(config), allocated=10_000, reserved=8_000, process=12_000)
    (cited,) = found(*pair(7_000, 8_000))

    assert {check.metric: check.error for check in found(ours, measured)} == pytest.approx(
        {"train.peak_allocated": 0.1, RESERVED: -0.125, "train.peak_process": 0.0}
    )
    assert (cited.error, cited.predicted_value, cited.known_value) == (-0.125, 7_000, 8_000)
    assert cited.known.kind is Kind.PUBLISHED


@given(ours=st.integers(1, 2**40), theirs=st.integers(1, 2**40))
def test_the_sign_says_which_side_is_higher(ours: int, theirs: int) -> None:
    """Above zero where the prediction is higher, below where it is lower, and the known value times 1 + error is it."""
    (check,) = found(*pair(ours, theirs))
    assert (check.error > 0, check.error < 0) == (ours > theirs, ours < theirs)
    assert theirs * (1 + check.error) == pytest.approx(ours, rel=1e-9, abs=1e-12 * theirs)


def test_only_what_both_sides_hold_is_checked() -> None:
    """A metric is compared with the same metric; one that a side lacks is no check."""
    config = fixed_shape("lora")
    ours = holding(predicted(config), allocated=1_000, reserved=2_000)
    for metric in CHECKED:
        expected = [metric] if metric in ours.metrics else []
        assert [check.metric for check in found(ours, published(config, 1_000, metric))] == expected


def test_a_prediction_of_what_does_not_fit_is_checked_too() -> None:
    """What a run would need is a prediction although the run ends out of memory."""
    config = fixed_shape("full")
    (check,) = found(holding(predicted(config, fits=False), reserved=3_000), published(config, 2_000))
    assert check.error == 0.5


def test_a_prediction_that_died_is_checked_against_nothing() -> None:
    """A simulation that failed, or ran out of the host's memory, tells no need."""
    config, peaks = fixed_shape("full"), {RESERVED: 3_000}
    for status in (Status.ERROR, Status.OOM, Status.UNSUPPORTED, Status.CRASHED):
        died = predicted(config, status=status, failure=Failure(phase="train", message="gone"), metrics=peaks)
        assert found(died, published(config, 2_000)) == []


@pytest.mark.parametrize(
    ("gpu", "known"),
    [
        ("a100-40gb", on_card(fixed_shape("lora"), "a100-80gb")),
        ("a100-80gb", on_card(fixed_shape("lora"), "a100-40gb")),
        ("a100-80gb", on_card(fixed_shape("lora"), "a100-80gb-pcie")),
        ("h100-80gb", published(fixed_shape("lora"), 5, gpu="h100-nvl")),
        ("a100-80gb", published(fixed_shape("lora"), 5, gpu="a100")),
        ("a100-40gb", published(fixed_shape("lora"), 5, gpu="a100")),
        ("a100-80gb", published(fixed_shape("lora"), 5, gpu="somebodys-card")),
        ("l40s", record(fixed_shape("lora"))),
    ],
)
def test_another_card_is_never_compared(gpu: str, known: RunRecord) -> None:
    """Cards of other memory or bus, names that could be two products, and unknown devices are no check."""
    assert found(predicted(fixed_shape("lora"), gpu), known) == []


def test_a_card_that_is_not_certain_is_never_compared() -> None:
    """A slice of a GPU carries the GPU's name; its multiprocessors give it away."""
    whole = on_card(fixed_shape("lora"), "h100-80gb")
    part = replace(whole, environment={**whole.environment, "torch.multiprocessors": 66, "gpu.multiprocessors": 66})
    ours = predicted(fixed_shape("lora"), "h100-80gb")
    assert len(found(ours, whole)) == len(CHECKED)
    assert found(ours, part) == []
    assert card(cases_of(part)[0]) is None
    assert card(cases_of(whole, part)[0]) is None


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"rank": 8}, {"optimizer": "adamw"}, {"dtype": "bfloat16"}])
def test_another_case_is_never_compared(change: dict[str, Any]) -> None:
    """One setting that decides what is measured makes another case; a seed does not."""
    ours = predicted(fixed_shape("lora"))
    assert found(ours, published(fixed_shape("lora", **change), 5)) == []
    assert len(found(ours, published(fixed_shape("lora", seed=3), 5))) == 1


@pytest.mark.parametrize("kind", [Kind.DRY, Kind.PREDICTED])
def test_nothing_is_held_against_what_nobody_measured(kind: Kind) -> None:
    """Made-up runs and other predictions check nothing, whatever card they claim."""
    assert found(predicted(fixed_shape("lora")), on_card(fixed_shape("lora"), kind=kind)) == []


def test_failed_runs_check_nothing() -> None:
    """A run that ended out of memory had not reached its peak."""
    config = fixed_shape("lora")
    measured = on_card(config)
    short = failed(config.but(device="cuda"), metrics=measured.metrics, environment=measured.environment,
                   device=measured.device)  # fmt: skip
    assert found(predicted(config), short) == []
    assert found(predicted(config), short, measured) != []


def test_measured_runs_are_summarised_and_published_numbers_are_not() -> None:
    """Repeats of a measured case are one check with their geometric mean; two sources are two checks."""
    config = fixed_shape("lora")
    ours = holding(predicted(config), reserved=4_000)
    runs = [holding(on_card(config.but(seed=seed)), reserved=size) for seed, size in enumerate((1_000, 4_000))]
    sources = [published(config, size, citation=f"source {size}") for size in (4_000, 5_000)]

    (measured,) = found(ours, *runs)
    assert measured.known_value == pytest.approx(2_000)
    assert sorted(check.known_value for check in found(ours, *sources)) == [4_000, 5_000]
    assert all(len(check.known.runs) == 1 for check in found(ours, *sources))


def test_the_newest_prediction_counts() -> None:
    """Older predictions of a case were made by older code; they are neither averaged nor checked."""
    config = fixed_shape("lora")
    old, new = (holding(predicted(config), reserved=size) for size in (1_000, 3_000))
    (check,) = found(old, replace(new, started="2026-02-01T00:00:00Z"), published(config, 2_000))
    assert (check.predicted_value, check.error) == (3_000, 0.5)


def test_accuracy_is_the_median_and_largest_size_of_errors() -> None:
    """+1 %, -3 % and +2 % of three configurations: median 2 %, largest 3 %; families are not pooled."""
    records = [
        made
        for size, ours in enumerate((1_010, 970, 1_020), start=1)
        for made in pair(ours, 1_000, batch_size=size)
    ]  # fmt: skip
    plain, quantised = accuracy(found(*records, *pair(1_100, 1_000, "qlora")))

    assert (plain.family, plain.n, plain.configurations) == (PLAIN, 3, 3)
    assert (plain.median, plain.largest) == pytest.approx((0.02, 0.03))
    assert (quantised.family, quantised.n, quantised.largest) == (QUANTISED, 1, pytest.approx(0.1))
    assert accuracy([]) == []


def test_accuracy_counts_what_it_rests_on() -> None:
    """Checks, configurations and sources are counted apart: a measured case gives three checks of one configuration."""
    config = fixed_shape("lora")
    runs = [on_card(config.but(seed=seed)) for seed in range(3)]
    (one,) = accuracy(found(predicted(config), *runs, published(config, 5)))
    assert (one.n, one.configurations, one.measured, one.published) == (4, 1, 1, 1)
    assert "4 checks of 1 configuration, against 1 published and 1 measured" in one.text
    assert one.text.endswith("about 1 in 2")


def test_a_family_is_told_by_the_built_base_and_else_by_the_method() -> None:
    """Any quantised base counts as one, whatever the method is called; without a model its name must do."""
    assert [family(predicted(fixed_shape(method))) for method in METHODS] == [PLAIN, PLAIN, QUANTISED]
    int8 = predicted(fixed_shape("lora"), resolved={"base.quantization": "LLM.int8, threshold 6.0"})
    assert family(int8) == QUANTISED
    assert [family(fixed_shape(method)) for method in METHODS] == [PLAIN, PLAIN, QUANTISED]
    unbuilt = replace(fixed_shape("lora"), method="lora_8bit", options={})
    assert family(unbuilt) == QUANTISED


def test_what_to_expect_is_of_the_own_family_and_honest_about_n() -> None:
    """Two checked configurations leave one chance in three of a larger error; without any the released ones speak."""
    checked = found(*pair(1_010, 1_000), *pair(970, 1_000, batch_size=2))
    said = expected_error(predicted(fixed_shape("full")), checked)
    assert said.startswith(f"{PLAIN}: median 2.00%, largest 3.00% (2 checks of 2 configurations, against 2 published)")
    assert said.endswith("about 1 in 3")
    assert expected_error(fixed_shape("full"), checked) == said
    plain, quantised = released()
    assert expected_error(predicted(fixed_shape("qlora")), checked) == f"{quantised.family}: {quantised.text}"
    assert expected_error(predicted(fixed_shape("full")), []) == f"{plain.family}: {plain.text}"


def test_what_is_released_is_what_the_committed_records_say() -> None:
    """accuracy.json holds the errors of this repository's predictions; rewrite it when those change."""
    assert released() == accuracy(checks_below(ROOT / "results"))


def test_an_adapter_on_a_quantised_base_is_of_its_family() -> None:
    """Before a model is built the config's base tells."""
    assert family(fixed_shape("lora")) == PLAIN
    assert family(fixed_shape("lora", base="nf4")) == QUANTISED


def test_checks_are_read_from_a_folder_if_there_is_one(tmp_path: Path) -> None:
    """The records of a folder are checked as in memory; no folder is no check, not an error."""
    root = filled(tmp_path / "results", *pair(1_100, 1_000))
    assert [check.error for check in checks_below(root)] == [check.error for check in checks(group(read(root)[0]))]
    assert len(checks_below(root)) == 1
    assert checks_below(tmp_path / "nowhere") == []
