"""Optimiser state of bitsandbytes in CUDA's managed memory: where it is, sending it to the host and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from bench import nvml
from bench.errors import UnsupportedError
from bench.nvml import Absent
from bench.worker.devices import Device
from bench.worker.paging.ballast import Ballast, guarded, host
from bench.worker.paging.driver import DriverRefusalError, open_driver
from bench.worker.paging.host import Range
from bench.worker.paging.pressure import Mover, chill

STATES = ("state1", "state2")
"""Names of bitsandbytes' states, in the order in which a step prefetches and reads them (optim/optimizer.py)."""


class CudaPager:
    """Moves the paged state of `optimizer` with `mover`; `device` is the GPU's number.

    Only tensors that bitsandbytes marks as paged count: it pages none below 100,000 values.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, mover: Mover, device: int) -> None:
        self._optimizer: Any = optimizer
        self._mover = mover
        self._device = device

    def paged_bytes(self) -> int:
        """Sum the bytes in managed memory."""
        return sum(tensor.nbytes for _, _, tensor in _paged(self._optimizer))

    def sizes(self) -> list[int]:
        """Return the bytes of each paged tensor, in the order in which a step walks them."""
        return [tensor.nbytes for _, _, tensor in _paged(self._optimizer)]

    def move_out(self, fraction: float) -> int:
        """Send the first `fraction` to the host and wait; see `bench.worker.paging.pressure.chill`."""
        return chill([tensor for _, _, tensor in _paged(self._optimizer)], fraction, self._mover)

    def make_resident(self) -> None:
        """Bring everything to the GPU and wait."""
        for _, _, tensor in _paged(self._optimizer):
            self._mover.prefetch(tensor.data_ptr(), tensor.nbytes, self._device)
        self._mover.synchronize()

    @contextmanager
    def taking(self, path: str) -> Iterator[Callable[[], None]]:
        """On 'fault' keep bitsandbytes from prefetching each state before its update, so that the kernel faults."""
        if path == "fault":
            self._optimizer.prefetch_state = _nothing
        try:
            yield _nothing
        finally:
            if path == "fault":
                del self._optimizer.prefetch_state


def _nothing(*_: object) -> None:
    """Bring nothing: bitsandbytes does, or the kernel's faults do."""


def open_pager(optimizer: torch.optim.Optimizer, device: Device) -> CudaPager:
    """Build a pager on the system's driver. Raises `UnsupportedError` where pages do not move on demand."""
    number = torch.device(device.torch_name).index or 0
    try:
        driver = open_driver()
        moves = driver.concurrent_managed_access(number)
    except DriverRefusalError as refusal:
        raise UnsupportedError(f"optimiser state cannot be moved: {refusal}") from None
    if not moves:
        raise UnsupportedError("this GPU's pages do not move on demand (Windows, WSL): paging cannot be measured.")
    return CudaPager(optimizer, driver, number)


@contextmanager
def oversubscribed(paged: int, fraction: float) -> Iterator[Ballast]:
    """Make ready to run the first GPU out of room for `fraction` of the paged bytes beyond what fits.

    Raises `UnsupportedError` with every reason against it; nothing was done then.
    """
    card = nvml.find()
    if isinstance(card, Absent):
        raise UnsupportedError(f"no oversubscription without NVML, which tells who else uses the GPU: {card.reason}")
    listed, shown = card.listing(), card.read("nvmlDeviceGetDisplayActive")
    others = None if isinstance(listed, Absent) else listed.others
    display = None if isinstance(shown, Absent) else bool(shown)

    def free() -> int:
        return int(torch.cuda.mem_get_info()[0])

    guarded(host(0, free() + paged, others, display=display), paged, 1 + fraction)
    ballast = Ballast(paged, 1 + fraction, free)
    try:
        yield ballast
    finally:
        ballast.warm()


def owners(optimizer: torch.optim.Optimizer, names: Mapping[torch.Tensor, str]) -> list[Range]:
    """Return where each paged state is and whose it is, as 'parameter.state1', in the order of the update."""
    return [
        Range(f"{names.get(parameter, 'unnamed')}.{state}", tensor.data_ptr(), tensor.nbytes)
        for parameter, state, tensor in _paged(optimizer)
    ]


def _paged(optimizer: torch.optim.Optimizer) -> Iterator[tuple[torch.Tensor, str, torch.Tensor]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name in STATES:
                tensor = optimizer.state[parameter].get(name)
                if getattr(tensor, "is_paged", False):
                    yield parameter, name, tensor
