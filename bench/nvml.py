"""NVIDIA's management library: which GPU CUDA calls 0, and reads of it that never raise.

Everything goes through the `pynvml` module of nvidia-ml-py, imported when a GPU is looked for.
What cannot be read is an `Absent` with its reason. No reason holds a UUID.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.errors import INSTALL

SUCCESS = 0
"""NVML_SUCCESS."""
FIELD_TYPES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Member of the value's union by nvmlValueType_t."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Something that could not be read: what happened and, where something can be done, what."""

    reason: str


class Memory(NamedTuple):
    """Bytes of a GPU or MIG instance, after nvmlMemory_v2: `used` leaves out what the driver keeps for itself."""

    used: int
    free: int


class Listing(NamedTuple):
    """What NVML lists: the bytes this process holds on the GPU, and how many other compute processes there are."""

    own: int | Absent
    others: int


@dataclass(frozen=True, slots=True)
class Card:
    """The GPU that CUDA calls 0. Keeps the library open until `close`.

    `board` is the handle of the whole GPU. `part` is the handle of what CUDA sees of it: the
    MIG instance where `mig` is on, else the board. Energy, clocks and heat are the board's.
    """

    library: Any
    board: Any
    part: Any | Absent
    mig: bool

    def read(self, function: str, *arguments: Any) -> Any | Absent:
        """Call an NVML function of the board."""
        return call(self.library, function, self.board, *arguments)

    def read_part(self, function: str, *arguments: Any) -> Any | Absent:
        """Call an NVML function of what CUDA sees of the board."""
        if isinstance(self.part, Absent):
            return self.part
        return call(self.library, function, self.part, *arguments)

    def memory(self) -> Memory | Absent:
        """Read the memory in use by everyone, in bytes (nvmlDeviceGetMemoryInfo_v2; drivers from 510 on)."""
        found = self.read_part("nvmlDeviceGetMemoryInfo", self.library.nvmlMemory_v2)
        return found if isinstance(found, Absent) else Memory(found.used, found.free)

    def processes(self) -> dict[int, int | None] | Absent:
        """Read compute processes by pid with their bytes of GPU memory, None where NVML does not tell.

        In a container of its own pid namespace NVML may list nobody, or only the container's processes.
        """
        found = self.read_part("nvmlDeviceGetComputeRunningProcesses_v3")
        if isinstance(found, Absent):
            return found
        bytes_of: dict[int, int | None] = {}
        for process in found:
            before = bytes_of.get(process.pid, 0)
            known = before is not None and process.usedGpuMemory is not None
            bytes_of[process.pid] = before + process.usedGpuMemory if known else None
        return bytes_of

    def listing(self) -> Listing | Absent:
        """Read what NVML lists of this process and how many others. Its memory misses managed memory."""
        listed = self.processes()
        if isinstance(listed, Absent):
            return listed
        if os.getpid() not in listed:
            return Absent(
                f"NVML does not list this process (it lists {len(listed)}); in a container, share the host's pid "
                "namespace (docker run --pid=host)."
            )
        held = listed.pop(os.getpid())
        return Listing(
            Absent("NVML does not tell this process's memory, as under WDDM.") if held is None else held, len(listed)
        )

    def fields(self, numbers: Sequence[int]) -> dict[int, int | Absent]:
        """Read field values of the board (nvmlDeviceGetFieldValues); each has a return code of its own."""
        found = self.read("nvmlDeviceGetFieldValues", list(numbers))
        if isinstance(found, Absent):
            return dict.fromkeys(numbers, found)
        return {number: self._field(number, value) for number, value in zip(numbers, found, strict=True)}

    def _field(self, number: int, value: Any) -> int | Absent:
        if value.nvmlReturn != SUCCESS:
            return Absent(f"NVML field {number}: {self.library.NVMLError(value.nvmlReturn)}.")
        if value.valueType >= len(FIELD_TYPES):
            return Absent(f"NVML field {number} has the unknown type {value.valueType}.")
        return int(getattr(value.value, FIELD_TYPES[value.valueType]))

    def close(self) -> None:
        """Let go of the library."""
        with contextlib.suppress(self.library.NVMLError):
            self.library.nvmlShutdown()


Found = Card | Absent


def call(library: Any, function: str, *arguments: Any) -> Any | Absent:
    """Call a function of `pynvml`; a refusal of NVML, or a function it does not have, is `Absent`."""
    try:
        return getattr(library, function)(*arguments)
    except AttributeError:
        return Absent(f"nvidia-ml-py has no {function}; update it with: pip install -U nvidia-ml-py")
    except library.NVMLError as error:
        return Absent(f"{function}: {error}.")


def find() -> Found:
    """Open NVML and find the GPU that CUDA calls 0, or say why there is none. `close` what was found."""
    try:
        import pynvml
    except ImportError:
        return Absent(f"NVML cannot be read without nvidia-ml-py; install it with: {INSTALL}")
    opened = call(pynvml, "nvmlInit")
    if isinstance(opened, Absent):
        return Absent(f"NVML does not open ({opened.reason}) Without a working NVIDIA driver there is no GPU.")
    found = _first_visible(pynvml)
    if isinstance(found, Absent):
        call(pynvml, "nvmlShutdown")
    return found


def _first_visible(library: Any) -> Found:
    """Find the first entry of CUDA_VISIBLE_DEVICES: a number, or a UUID, which CUDA lets one shorten."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first.startswith("MIG-"):
        part = _by_uuid(library, first, _instances)
        if isinstance(part, Absent):
            return part
        board = call(library, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", part)
        return board if isinstance(board, Absent) else Card(library, board, part, mig=True)
    if first.startswith("GPU-"):
        board = _by_uuid(library, first, _boards)
    elif first.isdecimal():
        board = _by_number(library, int(first))
    else:
        return Absent("CUDA_VISIBLE_DEVICES hides every GPU; unset it to use one.")
    return board if isinstance(board, Absent) else _whole(library, board)


def _whole(library: Any, board: Any) -> Card:
    """Say what CUDA sees of a board that was not asked for by a MIG UUID."""
    mode = call(library, "nvmlDeviceGetMigMode", board)
    if isinstance(mode, Absent) or mode[0] == 0:
        return Card(library, board, board, mig=False)
    instances = list(_instances_of(library, board))
    if len(instances) == 1:
        return Card(library, board, instances[0], mig=True)
    reason = f"MIG is on with {len(instances)} instances; set CUDA_VISIBLE_DEVICES to the MIG-UUID of one."
    return Card(library, board, Absent(reason), mig=True)


def _by_number(library: Any, number: int) -> Any | Absent:
    """NVML counts in the order of the bus; CUDA does so for GPUs of one kind, or when told to."""
    board = call(library, "nvmlDeviceGetHandleByIndex", number)
    if isinstance(board, Absent):
        return Absent(f"CUDA_VISIBLE_DEVICES asks for GPU {number}, which NVML does not have ({board.reason})")
    kinds = {str(call(library, "nvmlDeviceGetName", other)) for other in _boards(library)}
    if len(kinds) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return Absent(
            f"the GPUs of this machine are of {len(kinds)} kinds, and CUDA and NVML may count them differently; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID."
        )
    return board


def _by_uuid(library: Any, start: str, among: Any) -> Any | Absent:
    """Find the one handle whose UUID begins with `start`."""
    exact = call(library, "nvmlDeviceGetHandleByUUID", start)
    if not isinstance(exact, Absent):
        return exact
    fitting = [
        handle
        for handle in among(library)
        if str(call(library, "nvmlDeviceGetUUID", handle)).lower().startswith(start.lower())
    ]
    if len(fitting) == 1:
        return fitting[0]
    return Absent(f"the first UUID in CUDA_VISIBLE_DEVICES fits {len(fitting)} GPUs; list them with: nvidia-smi -L")


def _boards(library: Any) -> Iterator[Any]:
    count = call(library, "nvmlDeviceGetCount")
    handles = (call(library, "nvmlDeviceGetHandleByIndex", n) for n in range(0 if isinstance(count, Absent) else count))
    yield from (handle for handle in handles if not isinstance(handle, Absent))


def _instances(library: Any) -> Iterator[Any]:
    for board in _boards(library):
        yield from _instances_of(library, board)


def _instances_of(library: Any, board: Any) -> Iterator[Any]:
    most = call(library, "nvmlDeviceGetMaxMigDeviceCount", board)
    indices = range(0 if isinstance(most, Absent) else most)
    handles = (call(library, "nvmlDeviceGetMigDeviceHandleByIndex", board, index) for index in indices)
    yield from (handle for handle in handles if not isinstance(handle, Absent))
