"""A run from config to record: what it must contain, and real data through the whole of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import cache
from bench.launch.process import Launcher
from bench.launch.workers import Worker
from bench.schema import RunConfig, RunRecord, Status

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def run(tiny_cache: Path) -> Iterator[Callable[[RunConfig], RunRecord]]:
    """Run configs in fresh processes, with real data where they lie beside the checkout."""
    variables = {cache.VARIABLE: str(tiny_cache), "FTBENCH_DATA_DIR": str(SHARED)}
    with Launcher(device="here", machine={}, isolation="spawn", variables=variables) as launcher:
        yield launcher.run


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_record_holds_what_was_asked_for(run, tiny_config, method):
    """Every phase has its seconds and peak, every step its raw numbers, every item its verdict."""
    config = tiny_config(method, steps=5, packing=True, evaluate_items=7, evaluate_batch_size=3, train_examples=50)

    record = run(config)

    assert record.failure is None
    assert record.status is Status.OK
    phases = ["load", "evaluate", "train"] + (["save"] if method != "full" else [])
    for phase in phases:
        assert record.metrics[f"{phase}.seconds"] > 0
    series = {name: len(values) for name, values in record.series.items()}
    assert {n for n in series if n.startswith("step.")} == {
        "step.seconds", "step.cpu_seconds", "step.loss", "step.tokens_all", "step.tokens_real",
        "step.tokens_trained", "step.learning_rate", "step.gradient_norm", "step.flops",
    }  # fmt: skip
    assert all(count == 5 for name, count in series.items() if name.startswith("step."))
    assert {name: len(bits) for name, bits in record.items.items()} == {"before": 7, "after": 7}
    assert record.series["evaluate.batch_seconds"] is not None
    assert record.metrics["train.peak_allocated"] > 0
    assert record.metrics["data.contaminated"] == 0
    assert ("save.adapter_bytes" in record.metrics) == (method != "full")
    assert ("save.adapter_bytes" in record.absent) == (method == "full")


def test_packed_steps_have_no_padding_and_one_size(run, tiny_config):
    """With packing all positions are real tokens, and every step has batch times length of them."""
    record = run(tiny_config(steps=4, packing=True, batch_size=3, sequence_length=40, gradient_accumulation_steps=2))

    assert record.series["step.tokens_all"] == record.series["step.tokens_real"] == (240,) * 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space so")
def test_running_out_of_memory_is_a_result(tiny_cache, tiny_config):
    """A batch that memory does not hold ends as oom, in training, with the bytes asked for and the peaks so far."""
    variables = {cache.VARIABLE: str(tiny_cache), "PYTHONPATH": str(Path(__file__).parent)}
    confined = Worker("confined:main")
    config = tiny_config(steps=2, packing=True, batch_size=1024, sequence_length=2048, train_examples=64)

    with Launcher(device="here", machine={}, isolation="spawn", worker=confined, variables=variables) as launcher:
        record = launcher.run(config)

    assert record.status is Status.OOM, record.failure
    assert record.failure is not None
    assert record.failure.phase == "train"
    assert record.failure.bytes_requested > 2**26
    assert record.metrics["load.seconds"] > 0


def test_the_same_seed_gives_the_same_training(run, tiny_config):
    """Losses and verdicts are equal to the last digit in two processes; another seed gives others."""
    first, again = (run(tiny_config("lora", steps=4, evaluate_items=5)) for _ in range(2))
    other = run(tiny_config("lora", steps=4, evaluate_items=5, seed=1))

    assert first.series["step.loss"] == again.series["step.loss"]
    assert first.items == again.items
    assert first.series["step.loss"] != other.series["step.loss"]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data beside the checkout ({SHARED.name}/)")
def test_gsm8k_runs_on_real_problems(run, tiny_config):
    """Local JSONL laid out like the hub is read, trained and scored, and its hash stands in the record."""
    record = run(tiny_config("lora", task="gsm8k", steps=2, batch_size=2, sequence_length=256, evaluate_items=3))

    assert record.failure is None
    assert len(record.items["after"]) == 3
    assert str(record.resolved["data.openai/gsm8k/main/test"]).startswith("local sha256:")
    assert record.metrics["data.truncated"] > 0
    assert record.metrics["data.contaminated"] == 0
    assert 0 <= record.metrics["evaluate.unfinished"] <= 3
    assert "evaluate.unfinished_before" in record.metrics


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data beside the checkout ({SHARED.name}/)")
@pytest.mark.parametrize("task", ["pubmedqa", "jnli", "jcommonsenseqa"])
def test_a_task_of_choices_runs_on_real_rows(run, tiny_config, task):
    """Real rows are trained, and scored by likelihood: verdicts and seconds, no generated tokens and why not."""
    record = run(tiny_config("lora", task=task, steps=2, batch_size=2, sequence_length=256, evaluate_items=6))

    assert record.failure is None
    assert {name: len(bits) for name, bits in record.items.items()} == {"before": 6, "after": 6}
    assert sum(record.series["evaluate.batch_seconds"]) > 0
    assert record.metrics["data.contaminated"] == 0
    assert record.metrics["evaluate.truncated"] == (1 if task == "pubmedqa" else 0)  # a token a byte, 2,048 of them
    assert not {"evaluate.batch_tokens", "evaluate.before.batch_tokens"} & set(record.series)
    for name in ("evaluate.tokens_per_second", "evaluate.unfinished", "evaluate.unfinished_before"):
        assert "likeliest" in record.absent[name]


def test_a_missing_package_is_one_line_with_the_remedy(tiny_cache, tiny_config, tmp_path):
    """Where bitsandbytes is not installed, QLoRA's record says so and how to install it."""
    (tmp_path / "bitsandbytes.py").write_text("raise ModuleNotFoundError('no', name='bitsandbytes')")
    variables = {cache.VARIABLE: str(tiny_cache), "PYTHONPATH": str(tmp_path)}

    with Launcher(device="here", machine={}, isolation="spawn", variables=variables) as launcher:
        record = launcher.run(tiny_config("qlora"))

    assert record.status is Status.ERROR
    assert record.failure is not None
    assert "needs the package 'bitsandbytes'" in record.failure.message
    assert "pip install" in record.failure.message
