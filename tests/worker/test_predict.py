"""The story of a prediction: the real code's bytes on a GPU that is not there, no seconds, and whether it fits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from bench import cache
from bench.launch.process import Launcher
from bench.launch.workers import PREDICTED
from bench.schema import Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import METHODS
from bench.schema.codec import decode, encode
from bench.schema.config import Protocol, configure
from bench.schema.metrics import METRICS
from bench.schema.metrics.memory import CATEGORIES, STAGES
from bench.worker import predict
from bench.worker.logbook import Logbook
from bench.worker.main import main, recorded

DATA_DECIDES = {
    "eva": "starts from data",
    "loftq": "starts from the model's weights",
    "adamss": "numpy|scikit-learn",  # which peft needs here and is not always installed
    "frod": "nonzero",
    "shira": "nonzero",
    "unilora": "bincount",
    "waveft": "nonzero",
}
"""Methods that cannot be predicted, and what needs their data or weights."""

SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 512,
    "intermediate_size": 768,
    "num_hidden_layers": 1,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
}
"""A model in whose widths the defaults of all methods fit."""


@pytest.fixture(scope="module", autouse=True)
def fetched(tmp_path_factory):
    """A cache with the config of one model, and no weights."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "small").mkdir()
    (folder / "small" / "config.json").write_text(json.dumps(SMALL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(folder))
        cache.publish(
            cache.Manifest(
                name="small", folder=str(folder / "small"), source="folder", origin="small", revision="sha256:0"
            )
        )
        yield


def config_of(method: str = "lora", **settings) -> RunConfig:
    """Make a config of tiny-llama on a simulated GPU."""
    return configure(**{"model": "tiny-llama", "method": method, "task": "addition", "device": "fake:h100-80gb",
                        "packing": True, "batch_size": 2, "sequence_length": 32, **settings})  # fmt: skip


@pytest.fixture
def predicted(tmp_path):
    """Predict a run of tiny-llama in this process and return its record."""

    def make(method: str = "lora", **settings) -> RunRecord:
        return recorded(Logbook(config_of(method, **settings), tmp_path / "phase"))

    return make


def in_order(record: RunRecord) -> None:
    """A prediction is ok, its categories explain its peak to the byte, and the allocator saw no more than was told."""
    assert record.failure is None
    assert (record.status, record.kind) == (Status.OK, Kind.PREDICTED)
    metrics = record.metrics
    assert sum(metrics.get(f"at_peak.{name}", 0) for name in CATEGORIES) == metrics["at_peak.total"]
    assert metrics["at_peak.unseen"] == 0
    assert metrics["train.peak_requested"] == metrics["at_peak.total"]
    assert metrics["train.peak_requested"] <= metrics["train.peak_allocated"] <= metrics["train.peak_reserved"]
    assert metrics["train.peak_reserved"] < metrics["train.peak_process"]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in DATA_DECIDES])
def test_every_method_is_predicted(predicted, method):
    """On a GPU of the catalogue, from the model's shapes alone."""
    record = predicted(method, model="small", sequence_length=16, dtype="bfloat16")

    in_order(record)
    assert record.resolved["model.origin"] == "config.json of small"


@pytest.mark.parametrize(("method", "needs"), DATA_DECIDES.items())
def test_methods_whose_data_decide_are_unsupported(predicted, method, needs):
    """The refusal names the operation or library, and the record is a prediction all the same."""
    record = predicted(method, model="small", sequence_length=16)

    assert (record.status, record.kind) == (Status.UNSUPPORTED, Kind.PREDICTED)
    assert record.failure is not None
    assert any(word in record.failure.message for word in needs.split("|")), record.failure.message


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("full", {"optimizer": "adamw"}),
        ("full", {"autocast": "float16"}),
        ("full", {"dtype": "bfloat16", "attention": "flash_attention_2"}),
        ("full", {"attention": "eager"}),
        ("full", {"optimizer": "adamw_8bit"}),
        ("lora", {"gradient_checkpointing": True}),
        ("lora", {"autocast": "bfloat16", "packing": False}),
        ("lora", {"gradient_accumulation_steps": 8}),
        ("lora", {"merge": True}),
        ("qlora", {"dtype": "bfloat16", "gradient_checkpointing": True, "packing": False}),
        ("qlora", {"dtype": "bfloat16", "optimizer": "paged_adamw_8bit", "merge": True}),
    ],
)
def test_every_way_to_train_is_predicted(predicted, method, settings):
    """Precision, attention, optimisers, accumulation, checkpointing and merging, packed and with a padding mask."""
    record = predicted(method, **settings)

    in_order(record)
    assert ("merge.peak_allocated" in record.metrics) == settings.get("merge", False)


def test_a_prediction_tells_what_a_run_would_hold(predicted):
    """Peaks by phase and stage, who held the bytes, when the peak was, and what it rests on; it can be written down."""
    record = predicted("full")
    metrics = record.metrics

    for phase in ("load", "train"):
        for peak in ("allocated", "requested", "reserved", "process", "device"):
            assert metrics[f"{phase}.peak_{peak}"] > 0
    assert max(metrics[f"{stage}.peak_allocated"] for stage in STAGES) == metrics["at_peak.total"]
    assert metrics["at_peak.base_float32"] == 4 * metrics["parameters.total"] == 4 * 115_072
    assert metrics["at_peak.optimizer_state"] >= 8 * metrics["parameters.trainable"]
    assert metrics["at_peak.other"] == 2 * 32 * 2**20  # cuBLAS's workspaces, one a thread
    assert record.resolved["peak.moment"] == f"train, {record.resolved['at_peak.stage']} of step 2"
    assert record.resolved["model.origin"] == "architecture tiny-llama of the catalogue"
    assert record.environment["torch.device"] == "H100 80GB HBM3"
    assert decode(encode(record).encode()).metrics == metrics


def test_nothing_in_a_prediction_is_a_time(predicted):
    """A simulation's own seconds mean nothing; the reason stands where a run's would be."""
    record = predicted("lora", evaluate_items=3, infer_tokens=4, merge=True)

    units = {name: METRICS[name].unit for name in record.metrics if name in METRICS}
    assert set(units) == set(record.metrics)
    assert not [name for name, unit in units.items() if unit in {"s", "tok/s", "FLOP/s", "J"}]
    assert not [name for name in record.series if "seconds" in name]
    for missing in ("step.seconds", "evaluate.accuracy", "infer.seconds"):
        assert record.absent[missing].startswith("nothing is computed in a prediction")


def test_a_prediction_is_the_same_every_time(predicted):
    """Two of one config are equal to the last byte, timelines too."""
    first, again = (predicted("qlora", dtype="bfloat16") for _ in range(2))

    assert encode(first) == encode(again)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "paged_adamw_32bit", "paging": "prefetch"}, "page faults .* are not predicted"),
        ({"uvm_counters": True}, "page faults .* are not predicted"),
        ({"memory_limit": 2**30}, "limit on host memory"),
        ({"device": "fake:a30"}, "memory of A30 is not known"),
        ({"attention": "flash_attention_2", "dtype": "bfloat16", "packing": False}, "depend on the data"),
    ],
)
def test_what_a_simulation_cannot_tell_is_unsupported(predicted, settings, words):
    """In a sentence, as a result of its own."""
    record = predicted("full", **settings)

    assert (record.status, record.kind) == (Status.UNSUPPORTED, Kind.PREDICTED)
    assert record.failure is not None
    assert re.search(words, record.failure.message)


def test_a_card_that_is_too_small_is_out_of_memory(predicted):
    """The record says in which phase and for how many bytes, and still holds all numbers of the run without a limit."""
    record = predicted("full", device="fake:t4", batch_size=1024, sequence_length=2048)

    assert (record.status, record.kind) == (Status.OOM, Kind.PREDICTED)
    assert record.failure is not None
    assert record.failure.phase == "train"
    assert record.failure.bytes_requested > 2**30
    assert "Tesla T4 has " in record.failure.message
    assert str(record.metrics["train.peak_reserved"]) in record.failure.message
    assert record.metrics["train.peak_reserved"] > record.metrics["predict.capacity"]
    assert record.metrics["at_peak.total"] > 0
    assert record.absent["predict.retries"] == "the run does not fit."


def test_a_card_has_room_for_torch_beside_what_a_process_takes(predicted):
    """What lies outside torch's allocator is not torch's to have, and is part of what the process holds."""
    record = predicted("full")
    outside = record.environment["outside_torch.bytes"]

    assert record.metrics["predict.capacity"] == record.environment["torch.device_memory_bytes"] - outside
    assert record.metrics["at_peak.outside_torch"] == outside
    assert record.metrics["predict.retries"] == 0


@pytest.fixture(scope="module")
def launched(fetched):
    """Predict in processes of their own, as a user does: a process that has computed gradients cannot be forked."""
    with Launcher(device="fake", machine={}, isolation="fork", worker=PREDICTED) as launcher:
        yield launcher.run


@pytest.mark.parametrize("settings", [{"batch_size": 2}, {"batch_size": 1, "packing": False}])
def test_the_largest_batch_fits_and_one_more_does_not(predicted, launched, settings):
    """Worked out from simulations of small batches, it is what simulations of either size say, with and without mask.

    A run of single sequences is told by batches of 2 and 4: one sequence alone does other things.
    """
    wanted = {"device": "fake:t4", "sequence_length": 2048, **settings}

    found = launched(config_of("full", largest_batch=True, **wanted)).metrics["predict.largest_batch"]

    assert found > 20
    assert predicted("full", **{**wanted, "batch_size": found}).status is Status.OK
    assert predicted("full", **{**wanted, "batch_size": found + 1}).status is Status.OOM


def test_no_largest_batch_is_told_where_other_sizes_do_other_things(launched):
    """Of 512 rows a 4-bit product is made in another way than of 256, so that no straight line joins them."""
    wanted = {"device": "fake:l40s", "dtype": "bfloat16", "batch_size": 4, "sequence_length": 64}

    record = launched(config_of("qlora", largest_batch=True, **wanted))

    assert record.status is Status.OK
    assert "predict.largest_batch" not in record.metrics
    assert "other things" in record.absent["predict.largest_batch"]


def test_a_config_of_shapes_has_no_largest_batch(predicted):
    """A protocol's batches are given."""
    record = predicted("full", largest_batch=True, protocol=Protocol(shapes=((2, 8),)))

    assert record.status is Status.OK
    assert "predict.largest_batch" not in record.metrics


def test_another_loop_has_its_own_memory(predicted):
    """Kept outputs, a filled cache and late release of gradients cost memory; a cache emptied saves some."""
    ours = predicted("full").metrics["train.peak_requested"]
    settings = [{"outputs": "forward"}, {"use_cache": True, "outputs": "forward"}]
    kept, filled = (predicted("full", protocol=Protocol(**one)).metrics["train.peak_requested"] for one in settings)

    assert ours < kept < filled


def test_a_pass_before_training_counts_to_training(predicted):
    """Its peak is the run's if it is higher, and its moment is told."""
    record = predicted("full", protocol=Protocol(evaluate_first=(4096, 32)))

    assert record.status is Status.OK
    assert record.resolved["peak.moment"] == "train, evaluation before it"
    assert record.metrics["at_peak.unseen"] > 0


def test_the_cache_is_emptied_as_often_as_the_protocol_says(tmp_path):
    """Beside the times phases begin, after every so many steps."""

    def emptied(every: int) -> int:
        shapes = ((2, 8),) * 5
        config = configure(model="tiny-llama", method="full", task="addition", device="fake:t4",
                           protocol=Protocol(shapes=shapes, empty_cache_steps=every))  # fmt: skip
        logbook = Logbook(config, tmp_path / "phase")
        predict.predict(logbook)
        return sum(event.what == "empty" for event in logbook.device.heap.events)

    assert emptied(2) - emptied(0) == 3


@pytest.mark.parametrize(
    ("shapes", "steps", "followed"),
    [
        ((), 2, 2),
        (((2, 8),), 2, 2),
        (((2, 8), (2, 4)), 3, 3),
        (((2, 4), (2, 8), (2, 4)), 4, 2),
        (((2, 4), (4, 2), (1, 8)), 4, 4),
    ],
)
def test_shapes_are_gone_through_once_and_the_first_again(shapes, steps, followed):
    """So every shape is met with optimiser state; looked into is the last of the largest."""
    config = configure(model="m", method="full", task="addition", steps=50, protocol=Protocol(shapes=shapes))

    assert predict.simulated_steps(config) == steps
    assert predict.followed_step(config) == followed


def test_no_more_steps_are_simulated_than_a_run_has():
    """A run of one step has no second."""
    config = configure(model="m", method="full", task="addition", steps=1)

    assert predict.simulated_steps(config) == predict.followed_step(config) == 1


@pytest.mark.parametrize(("packing", "rows", "lengths"), [(True, 3, [9, 9, 9]), (False, 3, [9, 8, 8]), (False, 1, [9])])
def test_made_up_sequences_have_the_lengths_that_count(packing, rows, lengths):
    """Full where they are packed or alone; else the others are shorter, so that a mask is needed."""
    config = configure(model="m", method="full", task="addition", packing=packing, batch_size=rows, sequence_length=9)

    assert [len(sequence.ids) for sequence in predict.made_up(config)] == lengths


def test_the_worker_writes_the_record_of_a_prediction(tmp_path):
    """From config.json to record.json, like any run."""
    config = configure(model="tiny-llama", method="full", task="addition", device="fake:t4", steps=2)
    Path(tmp_path, "config.json").write_bytes(msgspec.json.encode(config))
    main(str(tmp_path))

    record = decode(Path(tmp_path, "record.json").read_bytes())
    assert (record.kind, record.status) == (Kind.PREDICTED, Status.OK)


def shared(**settings: object) -> RunConfig:
    """Train by several cards on eight sequences a step."""
    made = {
        "model": "llama-3.2-1b", "method": "full", "task": "addition", "device": "fake:h100-80gb", "dtype": "bfloat16",
        "study": "distributed", "strategy": "fsdp2", "batch_size": 8, "sequence_length": 256, "packing": True,
    }  # fmt: skip
    return configure(**{**made, **settings})


@pytest.mark.parametrize("world", [2, 8])
def test_sharded_weights_gradients_and_moments_take_a_part_each(launched, world):
    """Every card holds its part of what one card would hold, and gathers a layer at a time."""
    alone, each = (launched(shared(strategy=kind, world_size=world)) for kind in ("one", "fsdp2"))

    assert (alone.status, each.status) == (Status.OK, Status.OK), (alone.failure, each.failure)
    for name in ("base_bfloat16", "gradients", "optimizer_state"):
        held, part = alone.metrics[f"at_peak.{name}"], each.metrics[f"at_peak.{name}"]
        assert held / world <= part < 1.5 * held / world + 2**28, name
    assert each.metrics["train.peak_reserved"] < alone.metrics["train.peak_reserved"]


@pytest.mark.parametrize("strategy", ["ddp", "zero3"])
def test_what_is_not_simulated_says_so(launched, strategy):
    """A way of sharing that needs values is refused by its name."""
    record = launched(shared(strategy=strategy))

    assert record.status is Status.UNSUPPORTED
    assert f"strategy='{strategy}' is not simulated" in record.failure.message
