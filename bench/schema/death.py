"""How a process died that left no record, in words."""

from __future__ import annotations

import signal
from typing import NamedTuple


class Death(NamedTuple):
    """What is to be said of it, and the name of the signal that ended it; None if it ended by itself."""

    words: str
    signal: str | None


def death(exit_code: int) -> Death:
    """Say how a process ended by its exit code, which is negative where a signal ended it."""
    if exit_code >= 0:
        return Death(f"exit code {exit_code} and no record.", None)
    name = _name(-exit_code)
    hint = " The kernel does this when memory runs out." if name == "SIGKILL" else ""
    return Death(f"killed by {name}.{hint}", name)


def _name(number: int) -> str:
    """Name a signal; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
