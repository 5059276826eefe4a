"""Optimiser state of bitsandbytes in CUDA's managed memory: where it is, sending it to the host and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from bench import nvml
from bench.errors import UnsupportedError
from bench.nvml import Absent
from bench.worker.devices import Device
from bench.worker.paging.away import Pager
from bench.worker.paging.ballast import Ballast, guarded, host
from bench.worker.paging.driver import DriverRefusalError, open_driver
from bench.worker.paging.host import Range
from bench.worker.paging.mapped import SMALLEST
from bench.worker.paging.pressure import GIB, Host, Mover, chill, refuse

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
def oversubscribed(pager: Pager, fraction: float) -> Iterator[Ballast]:
    """Make ready to run the first GPU out of room for `fraction` of the paged bytes beyond what fits.

    Raises `UnsupportedError` with every reason against it; nothing was done then.
    """
    paged = pager.paged_bytes()
    if not paged:
        raise UnsupportedError("the optimiser pages nothing here, so nothing runs out of room; train more weights.")
    guarded(_host(free_bytes() + paged), paged, 1 + fraction)
    ballast = Ballast(paged, 1 + fraction, free_bytes, pager.make_resident)
    try:
        yield ballast
    finally:
        ballast.release()


def free_bytes() -> int:
    """Return the bytes that are free on the current GPU."""
    return int(torch.cuda.mem_get_info()[0])


def _host(free: int) -> Host:
    """Gather what decides whether paging is safe, NVML's part of it too."""
    card = nvml.find()
    listed = card if isinstance(card, Absent) else card.listing()
    shown = card if isinstance(card, Absent) else card.read("nvmlDeviceGetDisplayActive")
    others = None if isinstance(listed, Absent) else listed.others
    return host(0, free, others, display=None if isinstance(shown, Absent) else bool(shown))


def refuse_before(optimizer: str, sizes: Iterable[int]) -> None:
    """Raise `UnsupportedError` where the state that `optimizer` will page for tensors of `sizes` values does not fit.

    To be asked before the first step: managed memory that does not fit is evicted without a word.
    """
    a_value = 2 if "8bit" in optimizer else 8  # bytes of both states (bitsandbytes, optim/optimizer.py)
    predicted = sum(a_value * size for size in sizes if size >= SMALLEST)
    if reasons := refuse(_host(free_bytes()), predicted):
        raise UnsupportedError(f"{predicted:,} B of paged state are too much here: {' '.join(reasons)}")


def refuse_beside(paged: int, reserved: int) -> None:
    """Raise `UnsupportedError` where `paged` bytes do not fit beside the most that torch has reserved, `reserved`."""
    room = int(torch.cuda.mem_get_info()[1]) - reserved - GIB
    if paged > room:
        raise UnsupportedError(
            f"{paged:,} B of paged state do not fit into the {room:,} B that torch leaves free: steps would page by "
            "themselves. Take a smaller batch or model."
        )


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
