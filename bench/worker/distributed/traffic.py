"""What processes say to each other: bytes by collective, counted as torch is asked for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NAMESPACES = ("c10d", "_c10d_functional", "_c10d_functional_autograd")
"""Where torch's collectives are: what DistributedDataParallel and FSDP call, and what DTensors do."""

COLLECTIVES: Mapping[str, str] = MappingProxyType({
    "allreduce_": "all_reduce",
    "allreduce_coalesced_": "all_reduce",
    "all_reduce": "all_reduce",
    "all_reduce_": "all_reduce",
    "allgather_": "all_gather",
    "_allgather_base_": "all_gather",
    "allgather_into_tensor_coalesced_": "all_gather",
    "all_gather_into_tensor": "all_gather",
    "all_gather_into_tensor_out": "all_gather",
    "reduce_scatter_": "reduce_scatter",
    "_reduce_scatter_base_": "reduce_scatter",
    "reduce_scatter_tensor_coalesced_": "reduce_scatter",
    "reduce_scatter_tensor": "reduce_scatter",
    "broadcast_": "broadcast",
    "broadcast": "broadcast",
    "reduce_": "reduce",
    "alltoall_": "all_to_all",
    "alltoall_base_": "all_to_all",
    "all_to_all_single": "all_to_all",
})  # fmt: skip
"""Torch's operations by the name that the field has for them."""

EXPANDING = ("dequantize_4bit", "gemv_4bit", "gemm_4bit")
"""Operations of bitsandbytes that expand a 4-bit weight, alone or within a product."""


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what this process hands to every collective while it is entered: `bytes` and `calls`, by its name.

    `kernels` counts the calls of bitsandbytes' operations, by theirs.

    The size of a collective is that of its larger side, as nccl-tests count it (its doc/PERFORMANCE.md): the tensor
    that is reduced or sent, what is gathered, what is scattered. Slow: never around timed work.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count a collective, and let every operation be; one on DTensors comes again as what it is made of."""
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operation = func._schema.name.partition("::")[2]
        if func.namespace in NAMESPACES and (name := COLLECTIVES.get(operation)):
            self.calls[name] += 1
            self.bytes[name] += max(_size(side) for side in (*args, *kwargs.values(), result))
        elif func.namespace == "bitsandbytes":
            self.kernels[operation] += 1
        return result


def _size(side: Any) -> int:
    """Return the bytes of the tensors of one argument; 0 of what has none."""
    return sum(tensor.nbytes for tensor in _tensors(tree_leaves(side)))


def _tensors(found: Iterable[Any]) -> Iterable[torch.Tensor]:
    return (each for each in found if isinstance(each, torch.Tensor))
