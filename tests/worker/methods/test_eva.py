"""EVA's start: directions that the layers' inputs really have, ranks where they explain most, and no start for ever."""

from __future__ import annotations

import pytest
import torch
from peft.tuners.lora.layer import LoraLayer

from bench.errors import UnsupportedError
from bench.schema import Status
from bench.schema.catalogue import METHODS, TASKS, load
from bench.worker import resolved
from bench.worker.batches import cut, padded
from bench.worker.encoding import Encoder
from bench.worker.logbook import Logbook
from bench.worker.main import recorded
from bench.worker.methods import eva


@pytest.fixture
def sequences(tokenizer):
    """Some training sequences of addition."""
    task = load(TASKS["addition"])
    encoder = Encoder(tokenizer, chat=task.chat)
    return cut([encoder.whole(example) for example in task.train(0, 64)], 32)[0]


@pytest.fixture
def started(prepared, tiny_config, sequences):
    """Open a model and give it EVA's start."""

    def start(**settings):
        config = tiny_config("eva", **{"rank": 4, "sequence_length": 32, **settings})
        model = prepared(config)
        load(METHODS["eva"]).begin(model, sequences, config)
        return model

    return start


def layers(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def test_directions_explain_the_inputs(started, sequences):
    """Each layer's rows are of length 1 and at right angles, and hold more of its inputs' spread than LoRA's do."""
    model = started(rho=1.0, dropout=0.0).eval()
    batch, seen = padded(sequences, 0), {}
    handles = [layer.register_forward_pre_hook(lambda _, given, name=name: seen.setdefault(name, given[0].detach()))
               for name, layer in layers(model).items()]  # fmt: skip
    with torch.no_grad():
        model(**{name: tensor for name, tensor in batch.on("cpu").items() if name != "labels"})
    for handle in handles:
        handle.remove()
    looked_at = batch.labels != eva.IGNORED

    for name, layer in layers(model).items():
        inputs, rows = seen[name][looked_at], layer.lora_A["default"].weight.detach()
        spread = inputs - inputs.mean(0)
        held = (spread @ rows.T).square().sum() / spread.square().sum()
        best = torch.linalg.svdvals(spread)[:4].square().sum() / spread.square().sum()
        torch.testing.assert_close(rows @ rows.T, torch.eye(4), rtol=1e-3, atol=1e-3)
        assert held > 0.8 * best > 2 * 4 / inputs.shape[1]  # random rows hold 4 of 64 or 192
        assert not layer.lora_B["default"].weight.any()


def test_ranks_go_where_they_explain_most(started):
    """With rho the ranks differ, up to rho times `rank`, and are as many in all; without, all layers have `rank`."""
    spread, even = layers(started(rho=2.0)), layers(started(rho=1.0))
    ranks = [layer.r["default"] for layer in spread.values()]

    assert {layer.r["default"] for layer in even.values()} == {4}
    assert sum(ranks) == 4 * len(even)
    assert len(set(ranks)) > 1
    assert max(ranks) <= 8


@pytest.mark.parametrize(("cast", "kind"), [(True, torch.float32), (False, torch.bfloat16)])
def test_adapters_of_another_rank_have_the_type_that_was_asked_for(started, cast, kind):
    """Layers that peft makes anew are cast like the others."""
    model = started(dtype="bfloat16", autocast_adapter_dtype=cast)

    assert {p.dtype for p in model.parameters() if p.requires_grad} == {kind}


def test_too_few_tokens_are_told_and_not_waited_for(prepared, tiny_config, sequences):
    """Where all examples together show fewer tokens than directions are asked for, peft would never end."""
    config = tiny_config("eva", rank=16, targets="q_proj")

    with pytest.raises(UnsupportedError, match="needs 32 tokens at once to start from; all 4 examples show"):
        load(METHODS["eva"]).begin(prepared(config), sequences[:4], config)


def test_directions_that_never_settle_are_given_up(started, monkeypatch):
    """After the most passes there is no start, instead of one more pass."""
    monkeypatch.setattr(eva, "MOST_PASSES", 3)

    with pytest.raises(UnsupportedError, match="still turn after 3 batches"):
        started(tau=1.0)


def test_a_run_starts_from_its_own_data(tiny_cache, tiny_config, tmp_path):
    """A whole run's adapter has other ranks than peft was told, and the record counts what was really built."""
    settings = {"rank": 4, "rho": 2.0, "steps": 2, "untimed_steps": 1, "sequence_length": 32, "train_examples": 64}
    record = recorded(Logbook(tiny_config("eva", **settings), tmp_path / "phase"))

    assert record.status is Status.OK, record.failure
    assert record.metrics["parameters.trainable"] != 4 * 2 * (128 + 96 + 96 + 128 + 256 + 256 + 256)
    assert record.resolved["adapter.init_lora_weights"] == "eva"


def test_a_quantised_base_has_a_start_too(started):
    """On NF4 the ranks are as many in all."""
    model = started(base="nf4")

    assert sum(layer.r["default"] for layer in layers(model).values()) == 4 * 14
    assert resolved.settings(model)["base.quantization"].startswith("nf4")
