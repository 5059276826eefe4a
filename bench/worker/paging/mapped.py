"""AdamW whose large states live in a mapped file: the host's analogue of paged optimisers."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker.paging.host import PAGE, Range

SMALLEST = 100_000
"""Parameters with fewer values stay in memory, as in bitsandbytes (optim/optimizer.py, `get_state_buffer`)."""

STATES = ("exp_avg", "exp_avg_sq")
IN_MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x958458F6: "hugetlbfs"}  # statfs(2)

_LIVING: weakref.WeakSet[MappedAdamW] = weakref.WeakSet()


class MappedAdamW(torch.optim.AdamW):
    """torch.optim.AdamW, fused, with the states of large parameters in a file that has no name any more.

    The numbers are those of `torch.optim.AdamW(fused=True)` to the bit; only the place differs. The
    file is `folder`'s (the system's temporary folder when None), reserved in full before the first
    step, and gone when the process is, however it ends. Raises `UnsupportedError`.
    """

    def __init__(
        self, parameters: Iterable[Any], *, smallest: int = SMALLEST, folder: Path | None = None, **settings: Any
    ) -> None:
        super().__init__(parameters, fused=True, **settings)
        self._large = [p for g in self.param_groups for p in g["params"] if p.numel() >= smallest]
        if any(p.device.type != "cpu" for p in self._large):
            raise UnsupportedError(
                "mapped_adamw keeps its state in a file of the host; on a GPU use paged_adamw_32bit."
            )
        size = sum(len(STATES) * _whole_pages(p.nbytes) for p in self._large)
        self._memory = _reserved(size, folder or Path(tempfile.gettempdir())) if size else None
        self._place()
        _LIVING.add(self)

    def _place(self) -> None:
        """Give every large parameter the state AdamW would give it at its first step, but in the file."""
        start = 0
        for p in self._large:
            step = torch.zeros((), dtype=torch.float32, device=p.device)  # as torch/optim/adam.py, `_init_group`
            self.state[p] = {"step": step}
            for name in STATES:
                flat = torch.frombuffer(self._memory, dtype=p.dtype, count=p.numel(), offset=start)
                strides = torch.empty_like(p, device="meta", memory_format=torch.preserve_format).stride()
                self.state[p][name] = flat.as_strided(p.shape, strides)
                start += _whole_pages(p.nbytes)

    def paged_ranges(self) -> list[Range]:
        """Return where every state in the file is, in the order in which a step walks them."""
        return [
            Range(f"{number}.{name}", self.state[p][name].data_ptr(), p.nbytes)
            for number, p in enumerate(self._large)
            for name in STATES
        ]


def mapped_adamw(parameters: Iterable[torch.nn.Parameter], config: RunConfig) -> torch.optim.Optimizer:
    """AdamW with its states in a mapped file; see `MappedAdamW`."""
    return MappedAdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def mapped_bytes() -> int:
    """Sum the optimiser state in mapped files of this process."""
    return sum(r.nbytes for optimizer in _LIVING for r in optimizer.paged_ranges())


def _whole_pages(nbytes: int) -> int:
    return -(-nbytes // PAGE) * PAGE


def _reserved(size: int, folder: Path) -> mmap.mmap:
    """Map `size` zero bytes of a file in `folder` that exists for this process alone."""
    if sys.platform != "linux":
        raise UnsupportedError(f"mapped_adamw pages by means of Linux; this is {sys.platform}. Use adamw_fused.")
    kind = IN_MEMORY.get(_kind_of_filesystem(folder))
    if kind:
        raise UnsupportedError(f"the temporary folder is a {kind}, which is memory: nothing would be paged. "
                               "Set TMPDIR to a folder on a disk.")  # fmt: skip
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="ftbench-state-") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk must not be found out by SIGBUS in a step
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise UnsupportedError(f"the temporary folder cannot hold {size / 2**30:.2f} GiB of optimiser state: "
                               f"{error.strerror}. Set TMPDIR to a folder with room.") from None  # fmt: skip


def _kind_of_filesystem(folder: Path) -> int:
    """Return the magic number of the file system of `folder`, 0 if it cannot be told."""
    told = (ctypes.c_long * 64)()  # struct statfs is 120 bytes and starts with f_type
    failed = ctypes.CDLL(None).statfs(os.fsencode(folder), ctypes.byref(told))
    return 0 if failed else int(told[0]) & 0xFFFFFFFF
