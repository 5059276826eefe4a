"""Records on disk: one file a run, written once and whole, never edited.

    <root>/<device>/<case>/<UTC start>-<n>.json

A file appears under its final name only when all of it is on the disk, so a reader
never meets half a record; what a killed writer leaves starts with a dot and is not read.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.errors import RecordFormatError, StoreError
from bench.schema import Kind, RunRecord
from bench.schema.codec import LARGEST_RECORD, decode, encode
from bench.schema.comparison import FOLDER as COMPARISONS

DRY_MARK = "DRY"
"""A folder with a file of this name holds made-up records, and only those."""


@dataclass(frozen=True)
class Stored:
    """A record and the file it was read from."""

    path: Path
    record: RunRecord

    @cached_property
    def address(self) -> str:
        """Name the run as folders and pages do: device/case/run."""
        return f"{self.record.device}/{self.record.case}/{self.run}"

    @property
    def run(self) -> str:
        """The file's name without its ending: the UTC start and a number."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that should be a record and is not, with the reason."""

    path: Path
    reason: str


def _nobody(_: Path) -> None:
    """Hear nothing."""


def save(record: RunRecord, root: Path, told: Callable[[Path], None] = _nobody) -> Path:
    """Write `record` below `root` and return its path, of which `told` hears before it is there. Never overwrites.

    Raises `StoreError` when the disk refuses, or when a made-up record would land
    among real ones or the other way round.
    """
    _keep_dry_apart(record, root)
    text = encode(record).encode()
    if len(text) > LARGEST_RECORD:
        raise StoreError(f"the record of {record.case} has {len(text)} bytes, more than {LARGEST_RECORD}.")
    folder = root / record.device / record.case
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _publish(text, folder, re.sub("[-:]", "", record.started), told)
    except OSError as error:
        raise StoreError(f"cannot write below {folder}: {error.strerror or error}.") from error


def _publish(text: bytes, folder: Path, start: str, told: Callable[[Path], None]) -> Path:
    """Write a hidden file, then give it the first free final name in one step."""
    handle, hidden = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        for n in range(10_000):
            path = folder / f"{start}-{n}.json"
            if path.exists():
                continue
            told(path)
            with contextlib.suppress(FileExistsError):
                os.link(hidden, path)
                _sync_folder(folder)
                return path
        raise StoreError(f"ten thousand runs of one case started at {start}.")
    finally:
        os.unlink(hidden)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is no record so that a reader finds all of it or what was there before.

    Raises `StoreError` when the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, hidden = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(hidden).replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}.") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_dry_apart(record: RunRecord, root: Path) -> None:
    dry_folder = (root / DRY_MARK).exists()
    if record.kind is Kind.DRY and not dry_folder:
        raise StoreError(f"{root} holds real records; a made-up record of {record.case} must not land there.")
    if record.kind is not Kind.DRY and dry_folder:
        raise StoreError(f"{root} holds made-up records; the real record of {record.case} must not land there.")


def prepare_dry_root(root: Path) -> None:
    """Make `root` a folder for made-up records, or raise `StoreError` if it holds anything else."""
    if root.exists() and any(root.iterdir()) and not (root / DRY_MARK).exists():
        raise StoreError(f"{root} is not empty and not a dry-run folder; give another one with --results.")
    root.mkdir(parents=True, exist_ok=True)
    (root / DRY_MARK).write_text("Made-up records of a dry run. Nothing here was measured.\n")


def scan(root: Path) -> Iterator[Stored | Unreadable]:
    """Yield every record below `root` in the order of its path, and every file that is none.

    Raises `StoreError` if `root` does not exist. Links are not followed, hidden files not read.
    """
    if not root.is_dir():
        raise StoreError(f"there is no folder {root}; run the suites first, or name one with --results.")
    for path in _record_files(root):
        try:
            yield Stored(path, decode(_bytes_of(path)))
        except RecordFormatError as error:
            yield Unreadable(path, str(error))
        except OSError as error:
            yield Unreadable(path, str(error.strerror or error))


def read(root: Path) -> tuple[list[Stored], list[Unreadable]]:
    """Return the records below `root` and the files that could not be read."""
    stored: list[Stored] = []
    unreadable: list[Unreadable] = []
    for found in scan(root):
        if isinstance(found, Stored):
            stored.append(found)
        else:
            unreadable.append(found)
    return stored, unreadable


def _record_files(root: Path) -> Iterable[Path]:
    for device in _folders(root):
        if device.name == COMPARISONS:
            continue
        for case in _folders(device):
            names = sorted(e.name for e in os.scandir(case) if e.is_file(follow_symlinks=False))
            yield from (case / n for n in names if n.endswith(".json") and not n.startswith("."))


def _folders(parent: Path) -> list[Path]:
    entries = [e for e in os.scandir(parent) if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    return [Path(e.path) for e in sorted(entries, key=lambda e: e.name)]


def _bytes_of(path: Path) -> bytes:
    """Read no more of a file than a record may have, so that a huge one cannot exhaust memory."""
    with path.open("rb") as file:
        return file.read(LARGEST_RECORD + 1)
