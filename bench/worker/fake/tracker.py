"""Watches every operation on a fake device and lets a simulated allocator hold what its results hold.

A storage is allocated when an operation first returns a tensor on it, and released when torch releases
it: Python keeps one object a storage, and its weak reference is called back at that moment, from any
thread (torch.UntypedStorage keeps its PyObject; torch/csrc/Storage.cpp).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bench.errors import UnsupportedError
from bench.worker.fake.heap import Heap
from bench.worker.probes.owners import local

Scratch = Callable[[str, Sequence[Any], dict[str, Any], Any], Sequence[int]]
"""Bytes of every temporary that the real kernel of an operation takes beside its results."""

MATRIX_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "_scaled_mm"})
"""Operations that call cuBLAS, whose workspace torch allocates at a thread's first call."""

READ_BACK: dict[bool, float | int] = {True: 0.0, False: 1}
"""What a floating-point and what another number read back from the device is: a fake device holds no values.

0.0 lets a scaled loss count as finite (torch.amp.GradScaler.step); 1 is a count that no size is derived from.
"""

IN_PLACE = frozenset({"add", "index_add", "index_put", "masked_fill", "put", "scatter", "scatter_add"})
"""Operations that a backward pass does in place, but not on a subclass of Tensor, as fake ones are: sums of gradients
(torch/csrc/autograd/input_buffer.cpp), and what derivatives write into tensors of zeros they have made
(torch/csrc/autograd/FunctionsManual.cpp, where it asks areAnyTensorSubclassLike)."""

YES = frozenset({"all", "_is_all_true", "gt"})
"""Questions that are answered with yes when read back, any other with no, so that nothing is out of the ordinary: all
values are as they should be, none is infinite or zero, and a number drawn is above the share that is dropped."""


class Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, every storage on `device` is held by `heap`.

    `scratch` tells what kernels take inside; `workspace` is the size in bytes of cuBLAS's.
    """

    def __init__(self, heap: Heap, device: str = "cuda", scratch: Scratch | None = None, workspace: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._heap = heap
        self._device = device
        self._scratch = scratch
        self._workspace = workspace
        self._keys: dict[int, int | None] = {}  # None: it lies on the device, and holds nothing now
        self._made_by: dict[int, int | None] = {}
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._with_workspace: set[int] = set()

    def address(self, storage: torch.UntypedStorage) -> int:
        """Return where `storage` lies on the simulated device; 0 for one that does not."""
        key = self._keys.get(storage._cdata)
        return 0 if key is None else self._heap.address(key)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, then hold what it returns."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        self._heap.operation = name
        if name in MATRIX_PRODUCTS and self._workspace:
            self._hold_workspace(args)
        try:
            out = func(*args, **kwargs)
        except DataDependentOutputException as error:
            if func is not torch.ops.aten._local_scalar_dense.default:
                raise _unsupported(error.func) from None
            return _read_back(args[0])
        except (DynamicOutputShapeException, UnsupportedOperatorException) as error:
            raise _unsupported(error.func) from None
        if name in YES:
            out.answer = True
        taken_over = self._taken_over(name, args)
        for result in tree_iter(out):
            if isinstance(result, torch.Tensor):
                self._hold(local(result), taken_over)
        if self._scratch:
            self._heap.scratch(self._scratch(name, args, kwargs, out))
        return out

    def _hold(self, tensor: torch.Tensor, taken_over: Sequence[int]) -> None:
        if tensor.device.type != self._device:
            return
        storage = tensor.untyped_storage()
        number = storage._cdata
        if number in self._keys:
            return
        self._take(number, storage.nbytes(), taken_over)
        self._watched[number] = weakref.ref(storage, lambda _: self._release(number))

    def _take(self, number: int, size: int, taken_over: Sequence[int] = ()) -> None:
        key = self._heap.take(size, taken_over)
        self._keys[number] = key
        self._made_by[key] = _node()

    def resized(self, storage: torch.UntypedStorage) -> None:
        """Take back what a storage held, and hand out what it holds now, if that is anything."""
        number = storage._cdata
        if number in self._keys:
            self._give_back(number)
            if size := storage.nbytes():
                self._take(number, size)

    def _give_back(self, number: int) -> None:
        key, self._keys[number] = self._keys[number], None
        if key is not None:
            del self._made_by[key]
            self._heap.release(key)

    def _release(self, number: int) -> None:
        self._give_back(number)
        del self._keys[number]
        del self._watched[number]

    def _taken_over(self, name: str, args: tuple[Any, ...]) -> Sequence[int]:
        """Return the block in which a backward pass would make a result that it makes anew here.

        Where two gradients meet, autograd adds the later to the earlier in place if nobody else holds that one, nor a
        tensor it is a view of (torch/csrc/autograd/input_buffer.cpp, accumulate). That nobody holds it shows right
        after: it is released. A node written in Python also adds for itself what it has made.
        """
        node = torch._C._current_autograd_node() if name in IN_PLACE else None
        if node is None or torch.is_grad_enabled():
            return ()
        storage, *others = (arg.untyped_storage()._cdata for arg in args if isinstance(arg, torch.Tensor))
        key = self._keys.get(storage)
        if key is None or storage in others or args[0]._is_view():
            return ()
        in_python = isinstance(node, torch._C._FunctionBase)
        return () if in_python and self._made_by[key] == node._sequence_nr() else [key]

    def _hold_workspace(self, args: tuple[Any, ...]) -> None:
        """Take cuBLAS's workspace for good; each thread has its own handle (ATen/cuda/CublasHandlePool.cpp)."""
        thread = threading.get_ident()
        first = next((arg for arg in args if isinstance(arg, torch.Tensor)), None)
        if thread not in self._with_workspace and first is not None and first.device.type == self._device:
            self._with_workspace.add(thread)
            self._heap.take(self._workspace)


def _node() -> int | None:
    """Return the number of the node that autograd runs in this thread, None if it runs none."""
    node = torch._C._current_autograd_node()
    return None if node is None else node._sequence_nr()


def _read_back(tensor: torch.Tensor) -> float | int:
    if tensor.dtype == torch.bool:
        return hasattr(tensor, "answer")
    return READ_BACK[tensor.is_floating_point()]


def _unsupported(func: object) -> UnsupportedError:
    return UnsupportedError(f"{func} cannot be simulated: what it returns depends on the data.")
