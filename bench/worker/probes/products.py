"""Matrix products of a forward pass, watched from Python: their sizes, and which sides want a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode

from bench.errors import UnsupportedError

SIDES: Mapping[Callable[..., Any], tuple[int, int]] = {
    torch.nn.functional.linear: (0, 1),
    torch.mm: (0, 1),
    torch.bmm: (0, 1),
    torch.matmul: (0, 1),
    torch.Tensor.matmul: (0, 1),
    torch.Tensor.__matmul__: (0, 1),
    torch.addmm: (1, 2),
    torch.baddbmm: (1, 2),
}
"""Which arguments of torch's products are multiplied."""


class Counter(Protocol):
    """Counts what torch's own operators do."""

    def get_total_flops(self) -> int:
        """Return the FLOPs so far."""
        ...


class Products(TorchFunctionMode):
    """Within the block, adds up every product of a pass over one sequence of `tokens`.

    A layer of bitsandbytes counts as the product it stands for, whatever runs inside: `hidden`
    is their FLOPs, `beside` what `counter` makes of them and of outer products, which do not
    count here. Raises `UnsupportedError` for a product that is neither of a weight and every
    token nor of attention.
    """

    def __init__(self, model: torch.nn.Module, tokens: int, counter: Counter) -> None:
        super().__init__()
        self._model, self._tokens, self._counter = model, tokens, counter
        self._hooks: list[Any] = []
        self._inside = 0
        self.weights = self.input_gradients = self.weight_gradients = 0
        self.attention = self.attention_gradients = 0
        self.hidden = self.beside = 0

    def __enter__(self) -> Products:
        for module in self._model.modules():
            if is_quantized(module):
                self._hooks.append(module.register_forward_pre_hook(self._enter_layer))
                self._hooks.append(module.register_forward_hook(self._leave_layer))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sides = SIDES.get(function)
        if sides and not self._inside:
            left, right = (args[side] for side in sides)
            if function is torch.nn.functional.linear:
                self._see_weight(left, *right.shape, trained=right.requires_grad)
            elif right.dim() == 2:
                self._see_weight(left, *right.shape[::-1], trained=right.requires_grad)
            elif left.shape[-1] == 1:
                self._see_outer(left, right)
            else:
                self._see_attention(left, right)
        return function(*args, **(kwargs or {}))

    def _see_weight(self, given: torch.Tensor, outputs: int, inputs: int, *, trained: bool) -> None:
        if given.numel() != self._tokens * inputs:
            raise UnsupportedError(
                f"a product of {tuple(given.shape)} with a weight is not run once a token, as where experts are routed"
            )
        size = outputs * inputs
        self.weights += size
        self.input_gradients += size * given.requires_grad
        self.weight_gradients += size * trained

    def _see_attention(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Note scores (queries x keys) or a context (scores x values): [..., rows, inner] x [..., inner, columns]."""
        rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
        if rows != self._tokens or self._tokens not in (inner, columns):
            raise UnsupportedError(
                f"a product {tuple(left.shape)} x {tuple(right.shape)} is no attention of all to all."
            )
        heads = left.shape[:-2].numel()
        width = heads * (columns if inner == self._tokens else inner)
        self.attention += width
        self.attention_gradients += width * (int(left.requires_grad) + int(right.requires_grad))

    def _see_outer(self, left: torch.Tensor, right: torch.Tensor) -> None:
        """Note a product that adds nothing up, as of rotary angles in some transformers: torch counts it, we do not."""
        rows = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])  # type: ignore[no-untyped-call]
        self.beside += 2 * rows.numel() * left.shape[-2] * right.shape[-1]

    def _enter_layer(self, layer: Any, args: tuple[torch.Tensor, ...]) -> None:
        self._see_weight(args[0], layer.out_features, layer.in_features, trained=False)
        self._inside += 1
        self.hidden += 2 * self._tokens * layer.out_features * layer.in_features
        self.beside -= self._counter.get_total_flops()

    def _leave_layer(self, layer: Any, args: Any, output: Any) -> None:  # noqa: ARG002 (a hook's signature)
        self._inside -= 1
        self.beside += self._counter.get_total_flops()


def is_quantized(module: torch.nn.Module) -> bool:
    """Tell whether a module is a layer of bitsandbytes: `Linear4bit`, `Linear8bitLt`."""
    return hasattr(module, "in_features") and any(c.__module__.startswith("bitsandbytes.") for c in type(module).mro())
