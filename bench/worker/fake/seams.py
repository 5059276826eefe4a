"""Where torch and transformers ask a GPU and get the simulated one's answer: every substitute, by its name.

Only what decides which operations run, and what they allocate, is answered here; the code that asks is the real one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
import transformers.masking_utils
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.optim import optimizer as torch_optimizer
from torch.utils import _foreach_utils

from bench.errors import UnsupportedError
from bench.worker.fake import flash, quantized
from bench.worker.fake.attention import scaled_dot_product_attention
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.replace import replaced
from bench.worker.fake.tracker import Tracker

ANSWERED = (
    "synchronize",
    "current_device",
    "device_count",
    "get_device_properties",
    "get_device_capability",
    "empty_cache",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "current_stream",
    "stream",
    "Stream",
    "Event",
    "is_initialized",
    "memory_allocated",
    "memory_reserved",
    "mem_get_info",
)
"""Functions of torch.cuda that FakeCuda answers. Not `is_available`: FakeTensorMode would initialise a device."""

SEQUENTIAL_LOADING = "HF_DEACTIVATE_ASYNC_LOAD"
"""Has transformers load weights in the calling thread, the only one whose operations are watched."""

_cuda_kernels: list[torch.library.Library] = []


@contextmanager
def seams(cuda: FakeCuda, tracker: Tracker) -> Iterator[None]:
    """Within the block torch, transformers and bitsandbytes meet the simulated GPU."""
    _register_cuda_kernels()
    with ExitStack() as stack:
        for name in ANSWERED:
            stack.enter_context(replaced(torch.cuda, name, getattr(cuda, name)))
        stack.enter_context(replaced(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False))
        stack.enter_context(replaced(torch.UntypedStorage, "data_ptr", _method(tracker.address)))
        stack.enter_context(replaced(torch.UntypedStorage, "resize_", _resizing(tracker), may_lack=True))
        stack.enter_context(_variable(SEQUENTIAL_LOADING, "1"))
        attention = scaled_dot_product_attention(cuda.get_device_capability())
        stack.enter_context(replaced(torch.nn.functional, "scaled_dot_product_attention", attention))
        stack.enter_context(replaced(FakeTensor, "numpy", _no_values))
        stack.enter_context(_parameters_that_move())
        stack.enter_context(_foreach_optimizers())
        stack.enter_context(_masks())
        stack.enter_context(flash.patches())
        stack.enter_context(quantized.patches())
        yield


def _method(answer: Callable[[torch.UntypedStorage], int]) -> Callable[[torch.UntypedStorage], int]:
    """Make a function of it, which a class binds as its method."""
    return lambda storage: answer(storage)  # noqa: PLW0108 (a bound method would not be bound again)


def _resizing(tracker: Tracker) -> Callable[[torch.UntypedStorage, int], torch.UntypedStorage]:
    """FSDP gives the memory of gathered weights back, and takes it again, by the size of their storage."""
    resize = torch.UntypedStorage.resize_

    def resize_(storage: torch.UntypedStorage, size: int) -> torch.UntypedStorage:
        found: torch.UntypedStorage = resize(storage, size)
        tracker.resized(storage)
        return found

    return resize_


def _no_values(*_: Any, **__: Any) -> NoReturn:
    raise UnsupportedError("numpy cannot compute with simulated tensors: they have no values.")


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _parameters_that_move() -> Iterator[None]:
    """`Module.to` gives a real parameter other data, and `copy.deepcopy` clones it; both take a fake one apart.

    The first swaps its insides, loses its hooks, and refuses one that is weakly referenced, as all fake ones are
    by FakeTensorMode's own memory (torch.utils.swap_tensors). The second copies FakeTensorMode too. And a fake one that
    is given other data does not move to where those are.
    """
    swap = torch.utils.swap_tensors

    def swap_tensors(parameter: Any, other: Any) -> None:
        hooks = parameter._backward_hooks, parameter._post_accumulate_grad_hooks
        swap(parameter, other)  # type: ignore[no-untyped-call]
        parameter._backward_hooks, parameter._post_accumulate_grad_hooks = hooks

    with (
        replaced(torch.utils, "weakref", SimpleNamespace(getweakrefs=lambda _: [])),
        replaced(torch.utils, "swap_tensors", swap_tensors),
        replaced(FakeTensorMode, "__deepcopy__", lambda mode, _: mode, may_lack=True),
        replaced(FakeTensor, "data", property(torch.Tensor.data.__get__, _set_data)),  # type: ignore[attr-defined]
    ):
        yield


def _set_data(parameter: Any, data: Any) -> None:
    torch.Tensor.data.__set__(parameter, data)  # type: ignore[attr-defined]
    parameter.fake_device = data.fake_device


@contextmanager
def _foreach_optimizers() -> Iterator[None]:
    """Torch's optimisers treat fake parameters as they treat real ones: all of them in one call where they can."""
    for module in (torch_optimizer, _foreach_utils):
        module._foreach_supported_types.append(FakeTensor)
    try:
        yield
    finally:
        for module in (torch_optimizer, _foreach_utils):
            module._foreach_supported_types.remove(FakeTensor)


@contextmanager
def _masks() -> Iterator[None]:
    """A padding mask masks something (`Batch.on` leaves out one that does not), and no sequence is packed by positions.

    Transformers asks the data whether a mask can be left out; of tensors without data it takes that it cannot,
    which is right for a mask that is there. It also looks for sequences packed by their position ids, which takes
    memory: it looks here too, and the tracker's answer to what it reads back is that there are none.
    """
    look = transformers.masking_utils.find_packed_sequence_indices

    def find_packed_sequence_indices(position_ids: torch.Tensor) -> torch.Tensor | None:
        with replaced(transformers.masking_utils, "is_tracing", lambda _: False):
            found: torch.Tensor | None = look(position_ids)
        return found

    with replaced(transformers.masking_utils, "find_packed_sequence_indices", find_packed_sequence_indices):
        yield


def _register_cuda_kernels() -> None:
    """Let operations that CUDA has kernels for stay whole.

    A build without CUDA has none, so that an operation which is also defined by others (silu_backward) falls into
    these, with temporaries that no GPU sees. A kernel that is never called keeps it whole. For good: torch has no
    way back that is worth its risk.
    """
    if _cuda_kernels or torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    for name in torch._C._dispatch_get_all_op_names():
        composed = name.startswith("aten::") and has(name, "CompositeImplicitAutograd")
        if composed and has(name, "CPU") and not has(name, "CUDA"):
            library.impl(name.removeprefix("aten::"), _never_called, "CUDA")  # type: ignore[no-untyped-call]
    _cuda_kernels.append(library)


def _never_called(*_: Any, **__: Any) -> None:
    raise RuntimeError("a kernel of a fake GPU was called; fake tensors never are computed with.")
