"""What libraries do not do, in their own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.errors import UnsupportedError

REFUSALS = (NotImplementedError, ValueError)
"""What peft and transformers raise for what they do not do; anything else is an error, theirs or ours."""


@contextmanager
def refusing(what: str, *more: type[Exception]) -> Iterator[None]:
    """Turn a refusal of `what` into `UnsupportedError`, in its own words; `more` are other kinds of refusals.

    Memory that runs out is none.
    """
    kinds: tuple[type[Exception], ...] = (*REFUSALS, *more)
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except kinds as refused:
        raise UnsupportedError(f"{what} is refused: {type(refused).__name__}: {refused}") from refused
