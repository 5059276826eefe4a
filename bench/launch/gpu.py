"""What the GPU is: facts NVML and the driver's files tell of the one that CUDA programs see first.

Neither serial number nor UUID: a hash tells two units apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench import nvml
from bench.nvml import Absent, Card
from bench.schema.catalogue import Scalar

SM, MEMORY = 1, 2
"""NVML_CLOCK_SM, NVML_CLOCK_MEM."""
COMPUTE_MODES = ("default", "exclusive thread", "prohibited", "exclusive process")
ADDRESSING_MODES = ("none", "HMM", "ATS")
CORES = {
    (7, 0): 64, (7, 5): 64, (8, 0): 64, (8, 6): 128, (8, 9): 128, (9, 0): 128, (10, 0): 128, (12, 0): 128,
}  # fmt: skip
"""FP32 cores in a multiprocessor by compute capability (CUDA C++ Programming Guide, compute capabilities)."""


class Gpu(NamedTuple):
    """The first GPU: its product name, memory in bytes, and a hash that tells two units apart."""

    name: str
    memory: int
    unit: str
    driver: str


@cache
def _look() -> Gpu | Absent:
    with _open() as card:
        return card if isinstance(card, Absent) else _identity(card)


def gpu() -> Gpu | None:
    """Return the first GPU that CUDA programs see, or None where `absence` says why."""
    found = _look()
    return None if isinstance(found, Absent) else found


def absence() -> str | None:
    """Say in one sentence why there is no GPU; None where there is one."""
    found = _look()
    return found.reason if isinstance(found, Absent) else None


def facts(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> dict[str, Scalar]:
    """Describe the GPU: only what was read, each fact with its unit in its name. Empty where there is none."""
    with _open() as card:
        return {} if isinstance(card, Absent) else {f"gpu.{name}": fact for name, fact in _facts(card, proc, sys)}


@contextmanager
def _open() -> Iterator[nvml.Found]:
    found = nvml.find()
    try:
        yield found
    finally:
        if isinstance(found, Card):
            found.close()


def _identity(card: Card) -> Gpu | Absent:
    """Read what every GPU tells; the unit is the board, also where CUDA sees an instance of it."""
    memory = card.read_part("nvmlDeviceGetMemoryInfo")
    uuid = card.read("nvmlDeviceGetUUID")
    name = card.read_part("nvmlDeviceGetName")
    driver = nvml.call(card.library, "nvmlSystemGetDriverVersion")
    if isinstance(memory, Absent):
        return memory
    if missing := next((read for read in (uuid, name, driver) if isinstance(read, Absent)), None):
        return missing
    return Gpu(str(name), int(memory.total), hashlib.sha256(str(uuid).encode()).hexdigest()[:8], str(driver))


def _facts(card: Card, proc: Path, sys: Path) -> Iterator[tuple[str, Scalar]]:
    identity = _identity(card)
    if isinstance(identity, Gpu):
        yield from zip(("name", "memory_bytes", "unit", "driver"), identity, strict=True)
    for name, function, arguments, meaning in READS:
        value = card.read(function, *arguments)
        if not isinstance(value, Absent):
            yield name, meaning(value)
    for name, function, meaning in SYSTEM_READS:
        value = nvml.call(card.library, function)
        if not isinstance(value, Absent):
            yield name, meaning(value)
    limits = card.read("nvmlDeviceGetPowerManagementLimitConstraints")
    if not isinstance(limits, Absent):
        yield from zip(("power_limit_min_watts", "power_limit_max_watts"), map(_thousandth, limits), strict=True)
    yield from _multiprocessors(card)
    yield from _files(card, proc, sys)


def _multiprocessors(card: Card) -> Iterator[tuple[str, Scalar]]:
    """Count those of what CUDA sees: NVML tells them of a MIG instance, and the cores of a whole GPU."""
    if card.mig:
        attributes = card.read_part("nvmlDeviceGetAttributes_v2")
        if not isinstance(attributes, Absent):
            yield "multiprocessors", int(attributes.multiprocessorCount)
        return
    cores, capability = card.read("nvmlDeviceGetNumGpuCores"), card.read("nvmlDeviceGetCudaComputeCapability")
    if isinstance(cores, Absent) or isinstance(capability, Absent) or capability not in CORES:
        return
    count, rest = divmod(cores, CORES[capability])
    if rest == 0:
        yield "multiprocessors", count


def _files(card: Card, proc: Path, sys: Path) -> Iterator[tuple[str, Scalar]]:
    """What only the kernel's files tell: the kind of driver, the memory node, settings of unified memory."""
    version = _text(proc / "driver/nvidia/version")
    if "Kernel Module" in version:
        yield "kernel_module", "open" if "Open Kernel Module" in version else "proprietary"
    bus = card.read("nvmlDeviceGetPciInfo_v3")
    if not isinstance(bus, Absent):
        node = _text(sys / "bus/pci/devices" / bus.busId.lower()[-len("0000:00:00.0") :] / "numa_node")
        if node.isdecimal():  # -1: the machine does not tell
            yield "numa_node", int(node)
    for setting in sorted((sys / "module/nvidia_uvm/parameters").glob("*")):
        if value := _text(setting):
            yield f"uvm.{setting.name}", int(value) if value.isdecimal() else value


def _text(path: Path) -> str:
    """Return a file's text, empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


Meaning = Callable[[Any], Scalar]


def _thousandth(value: int) -> float:
    return value / 1000


def _hertz(megahertz: int) -> int:
    return megahertz * 1_000_000


def _current(pair: list[int]) -> bool:
    """Of a setting now and after the next restart, now."""
    return bool(pair[0])


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _among(names: tuple[str, ...]) -> Meaning:
    """Name a mode by its number, and leave the number to one this was not told about."""
    return lambda number: names[number] if number < len(names) else str(number)


READS: tuple[tuple[str, str, tuple[Any, ...], Meaning], ...] = (
    ("vbios", "nvmlDeviceGetVbiosVersion", (), str),
    ("compute_capability", "nvmlDeviceGetCudaComputeCapability", (), lambda pair: f"{pair[0]}.{pair[1]}"),
    ("memory_bus_bits", "nvmlDeviceGetMemoryBusWidth", (), int),
    ("power_limit_watts", "nvmlDeviceGetPowerManagementLimit", (), _thousandth),
    ("power_limit_default_watts", "nvmlDeviceGetPowerManagementDefaultLimit", (), _thousandth),
    ("power_limit_enforced_watts", "nvmlDeviceGetEnforcedPowerLimit", (), _thousandth),
    ("sm_clock_hz", "nvmlDeviceGetClockInfo", (SM,), _hertz),
    ("sm_clock_max_hz", "nvmlDeviceGetMaxClockInfo", (SM,), _hertz),
    ("sm_clock_application_hz", "nvmlDeviceGetApplicationsClock", (SM,), _hertz),
    ("memory_clock_hz", "nvmlDeviceGetClockInfo", (MEMORY,), _hertz),
    ("memory_clock_max_hz", "nvmlDeviceGetMaxClockInfo", (MEMORY,), _hertz),
    ("ecc", "nvmlDeviceGetEccMode", (), _current),
    ("mig", "nvmlDeviceGetMigMode", (), _current),
    ("persistence", "nvmlDeviceGetPersistenceMode", (), bool),
    ("compute_mode", "nvmlDeviceGetComputeMode", (), _among(COMPUTE_MODES)),
    ("addressing_mode", "nvmlDeviceGetAddressingMode", (), _among(ADDRESSING_MODES)),
    ("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration", (), int),
    ("pcie_generation_max", "nvmlDeviceGetMaxPcieLinkGeneration", (), int),
    ("pcie_width_lanes", "nvmlDeviceGetCurrPcieLinkWidth", (), int),
    ("pcie_width_max_lanes", "nvmlDeviceGetMaxPcieLinkWidth", (), int),
)
"""Facts of the board: name, function, arguments, what its answer means. A link at rest is slower than under load."""

SYSTEM_READS: tuple[tuple[str, str, Meaning], ...] = (
    ("cuda_driver", "nvmlSystemGetCudaDriverVersion_v2", _version),
    ("confidential_compute", "nvmlSystemGetConfComputeState", lambda state: bool(state.ccFeature)),
)
