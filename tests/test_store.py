"""A record on disk is whole, never overwritten, and a folder of rubbish never stops a reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import store
from bench.errors import StoreError
from bench.schema import Kind
from bench.schema.codec import LARGEST_RECORD
from tests.conftest import ROOT
from tests.records import everything, fixed_shape, record

SAVING = """
import sys, resource, signal
from pathlib import Path
from bench import store
from bench.errors import StoreError
from bench.schema.codec import decode
record = decode(Path(sys.argv[1]).read_bytes())
"""


def in_child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SAVING + script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A record's file outside the folder under test."""
    return store.save(record(fixed_shape("full")), tmp_path / "source")


def test_round_trip(tmp_path: Path) -> None:
    """Every record saved is read back equal, in the order of its path, and the file names its place."""
    made = list(everything())
    for one in made:
        store.save(one, tmp_path)
    stored, unreadable = store.read(tmp_path)
    assert unreadable == []
    assert [s.path for s in stored] == sorted(s.path for s in stored)
    assert sorted(map(repr, made)) == sorted(repr(s.record) for s in stored)
    assert all(s.path.parts[-3:-1] == (s.record.device, s.record.case) for s in stored)


def test_never_overwrites(tmp_path: Path) -> None:
    """The same record saved twice gives two files with the same content."""
    made = record(fixed_shape("full"))
    first = store.save(made, tmp_path)
    before = first.read_bytes()
    second = store.save(made, tmp_path)
    assert first != second
    assert first.read_bytes() == second.read_bytes() == before


def rubbish(folder: Path, good: bytes) -> dict[str, str]:
    """Fill a case's folder with files that are no records; name -> a word of the expected reason."""
    (folder / "empty.json").write_bytes(b"")
    (folder / "truncated.json").write_bytes(good[: len(good) // 2])
    (folder / "garbage.json").write_bytes(bytes(range(256)) * 10)
    (folder / "deep.json").write_bytes(b"[" * 100_000)
    (folder / "other.json").write_text('{"format": 1}')
    (folder / "newer.json").write_bytes(good.replace(b'"format": 1', b'"format": 99'))
    (folder / "surplus.json").write_bytes(good.replace(b'"kind"', b'"surprise": 1, "kind"', 1))
    with (folder / "huge.json").open("wb") as file:
        file.truncate(200 * LARGEST_RECORD)
    return {
        "empty.json": "not a record", "truncated.json": "not a record", "garbage.json": "not a record",
        "deep.json": "not a record", "other.json": "config", "newer.json": "upgrade ftbench",
        "surplus.json": "surprise", "huge.json": "more than",
    }  # fmt: skip


def test_rubbish_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    """Truncated, huge, deep, foreign and newer files are each reported with a reason; good records are read."""
    good = store.save(record(fixed_shape("full")), tmp_path)
    expected = rubbish(good.parent, good.read_bytes())
    stored, unreadable = store.read(tmp_path)
    assert [s.path for s in stored] == [good]
    reasons = {file.path.name: file.reason for file in unreadable}
    assert reasons.keys() == expected.keys()
    for name, word in expected.items():
        assert word in reasons[name]
        assert len(reasons[name]) < 300


def test_hidden_files_links_and_strangers_are_ignored(tmp_path: Path) -> None:
    """Links are not followed, hidden files and files of other types not read."""
    good = store.save(record(fixed_shape("full")), tmp_path / "results")
    outside = store.save(record(fixed_shape("lora")), tmp_path / "outside")
    (good.parent / "link.json").symlink_to(outside)
    (tmp_path / "results" / "linked-device").symlink_to(outside.parent.parent, target_is_directory=True)
    (good.parent / ".hidden.json").write_text("{")
    (good.parent / "notes.txt").write_text("mine")
    (good.parent / "folder.json").mkdir()
    os.mkfifo(good.parent / "pipe.json")
    stored, unreadable = store.read(tmp_path / "results")
    assert ([s.path for s in stored], unreadable) == ([good], [])


def test_real_and_made_up_records_stay_apart(tmp_path: Path) -> None:
    """A made-up record is refused among real ones, and a real one among made-up ones."""
    real, dry = record(fixed_shape("full")), record(fixed_shape("full"), kind=Kind.DRY)
    store.prepare_dry_root(tmp_path / "dry")
    store.save(dry, tmp_path / "dry")
    store.save(real, tmp_path / "real")
    with pytest.raises(StoreError, match="must not land there"):
        store.save(real, tmp_path / "dry")
    with pytest.raises(StoreError, match="must not land there"):
        store.save(dry, tmp_path / "real")
    with pytest.raises(StoreError, match="not a dry-run folder"):
        store.prepare_dry_root(tmp_path / "real")


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    """Reading a folder that does not exist says what to do."""
    with pytest.raises(StoreError, match="run the suites first"):
        store.read(tmp_path / "nowhere")


def test_a_record_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """A record too large to be read again is not written."""
    large = replace(record(fixed_shape("full")), series={"step.loss": (0.123456789,) * 600_000})
    with pytest.raises(StoreError, match="more than"):
        store.save(large, tmp_path)
    assert store.read(tmp_path) == ([], [])


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, source: Path) -> None:
    """When the system refuses to write more, saving raises StoreError, and no file is left behind."""
    script = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    store.save(record, Path(sys.argv[2]))
except StoreError as error:
    print("refused:", error)
"""
    done = in_child(script, source, tmp_path / "results")
    assert done.stdout.startswith("refused: cannot write below")
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []


def fill(disk: Path) -> None:
    for seed in range(100):
        store.save(record(fixed_shape("full", seed=seed)), disk)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="mounting a small disk needs root; the limit on file size covers the rest"
)
def test_a_small_disk_is_one_error_and_keeps_what_was_written(tmp_path: Path) -> None:
    """On a disk that fills up, earlier records stay whole and the one that did not fit is an error."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("this system does not let us mount a small disk")
    try:
        with pytest.raises(StoreError, match="No space left"):
            fill(disk)
        stored, unreadable = store.read(disk)
        assert len(stored) >= 1
        assert unreadable == []
        assert not list(disk.rglob(".*.part"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("moment", ["fsync", "link"])
def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path, source: Path, moment: str) -> None:
    """A writer killed while it writes, or just before the file gets its name, leaves no record."""
    script = f"""
import os
os.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.save(record, Path(sys.argv[2]))
"""
    done = in_child(script, source, tmp_path / "results")
    assert done.returncode == -signal.SIGKILL
    assert store.read(tmp_path / "results") == ([], [])
