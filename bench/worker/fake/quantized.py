"""bitsandbytes on fake tensors: its own layers and optimisers run, with parameters that are fake.

A 4-bit or 8-bit parameter is a subclass of Tensor, and so is a fake tensor; of the second torch does not make the
first (`Tensor._make_subclass`). Here it makes a class that inherits from both: name, tests of type and methods are
bitsandbytes' own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any

import bitsandbytes.functional
import torch
from torch._subclasses.fake_tensor import FakeTensor

from bench.worker.fake.backend import cuda_backend
from bench.worker.fake.paged import managed_memory
from bench.worker.fake.replace import replaced

CODES = 256
"""Values in a map of codes, whatever the bits of a code (bitsandbytes/functional.py, `create_dynamic_map`)."""

_make_subclass = torch.Tensor._make_subclass


@contextmanager
def patches() -> Iterator[None]:
    """Within the block bitsandbytes works on fake tensors; on those on CUDA as its CUDA backend does.

    The tracker has to be there too: it answers where kernels ask the data.
    """
    functional = bitsandbytes.functional
    with ExitStack() as stack:
        stack.enter_context(replaced(torch.Tensor, "_make_subclass", staticmethod(make_subclass)))
        for kind in (bitsandbytes.nn.Params4bit, bitsandbytes.nn.Int8Params):
            stack.enter_context(replaced(kind, "__new__", staticmethod(partial(_construct, kind.__new__))))
        stack.enter_context(replaced(FakeTensor, "data_ptr", lambda _: 0))
        stack.enter_context(replaced(functional, "create_dynamic_map", create_dynamic_map))
        stack.enter_context(replaced(functional, "name2qmap", {}))
        stack.enter_context(managed_memory())
        stack.enter_context(cuda_backend())
        yield


def make_subclass(kind: type, data: torch.Tensor, requires_grad: bool = False, **settings: Any) -> Any:
    """Stand for torch.Tensor._make_subclass: of a fake tensor it makes a `kind` that is fake too."""
    if not isinstance(data, FakeTensor):
        return _make_subclass(kind, data, requires_grad, **settings)
    made: Any = torch.nn.Parameter(data, requires_grad)
    made.__class__ = _fake(kind)
    return made


def create_dynamic_map(*_: Any, **__: Any) -> torch.Tensor:
    """Stand for bitsandbytes' function of this name, which reads values back; its maps are all of one size."""
    return torch.empty(CODES, dtype=torch.float32)


def _construct(new: Callable[..., Any], kind: type, *args: Any, **settings: Any) -> Any:
    """Construct a `kind` by its own `new`.

    transformers and peft hand on all that an old parameter carries, of which a fake one has more than `new` knows.
    """
    known = inspect.signature(new).parameters
    return new(kind, *args, **{name: value for name, value in settings.items() if name in known})


@cache
def _fake(kind: type) -> type:
    """Return the class of fake tensors that are a `kind`."""
    own = {
        "__module__": kind.__module__,
        "__new__": lambda _, *args, **settings: kind.__new__(kind, *args, **settings),
        "data": property(_data, _set_data),
        "detach": _detach,
    }
    return type(kind.__name__, (FakeTensor, kind), own)


def _data(parameter: Any) -> Any:
    return torch.Tensor.data.__get__(parameter)  # type: ignore[attr-defined]


def _set_data(parameter: Any, data: Any) -> None:
    """Give a parameter other contents and their device; a fake tensor stays on the one it was made on."""
    torch.Tensor.data.__set__(parameter, data)  # type: ignore[attr-defined]
    parameter.fake_device = data.fake_device


def _detach(parameter: Any) -> Any:
    """Keep class and quantisation: Module.to makes a torch.nn.Parameter of a fake parameter, which needs the class."""
    made: Any = torch.Tensor.detach(parameter)
    made.__class__ = type(parameter)
    vars(made).update(vars(parameter))
    return made
