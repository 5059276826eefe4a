"""Which nodes make a pool: alike, with room for a run, and with the ftbench that asks."""

from __future__ import annotations

import pytest

from bench.errors import BadValueError
from bench.launch.cluster.pools import Pool, _alike, _asked, _slots
from bench.launch.cluster.remote import Node, Order
from bench.launch.machine import code_hash
from bench.schema.config import configure

HERE = code_hash()
STACK = {"package.torch": "2.13.0", "package.peft": "0.21.2"}


def test_nodes_with_other_versions_are_refused_by_the_difference():
    """Numbers of two stacks would be filed as one device's."""
    nodes = [Node("nvidia-a100", STACK, HERE), Node("nvidia-a100", {**STACK, "package.peft": "0.20.0"}, HERE)]

    with pytest.raises(BadValueError, match=r"differ.* peft 0\.21\.2, torch 2\.13\.0, .* on 1; .* peft 0\.20\.0"):
        _alike(nodes)


def test_nodes_with_another_ftbench_than_this_machine_are_refused():
    """What plans and what measures has to be one code."""
    with pytest.raises(BadValueError, match=rf"code 0ld\) than this machine \(code {HERE}\)"):
        _alike([Node("nvidia-a100", STACK, "0ld")] * 2)


@pytest.mark.parametrize(
    ("device", "dry", "resources", "slots"),
    [
        ("cuda", False, {"CPU": 32.0, "GPU": 8.0}, 8),
        ("cuda", False, {"CPU": 4.0, "GPU": 8.0}, 4),
        ("cuda", False, {"CPU": 32.0}, 0),
        ("cpu", False, {"CPU": 32.0}, 1),
        ("fake:h100-80gb", False, {"CPU": 32.0}, 32),
        ("cuda", True, {"CPU": 32.0}, 32),
        ("cpu", False, {"memory": 1.0}, 0),
    ],
)
def test_a_gpu_makes_one_run_at_a_time_and_so_does_a_processor(device, dry, resources, slots):
    """Runs that are timed have their device to themselves; what is simulated or made up has a core."""
    node = {"Resources": resources}

    assert _slots(node, _asked([node], None, Order(device, None, dry))) == slots


@pytest.mark.parametrize(
    ("strategy", "world_size", "most", "gpus"),
    [("one", 2, 8, 1), ("fsdp2", 2, 8, 2), ("device_map", 4, 8, 4), ("zero3", 8, 4, 4)],
)
def test_a_run_that_devices_share_asks_for_as_many_gpus(strategy, world_size, most, gpus):
    """And for all that a node has, where none has so many: the run says what is missing."""
    node = {"Resources": {"CPU": 32.0, "GPU": float(most)}}
    asked = _asked([node], "A100", Order("cuda", None, dry=False))
    pool = Pool(Node("nvidia-a100", STACK, HERE), most, asked, "nvidia-a100", most)
    config = configure(model="tiny-llama", method="lora", task="addition", device="cuda", study="distributed",
                       strategy=strategy, world_size=world_size, batch_size=8)  # fmt: skip

    assert pool.asked_by(config) == {"num_cpus": 1, "num_gpus": gpus, "accelerator_type": "A100"}


def test_runs_without_gpus_ask_for_none():
    """On processors a run has the node, however many processes share it."""
    node = {"Resources": {"CPU": 32.0, "GPU": 2.0}}
    asked = _asked([node], None, Order("cpu", None, dry=False))
    config = configure(model="tiny-llama", method="lora", task="addition", study="distributed", strategy="ddp")

    assert Pool(Node("cpu", STACK, HERE), 1, asked, "cpu", 2).asked_by(config) == {"num_cpus": 32.0}
