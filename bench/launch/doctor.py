"""Ask the worker, in a process of its own, what can be measured on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import INSTALL, MissingPackageError, StoreError
from bench.launch import machine
from bench.launch.aftermath import utc_now
from bench.launch.scrub import scrub
from bench.launch.workers import QUIET
from bench.schema.catalogue import Scalar

PATIENCE_S = 600.0


def environment() -> dict[str, Scalar]:
    """Return what every record of this machine says of it, and what the device adds, as `facts` of the worker."""
    found = machine.facts()
    if find_spec("torch"):
        found.update(_asked("facts"))
    return {name: scrub(fact) if isinstance(fact, str) else fact for name, fact in sorted(found.items())}


def examination() -> list[dict[str, Any]]:
    """Return the worker's findings: device, what, can, said. Raises `MissingPackageError` without torch."""
    found: list[dict[str, Any]] = _asked("findings")
    return [{**finding, "said": scrub(finding["said"])} for finding in found]


def hardware_check(path: Path) -> dict[str, Any]:
    """Run the GPU's one-call check, part by part, each in a process of its own, and write everything to `path`.

    Raises `StoreError` where it cannot be written, and `MissingPackageError`.
    """
    known = _asked("gpu_parts")
    parts = {"start": known} if isinstance(known, dict) else {part: _asked("gpu", part) for part in known}
    document = {"format": 1, "made": utc_now(), "environment": environment(), "parts": parts}
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}.") from error
    return document


def _asked(*question: str) -> Any:
    """Ask `python -m bench.worker.doctor` and return its answer; a death of it is an answer too."""
    if not find_spec("torch"):
        raise MissingPackageError("torch", "measuring", INSTALL)
    command = [sys.executable, "-P", "-m", "bench.worker.doctor", *question]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=PATIENCE_S, env={**os.environ, **QUIET}, check=False
        )
    except subprocess.TimeoutExpired:
        return {"died": f"no answer within {PATIENCE_S:g} s"}
    try:
        return json.loads(done.stdout)
    except ValueError:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return {"died": scrub(f"exit code {done.returncode}: {' '.join(words)}")}
