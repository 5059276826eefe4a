"""NVIDIA's own libcupti reads buffers made here: without a GPU, one library a process.

The wheels come from the folder $FTBENCH_CUPTI_WHEELS, or are downloaded once into the
user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.worker.paging.validity import TRIED_APIS

WHEELS = {
    "nvidia-cuda-cupti-cu12==12.6.80": (24, 64),
    "nvidia-cuda-cupti-cu12==12.8.90": (26, 104),
    "nvidia-cuda-cupti-cu12==12.9.79": (28, 104),
    "nvidia-cuda-cupti==13.0.85": (130001, 104),
}
"""Package: its API version and the bytes of its records."""

VARIABLE = "FTBENCH_CUPTI_WHEELS"


@pytest.fixture(scope="session")
def wheel_folder() -> Path:
    """Where wheels are or will be."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ftbench-tests" / "cupti"


@pytest.fixture(scope="session")
def download(wheel_folder):
    """Download a wheel, unless one has already failed in this session."""
    failed: list[str] = []

    def get(package: str) -> None:
        if os.environ.get(VARIABLE) or failed:
            return
        wheel_folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        options = ["--retries=1", "--timeout=20", f"--dest={wheel_folder}", package]
        if subprocess.run([*command, *options], capture_output=True, check=False).returncode:
            failed.append(package)

    return get


def find(folder: Path, package: str) -> Path | None:
    name, _, version = package.partition("==")
    return next(iter(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")), None)


@pytest.mark.parametrize("package", WHEELS)
def test_nvidias_parser_reads_what_is_made_here(play, wheel_folder, download, tmp_path, package):
    """Records of this version's size begin where it says, all fields the same; the other size it refuses with 21."""
    if sys.platform != "linux":
        pytest.skip("NVIDIA's wheels are for Linux")
    if find(wheel_folder, package) is None:
        download(package)
    wheel = find(wheel_folder, package)
    if wheel is None:
        pytest.skip(f"no wheel of {package}, and pip could not download one: put it into a folder ${VARIABLE}")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if "/libcupti.so." in name)
        library = Path(archive.extract(member, tmp_path))
    api, size = WHEELS[package]
    found = play("parse", library)
    other = found[str(168 - size)]

    assert found["api"] == api
    assert api in TRIED_APIS
    assert found[str(size)] == {"code": 12, "offsets": [size * n for n in range(50)], "same": True}
    assert (other["code"], other["same"], len(other["offsets"]) < 50) == (21, False, True)
    assert found["refused"].startswith("cupti")
