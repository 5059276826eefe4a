"""Merging for real, on a tiny model: what each way keeps, what it refuses, and what its record holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.schema import RunConfig, RunRecord, Status
from bench.schema.codec import decode, encode
from bench.schema.metrics import METRICS
from bench.worker.logbook import Logbook
from bench.worker.main import recorded

Merge = Callable[..., RunRecord]


@pytest.fixture
def merged(tiny_cache: Path, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Merge:
    """Train a tiny model for two steps and merge it; returns the record."""

    def merge(method: str = "lora", **settings: Any) -> RunRecord:
        study = {"study": "merging", "steps": 2, "batch_size": 8, "sequence_length": 32, "evaluate_items": 6}
        config = tiny_config(method, **{**study, "untimed_steps": 1, "learning_rate": 1e-3, **settings})
        return recorded(Logbook(config, tmp_path / "phase"))

    return merge


def test_a_merge_into_plain_weights_is_the_unmerged_model(merged):
    """In float32 all of the update is in the weights, and every number the study promises is in the record."""
    record = merged(compared_tokens=20)

    assert record.status is Status.OK, record.failure
    found = record.metrics
    assert found["merging.update_kept"] == pytest.approx(1, abs=1e-5)
    assert found["merging.weight_error"] < 1e-7
    assert found["merging.kl"] < 1e-12 < found["merging.kl_of_base"]
    assert found["merging.kl_from_base"] == pytest.approx(found["merging.kl_of_base"], rel=0.1)
    assert found["merging.perplexity_merged"] == pytest.approx(found["merging.perplexity_unmerged"], rel=1e-6)
    assert found["merging.perplexity_base"] > found["merging.perplexity_unmerged"]
    assert (found["merging.tokens"], len(record.series["merging.token_kl"])) == (20, 20)
    assert {name: len(bits) for name, bits in record.items.items()} == {"before": 6, "after": 6, "merged": 6}
    assert found["merge.weights_after"] < found["merge.weights_before"]
    assert found["merge.seconds"] > 0
    assert [name for name in found if name.startswith("merg") and name not in METRICS] == []


def test_a_small_update_is_rounded_away_in_4_bits(merged):
    """Merged into NF4 as peft does it, the model is nearer to the base than to what was trained, and says so."""
    found = merged(base="nf4").metrics

    assert found["merging.update_kept"] < 0.5
    assert found["merging.kl"] > 10 * found["merging.kl_from_base"]
    assert found["merging.perplexity_merged"] == pytest.approx(found["merging.perplexity_base"], rel=0.01)


def test_a_large_update_stays_in_4_bits(merged):
    """The same merge keeps nearly all of an update ten times as fast."""
    found = merged(base="nf4", learning_rate=1e-2, steps=4).metrics

    assert found["merging.update_kept"] > 0.9
    assert found["merging.update_size"] > 0.1


@pytest.mark.parametrize(
    ("way", "form", "kept"),
    [("dequantized", "none", 1.0), ("original", "none", 1.0), ("original_requantized", "nf4", 1.0)],
)
def test_ways_around_the_quantised_weights_keep_the_update(merged, way, form, kept):
    """Into expanded or original weights, quantised again or not, the update is there; the form is read back."""
    record = merged(base="nf4", way=way)

    assert record.status is Status.OK, record.failure
    assert record.metrics["merging.update_kept"] == pytest.approx(kept, abs=0.1)
    assert str(record.resolved["merge.quantization_before"]).startswith("nf4")
    assert str(record.resolved["merge.quantization"]).startswith(form)
    assert record.metrics["merging.kl"] < record.metrics["merging.kl_of_base"]


@pytest.mark.parametrize("method", ["mora", "adamix"])
@pytest.mark.parametrize("way", ["dequantized", "original"])
def test_adapters_of_layers_of_our_own_are_merged_by_every_way(merged, method, way):
    """An adapter that peft does not know by its file is loaded as what it is, and its update is kept."""
    record = merged(method, base="nf4", way=way)

    assert record.status is Status.OK, record.failure
    assert record.metrics["merging.update_kept"] == pytest.approx(1, abs=0.1)


def test_expanding_first_loses_nothing_but_memory(merged):
    """Merged into expanded weights the model says what it said, in more than twice the bytes of a merge in 4 bits."""
    expanded, in_place = (merged(base="nf4", way=way).metrics for way in ("dequantized", "in_place"))

    assert expanded["merging.kl"] < 1e-12
    assert expanded["merge.weights_after"] > 2 * in_place["merge.weights_after"]


def test_quantising_again_by_hand_is_what_peft_does(merged):
    """Expand, merge, quantise gives the weights of the merge in place: the loss is the format's, not peft's."""
    by_hand, in_place = (merged(base="nf4", way=way).metrics for way in ("requantized", "in_place"))

    assert by_hand["merging.update_kept"] == pytest.approx(in_place["merging.update_kept"], rel=1e-3)
    assert by_hand["merging.kl"] == pytest.approx(in_place["merging.kl"], rel=1e-3)
    assert by_hand["merge.weights_after"] == in_place["merge.weights_after"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"way": "dequantized"}, "You need to first quantize your model"),
        ({"way": "original_requantized"}, "nothing to quantise again"),
        ({"method": "full"}, "no adapter to merge"),
        ({"method": "ia3", "base": "nf4"}, "Cannot merge ia3 layers when the model is loaded in 4-bit mode"),
    ],
)
def test_what_is_refused_is_unsupported_in_the_librarys_words(merged, settings, words):
    """A merge that cannot be is a record with its reason, and what was measured before stays in it."""
    record = merged(**settings)

    assert record.status is Status.UNSUPPORTED
    assert record.failure is not None
    assert words in record.failure.message
    assert "merging.kl" not in record.metrics


def test_an_adapter_of_another_kind_says_nothing_of_its_weights(merged):
    """Of an adapter that is not LoRA's, words and perplexity are compared, and the weights are absent with a reason."""
    record = merged("loha")

    assert record.status is Status.OK, record.failure
    assert record.metrics["merging.kl"] < 1e-12
    assert "merging.update_kept" not in record.metrics
    assert "LoRA" in record.absent["merging.update_kept"]


@pytest.mark.parametrize(("base", "largest"), [("plain", 1e-6), ("nf4", 1.0)])
def test_drift_is_kept_round_by_round(merged, base, largest):
    """Merging and taking out again moves a float32 base by rounding errors, a 4-bit one by much more."""
    record = merged(base=base, way="repeated", merge_rounds=3)

    assert record.status is Status.OK, record.failure
    drifts = record.series["merging.round_drift"]
    assert len(drifts) == 3
    assert record.metrics["merging.drift"] == drifts[-1]
    assert largest / 1000 < drifts[-1] < largest
    assert record.metrics["merge.weights_after"] == record.metrics["merge.weights_before"]


def test_without_test_items_there_is_still_text(merged):
    """A run that scores nothing compares words on the task's own test items, and has no verdicts."""
    record = merged(evaluate_items=0)

    assert record.status is Status.OK, record.failure
    assert record.metrics["merging.tokens"] > 50
    assert record.items == {}


def test_a_model_that_training_broke_has_no_numbers_and_says_so(merged):
    """Where the adapter is not finite, weights and words are absent with a reason, and the record can be written."""
    record = merged(learning_rate=1e30, steps=3)

    assert record.status is Status.OK, record.failure
    assert "merging.kl" not in record.metrics
    assert "not finite" in record.absent["merging.kl"]
    assert decode(encode(record).encode()).metrics == record.metrics
