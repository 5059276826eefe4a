"""Put a substitute in a named place for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

NOTHING = object()


@contextmanager
def replaced(owner: object, name: str, value: object, *, may_lack: bool = False) -> Iterator[None]:
    """Within the block `owner.name` is `value`; after it, what it was, and inherited if it was.

    Raises `AttributeError` for a name that `owner` does not have, unless it `may_lack` it.
    """
    if not may_lack:
        getattr(owner, name)
    before = vars(owner).get(name, NOTHING)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is NOTHING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
