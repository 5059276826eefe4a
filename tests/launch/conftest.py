"""Launchers with made-up workers, and a look at what is left running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.launch.fetch import fetch
from bench.launch.process import Launcher
from bench.launch.workers import Isolation, Worker
from bench.schema import RunConfig
from bench.schema.config import configure

HERE = Path(__file__).parent
MACHINE = {"cpu.model": "Example CPU"}

Start = Callable[..., "contextmanager[Launcher]"]


def asked(**changes: object) -> RunConfig:
    """A small config; made-up workers do not train anyway."""
    return configure(**{"model": "tiny-llama", "task": "addition", "method": "lora", "steps": 4, **changes})


@contextmanager
def launching(worker: str, isolation: Isolation = "fork", **variables: str) -> Iterator[Launcher]:
    """A launcher whose runs are done by a function of `misbehaving`; swap it between runs with `become`."""
    variables = {"PYTHONPATH": str(HERE), **variables}
    made = Worker(f"misbehaving:{worker}")
    with Launcher(device="example", machine=MACHINE, isolation=isolation, worker=made, variables=variables) as launcher:
        yield launcher


def alive(group: int) -> list[int]:
    """The processes of a group that still run; zombies do not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def eventually(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Wait until something is true; the bound is only there so that a broken promise ends the test."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def begun(note: Path) -> tuple[int, int, int]:
    """Wait until a hanging worker has begun and return its pid, its parent's pid, and its group."""
    assert eventually(lambda: note.exists() and len(note.read_text().split()) == 3), "the run never began"
    run, keeper, group = map(int, note.read_text().split())
    return run, keeper, group


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of its own with tiny-llama in it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTBENCH_CACHE", str(folder))
        fetch(["tiny-llama"], [], None)
    return folder


@pytest.fixture
def in_tiny_cache(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this test, and what it starts, use that cache."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tiny_cache))
    return tiny_cache


@pytest.fixture
def no_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for runs that must be empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
