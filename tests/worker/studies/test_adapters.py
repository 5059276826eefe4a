"""Many adapters for real, on a tiny model: what is measured, what is refused, and that the base stays the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.analysis.adapters import ADAPTERS
from bench.analysis.values import value
from bench.schema import RunConfig, RunRecord, Status
from bench.schema.metrics import METRICS
from bench.worker.logbook import Logbook
from bench.worker.main import recorded
from bench.worker.studies import adapters
from bench.worker.studies.adapters_base import digests, unchanged
from bench.worker.studies.inference_tokens import first_logits

Crowd = Callable[..., RunRecord]


@pytest.fixture
def crowded(tiny_cache: Path, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Crowd:
    """Put adapters into a tiny model and do everything to them, each thing once or twice; returns the record."""

    def crowd(method: str = "lora", **settings: Any) -> RunRecord:
        study = {"study": "adapters", "count": 3, "prompt_tokens": 8, "repeats": 1, "timings": 2, "batch_size": 4}
        config = tiny_config(method, **{**study, "train_examples": 16, **settings})
        return recorded(Logbook(config, tmp_path / "phase"))

    return crowd


@pytest.mark.parametrize("base", ["plain", "nf4"])
def test_everything_is_measured_and_right(crowded, base):
    """Every operation has its seconds; rows, reloaded and swapped adapters say what they should; the base stays."""
    record = crowded(base=base, combinations="linear,cat,ties,svd")

    assert record.status is Status.OK, record.failure
    assert all(value(record, name) > 0 for name in ADAPTERS)
    found = record.metrics
    assert [name for name in found if name not in METRICS] == []
    for error in ("mixed_error", "reload_error", "swap_error"):
        assert found[f"adapters.{error}"] < 1e-5
    assert found["adapters.mixed_change"] > 1e-2
    assert found["adapters.base_unchanged"] == 1
    assert found["adapters.weights"] == 3 * found["adapters.weights_each"] == 3 * 4 * found["parameters.trainable"]
    assert found["adapters.file_bytes"] == pytest.approx(found["adapters.weights_each"], rel=0.05)


def test_batches_are_mixed_one_one_mixed(crowded, monkeypatch):
    """After the mixed batch that is checked comes a block; only its first and last pass give every row its own."""
    seen = list[object]()

    def watched(model: Any, prompts: Any, **more: Any) -> Any:
        seen.append(more.get("adapter_names"))
        return first_logits(model, prompts, **more)

    monkeypatch.setattr(adapters, "first_logits", watched)
    crowded()

    rows = ["default", "adapter1", "adapter2", "default"]
    assert seen == [rows, rows, None, None, rows]


def test_what_peft_refuses_is_absent_in_its_words(crowded):
    """DoRA has no mixed batch and no hot-swap; all else is there."""
    record = crowded("dora")

    assert record.status is Status.OK, record.failure
    assert "Cannot pass `adapter_names` when DoRA is enabled" in record.absent["adapters.mixed_slowdown"]
    assert "adapters.swap_error" in record.absent
    assert value(record, "adapters.swap_seconds") is None
    assert value(record, "adapters.load_seconds") > 0
    assert record.metrics["adapters.base_unchanged"] == 1


def test_rows_that_did_not_get_their_adapters_are_found(crowded):
    """Where the library ignores adapter_names, the error is as large as the adapters differ by."""
    found = crowded("ia3").metrics

    assert found["adapters.mixed_error"] == found["adapters.mixed_change"] > 1e-4


def test_one_adapter_alone_is_not_combined(crowded):
    """A model with one adapter says that there is nothing to combine, and differs from itself by nothing."""
    record = crowded(count=1)

    assert "nothing to be combined" in record.absent["adapters.linear_seconds"]
    assert record.metrics["adapters.mixed_change"] == 0


@pytest.mark.parametrize("method", ["full", "prefix_tuning"])
def test_methods_without_such_adapters_are_unsupported(crowded, method):
    """A model without adapters, or with prompts in their place, ends with the reason."""
    record = crowded(method)

    assert record.status is Status.UNSUPPORTED
    assert "beside each other" in record.failure.message


def test_a_base_that_changed_is_found(crowded, monkeypatch):
    """One weight of the base that is off by a bit's worth shows in the share of unchanged tensors."""

    def disturb(many):
        weight = many.model.get_base_model().model.norm.weight
        weight.data[0] = torch.nextafter(weight.data[0], torch.tensor(9.0))

    monkeypatch.setattr(adapters, "swap", disturb)
    found = crowded().metrics["adapters.base_unchanged"]

    assert 0.9 < found < 1


@pytest.mark.parametrize("base", ["plain", "nf4", "int8"])
def test_digests_are_of_the_base_alone(prepared, tiny_config, base):
    """Adapters beside the base, moved or unloaded, change nothing; a quantised base's scales count too."""
    model = prepared(tiny_config("lora", base=base)).eval()
    before = digests(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 1

    assert unchanged(before, digests(model)) == 1
    assert unchanged(before, digests(model.unload())) == 1
    assert any("state" in name for name in before) == (base != "plain")
    assert unchanged({**before, "gone": "0"}, before) < 1
