"""The run's process: read config.json, run, write record.json. Nothing is printed but what goes wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from bench.errors import (
    INSTALL,
    DoesNotFitError,
    FtbenchError,
    MissingPackageError,
    NotFetchedError,
    UnsupportedError,
)
from bench.schema import Failure, RunConfig, RunRecord, Status
from bench.schema.catalogue import STUDIES, find, is_predicted, load
from bench.schema.codec import decode_config, encode
from bench.schema.record import FETCH
from bench.worker.logbook import EndedError, Logbook

Story = Callable[[Logbook], None]
"""What a run does: writes into its logbook, and raises whatever goes wrong."""


def main(folder: str) -> None:
    """Run the config in `folder` and leave the record beside it, whole or not at all."""
    here = Path(folder)
    logbook = Logbook(decode_config((here / "config.json").read_bytes()), here / "phase")
    leave(recorded(logbook), here)


def leave(record: RunRecord, folder: Path) -> None:
    """Leave a record in a folder, whole or not at all."""
    part = folder / "record.part"
    part.write_text(encode(record))
    part.replace(folder / "record.json")


def recorded(logbook: Logbook, told: Story | None = None) -> RunRecord:
    """Run a story, its config's own if none is given, to a record, whatever is raised on the way."""
    try:
        (told or story(logbook.config))(logbook)
    except Exception as error:
        return logbook.record(*_ending(logbook, error))
    return logbook.record(Status.OK)


def _ending(logbook: Logbook, error: Exception) -> tuple[Status, Failure]:
    """Say how a run ended that raised `error`."""
    if isinstance(error, EndedError):
        return error.status, error.failure
    if isinstance(error, DoesNotFitError):
        return Status.OOM, Failure(phase=error.phase, message=str(error), bytes_requested=error.bytes_requested)
    if isinstance(error, NotFetchedError):
        return Status.UNSUPPORTED, Failure(phase=FETCH, message=str(error))
    if isinstance(error, ModuleNotFoundError):
        missing = MissingPackageError(error.name or "?", f"method {logbook.config.method!r}", INSTALL)
        return Status.ERROR, _failure(logbook, str(missing))
    if isinstance(error, FtbenchError):
        lacking = isinstance(error, UnsupportedError | MissingPackageError)  # an extra that nobody has to install
        return Status.UNSUPPORTED if lacking else Status.ERROR, _failure(logbook, str(error))
    return _broken(logbook, error)


def _broken(logbook: Logbook, error: Exception) -> tuple[Status, Failure]:
    """Say how a run ended that raised what nobody expects: for want of memory, or by mistake."""
    traceback.print_exception(error)
    if shortage := logbook.shortage(error):
        return Status.OOM, _failure(logbook, shortage.message, shortage.bytes_requested)
    return Status.ERROR, _failure(logbook, f"{type(error).__name__}: {error}")


def story(config: RunConfig) -> Story:
    """Return what a run of the config's study on its device is; torch comes in here."""
    if is_predicted(config.device):
        from bench.worker.predict import predict

        return predict
    told: Story = load(find("study", STUDIES, config.study))
    return told


def _failure(logbook: Logbook, message: str, bytes_requested: int | None = None) -> Failure:
    return Failure(phase=logbook.current_phase, message=message[:2000], bytes_requested=bytes_requested)
