"""The whole chain, for real: suites train, records land, tables and pages show what the records say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import bench
from bench import store
from bench.analysis.values import value
from bench.schema import Kind, Status
from bench.schema.codec import json_schema

HERE = Path(bench.__file__).parent.parent
METHODS = ("full", "lora", "qlora")


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in the checkout, and show what it said if it fails."""
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=HERE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one real smoke run of the suites, made with a cache of its own."""
    folder = tmp_path_factory.mktemp("chain")
    results = folder / "results"
    suites = ("pytest", "suites/test_methods.py", "--benchmark-only", "--scale", "smoke", "--results", str(results))
    done = run(*suites, FTBENCH_CACHE=str(folder / "cache"))
    (folder / "said").write_text(done.stdout)
    run("bench", "site", "--results", str(results), "--output", str(folder / "site"), "--check")
    return folder


@pytest.mark.slow
def test_every_case_leaves_one_valid_record(measured):
    """Six cases, six measured records, all of them ok and valid against the shipped schema."""
    stored, unreadable = store.read(measured / "results")

    assert unreadable == []
    assert len(stored) == 2 * len(METHODS)
    assert {run.record.config.method for run in stored} == set(METHODS)
    for found in stored:
        assert (found.record.kind, found.record.status) == (Kind.MEASURED, Status.OK)
        jsonschema.validate(json.loads(found.path.read_bytes()), json_schema())


@pytest.mark.slow
def test_the_summary_stands_below_pytest_benchmarks_table(measured):
    """The reader sees seconds a step first, and below it what the runs cost and learned."""
    said = (measured / "said").read_text()

    assert said.index("Name (time in") < said.index("All cases") < said.index("ftbench show")
    assert "trainable share" in said


@pytest.mark.slow
def test_tables_say_what_the_records_say(measured):
    """The guide's comparison as JSON holds the records' own trainable parameters and adapter bytes."""
    done = run("bench", "table", "t1", "--format", "json", "--results", str(measured / "results"))

    stored, _ = store.read(measured / "results")
    lora = next(run.record for run in stored if run.record.config.method == "lora")
    for metric in ("parameters.trainable", "save.adapter_bytes"):
        assert f"{value(lora, metric):.0f}" in done.stdout.replace(".0", "")


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_opens_in_a_browser(measured, browser):
    """Without network the front page draws its charts, loads nothing from elsewhere and logs no error."""
    page = browser.new_page()
    problems: list[str] = []
    outside: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: outside.append(request.url) if not request.url.startswith("file:") else None)

    page.goto((measured / "site" / "index.html").as_uri())
    page.locator("figure").first.scroll_into_view_if_needed()
    page.wait_for_selector("figure .main-svg")

    assert problems == []
    assert outside == []
    assert page.locator("table").count() >= 2
    page.close()
