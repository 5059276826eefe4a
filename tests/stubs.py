"""Made-up shared libraries, compiled where the tests run, for the bindings that load them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(source: Path, into: Path, soname: str, *flags: str) -> Path:
    """Compile a C file to `into`/`soname` and return that path. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine: the made-up libraries cannot be built")
    library = into / soname
    command = [compiler, "-shared", "-fPIC", "-O0", "-Wall", "-Wextra", "-Werror", *flags]
    done = subprocess.run(
        [*command, f"-Wl,-soname,{soname}", "-o", str(library), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return library
