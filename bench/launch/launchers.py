"""What starts a device's runs on this machine: real ones, predicted ones, and made-up ones."""

from __future__ import annotations

from pathlib import Path

from bench import cache
from bench.launch import machine
from bench.launch.process import Launcher
from bench.launch.workers import DRY, PREDICTED, REAL, Isolation, isolation_for
from bench.schema.catalogue import is_predicted


def launcher_for(
    device: str, *, isolation: Isolation | None = None, data_dir: Path | None = None, dry: bool = False
) -> Launcher:
    """Return what makes the runs of a device ("cpu", "cuda", "fake:<gpu>"); close it in the end.

    Predictions know this machine's software alone: nothing else of it is in them. `dry` runs are made up.
    """
    predicted = is_predicted(device)
    return Launcher(
        device=slug_for(device, dry=dry),
        machine=machine.software() if predicted else machine.facts(),
        isolation=isolation or isolation_for(device),
        worker=DRY if dry else PREDICTED if predicted else REAL,
        variables=cache.variables(data_dir),
    )


def slug_for(device: str, *, dry: bool = False) -> str:
    """Return what a device's records are filed under; made-up ones are no device's."""
    return "dry" if dry else machine.device_slug(device)
