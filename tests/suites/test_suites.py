"""The suites from the command line: plans, dry runs, resuming, and mistakes in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import store
from bench.schema import Kind

ROOT = Path(__file__).parents[2]


def suites(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest suites/` with arguments in a process of its own."""
    command = [sys.executable, "-m", "pytest", "suites/", "-p", "no:cacheprovider", *map(str, arguments)]
    environment = {**os.environ, **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with one dry run of all suites, and what pytest said."""
    folder = tmp_path_factory.mktemp("dry") / "results"
    return folder, suites("--benchmark-only", "--dry-run", "--results", folder)


def test_a_dry_run_goes_through_the_whole_chain(dry):
    """Six cases give twelve made-up records, a table of seconds a step, and our summary below it."""
    folder, done = dry

    assert done.returncode == 0, done.stdout + done.stderr
    stored, unreadable = store.read(folder)
    assert unreadable == []
    assert len(stored) == 12
    assert {run.record.kind for run in stored} == {Kind.DRY}
    assert done.stdout.index("Name (time in") < done.stdout.index("All cases")


def test_finished_runs_are_kept_and_said_to_be(dry):
    """The same command makes nothing again; --rerun makes everything again."""
    folder, _ = dry

    again = suites("--benchmark-only", "--dry-run", "--results", folder)
    assert "12 of 12 runs were finished before and kept" in again.stdout
    assert len(store.read(folder)[0]) == 12

    suites("--benchmark-only", "--dry-run", "--results", folder, "--rerun", "-k", "speed and qlora")
    assert len(store.read(folder)[0]) == 15


def test_the_plan_is_printed_and_nothing_is_run(tmp_path):
    """--collect-only names every case with its repeats, and leaves no folder behind."""
    done = suites("--collect-only", "-q", "--results", tmp_path / "none")

    assert done.returncode == 0
    assert "test_learning[qlora]: 1 x smollm2-135m-qlora-r16" in done.stdout
    assert "6 cases, 12 runs" in done.stdout
    assert not (tmp_path / "none").exists()


def test_without_being_asked_nothing_is_measured(tmp_path):
    """Without --benchmark-only every suite is skipped with the reason."""
    done = suites("-rs", "--results", tmp_path / "none")

    assert "6 skipped" in done.stdout
    assert "ask for it with --benchmark-only" in done.stdout
    assert not (tmp_path / "none").exists()


def test_made_up_records_stay_out_of_real_folders(tmp_path):
    """A dry run into a folder that holds anything else is refused before it starts."""
    (tmp_path / "something").write_text("real")

    done = suites("--benchmark-only", "--dry-run", "--results", tmp_path)

    assert done.returncode == 4
    assert "is not empty and not a dry-run folder" in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "smolm2-135m"], "Did you mean 'smollm2-135m'?"),
        (["--task", "adition"], "Did you mean 'addition'?"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--scale", "tiny"], "unknown scale 'tiny'"),
        (["--rounds", "0"], "--rounds 0 is below 1"),
        (["--retry", "omm"], "names no status"),
        (["--data-dir", "nowhere"], "is no folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, words):
    """A wrong option ends with pytest's usage error, says what is known, and shows no traceback."""
    done = suites("--benchmark-only", "--results", tmp_path / "none", *arguments)

    assert done.returncode == 4
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "none").exists()
