"""What is told of a GPU: every fact that was read, none that was not, and no serial number."""

from __future__ import annotations

import hashlib
import json

import pynvml
import pytest

from tests.nvml_stub import GIB, H100, INSTANCES, Machine

FULL = {
    **H100,
    "cuda": 13000,
    "confidential": 0,
    "gpu0.vbios": "96.00.74.00.01",
    "gpu0.capability": "9,0",
    "gpu0.cores": 16896,
    "gpu0.bus": 5120,
    "gpu0.power": 650_000,
    "gpu0.power.default": 700_000,
    "gpu0.power.range": "200000,700000",
    "gpu0.clock1": 345,
    "gpu0.maxclock1": 1980,
    "gpu0.clock2": 2619,
    "gpu0.maxclock2": 2619,
    "gpu0.ecc": "1,0",
    "gpu0.persistence": 1,
    "gpu0.compute": 3,
    "gpu0.addressing": 1,
    "gpu0.pcie.generation": 1,
    "gpu0.pcie.generation.max": 5,
    "gpu0.pcie.width": 8,
    "gpu0.pcie.width.max": 16,
    "gpu0.pci": "00000000:AB:00.0",
}
UNIT = hashlib.sha256(str(H100["gpu0.uuid"]).encode()).hexdigest()[:8]
FACTS = """
from pathlib import Path
from bench.launch import gpu
say(gpu.facts(Path({root!r}) / "proc", Path({root!r}) / "sys"))
"""
GPU = "from bench.launch import gpu; say([gpu.gpu(), gpu.absence()])"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version:  gcc 12\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def root(tmp_path):
    """The kernel's files of a machine with the open driver."""
    files = {
        "proc/driver/nvidia/version": OPEN,
        "sys/bus/pci/devices/0000:ab:00.0/numa_node": "1\n",
        "sys/module/nvidia_uvm/parameters/uvm_perf_prefetch_enable": "1\n",
        "sys/module/nvidia_uvm/parameters/uvm_disable_hmm": "N\n",
        "sys/module/nvidia_uvm/parameters/uvm_channel_gpfifo_loc": "\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_fact_has_its_unit(machine, root):
    """A GPU that tells everything is described in full, in base units."""
    expected = {
        "gpu.name": "NVIDIA H100 80GB HBM3",
        "gpu.memory_bytes": 80 * GIB,
        "gpu.unit": UNIT,
        "gpu.driver": "580.95.05",
        "gpu.kernel_module": "open",
        "gpu.cuda_driver": "13.0",
        "gpu.vbios": "96.00.74.00.01",
        "gpu.compute_capability": "9.0",
        "gpu.multiprocessors": 132,
        "gpu.memory_bus_bits": 5120,
        "gpu.power_limit_watts": 650.0,
        "gpu.power_limit_default_watts": 700.0,
        "gpu.power_limit_enforced_watts": 700.0,
        "gpu.power_limit_min_watts": 200.0,
        "gpu.power_limit_max_watts": 700.0,
        "gpu.sm_clock_hz": 345_000_000,
        "gpu.sm_clock_max_hz": 1_980_000_000,
        "gpu.memory_clock_hz": 2_619_000_000,
        "gpu.memory_clock_max_hz": 2_619_000_000,
        "gpu.ecc": True,
        "gpu.mig": False,
        "gpu.persistence": True,
        "gpu.compute_mode": "exclusive process",
        "gpu.addressing_mode": "HMM",
        "gpu.confidential_compute": False,
        "gpu.pcie_generation": 1,
        "gpu.pcie_generation_max": 5,
        "gpu.pcie_width_lanes": 8,
        "gpu.pcie_width_max_lanes": 16,
        "gpu.numa_node": 1,
        "gpu.uvm.uvm_perf_prefetch_enable": 1,
        "gpu.uvm.uvm_disable_hmm": "N",
    }
    if not hasattr(pynvml, "nvmlDeviceGetAddressingMode"):  # nvidia-ml-py 12 has none
        del expected["gpu.addressing_mode"]
    assert machine.run(FACTS.format(root=str(root)), FULL) == expected


def test_what_a_gpu_does_not_tell_has_no_key(machine, tmp_path):
    """A GPU that supports little is described by little: no zeros, no empty words."""
    little = {key: FULL[key] for key in ("driver", "count", "gpu0.name", "gpu0.uuid", "gpu0.memory")}
    facts = machine.run(FACTS.format(root=str(tmp_path)), little)
    assert facts.keys() == {"gpu.name", "gpu.memory_bytes", "gpu.unit", "gpu.driver"}


def test_no_serial_and_no_uuid_are_told(machine, root):
    """A hash tells units apart; the UUID itself stays here."""
    told = json.dumps(machine.run(FACTS.format(root=str(root)), FULL))
    assert "GPU-1" not in told
    assert "11111111" not in told


def test_the_proprietary_driver_is_recognised(machine, root):
    """The version file of the closed module has no "Open" in it."""
    (root / "proc/driver/nvidia/version").write_text(CLOSED)
    assert machine.run(FACTS.format(root=str(root)), FULL)["gpu.kernel_module"] == "proprietary"


def test_a_node_that_is_not_known_is_absent(machine, root):
    """The kernel writes -1 where the machine does not tell."""
    (root / "sys/bus/pci/devices/0000:ab:00.0/numa_node").write_text("-1\n")
    assert "gpu.numa_node" not in machine.run(FACTS.format(root=str(root)), FULL)


@pytest.mark.parametrize(
    ("facts", "count"),
    [
        ({"gpu0.capability": "8,0", "gpu0.cores": 6912}, 108),
        ({"gpu0.capability": "8,9", "gpu0.cores": 16384}, 128),
        ({"gpu0.capability": "99,0", "gpu0.cores": 16384}, None),
        ({"gpu0.capability": "8,9", "gpu0.cores": 100}, None),
        ({"gpu0.capability": "8,9"}, None),
    ],
)
def test_multiprocessors_follow_from_cores(machine, root, facts, count):
    """64 or 128 cores make one, by compute capability; an unknown one makes none."""
    found = machine.run(FACTS.format(root=str(root)), {**H100, **facts})
    assert found.get("gpu.multiprocessors") == count


def test_an_instance_is_named_and_counted_as_one(machine, root):
    """Under MIG name, memory and multiprocessors are the instance's; the unit is the board."""
    cut = {**FULL, **INSTANCES}
    found = machine.run(FACTS.format(root=str(root)), cut, CUDA_VISIBLE_DEVICES="MIG-a")
    assert found["gpu.name"] == "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert found["gpu.memory_bytes"] == 10 * GIB
    assert found["gpu.multiprocessors"] == 16
    assert found["gpu.mig"] is True
    assert found["gpu.unit"] == UNIT


def test_the_gpu_is_what_every_driver_tells(machine):
    """Name, memory, unit and driver; nothing to explain."""
    assert machine.run(GPU, H100) == [["NVIDIA H100 80GB HBM3", 80 * GIB, UNIT, "580.95.05"], None]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({**H100, "init": "!9"}, "Driver Not Loaded"),
        ({**H100, "gpu0.memory": None}, "nvmlDeviceGetMemoryInfo: Not Supported"),
        ({**H100, "gpu0.uuid": None}, "nvmlDeviceGetUUID: Not Supported"),
        (INSTANCES, "MIG is on with 2 instances"),
    ],
)
def test_no_gpu_is_none_with_a_reason(machine, facts, why):
    """What makes a GPU unusable is told, and nothing is raised."""
    found, absence = machine.run(GPU, facts)
    assert found is None
    assert why in absence


def test_without_a_gpu_there_are_no_facts(machine, root):
    """A CPU run beside hidden GPUs is not described by them."""
    assert machine.run(FACTS.format(root=str(root)), FULL, CUDA_VISIBLE_DEVICES="") == {}


def test_an_old_driver_still_has_a_gpu(tmp_path, root):
    """Drivers without the newer functions keep the facts of the older ones."""
    found = Machine(tmp_path, "-DOLD").run(FACTS.format(root=str(root)), FULL)
    assert found["gpu.memory_bytes"] == 80 * GIB
    assert found["gpu.vbios"] == "96.00.74.00.01"
    assert "gpu.multiprocessors" not in found


def test_a_refusal_to_run_on_cuda_says_why(machine):
    """`--device cuda` on a machine whose driver is not loaded names the driver and the way out."""
    code = """
from bench.errors import BadValueError
from bench.launch import machine
try:
    machine.device_slug("cuda")
except BadValueError as error:
    say(str(error))
"""
    said = machine.run(code, {**H100, "init": "!9"})
    assert "use --device cpu" in said
    assert "Driver Not Loaded" in said
    assert machine.run(code.replace("machine.device_slug(", "say(machine.device_slug(").replace('"cuda")', '"cuda"))'),
                       H100) == "nvidia-h100-80gb-hbm3"  # fmt: skip
