"""A whole suite on a GPU that is not there: predictions land as records, and tables and pages show them as such."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from bench import store
from bench.launch import journal
from bench.schema import Kind, RunRecord, Status
from bench.schema.codec import json_schema
from bench.schema.metrics import METRICS
from tests.end_to_end.test_chain import HERE, METHODS, run
from tests.launch.conftest import eventually

pytestmark = pytest.mark.slow

SUITE = (
    "pytest", "suites/test_methods.py", "--benchmark-only", "--device", "fake:l40s", "--model", "tiny-llama",
    "--scale", "smoke", "--rounds", "3", "--results",
)  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of one predicted suite, a cache that was empty before, and what pytest said."""
    folder = tmp_path_factory.mktemp("predicted")
    done = run(*SUITE, str(folder / "results"), FTBENCH_CACHE=str(folder / "cache"))
    (folder / "said").write_text(done.stdout)
    return folder


def test_every_case_leaves_one_valid_prediction(swept):
    """Six cases make six predictions, whatever the rounds, valid against the shipped schema; nothing is fetched."""
    stored, unreadable = store.read(swept / "results")

    assert unreadable == []
    assert sorted(run.record.config.method for run in stored) == sorted([*METHODS, *METHODS])
    for found in stored:
        record = found.record
        assert (record.kind, record.status, record.device) == (Kind.PREDICTED, Status.OK, "fake-l40s")
        assert record.config.device == "fake:l40s"
        jsonschema.validate(json.loads(found.path.read_bytes()), json_schema())
    assert not [file for file in (swept / "cache").rglob("*") if file.is_file()]


def test_pytest_says_what_was_predicted(swept):
    """A line a case with its peak, a column of the seconds that predictions took, and the predicted peaks below."""
    said = (swept / "said").read_text()

    assert said.count(" 1/1: ok, predicted ") == 6
    assert "6 passed" in said
    assert said.index("Name (time in") < said.index("Predicted peaks") < said.index("ftbench show")
    assert "The times above are seconds a prediction took." in said
    assert "All cases" not in said


def test_the_commands_show_predictions_as_such(swept):
    """The list names their kind, the table their peaks, and the checked site builds; nothing is called measured."""
    results = str(swept / "results")
    listed = run("bench", "show", "--results", results).stdout
    tables = json.loads(run("bench", "table", "predictions", "--format", "json", "--results", results).stdout)
    run("bench", "site", "--results", results, "--output", str(swept / "site"), "--check")

    rows = [line for line in listed.splitlines() if line.startswith("tiny-llama")]
    assert len(rows) == 6
    assert all(" predicted " in row for row in rows)
    assert len(next(table["rows"] for table in tables if table["title"] == "Predicted peaks")) == 6
    assert (swept / "site" / "index.html").is_file()


def test_a_later_session_keeps_all_predictions_unless_told_otherwise(swept):
    """The same command predicts nothing again; with --rerun it does, and comes to the same numbers."""
    results, here = swept / "results", {"FTBENCH_CACHE": str(swept / "cache")}
    before = set(results.rglob("*.json"))
    kept = run(*SUITE, str(results), **here)
    assert "6 of 6 runs were finished before and kept" in kept.stdout
    assert set(results.rglob("*.json")) == before

    run(*SUITE, str(results), "--rerun", "-k", "speed and qlora", **here)
    (again,) = (found for found in store.read(results)[0] if found.path not in before)
    (first,) = (
        found for found in store.read(results)[0] if found.path in before and found.record.case == again.record.case
    )
    assert _bytes(again.record) == _bytes(first.record)


def _bytes(record: RunRecord) -> dict[str, float]:
    return {name: number for name, number in record.metrics.items() if METRICS[name].unit == "B"}


def test_a_killed_sweep_keeps_what_it_finished(tmp_path):
    """After kill -9 every file is whole and stays, and the same command makes what is missing: each run once."""
    results = tmp_path / "results"
    environment = {**os.environ, "FTBENCH_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        [sys.executable, "-m", *SUITE, str(results)], cwd=HERE, env=environment, stdout=subprocess.DEVNULL
    ) as sweep:
        assert eventually(lambda: len(journal.made_here(results)) >= 2, seconds=120)
        sweep.kill()
    finished, unreadable = store.read(results)
    assert unreadable == []
    assert 1 <= len(finished) < 6

    done = run(*SUITE, str(results), FTBENCH_CACHE=str(tmp_path / "cache"))
    assert f"{len(finished)} of 6 runs were finished before and kept" in done.stdout
    runs = {run.path for run in store.read(results)[0]}
    assert {run.path for run in finished} < runs
    assert len(runs) == 6
    assert {path.relative_to(results).as_posix() for path in runs} <= journal.made_here(results)
