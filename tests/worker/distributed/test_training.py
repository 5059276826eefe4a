"""Training that processes share, for real on two of them: the same losses, a part of the memory, the bytes expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import cache
from bench.launch.process import Launcher
from bench.launch.workers import REAL
from bench.schema import RunConfig, RunRecord, Status
from bench.worker.distributed.strategies import blocks

Shared = Callable[..., RunRecord]

TOLERANCE = 1e-4
"""Largest relative difference of a loss: sums of the same numbers in another order, in float32, over six steps."""
EXACTLY = 1e-5
"""The same of the first step, whose gradient no step has come before."""
FLOAT32 = 4


@pytest.fixture(scope="module")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where torch would put what it compiles."""
    return tmp_path_factory.mktemp("extensions")


@pytest.fixture(scope="module")
def run(tiny_cache: Path, extensions: Path) -> Iterator[Callable[[RunConfig], RunRecord]]:
    """Run configs in processes that are forked from one with the imports done; each config once."""
    variables = {cache.VARIABLE: str(tiny_cache), "TORCH_EXTENSIONS_DIR": str(extensions)}
    with Launcher(device="here", machine={}, isolation="fork", worker=REAL, variables=variables) as launcher:
        made: dict[bytes, RunRecord] = {}

        def once(config: RunConfig) -> RunRecord:
            if config.identity not in made:
                made[config.identity] = launcher.run(config)
            return made[config.identity]

        yield once


@pytest.fixture
def shared(run: Callable[[RunConfig], RunRecord], tiny_config: Callable[..., RunConfig]) -> Shared:
    """Train a tiny model by a method and a strategy."""

    def train(method: str, strategy: str, **settings: Any) -> RunRecord:
        own = {"full": {}, "lora": {"dropout": 0.0}, "qlora": {"dropout": 0.0, "quant_storage": "float32"}}[method]
        made = {"steps": 6, "batch_size": 4, "sequence_length": 32, "packing": True, "learning_rate": 1e-3}
        record = run(tiny_config(method, study="distributed", strategy=strategy, **{**made, **own, **settings}))
        assert record.status is Status.OK, record.failure
        return record

    return train


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_processes_learn_what_one_learns(shared, method, strategy):
    """On the same batches the loss of every step is one process's, and it falls: gradients are averaged right."""
    alone, together = shared(method, "one"), shared(method, strategy)

    assert together.series["step.loss"] == pytest.approx(alone.series["step.loss"], rel=TOLERANCE)
    for name in ("step.loss", "step.gradient_norm"):
        assert together.series[name][0] == pytest.approx(alone.series[name][0], rel=EXACTLY)
    assert together.series["step.loss"][-1] < together.series["step.loss"][0]
    assert together.series["step.tokens_all"] == alone.series["step.tokens_all"]
    assert together.series["step.tokens_trained"] == alone.series["step.tokens_trained"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_parts_of_unequal_length_weigh_what_they_hold(shared, strategy):
    """Where examples are padded, parts have unequally many trained tokens; the loss is still the whole batch's mean."""
    alone, together = (shared("lora", kind, packing=False, sequence_length=64) for kind in ("one", strategy))

    assert together.series["step.loss"] == pytest.approx(alone.series["step.loss"], rel=TOLERANCE)
    for name in ("step.loss", "step.gradient_norm"):
        assert together.series[name][0] == pytest.approx(alone.series[name][0], rel=EXACTLY)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_replicas_exchange_every_gradient_once(shared, method):
    """DDP sums the trained weights' gradients once a step, and sends nothing else (within 1 %)."""
    record = shared(method, "ddp")

    found = record.metrics
    assert found["distributed.all_reduce_bytes"] == pytest.approx(FLOAT32 * found["parameters.trainable"], rel=0.01)
    assert found["distributed.bytes"] == found["distributed.all_reduce_bytes"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_shards_gather_every_weight_for_both_passes_and_scatter_gradients_once(shared, prepared, method):
    """FSDP2 gathers layers' weights forward and backward, the rest once, and scatters what is trained (within 1 %).

    What belongs to no layer is the root's, which keeps it from the forward to the backward pass.
    """
    record = shared(method, "fsdp2")
    model = prepared(record.config)
    in_layers = sum(weight.numel() for layer in blocks(model) for weight in layer.parameters())
    everything = sum(weight.numel() for weight in model.parameters())

    found = record.metrics
    assert found["distributed.all_gather_bytes"] == pytest.approx(FLOAT32 * (everything + in_layers), rel=0.01)
    assert 0 < found["distributed.all_reduce_bytes"] < 1000, "the gradient's norm is one number of all processes"
    assert found["distributed.reduce_scatter_bytes"] == pytest.approx(FLOAT32 * found["parameters.trainable"], rel=0.01)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_zero_2_sums_gradients_and_gathers_what_was_updated(shared, method):
    """ZeRO-2 sums the trained weights' gradients, and gathers the parts of them that each has updated (within 1 %)."""
    found = shared(method, "zero2").metrics
    trained = FLOAT32 * found["parameters.trainable"]

    assert found["distributed.all_reduce_bytes"] == pytest.approx(trained, rel=0.01)
    assert found["distributed.all_gather_bytes"] == pytest.approx(trained, rel=0.01)
    assert found["distributed.bytes"] == pytest.approx(2 * trained, rel=0.01)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_zero_3_gathers_weights_and_scatters_gradients_once(shared, prepared, method):
    """ZeRO-3 keeps gathered weights from forward to backward where they are few, and the smallest always."""
    record = shared(method, "zero3")
    weights = list(prepared(record.config).parameters())
    trained = FLOAT32 * record.metrics["parameters.trainable"]

    found = record.metrics
    assert found["distributed.reduce_scatter_bytes"] == pytest.approx(trained, rel=0.01)
    everything = FLOAT32 * sum(weight.numel() for weight in weights)
    assert 0.9 * everything < found["distributed.all_gather_bytes"] < everything + 1.01 * trained


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_no_way_of_sharing_quantises_again(shared, strategy):
    """4-bit weights stay as they were quantised, and are expanded as often as on one device."""
    alone, together = shared("qlora", "one").metrics, shared("qlora", strategy).metrics

    assert together["distributed.quantizations"] == 0
    assert together["distributed.expansions"] == alone["distributed.expansions"] > 0


def test_one_process_exchanges_nothing(shared):
    """Nothing is sent where nobody else is."""
    assert shared("lora", "one").metrics["distributed.bytes"] == 0


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_shards_hold_a_part_and_replicas_the_whole(shared, method):
    """With weights, gradients and moments sharded, two processes hold half of them each; replicas hold all."""
    alone, replica, shard = (shared(method, kind) for kind in ("one", "ddp", "fsdp2"))

    def state(record: RunRecord) -> float:
        return record.metrics["paging.state_bytes"]

    assert state(replica) == state(alone)
    assert state(shard) == pytest.approx(state(alone) / 2, rel=0.02)
    held = "at_peak.base_4bit" if method == "qlora" else "at_peak.base_float32"
    assert replica.metrics[held] == alone.metrics[held]
    assert shard.metrics[held] < 0.6 * alone.metrics[held]
    for record in (replica, shard):
        assert len(record.series["rank.train.peak_allocated"]) == 2
        assert record.metrics["train.peak_allocated"] == max(record.series["rank.train.peak_allocated"])


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_zero_holds_parts_and_copies_of_what_it_trains(shared, method):
    """Stage 2 shards the moments, stage 3 the weights too; both keep a copy of their part of what is trained."""
    records = [shared(method, kind) for kind in ("one", "zero2", "zero3")]
    alone, second, third = (record.metrics for record in records)
    moments, part = alone["paging.state_bytes"] / 2, FLOAT32 * alone["parameters.trainable"] / 2

    for record in records[1:]:
        assert record.metrics["paging.state_bytes"] == pytest.approx(moments, rel=0.02)
        assert record.metrics["at_peak.optimizer_state"] == pytest.approx(moments + part, rel=0.02)
        assert max(record.series["timeline.gradients"]) > 0.9 * part
    held = "at_peak.base_float32"
    assert second[held] == alone[held]
    assert third[held] < 0.6 * alone[held]


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_nothing_is_compiled_to_train(shared, extensions, strategy):
    """DeepSpeed's extensions take a minute and a compiler, and a run that is stopped meanwhile blocks the next."""
    shared("lora", strategy)

    assert list(extensions.iterdir()) == []


def test_prefetching_changes_no_number(shared):
    """Weights that are asked for early are the same weights."""
    late, early = shared("lora", "fsdp2"), shared("lora", "fsdp2", forward_prefetch=True)

    assert early.series["step.loss"] == late.series["step.loss"]
    assert early.metrics["distributed.bytes"] == late.metrics["distributed.bytes"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 3}, "batch_size=3 cannot be shared by 2 processes"),
        ({"gradient_accumulation_steps": 2}, "use gradient_accumulation_steps=1"),
        ({"strategy": "device_map"}, "deals layers out to GPUs"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_loaded(run, tiny_config, settings, words):
    """One line says what to change."""
    record = run(tiny_config("lora", study="distributed", **{"strategy": "ddp", **settings}))

    assert record.status in (Status.ERROR, Status.UNSUPPORTED)
    assert record.failure is not None
    assert words in record.failure.message
    assert record.failure.phase == "start"
