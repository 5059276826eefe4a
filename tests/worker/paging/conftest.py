"""Stub libraries, compiled once, and a process of its own for each use of one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
STUBS = Path(__file__).parent / "stubs"
COMPILERS = ("cc", "gcc", "clang")


@pytest.fixture(scope="session")
def compile_stub(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile stubs/<source>.c into a shared library called `name`."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the stub libraries need Linux and a C compiler (cc, gcc or clang)")

    def make(source: str, name: str, *defines: str) -> Path:
        library = tmp_path_factory.mktemp(source) / name
        flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
        command = [compiler, *flags, *defines, "-o", str(library), str(STUBS / f"{source}.c"), "-lpthread", "-ldl"]
        subprocess.run(command, check=True)
        return library

    return make


@pytest.fixture(scope="session")
def stub_cupti(compile_stub: Callable[..., Path]) -> Path:
    """A libcupti that needs no GPU."""
    return compile_stub("libcupti", "libcupti.so.13")


@pytest.fixture(scope="session")
def stub_cuda(compile_stub: Callable[..., Path]) -> Path:
    """A libcuda of CUDA 12.2 or later that needs no GPU."""
    return compile_stub("libcuda", "libcuda.so.1")


@pytest.fixture(scope="session")
def old_stub_cuda(compile_stub: Callable[..., Path]) -> Path:
    """A libcuda from before CUDA 12.2."""
    return compile_stub("libcuda", "libcuda.so.1", "-DOLD_PREFETCH")


def run_scene(scene: str, *libraries: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    """Play a scene in a new process."""
    settings = {name: str(value) for name, value in environment.items()}
    command = [sys.executable, "-m", "tests.worker.paging.scenes", scene, *map(str, libraries)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def play() -> Callable[..., Any]:
    """Play a scene in a new process and return its answer."""

    def play_scene(scene: str, *libraries: Path, **environment: object) -> Any:
        done = run_scene(scene, *libraries, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return play_scene
