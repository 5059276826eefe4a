"""Autograd on fake CUDA tensors where there is no GPU, by entries in tables of function pointers.

A process that sees a GPU needs none of this. In another autograd asks for what is not there:

1. A device guard for CUDA. `torch._C._ensureCUDADeviceGuardSet` puts c10's FakeGuardImpl in place of a guard
   that reports no devices, but a CPU build has no guard at all and the first gradient ends the process
   (c10/core/impl/FakeGuardImpl.h, torch/csrc/Module.cpp). So there a guard is registered whose every function
   returns 0, and torch is asked to replace it.
2. `CUDAHooksInterface::isBuilt`, which gradients that meet in one place ask through
   `at::accelerator::getCurrentStream` (aten/src/ATen/detail/CUDAHooksInterface.h). A CPU build answers 0 and is
   made to answer 1.
3. `hasPrimaryContext`, which a backward pass on CUDA tensors asks of each device that FakeGuardImpl reports. It throws
   in a CPU build, and in a CUDA build that sees no GPU (aten/src/ATen/cuda/detail/CUDAHooks.cpp), and is made to
   answer 0.

The positions in these tables are torch's C++ ABI, checked with a CPU build of 2.13 and a CUDA build of 2.14; in a CUDA
build of another release nothing is replaced, and a gradient is tried. It changes the process for good, and has to be
done before the process's first gradient: autograd counts devices once (torch/csrc/autograd/engine.cpp).
"""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.errors import UnsupportedError

CHECKED = "2.13"
CHECKED_WITH_CUDA = ("2.13", "2.14")
CUDA = 1
"""c10::DeviceType::CUDA (c10/core/DeviceType.h)."""

REGISTER = "_ZN3c104impl19registerDeviceGuardENS_10DeviceTypeEPKNS0_24DeviceGuardImplInterfaceE"
HOOKS = "_ZN2at6detail12getCUDAHooksEv"
ENTRIES = 64
"""Entries of a table that are filled or copied: more than either class has."""

BEFORE_TABLE = 2
"""Pointers before a table's first entry: offset to top, and run-time type information (Itanium C++ ABI, 2.5.2)."""

IS_BUILT, HAS_PRIMARY_CONTEXT = 2, 4
"""Entries of CUDAHooksInterface; the two before `isBuilt` are destructors."""

_kept: list[Any] = []
"""What torch now points to; it must live as long as the process."""


def install() -> None:
    """Make autograd work on fake CUDA tensors; once a process, and nothing where it sees a GPU.

    Raises `UnsupportedError` where this torch is not one whose tables are known and autograd does not work, and in a
    process that has computed gradients before.
    """
    built: bool = torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]
    if _kept or (built and torch.cuda.device_count()):
        return
    if not built and not _is(CHECKED):
        raise UnsupportedError(
            f"predictions without a CUDA build of torch need torch {CHECKED}; this is {torch.__version__}. "
            "Install that release, or a CUDA build (which needs no GPU)."
        )
    try:
        register, hooks_of = _library("libc10.so")[REGISTER], _library("libtorch_cpu.so")[HOOKS]
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"this build of torch cannot simulate a GPU: {error}") from error
    if not built:
        _register_guard(register)
        _answer(hooks_of, {IS_BUILT: 1, HAS_PRIMARY_CONTEXT: 0})
    elif _is(*CHECKED_WITH_CUDA):
        _answer(hooks_of, {HAS_PRIMARY_CONTEXT: 0})
    accelerator = torch._C._accelerator_getAccelerator()
    if accelerator.type != "cuda":
        raise UnsupportedError(f"this build of torch takes {accelerator.type!r} for its accelerator, not the fake GPU.")
    _try_a_gradient()


def _is(*releases: str) -> bool:
    return any(torch.__version__.startswith(f"{release}.") for release in releases)


def _try_a_gradient() -> None:
    with FakeTensorMode():
        leaf = torch.empty(1, device="cuda", requires_grad=True)
        try:
            leaf.sum().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            known = " and ".join(CHECKED_WITH_CUDA)
            raise UnsupportedError(
                "this process has computed gradients before it was to simulate a GPU; start another one for that."
                if _kept
                else f"torch {torch.__version__} cannot simulate a GPU where there is none; of CUDA builds {known} can."
            ) from error


def _library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))


def _register_guard(register: Any) -> None:
    zero = ctypes.CFUNCTYPE(ctypes.c_long)(lambda: 0)
    table = (ctypes.c_void_p * ENTRIES)(*[_address(zero)] * ENTRIES)
    guard = (ctypes.c_void_p * 1)(ctypes.addressof(table))
    register.argtypes, register.restype = [ctypes.c_int8, ctypes.c_void_p], None
    register(CUDA, ctypes.addressof(guard))
    _kept.extend([zero, table, guard])
    torch._C._ensureCUDADeviceGuardSet()


def _answer(hooks_of: Any, answers: Mapping[int, int]) -> None:
    """Let the hooks' functions at these entries of their table answer so."""
    hooks_of.restype = ctypes.c_void_p
    pointer = ctypes.c_void_p.from_address(hooks_of())
    original = pointer.value
    assert original is not None
    width = ctypes.sizeof(ctypes.c_void_p)
    table = (ctypes.c_void_p * (BEFORE_TABLE + ENTRIES))()
    ctypes.memmove(table, original - BEFORE_TABLE * width, (BEFORE_TABLE + ENTRIES) * width)
    for entry, answer in answers.items():
        function = ctypes.CFUNCTYPE(ctypes.c_long)(partial(int, answer))
        table[BEFORE_TABLE + entry] = _address(function)
        _kept.append(function)
    pointer.value = ctypes.addressof(table) + BEFORE_TABLE * width
    atexit.register(setattr, pointer, "value", original)  # Python is not called once it shuts down
    _kept.extend([table, pointer])


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
