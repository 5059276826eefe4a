"""`ftbench ab` for real: two environments, kernels that run, a kernel that was made wrong, and a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import store
from bench.schema.pairing import Stage, Turn
from tests.conftest import ROOT
from tests.wheels import meddling

pytestmark = pytest.mark.slow
NOTHING = "pass"
WRONG = """
_right = dequantize_4bit
def dequantize_4bit(*arguments, **named):
    return _right(*arguments, **named) * 1.05
"""
CASES = "dequantize and nf4"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three releases of a package that meddles with bitsandbytes: two that change nothing, one that breaks a kernel."""
    folder = tmp_path_factory.mktemp("wheels")
    changes = {"1.0": NOTHING, "1.1": NOTHING, "2.0": WRONG}
    return {version: meddling(folder, version, "bitsandbytes.functional", code) for version, code in changes.items()}


def command(old: Path, new: Path, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "bench", "ab", "--old", str(old), "--new", str(new), "--suites", "numerics",
            "--scale", "smoke", "-k", CASES, "--folder", str(folder), *more]  # fmt: skip


def ab(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """Compare two wheels to the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment, timeout=600, cwd=ROOT
    )


def test_equal_releases_pass(wheels, tmp_path):
    """Two releases that compute the same end with 0; records of both sides and the report in all forms are kept."""
    done = ab(wheels["1.0"], wheels["1.1"], tmp_path / "same")
    assert done.returncode == 0, done.stderr
    assert "ftbench-meddling 1.0 (files " in done.stderr
    told = json.loads((tmp_path / "same" / "comparison.json").read_text())
    assert set(told["counts"]) == {"unchanged"}
    assert {one["metric"] for one in told["findings"]} >= {"state", "numerics.wrong", "numerics.checks"}
    assert (tmp_path / "same" / "comparison.xml").exists()
    assert (tmp_path / "same" / "comparison.md").exists()
    for side in ("old", "new"):
        stored, unreadable = store.read(tmp_path / "same" / side)
        assert not unreadable
        turns = [Turn.of(run.record.environment) for run in stored]
        assert {turn.under_test for turn in turns} == {"ftbench-meddling"}
        assert sum(turn.stage is Stage.WARM_UP for turn in turns) == 1


def test_a_wrong_kernel_is_found(wheels, tmp_path):
    """A release whose dequantisation is 5 % off ends with 1, and cases that were right are wrong."""
    done = ab(wheels["1.0"], wheels["2.0"], tmp_path / "wrong")
    assert done.returncode == 1, done.stderr
    told = json.loads((tmp_path / "wrong" / "comparison.json").read_text())
    wrong = [one for one in told["findings"] if one["metric"] == "numerics.wrong" and one["verdict"] == "regressed"]
    assert wrong
    assert {(one["old"], one["new"]) for one in wrong} == {(0.0, 1.0)}
    assert {one["verdict"] for one in told["findings"] if one["metric"] == "state"} == {"unchanged"}


def test_killed_in_the_middle_it_goes_on(wheels, tmp_path):
    """After kill -9 no run is left, what was written stays, and the same command makes the rest and ends well."""
    folder = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = command(wheels["1.0"], wheels["1.1"], folder)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        for line in process.stderr:
            if " 6/16" in line:
                process.send_signal(signal.SIGKILL)
                break
    before = {
        path: path.read_bytes() for path in folder.rglob("*.json") if path.parent.parent.parent.name in ("old", "new")
    }
    assert len(before) >= 8
    _gone(folder)
    again = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=600, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert all(path.read_bytes() == data for path, data in before.items())
    assert "16/16" not in again.stderr, "whole pairs are not made again"
    assert set(json.loads((folder / "comparison.json").read_text())["counts"]) == {"unchanged"}


def _gone(folder: Path) -> None:
    """Wait until no process has anything to do with a folder's environments."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout.split()
        if not found:
            return
        time.sleep(0.2)
    pytest.fail(f"processes are left: {found}")


def test_a_folder_holds_one_comparison(wheels, tmp_path):
    """Another comparison into the same folder is refused in a line that says what differs, and touches nothing."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "comparison-of.json").write_text(json.dumps({"comparison": "c0ffee", "old": "else"}))
    done = ab(wheels["1.0"], wheels["1.1"], folder)
    assert done.returncode == 2
    assert "another comparison" in done.stderr.splitlines()[-1]
    assert json.loads((folder / "comparison-of.json").read_text()) == {"comparison": "c0ffee", "old": "else"}
    assert not (folder / "old").exists()
