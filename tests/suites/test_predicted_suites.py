"""Suites and predictions: the same cases on a GPU and on a simulated one, plans with peaks, runs that are not tried."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import store
from bench.launch.fetch import fetch
from bench.schema import Kind
from bench.schema.studies import STUDIES, TRAINING
from tests.nvml_stub import FILE, GIB, Machine
from tests.suites.test_suites import ROOT, suites

T4: Mapping[str, object] = {
    "driver": "580.95.05", "count": 1, "gpu0.name": "Tesla T4", "gpu0.uuid": "GPU-11111111-2222-3333-4444-555555555555",
    "gpu0.mig": "0,0", "gpu0.memory": f"{15 * GIB},{GIB},0", "gpu0.processes": "-", "gpu0.capability": "7,5",
    "gpu0.cores": 40 * 64, "gpu0.bus": 256,
}  # fmt: skip
UNKNOWN = {**T4, "gpu0.name": "Example GPU"}

BEYOND = """
def test_small(measure, work):
    measure(work.speed("lora"), rounds=3)

def test_far_beyond(measure, work):
    measure(work.speed("lora", attention="eager", sequence_length=65_536), rounds=3)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a library that tells of a GPU."""
    folder = tmp_path_factory.mktemp("nvml")
    Machine(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of its own with tiny-llama in it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTBENCH_CACHE", str(folder))
        fetch(["tiny-llama"], [], None)
    return folder


def having(machine: Path, facts: Mapping[str, object]) -> dict[str, str]:
    """Return the variables with which a process finds a GPU of these facts, and no model is missing."""
    (machine / "facts").write_text("".join(f"{key} {value}\n" for key, value in facts.items()))
    return {"LD_LIBRARY_PATH": str(machine), FILE: str(machine / "facts")}


def planned(text: str) -> dict[str, str]:
    """Read a plan's lines: the case of every test."""
    return dict(re.findall(r"^(\S+?(?:, by \w+)?): \d+ x (\S+), ", text, re.MULTILINE))


def test_every_test_is_about_the_same_case_on_both(machine):
    """What both a GPU and its simulation run has one name, in all suites; only studies have no prediction."""
    here = having(machine, UNKNOWN)
    options = ("--collect-only", "--find-limit", "--oversubscribe", "--model", "tiny-llama", "--results", "none")
    plans = {
        device: suites(*options, "--device", device, suite="", **here).stdout for device in ("cuda", "fake:tesla t4")
    }
    real, predicted = map(planned, plans.values())

    assert "no forecast: this GPU is not in the catalogue" in plans["cuda"]
    studies = tuple({*STUDIES} - {TRAINING})
    training = {name: case for name, case in real.items() if not case.startswith(studies)}
    assert {name: predicted.get(name) for name in training} == training
    assert len(training) > 150
    assert all(
        name.startswith(("test_full[llama-", "test_adapters[", "test_recipe[", "test_more["))
        for name in set(predicted) - set(real)
    )
    assert not (ROOT / "none").exists()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of a run that fits any card and one that fits none, and with a plan's predictions."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "conftest.py").write_text((ROOT / "suites" / "conftest.py").read_text())
    (folder / "test_beyond.py").write_text(BEYOND)
    return folder


def on_t4(suite: Path, machine: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Do something with the suite where there is a T4; the model is known."""
    options = ("--scale", "smoke", "--results", str(suite / "results"), *options)
    return suites(*options, suite=suite, **having(machine, T4), **settings)


def test_a_plan_on_a_gpu_says_what_runs_are_predicted_to_need(machine, suite):
    """Every line of a known card's plan ends with the predicted peak and its verdict; the predictions are kept."""
    done = on_t4(suite, machine, "--collect-only")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"^test_small: 3 x tiny-llama-lora\S+, 4 steps, predicted [\d.]+ [MG]iB$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^test_far_beyond: 3 x .* predicted \S+ GiB, which does not fit$", done.stdout, re.MULTILINE)
    stored, _ = store.read(suite / "results")
    assert [(run.record.kind, run.record.device) for run in stored] == [(Kind.PREDICTED, "fake-t4")] * 2


def test_what_is_far_beyond_the_card_is_an_expected_failure(machine, suite, cache):
    """It is not run: pytest shows it as xfailed with what it needs, and the plan's prediction is all that is kept."""
    before = sorted(suite.rglob("*.json"))
    done = on_t4(suite, machine, "--benchmark-only", "-rx", "-k", "far_beyond", FTBENCH_CACHE=str(cache))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 xfailed" in done.stdout
    assert re.search(r"test_far_beyond.*GiB, which does not fit; not run, --try-anyway runs it", done.stdout)
    assert "predicted out of memory: Tesla T4 has " in done.stdout
    assert sorted(suite.rglob("*.json")) == before


def test_a_card_without_a_forecast_is_measured_all_the_same(machine, suite, cache, tmp_path):
    """Once a session a line says why there is no forecast, and every run is made."""
    options = ("--benchmark-only", "--scale", "smoke", "--results", tmp_path / "results")
    done = suites(*options, suite=suite, **having(machine, UNKNOWN), FTBENCH_CACHE=str(cache))

    assert done.stdout.count("no forecast: this GPU is not in the catalogue") == 1
    stored, _ = store.read(tmp_path / "results")
    assert [(run.record.kind, run.record.device) for run in stored] == [(Kind.MEASURED, "example-gpu")] * 2


def test_a_plan_that_cannot_keep_its_predictions_says_so(machine, tmp_path):
    """In a folder of made-up records the plan ends with one line instead of a traceback."""
    (tmp_path / "DRY").touch()
    options = ("--collect-only", "--scale", "smoke", "-k", "speed and lora", "--results", tmp_path)
    done = suites(*options, **having(machine, T4))

    assert "ERROR: " in done.stdout
    assert "holds made-up records" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_a_dry_run_of_a_simulated_gpu_is_made_up_as_any_other(tmp_path):
    """With --dry-run nothing is predicted: made-up records in rounds, seconds a step, and the usual tables."""
    options = ("--benchmark-only", "--dry-run", "--device", "fake:h100-80gb", "--results", tmp_path / "results")
    done = suites(*options)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {run.record.kind for run in store.read(tmp_path / "results")[0]} == {Kind.DRY}
    assert "The times above are seconds an optimiser step" in done.stdout
    assert "All cases" in done.stdout
    assert "Predicted peaks" not in done.stdout
