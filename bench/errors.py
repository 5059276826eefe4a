"""Every error a user of ftbench can cause: what happened, with which value, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INSTALL = "pip install 'ftbench[train]'"


class FtbenchError(Exception):
    """Base of all errors that deserve one line instead of a traceback. Exit code 2."""


class UnknownNameError(FtbenchError):
    """A config or a command names something the catalogue does not list."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


class BadValueError(FtbenchError):
    """A setting has a value it cannot take."""


class MissingPackageError(FtbenchError):
    """A package that this work needs is not installed."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs the package {package!r}; install it with: {install}")


class NotFetchedError(FtbenchError):
    """A model or data set is not on this machine yet."""


class FetchError(FtbenchError):
    """A model or data set could not be brought here."""


class ConfoundedError(FtbenchError):
    """Two sides of a comparison differ by more than what is compared."""


class StoreError(FtbenchError):
    """A record could not be written or must not be written there."""


class RecordFormatError(FtbenchError):
    """A file is not a record this version can read."""


class BusyError(FtbenchError):
    """Another session is measuring into the same results folder."""


class RunDidNotFinishError(FtbenchError):
    """A run ended without a measurement; its record, already kept, says why."""

    def __init__(self, case: str, status: str, why: str) -> None:
        super().__init__(f"{case} ended as {status}: {why}")
        self.status = status


class UnsupportedError(FtbenchError):
    """This device or stack cannot do this work; a result of its own, in the refuser's words."""


class DoesNotFitError(FtbenchError):
    """A simulated run finds no room on the card; an out-of-memory result, with the bytes asked for."""

    def __init__(self, message: str, phase: str, bytes_requested: int) -> None:
        super().__init__(message)
        self.phase = phase
        self.bytes_requested = bytes_requested


class KernelError(UnsupportedError):
    """A quantised kernel gives wrong numbers here, so nothing computed with it may be reported."""
