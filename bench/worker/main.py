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
from bench.worker.logbook import Logbook


def main(folder: str) -> None:
    """Run the config in `folder` and leave the record beside it, whole or not at all."""
    here = Path(folder)
    logbook = Logbook(decode_config((here / "config.json").read_bytes()), here / "phase")
    record = recorded(logbook)
    part = here / "record.part"
    part.write_text(encode(record))
    part.replace(here / "record.json")


def recorded(logbook: Logbook) -> RunRecord:
    """Run to a record, whatever is raised on the way."""
    try:
        story(logbook.config)(logbook)
    except Exception as error:
        return logbook.record(*_ending(logbook, error))
    return logbook.record(Status.OK)


def _ending(logbook: Logbook, error: Exception) -> tuple[Status, Failure]:
    """Say how a run ended that raised `error`."""
    if isinstance(error, DoesNotFitError):
        return Status.OOM, Failure(phase=error.phase, message=str(error), bytes_requested=error.bytes_requested)
    if isinstance(error, NotFetchedError):
        return Status.UNSUPPORTED, Failure(phase=FETCH, message=str(error))
    if isinstance(error, ModuleNotFoundError):
        missing = MissingPackageError(error.name or "?", f"method {logbook.config.method!r}", INSTALL)
        return Status.ERROR, _failure(logbook, str(missing))
    if isinstance(error, FtbenchError):
        lacking = isinstance(error, UnsupportedError | MissingPackageError)  # an extra that nobody has to install
        status = Status.UNSUPPORTED if lacking else Status.ERROR
        return status, _failure(logbook, str(error))
    traceback.print_exception(error)
    if shortage := logbook.shortage(error):
        return Status.OOM, _failure(logbook, shortage.message, shortage.bytes_requested)
    return Status.ERROR, _failure(logbook, f"{type(error).__name__}: {error}")


def story(config: RunConfig) -> Callable[[Logbook], None]:
    """Return what a run of the config's study on its device is; torch comes in here."""
    if is_predicted(config.device):
        from bench.worker.predict import predict

        return predict
    told: Callable[[Logbook], None] = load(find("study", STUDIES, config.study))
    return told


def _failure(logbook: Logbook, message: str, bytes_requested: int | None = None) -> Failure:
    return Failure(phase=logbook.current_phase, message=message[:2000], bytes_requested=bytes_requested)
