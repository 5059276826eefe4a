"""What libraries do not do, in their own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import UnsupportedError

REFUSALS = (NotImplementedError, ValueError)
"""What peft and transformers raise for what they do not do; anything else is an error, theirs or ours."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn a refusal of `what` into `UnsupportedError`, in its own words."""
    try:
        yield
    except REFUSALS as refused:
        raise UnsupportedError(f"{what} is refused: {type(refused).__name__}: {refused}") from refused
