"""Generating for real, on a tiny model: what every state measures, what it holds, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft.tuners.tuners_utils import BaseTunerLayer

from bench.analysis.inference import INFERENCE
from bench.analysis.values import value
from bench.schema import RunConfig, RunRecord, Status
from bench.schema.metrics import METRICS
from bench.worker.logbook import Logbook
from bench.worker.main import recorded
from bench.worker.studies import inference
from bench.worker.studies.inference_tokens import generate

Generate = Callable[..., RunRecord]


@pytest.fixture
def generated(tiny_cache: Path, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Generate:
    """Let a tiny model generate three tokens in one block of turns; returns the record."""

    def generate(method: str = "lora", **settings: Any) -> RunRecord:
        study = {"study": "inference", "prompt_tokens": 12, "new_tokens": 3, "repeats": 1, "batch_size": 2}
        config = tiny_config(method, **{**study, "train_examples": 16, **settings})
        return recorded(Logbook(config, tmp_path / "phase"))

    return generate


@pytest.mark.parametrize("state", ["base", "unmerged", "merged"])
def test_every_state_has_every_speed(generated, state):
    """A run of any state holds first tokens and further ones of four turns, and all that is read off them."""
    record = generated(state=state)

    assert record.status is Status.OK, record.failure
    assert len(record.series["turn.first_token_seconds"]) == 4
    assert len(record.series["turn.token_seconds"]) == 4 * 2
    assert all(value(record, name) > 0 for name in INFERENCE)
    assert [name for name in record.metrics if name not in METRICS] == []
    assert record.metrics["infer.peak_allocated"] > record.metrics["inference.weights"]


def test_turns_are_with_the_adapter_without_without_with(generated, monkeypatch):
    """Alone first, then the base to warm up, then a block; the last generation, which is followed, is the adapter's."""
    seen = list[bool]()

    def watched(model: Any, *rest: Any) -> Any:
        seen.append(any(isinstance(module, BaseTunerLayer) for module in model.modules()))
        return generate(model, *rest)

    monkeypatch.setattr(inference, "generate", watched)
    generated(state="unmerged")

    assert seen == [True, False, True, False, False, True, True]


def test_the_merged_model_takes_turns_with_the_base_as_it_was(generated, monkeypatch):
    """The same order of a merged model, whose weights are others than those of the base beside it."""
    seen = list[float]()

    def watched(model: Any, *rest: Any) -> Any:
        seen.append(model.model.layers[0].self_attn.q_proj.weight.sum().item())
        return generate(model, *rest)

    monkeypatch.setattr(inference, "generate", watched)
    error = generated(state="merged").metrics["inference.logit_error"]

    merged, base = seen[:2]
    assert merged != base
    assert seen == [merged, base, merged, base, base, merged, merged]
    assert error < 1e-5


def test_an_unmerged_adapter_is_held_beside_the_base_and_does_something(generated):
    """Served weights are base and adapter; the base of the turns is without it; the logits change."""
    found = generated(state="unmerged", rank=4).metrics

    assert found["inference.weights"] - found["inference.base_weights"] == 4 * found["parameters.trainable"]
    assert found["inference.logit_change"] > 1e-3
    assert "inference.logit_error" not in found


def test_a_merged_model_says_what_the_unmerged_one_said(generated):
    """In float32 the merged logits are the unmerged ones, at the base's weight in bytes."""
    found = generated(state="merged").metrics

    assert found["inference.logit_error"] < 1e-5 < found["inference.logit_change"]
    assert found["inference.weights"] == found["inference.base_weights"]
    assert found["merge.seconds"] > 0


def test_a_quantised_base_stays_quantised_in_its_turns(generated):
    """Beside a merge into 4 bits stands a 4-bit base, a third of the plain one's weight or less."""
    merged, plain = generated(state="merged", base="nf4").metrics, generated(state="base").metrics

    assert merged["inference.base_weights"] == merged["inference.weights"] < plain["inference.weights"] / 3
    assert merged["inference.logit_error"] > 1e-3


def test_the_cache_is_what_the_formula_says(generated):
    """Two sequences of 12 + 3 tokens, the last not yet read: 14 keys and values in every layer and head."""
    record = generated()

    assert record.metrics["inference.cache_bytes"] == record.metrics["inference.cache_formula"]
    assert record.metrics["inference.cache_bytes"] % (2 * 2 * 14 * 4) == 0


def test_a_cached_dora_computes_the_same(generated):
    """peft's DoraCaching changes what is kept, not what is said."""
    plain, cached = (generated("dora", dora_caching=kept).metrics for kept in (False, True))

    assert cached["inference.logit_change"] == pytest.approx(plain["inference.logit_change"], rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "full"}, "no adapted layers"),
        ({"method": "prefix_tuning"}, "no adapted layers"),
        ({"method": "ia3", "base": "nf4", "state": "merged"}, "Cannot merge ia3 layers"),
    ],
)
def test_what_cannot_be_is_unsupported(generated, settings, words):
    """A model without layers of an adapter, and a merge that peft refuses, end with the reason and without a speed."""
    record = generated(**settings)

    assert record.status is Status.UNSUPPORTED
    assert words in record.failure.message
    assert value(record, "inference.token_seconds") is None


def test_a_base_needs_no_adapter(generated):
    """Full fine-tuning's model generates as the base that it is."""
    record = generated("full", state="base")

    assert record.status is Status.OK, record.failure
    assert "inference.logit_change" not in record.metrics
