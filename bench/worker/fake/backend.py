"""bitsandbytes' CUDA backend without a GPU: its kernels' Python runs as ever, its C library does nothing.

Of an operation of bitsandbytes FakeTensorMode knows what it returns, not what it takes meanwhile: a whole weight
dequantised inside a product, 16-bit and 32-bit copies around an 8-bit one. The kernels that a GPU runs are Python
around a C library (bitsandbytes/backends/cuda/ops.py), and every allocation, and every choice by the device's
properties, is in the Python. So that file is read once more, for here alone, with a library that does nothing, and
its kernels run in the operations' places.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import bitsandbytes._ops
import bitsandbytes.cextension
import bitsandbytes.functional
import torch
from torch._subclasses.fake_tensor import FakeTensor

from bench.errors import UnsupportedError
from bench.worker.fake.replace import replaced

Kernel = Callable[..., Any]

COLUMNS_AN_OUTLIER = 1000
"""Columns to one that LLM.int8 multiplies in 16 bits for the outliers in it; there is always taken to be one.

Which they are depends on the data. LLM.int8's authors count about 0.1 % of a layer's inputs, and no more than 7
columns in models of up to 13 billion weights (arXiv 2208.07339, sections 1 and 3.2).
"""

NAMESPACE = "bitsandbytes::"

OUTLIERS_ARE_SOUGHT_IN = f"{NAMESPACE}int8_vectorwise_quant"


class Silent:
    """Does nothing: whatever it is asked for, called with or given."""

    def __getattr__(self, _: str) -> Silent:
        """Return another, whatever the name."""
        return Silent()

    def __call__(self, *_: Any, **__: Any) -> Silent:
        """Return another."""
        return Silent()

    def __bool__(self) -> bool:
        """Report no error."""
        return False


class Operation:
    """Stands for an operation of torch.ops.bitsandbytes: on CUDA tensors its kernels run, on others it does itself.

    `kernels` are by the names of overloads.
    """

    def __init__(self, name: str, kernels: dict[str, Kernel]) -> None:
        self._name = name
        self._itself = getattr(torch.ops.bitsandbytes, name)
        for overload in self._itself.overloads():
            setattr(self, overload, partial(self._run, overload, kernels.get(overload)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the overload without a name."""
        return self.default(*args, **kwargs)  # type: ignore[attr-defined]

    def _run(self, overload: str, kernel: Kernel | None, *args: Any, **kwargs: Any) -> Any:
        if kernel is not None and any(_is_on_cuda(arg) for arg in (*args, *kwargs.values())):
            return kernel(*args, **kwargs)
        # torch looks an operation up by its name when it first meets it, and keeps what it finds
        with replaced(torch.ops.bitsandbytes, self._name, self._itself):
            return getattr(self._itself, overload)(*args, **kwargs)


def _is_on_cuda(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


@contextmanager
def cuda_backend() -> Iterator[None]:
    """Within the block operations of bitsandbytes on fake CUDA tensors run the CUDA backend's kernels.

    Raises `UnsupportedError` where this bitsandbytes keeps them in another way.
    """
    kernels: dict[str, dict[str, Kernel]] = {}
    for full_name, kernel in (_common_kernels() | _cuda_kernels()).items():
        name, overload = _split(full_name)
        kernels.setdefault(name, {})[overload] = kernel
    with ExitStack() as stack:
        for name, overloads in kernels.items():
            stack.enter_context(replaced(torch.ops.bitsandbytes, name, Operation(name, overloads)))
        yield


def _split(full_name: str) -> tuple[str, str]:
    """Split an operation's full name into its own and its overload's."""
    name, _, overload = full_name.removeprefix(NAMESPACE).partition(".")
    return name, overload or "default"


def _common_kernels() -> dict[str, Kernel]:
    """Return the kernels of devices that have none of their own, by operation."""
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    found: dict[str, Kernel] = {}
    for full_name in torch._C._dispatch_get_all_op_names():
        if full_name.startswith(NAMESPACE) and torch._C._dispatch_has_kernel_for_dispatch_key(full_name, key.name):
            name, overload = _split(full_name)
            found[full_name] = partial(getattr(getattr(torch.ops.bitsandbytes, name), overload)._op_dk, key)
    return found


def _cuda_kernels() -> dict[str, Kernel]:
    """Read the CUDA backend's module for its kernels, by operation; it registers none of them."""
    found: dict[str, Kernel] = {}

    def collect(name: str, device: str, kernel: Kernel | None = None) -> Any:
        if kernel is None:
            return partial(collect, name, device)
        found[name] = kernel
        return kernel

    try:
        _read(collect)
        found[OUTLIERS_ARE_SOUGHT_IN] = partial(_with_outliers, found[OUTLIERS_ARE_SOUGHT_IN])
    except (ImportError, AttributeError, KeyError) as error:
        raise UnsupportedError(
            f"what bitsandbytes {bitsandbytes.__version__} allocates on a GPU cannot be told without one: {error!r}. "
            "Releases 0.48 to 0.50 can be read."
        ) from error
    return found


def _read(collect: Callable[..., Any]) -> None:
    """Execute the CUDA backend's module, under no name, with `collect` where it would register its kernels."""
    module = importlib.util.find_spec("bitsandbytes.backends.cuda.ops")
    if module is None or module.loader is None:
        raise ImportError("there is no backends/cuda/ops.py")
    functional = bitsandbytes.functional
    with ExitStack() as stack:
        for owner, name, value in (
            (bitsandbytes._ops, "register_kernel", collect),
            (bitsandbytes.cextension, "lib", Silent()),
            (functional, "CUBLAS_Context", Silent()),
            (functional, "_cuda_device_of", lambda _: nullcontext()),
            (functional, "_get_tensor_stream", Silent()),
        ):
            stack.enter_context(replaced(owner, name, value))
        # a build of torch without CUDA does not have it
        stack.enter_context(replaced(torch._C, "_cuda_getCurrentRawStream", Silent(), may_lack=True))
        module.loader.exec_module(importlib.util.module_from_spec(module))


def _with_outliers(kernel: Kernel, *args: Any, **kwargs: Any) -> Any:
    """Run a kernel for which there are outliers, and torch.argwhere finds their columns."""
    with replaced(FakeTensor, "any", _some), replaced(torch, "argwhere", _outliers):
        return kernel(*args, **kwargs)


def _some(values: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Stand for Tensor.any where the answer, once read back, is yes; see `Tracker`."""
    found = torch.any(values, *args, **kwargs)
    found.answer = True  # type: ignore[attr-defined]
    return found


def _outliers(columns: torch.Tensor) -> torch.Tensor:
    """Stand for torch.argwhere of one truth value a column."""
    return columns.new_empty((max(1, columns.numel() // COLUMNS_AN_OUTLIER), 1), dtype=torch.int64)
