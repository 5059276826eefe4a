"""The suites from the command line: plans, dry runs, resuming, and mistakes in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import store
from bench.launch.sweep import locked
from bench.schema import Kind, Status
from bench.schema.codec import decode

ROOT = Path(__file__).parents[2]


def suites(
    *arguments: str | Path, suite: str | Path = "test_methods.py", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a suite, all with `suite=""`, with arguments in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(ROOT / "suites" / suite),
        "-p",
        "no:cacheprovider",
        *map(str, arguments),
    ]
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


def test_two_machines_make_a_sweep_between_them(tmp_path):
    """Parts of what -k selects share no case; their folders, copied into one, are what one machine would have made."""
    parts = [tmp_path / number for number in "12"]
    for part in parts:
        words = "--shard", f"{part.name}/2", "-k", "not full"
        assert suites("--benchmark-only", "--dry-run", "--results", part, *words).returncode == 0
        shutil.copytree(part, tmp_path / "all", dirs_exist_ok=True)
    first, second = ({run.record.case for run in store.read(part)[0]} for part in parts)
    whole, unreadable = store.read(tmp_path / "all")

    assert (len(first), len(second), first & second) == (2, 2, set())
    assert (len(whole), unreadable) == (8, [])


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


def test_real_records_stay_out_of_folders_with_made_up_ones(dry):
    """A real session into a dry-run folder is refused before its first run, not when that run's record is written."""
    done = suites("--benchmark-only", "--device", "cpu", "--scale", "smoke", "--results", dry[0])

    assert done.returncode == 4
    assert "holds made-up records" in done.stderr


def test_a_folder_that_another_session_holds_is_one_line(tmp_path):
    """Two sessions do not measure into one folder at once; the second says so and runs nothing."""
    folder = tmp_path / "results"
    with locked(folder):
        (folder / "DRY").touch()
        done = suites("--benchmark-only", "--dry-run", "--results", folder)

    assert done.returncode == 4
    assert "another session is measuring into" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(folder.rglob("*.json"))


def test_a_file_in_the_results_place_is_one_line(tmp_path):
    """A results folder that cannot be one is a usage error."""
    (tmp_path / "file").touch()
    done = suites("--benchmark-only", "--dry-run", "--results", tmp_path / "file")

    assert done.returncode == 4
    assert "cannot write below" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_runs_do_not_share_the_machine(tmp_path):
    """Together with a plugin that spreads tests over processes, as pytest-xdist does, the session is refused."""
    (tmp_path / "spreading.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--numprocesses', type=int, default=0)\n"
    )
    here = {"PYTHONPATH": str(tmp_path)}
    options = ("--benchmark-only", "--dry-run", "--results", tmp_path / "results", "-p", "spreading")

    assert suites(*options, "--numprocesses=0", "-k", "learning and full", **here).returncode == 0
    done = suites(*options, "--numprocesses=2", **here)
    assert done.returncode == 4
    assert "leave -n out" in done.stderr


def test_with_benchmarks_disabled_every_run_is_still_made(tmp_path):
    """--benchmark-disable drops pytest-benchmark's statistics, not runs."""
    done = suites("--benchmark-disable", "--dry-run", "--results", tmp_path / "results", "-k", "speed and lora")

    assert done.returncode == 0, done.stdout
    assert [run.record.config.seed for run in store.read(tmp_path / "results")[0]] == [0, 1, 2] * 2
    assert "Name (time in" not in done.stdout
    assert "All cases" in done.stdout


def test_with_benchmarks_skipped_nothing_is_run(tmp_path):
    """--benchmark-skip skips every suite."""
    done = suites("--benchmark-skip", "--dry-run", "--results", tmp_path / "results")

    assert "6 skipped" in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("options", [(), ("-x",)])
def test_a_failed_case_costs_no_other(tmp_path, options):
    """A suite whose case is out of memory is an expected failure with its reason, and the others still run."""
    suite = ROOT / "suites" / "conftest.py"
    (tmp_path / "conftest.py").write_text(suite.read_text())
    (tmp_path / "test_large.py").write_text(LARGE)
    command = [sys.executable, "-m", "pytest", str(tmp_path), "--benchmark-only", "--dry-run", *options]
    done = subprocess.run(
        [*command, "--results", str(tmp_path / "results"), "-rx"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 xfailed" in done.stdout
    assert "ended as oom: made up: no memory for this batch" in done.stdout
    assert "--retry oom makes those again" in done.stdout
    ends = [run.record.status for run in store.read(tmp_path / "results")[0]]
    assert sorted(ends) == [Status.OK, Status.OOM]


LARGE = """
def test_large(measure, work):
    measure(work.speed("full").but(batch_size=65), rounds=3)

def test_small(measure, work):
    measure(work.speed("full"), rounds=1)
"""


def test_a_disk_that_fills_up_ends_the_session_and_loses_nothing(tmp_path):
    """When a record cannot be saved the session stops with exit code 2 and says where the record is."""
    (tmp_path / "conftest.py").write_text((ROOT / "suites" / "conftest.py").read_text())
    (tmp_path / "test_full.py").write_text(FILLED.format(root=str(tmp_path / "results")))
    command = [sys.executable, "-m", "pytest", str(tmp_path), "--benchmark-only", "--dry-run"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [*command, "--results", str(tmp_path / "results")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Exit: cannot write below" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "test_second" not in done.stdout
    (aside,) = tmp_path.glob("ftbench-record-*.json")
    assert str(aside) in done.stdout
    assert decode(aside.read_bytes()).status is Status.OK
    assert len(store.read(tmp_path / "results")[0]) == 1


FILLED = """
import pathlib

def test_first(measure, work):
    measure(work.speed("lora"), rounds=1)
    device = pathlib.Path({root!r}, "dry")
    device.rename(device.with_name("dry-before"))
    device.touch()  # where the next record's folder should be

def test_now_it_is_full(measure, work):
    measure(work.speed("full"), rounds=1)

def test_second(measure, work):
    measure(work.speed("qlora"), rounds=1)
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "smolm2-135m"], "Did you mean 'smollm2-135m'?"),
        (["--task", "adition"], "Did you mean 'addition'?"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--device", "fake:l4s"], "unknown GPU 'l4s'. Did you mean 'l40s'?"),
        (["--device", "fake:l40s", "--memory-limit", "4GiB"], "host's memory, which fake:l40s does not have"),
        (["--scale", "tiny"], "unknown scale 'tiny'"),
        (["--rounds", "0"], "--rounds 0 is below 1"),
        (["--retry", "omm"], "names no status"),
        (["--data-dir", "nowhere"], "is no folder"),
        (["--shard", "3/2"], "--shard '3/2' is not I/N"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, words):
    """A wrong option ends with pytest's usage error, says what is known, and shows no traceback."""
    done = suites("--benchmark-only", "--results", tmp_path / "none", *arguments)

    assert done.returncode == 4
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "none").exists()
