"""The run's process: read config.json, run, write record.json. Nothing is printed but what goes wrong."""

from __future__ import annotations

import traceback
from pathlib import Path

from bench.errors import INSTALL, FtbenchError, MissingPackageError, UnsupportedError
from bench.schema import Failure, RunRecord, Status
from bench.schema.codec import decode_config, encode
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
        from bench.worker.run import run  # torch comes in here

        run(logbook)
        return logbook.record(Status.OK)
    except UnsupportedError as refusal:
        return logbook.record(Status.UNSUPPORTED, _failure(logbook, str(refusal)))
    except ModuleNotFoundError as error:
        missing = MissingPackageError(error.name or "?", f"method {logbook.config.method!r}", INSTALL)
        return logbook.record(Status.ERROR, _failure(logbook, str(missing)))
    except FtbenchError as error:
        return logbook.record(Status.ERROR, _failure(logbook, str(error)))
    except Exception as error:
        traceback.print_exc()
        shortage = logbook.shortage(error)
        if shortage:
            failure = _failure(logbook, shortage.message, shortage.bytes_requested)
            return logbook.record(Status.OOM, failure)
        return logbook.record(Status.ERROR, _failure(logbook, f"{type(error).__name__}: {error}"))


def _failure(logbook: Logbook, message: str, bytes_requested: int | None = None) -> Failure:
    return Failure(phase=logbook.current_phase, message=message[:2000], bytes_requested=bytes_requested)
