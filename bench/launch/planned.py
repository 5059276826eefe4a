"""Which runs suites would make, asked of pytest in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import bench
from bench.errors import BadValueError
from bench.schema import RunConfig
from bench.schema.catalogue import find
from bench.schema.codec import decode_configs


def planned(suites: Collection[str], arguments: Sequence[str]) -> list[RunConfig]:
    """Return what suites would run, every seed, asked of pytest with `arguments`; no suite named means all of them.

    Raises `UnknownNameError` for a suite that does not exist, `BadValueError` where pytest refuses the arguments or
    nothing is left to run.
    """
    home = _suites_folder()
    known = {path.stem.removeprefix("test_"): path for path in sorted(home.glob("test_*.py"))}
    files = [str(find("suite", known, name)) for name in suites] or [str(home)]
    with tempfile.TemporaryDirectory(prefix="ftbench-plan-") as folder:
        plan = Path(folder) / "plan.json"
        command = [sys.executable, "-m", "pytest", *files, "--collect-only", "--benchmark-only", "-q", "-p",
                   "no:cacheprovider", "--plan", str(plan), *arguments]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home.parent)
        if not plan.is_file():
            said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if "ERROR" in line.upper()]
            raise BadValueError(f"the suites cannot be planned: {(said or ['pytest said nothing'])[-1].strip()}")
        configs = decode_configs(plan.read_bytes())
    if not configs:
        raise BadValueError("no case is left to run; choose other suites or another -k.")
    return configs


def cases(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Return the first run of every case."""
    found: dict[str, RunConfig] = {}
    for config in runs:
        found.setdefault(config.case, config)
    return list(found.values())


def _suites_folder() -> Path:
    """Find the suites beside the package, or in the folder a command is called in."""
    for folder in (Path(bench.__file__).resolve().parent.parent / "suites", Path.cwd() / "suites"):
        if (folder / "conftest.py").is_file():
            return folder
    raise BadValueError("there is no folder suites/ here; run this in a checkout of ftbench.")
