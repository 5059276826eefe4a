"""Streams and events of a device on which nothing is queued."""

from __future__ import annotations

from typing import Any


class NoStream:
    """A stream of a device on which nothing is queued: everything is done when it is asked for."""

    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_event(self, _: object) -> None:
        """Wait for nothing."""

    def wait_stream(self, _: object) -> None:
        """Wait for nothing."""

    def synchronize(self) -> None:
        """Wait for nothing."""

    def record_event(self, event: NoEvent | None = None) -> NoEvent:
        """Return an event that has happened."""
        return event or NoEvent()

    def __enter__(self) -> NoStream:
        """Queue nothing on it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Go on."""


class NoEvent:
    """An event that has happened."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def record(self, _: object = None) -> None:
        """Happen."""

    def wait(self, _: object = None) -> None:
        """Wait for nothing."""

    def synchronize(self) -> None:
        """Wait for nothing."""

    def query(self) -> bool:
        """Say that it has happened."""
        return True
