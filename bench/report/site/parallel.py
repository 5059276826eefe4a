"""Many independent pages, written on every core: forked processes that send back what they made, in order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from bench.errors import StoreError

Item = TypeVar("Item")
Made = TypeVar("Made")

FEWEST = 200
"""Items from which processes of their own are worth their start."""


def mapped(work: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """Yield `work(item)` for every item, in order; what `work` raises is raised here.

    Forks know what this process knows, so nothing is copied to them. For few items, on one core and where forks are
    not safe (but on Linux) everything is done in this process. Raises `StoreError` where a fork was killed.
    """
    if sys.platform != "linux" or len(items) < FEWEST or (cores := len(os.sched_getaffinity(0))) < 2:
        yield from map(work, items)
    else:
        yield from forked(work, items, cores)


def forked(work: Callable[[Item], Made], items: Sequence[Item], count: int) -> Iterator[Made]:
    """Yield `work(item)` for every item, in order, made by `count` forks in turn."""
    fork = multiprocessing.get_context("fork")
    helpers = []
    try:
        for place in range(count):
            receiver, sender = fork.Pipe(duplex=False)
            helper = fork.Process(target=_send, args=(work, items[place::count], sender, receiver), daemon=True)
            with warnings.catch_warnings():  # libraries of numbers keep threads; forks write text and ask none of them
                warnings.simplefilter("ignore", DeprecationWarning)
                helper.start()
            sender.close()
            helpers.append((helper, receiver))
        for place in range(len(items)):
            made = _received(helpers[place % count][1])
            yield made[0] if made else work(items[place])
    finally:
        for helper, receiver in helpers:
            receiver.close()
            helper.terminate()
            helper.join()


def _send(work: Callable[[Item], Made], items: Sequence[Item], sender: Connection, receiver: Connection) -> None:
    """Do a fork's part of the work; it ends with the process that reads it."""
    receiver.close()
    with contextlib.suppress(BrokenPipeError):
        for item in items:
            try:
                made: tuple[Made] | None = (work(item),)
            except Exception:
                made = None  # done again by the reader, so that it is raised there, whole
            sender.send(made)


def _received(receiver: Connection) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        raise StoreError("a process that wrote pages was killed; is memory short? Run it again.") from None
