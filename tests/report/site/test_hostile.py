"""Records that are strange, many, new or broken cost a warning or a line, never the site."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis.gate.comparison import compare
from bench.analysis.results import read
from bench.report.gate.document import as_json
from bench.report.site.assembly import BUDGET
from bench.report.site.build import build
from bench.report.site.check import problems
from bench.schema.comparison import FOLDER
from tests.comparisons import sides
from tests.records import everything, filled, fixed_shape, learning, record

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_record_of_a_future_format_is_named_and_left_out(ftbench: Ftbench, tmp_path: Path) -> None:
    """The site is built of the others, with one line about the file and what to do."""
    root = filled(tmp_path / "results", *everything())
    future = next(root.rglob("*lora*/*.json"))
    future.write_text(future.read_text().replace('"format": 1', '"format": 99'))

    done = ftbench("site", "--results", root, "--output", tmp_path / "site", "--check")

    assert done.returncode == 0, done.stderr
    assert f"{future}: format 99 is newer than this ftbench reads (1); upgrade ftbench." in done.stderr
    assert not (tmp_path / "site" / "data" / future.relative_to(root)).exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("<script>.json", None, "its name may have"),
        ("broken.json", "{", "not a comparison"),
        ("future.json", '{"format": 99}', "not a comparison"),
    ],
)
def test_a_comparison_that_cannot_be_read_is_named_and_left_out(
    ftbench: Ftbench, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    """Its file is a warning; the good one beside it has its section and its download."""
    root = filled(tmp_path / "results", *everything())
    good = as_json(compare(*sides()))
    (root / FOLDER).mkdir()
    (root / FOLDER / "peft-1-2.json").write_text(good)
    (root / FOLDER / name).write_text(good if content is None else content)

    done = ftbench("site", "--results", root, "--output", tmp_path / "site", "--check")

    assert done.returncode == 0, done.stderr
    assert words in done.stderr
    upgrades = (tmp_path / "site" / "upgrades.html").read_text()
    assert 'id="comparison-peft-1-2"' in upgrades
    assert [path.name for path in (tmp_path / "site" / "data" / FOLDER).iterdir()] == ["peft-1-2.json"]


def test_hundreds_of_runs_of_one_case_keep_its_page_within_budget(tmp_path: Path) -> None:
    """The newest runs are shown, the others are counted and kept as files, and numbers over all count all."""
    runs = [record(learning("lora", seed=seed, steps=5000)) for seed in range(20)]
    root = filled(tmp_path / "results", *runs)
    build(read(root)[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []
    (page,) = (tmp_path / "site").rglob("cases/*/*.html")
    text = page.read_text()
    assert len(text.encode()) <= BUDGET
    assert "no room on this page" not in text
    assert "12 older runs of this case are files below data/" in text
    assert "all 20" in text
    assert len(list((tmp_path / "site" / "data").rglob("*lora*/*.json"))) == 20


def test_losses_that_were_no_numbers_are_gaps(tmp_path: Path) -> None:
    """A step whose loss was not finite leaves a gap in the chart and a word in its table, no 0 and no NaN."""
    made = record(learning("lora"))
    losses = tuple(None if step == 1 else loss for step, loss in enumerate(made.series["step.loss"]))
    root = filled(tmp_path / "results", replace(made, series={**made.series, "step.loss": losses}))
    build(read(root)[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []
    (page,) = (tmp_path / "site").rglob("cases/*/*.html")
    figures = [json.loads(text) for text in re.findall(r'class="figure">(.*?)</script>', page.read_text())]
    assert any(trace["y"][1] is None for figure in figures for trace in figure["data"])
    assert "NaN" not in page.read_text()


def test_a_served_site_is_there_for_this_machine_alone(tmp_path: Path) -> None:
    """--serve prints an address of this machine under which the pages are, until it is stopped."""
    import os
    import signal
    import sys

    root = filled(tmp_path / "results", record(fixed_shape("lora")))
    command = [sys.executable, "-m", "bench", "site", "--results", root, "--output", tmp_path / "site", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            address = served.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
            deadline = time.monotonic() + 20
            while True:
                try:
                    with urllib.request.urlopen(f"{address}index.html", timeout=5) as answer:  # noqa: S310 (our own)
                        assert b"side by side" in answer.read()
                    break
                except OSError:
                    assert time.monotonic() < deadline
            os.kill(served.pid, signal.SIGINT)
            assert served.wait(timeout=20) == 130
        finally:
            served.kill()
