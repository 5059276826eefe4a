"""A paged optimiser on one large parameter: its first step, resident steps, and steps whose state was sent away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from bench.worker.paging import driver
from bench.worker.paging.attribution import Range
from bench.worker.paging.pressure import Mover, Paged, chill

ELEMENTS = 256 << 20
"""Values of the parameter: 2 GiB of 32-bit state, 4 GiB with the parameter and its gradient."""

FRACTIONS = (0.5, 1.0)
REPEATS = 3


class Windows(Protocol):
    """What marks a step's window; `bench.worker.paging.session.UvmSession` does."""

    def window(self, index: int, phase: str = "step") -> AbstractContextManager[None]:
        """Mark a block."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """Something that steps, what it pages, and how; `fault` switches its own prefetching off."""

    step: Callable[[], None]
    synchronize: Callable[[], None]
    paged: Callable[[], Sequence[Paged]]
    mover: Mover
    fault: Callable[[], None]
    names: Sequence[str] = field(default=("state1", "state2"))

    def owners(self) -> Iterator[Range]:
        """Name the paged tensors by address."""
        for number, tensor in enumerate(self.paged()):
            name = self.names[number] if number < len(self.names) else str(number)
            yield Range(tensor.data_ptr(), tensor.nbytes, name)


def paged_bench(elements: int = ELEMENTS) -> Bench:
    """Build it on the GPU: PagedAdamW with 32-bit state."""
    import bitsandbytes as bnb

    parameter = torch.nn.Parameter(torch.zeros(elements, device="cuda:0"))
    parameter.grad = torch.ones_like(parameter)
    optimizer: Any = bnb.optim.PagedAdamW32bit([parameter], lr=1e-6)
    manager = bnb.functional.GlobalPageManager.get_instance()

    def without_prefetch() -> None:
        optimizer.prefetch_state = lambda _: None

    return Bench(
        optimizer.step, torch.cuda.synchronize, lambda: manager.paged_tensors, driver.open_driver(), without_prefetch
    )


def steps(bench: Bench, windows: Windows | None) -> list[dict[str, Any]]:
    """Make the steps: index, path, fraction, bytes sent away and seconds of each. Step 0 creates the state."""
    made = [_step(bench, windows, 0, "first", None)]
    for path in ("prefetch", "fault"):
        if path == "fault":
            bench.fault()
        for fraction in (0.0, *FRACTIONS):
            made += [_step(bench, windows, len(made) + n, path, fraction) for n in range(REPEATS)]
        made.append(_step(bench, windows, len(made), path, 0.0))
    return made


def _step(bench: Bench, windows: Windows | None, index: int, path: str, fraction: float | None) -> dict[str, Any]:
    sent = chill(bench.paged(), fraction, bench.mover) if fraction else 0
    bench.synchronize()
    with windows.window(index) if windows else nullcontext():
        start = time.perf_counter()
        bench.step()
        bench.synchronize()
        seconds = time.perf_counter() - start
    return {"index": index, "path": path, "fraction": fraction, "sent": sent, "seconds": seconds}
