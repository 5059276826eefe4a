"""Marks around the language-model head: where logits, loss and their gradients live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def head_marks(model: Any, mark: Callable[[str], None]) -> Iterator[None]:
    """Within the block, mark `head` when the head is called and `head_done` when its input's gradient is known.

    The head is what `get_output_embeddings` gives: the adapter's layer where the head has
    one. A model that has no head, or computes the loss without calling it, makes no mark.
    """

    def entered(_: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        mark("head")
        hidden = arguments[0] if arguments else None
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _: mark("head_done"))  # type: ignore[no-untyped-call]

    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    handle = head.register_forward_pre_hook(entered)
    try:
        yield
    finally:
        handle.remove()
