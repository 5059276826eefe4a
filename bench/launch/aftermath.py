"""What a run left in its folder, read with suspicion and turned into a record whatever it is.

The folder holds `record.json` if the run finished, `phase` with the name of the phase it was
in, and `words` with everything it printed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

from bench.errors import RecordFormatError
from bench.launch.scrub import scrub
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.codec import LARGEST_RECORD, decode
from bench.schema.death import death

KEPT_LINES = 20
LONGEST_LINE = 500
LONGEST_PHASE = 60
LARGEST_WORDS = 64_000  # bytes of a dying run's output that are looked at
LONGEST_TOKEN = 200  # what a cut may have left of one is shorter


def answer(folder: Path, config: RunConfig, exit_code: int | None) -> RunRecord:
    """Return the record a run wrote, or one that says how it died; `exit_code` None means stopped for its time."""
    if exit_code is None:
        advice = f"stopped after {config.timeout_s:g} s; raise timeout_s or do less."
        return _dead(folder, config, Status.TIMEOUT, advice)
    if exit_code:
        return _dead(folder, config, Status.CRASHED, *death(exit_code))
    found = _written(folder, config)
    return _dead(folder, config, Status.CRASHED, found) if isinstance(found, str) else found


def _written(folder: Path, config: RunConfig) -> RunRecord | str:
    """Return the record a run wrote of `config`, or in words what is wrong with it."""
    try:
        found = decode(_contents(folder / "record.json", LARGEST_RECORD + 1))
    except FileNotFoundError:
        return death(0).words
    except (RecordFormatError, OSError) as error:
        return f"the run left a damaged record: {error}"
    return found if found.config == config else "the run left the record of another config."


def _dead(folder: Path, config: RunConfig, status: Status, message: str, signal_name: str | None = None) -> RunRecord:
    """Make the record of a run that left none; device, kind and start are the launcher's to fill in."""
    phase = "start"
    with contextlib.suppress(OSError):
        phase = _contents(folder / "phase", LONGEST_PHASE).decode(errors="replace").strip() or phase
    failure = Failure(phase=phase, message=message, signal=signal_name)
    return RunRecord(
        config=config, kind=Kind.MEASURED, status=status, device="unknown", started=utc_now(), failure=failure
    )


def last_words(folder: Path) -> tuple[str, ...]:
    """Return the last lines a run printed, scrubbed before they are cut, so that no half of a token survives."""
    try:
        tail = _contents(folder / "words", LARGEST_WORDS, from_end=True)
    except OSError:
        return ()
    lines = tail.decode(errors="replace").splitlines()
    if lines and len(tail) == LARGEST_WORDS:
        lines[0] = lines[0][LONGEST_TOKEN:]
    kept = [line for line in lines if line.strip()][-KEPT_LINES:]
    return tuple(scrub(line)[:LONGEST_LINE] for line in kept)


def utc_now() -> str:
    """Return the time as records write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _contents(path: Path, most: int, *, from_end: bool = False) -> bytes:
    """Read at most `most` bytes of a regular file; anything else a run may leave there is an `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{path.name} is no regular file")
        file.seek(max(0, facts.st_size - most) if from_end else 0)
        return file.read(most)
