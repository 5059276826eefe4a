"""Which nodes make a pool: alike, with room for a run, and with the ftbench that asks."""

from __future__ import annotations

import pytest

from bench.errors import BadValueError
from bench.launch.cluster.pools import _alike, _asked, _slots
from bench.launch.cluster.remote import Node, Order
from bench.launch.machine import facts

HERE = str(facts()["ftbench.code"])
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
