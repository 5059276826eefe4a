"""`ftbench compare`: what it exits with, and that nothing empty, lost or unreadable ever passes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis.gate.comparison import Side
from tests.comparisons import cases, holding, on_disk, sides, slower

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison's folder with two equal sides."""
    return folder(tmp_path_factory.mktemp("equal"), *sides())


def folder(root: Path, old: Side, new: Side) -> Path:
    """Write both sides as `ftbench ab` does."""
    on_disk(root / "old", old)
    on_disk(root / "new", new)
    return root


def test_equal_sides_pass(ftbench: Ftbench, equal: Path) -> None:
    """Two equal sides exit with 0, named as two folders or as the comparison's own."""
    both = ftbench("compare", equal / "old", equal / "new")
    assert both.returncode == 0, both.stderr
    assert "nothing is worse" in both.stderr
    alone = ftbench("compare", equal)
    assert (alone.returncode, alone.stdout) == (0, both.stdout)


def test_a_regression_fails(ftbench: Ftbench, tmp_path: Path) -> None:
    """Slower by 10 %: exit code 1, and the table says which metric of which case."""
    done = ftbench("compare", folder(tmp_path, *sides(change=lambda made: slower(made, 1.1))))
    assert done.returncode == 1
    assert done.stdout.count("regressed") == 7  # six cases, and all together
    assert "train.step_seconds" in done.stdout


def test_only_what_is_asked_for_is_judged(ftbench: Ftbench, tmp_path: Path) -> None:
    """--metric with a pattern leaves a regression of another metric out; one that matches nothing is refused."""
    root = folder(tmp_path, *sides(change=lambda made: slower(made, 1.1)))
    assert ftbench("compare", root, "--metric", "*.peak_allocated").returncode == 0
    done = ftbench("compare", root, "--metric", "train.step_second")
    assert done.returncode == 2
    assert "train.step_seconds" in done.stderr


def test_vacuous_comparisons_never_pass(ftbench: Ftbench, equal: Path, tmp_path: Path) -> None:
    """Empty, renamed, gone, corrupt, of another machine, of another harness: none of them exits with 0."""
    new = sides()[1]
    empty = tmp_path / "empty"
    empty.mkdir()
    codes = {"empty": ftbench("compare", equal / "old", empty).returncode}
    codes["both empty"] = ftbench("compare", empty, empty).returncode
    renamed = sides(cases()[:5])[1]
    other = tuple(type(run)(run.path, replace(run.record, config=run.record.config.but(weight_decay=0.1)))
                  for run in renamed.runs)  # fmt: skip
    codes["renamed"] = ftbench("compare", equal / "old", on_disk(tmp_path / "renamed", Side("new", other))).returncode
    for name, facts in {"machine": {"cpu.model": "Other"}, "harness": {"ftbench.code": "other"}}.items():
        runs = tuple(type(run)(run.path, replace(run.record, environment={**run.record.environment, **facts}))
                     for run in new.runs)  # fmt: skip
        codes[name] = ftbench("compare", equal / "old", on_disk(tmp_path / name, Side("new", runs))).returncode
    shutil.copytree(equal / "new", tmp_path / "corrupt")
    next((tmp_path / "corrupt").rglob("*.json")).write_text("{")
    codes["corrupt"] = ftbench("compare", equal / "old", tmp_path / "corrupt").returncode
    codes["gone"] = ftbench("compare", equal / "old", tmp_path / "gone").returncode
    assert codes == {"empty": 4, "both empty": 5, "renamed": 4, "machine": 4, "harness": 4, "corrupt": 3, "gone": 2}


def test_a_worse_result_outweighs_a_lost_one(ftbench: Ftbench, tmp_path: Path) -> None:
    """Where something is worse and something is missing, it exits with 1; where a file cannot be read, with 3."""
    old, new = sides(change=lambda made: slower(made, 1.1))
    root = folder(tmp_path, old, Side("new", tuple(run for run in new.runs if run.record.case != cases()[0].case)))
    assert ftbench("compare", root).returncode == 1
    next((root / "new").rglob("*.json")).write_text("{")
    assert ftbench("compare", root).returncode == 3


def test_acknowledged_changes_pass(ftbench: Ftbench, tmp_path: Path) -> None:
    """A known change, listed with a comment, is told and does not fail."""
    root = folder(tmp_path, *sides(change=lambda made: holding(made, parameters__trainable=5)))
    known = tmp_path / "known.txt"
    known.write_text("# peft 0.21 counts the bias\nparameters.trainable\nparameters.trainable_share  # follows\n")
    assert ftbench("compare", root).returncode == 1
    done = ftbench("compare", root, "--acknowledged", known)
    assert done.returncode == 0
    assert "changed (acknowledged)" in done.stdout
    assert ftbench("compare", root, "--acknowledged", tmp_path / "no.txt").returncode == 2


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json", "junit", "github"])
def test_every_form_is_written(ftbench: Ftbench, equal: Path, tmp_path: Path, form: str) -> None:
    """--format and --output write the report to a file, whole, and nothing to standard output."""
    done = ftbench("compare", equal, "--all", "--format", form, "--output", tmp_path / "new" / "report")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "new" / "report").read_text()
    assert text.startswith("::notice") if form == "github" else "train.step" in text
    if form == "json":
        assert json.loads(text)["ending"] == "good"


def test_a_part_of_a_folder_is_a_side(ftbench: Ftbench, tmp_path: Path) -> None:
    """Versions, devices and commits name sides of one folder of results."""
    old, new = sides(in_turns=False)
    parts = ((old, "0.20.0", "aaaaaaaaaa"), (new, "0.21.2", "bbbbbbbbbb"))
    for side, version, commit in parts:
        facts = {"package.peft": version, "ftbench.commit": commit * 4}
        runs = tuple(type(run)(run.path, replace(run.record, environment={**run.record.environment, **facts}))
                     for run in side.runs)  # fmt: skip
        on_disk(tmp_path, Side("", runs))
    for words in (("peft==0.20.0", "peft==0.21.2"), ("aaaaaaa", "bbbbbbb")):
        done = ftbench("compare", *words, "--results", tmp_path, "--metric", "parameters.*", "--all")
        assert done.returncode == 0, done.stderr
        assert "package.peft: 0.20.0 against 0.21.2" in done.stderr
    done = ftbench("compare", "peft==0.1", "peft==0.21.2", "--results", tmp_path)
    assert done.returncode == 2
    assert "peft==0.1" in done.stderr


def test_one_name_alone_must_be_a_comparison(ftbench: Ftbench, tmp_path: Path) -> None:
    """A folder without old and new is refused in one line."""
    done = ftbench("compare", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_kept_comparison_is_no_record(ftbench: Ftbench, equal: Path, tmp_path: Path) -> None:
    """Kept below results/comparisons, a report is validated as one, and no reader of records trips over it."""
    root = on_disk(tmp_path / "results", sides()[0])
    kept = root / "comparisons" / "peft.json"
    assert ftbench("compare", equal, "--format", "json", "--output", kept).returncode == 0
    assert ftbench("validate", root).returncode == 0
    shown = ftbench("show", "--results", root)
    assert (shown.returncode, shown.stderr) == (0, "")
    kept.write_text(kept.read_text().replace('"format": 1', '"format": 99'))
    done = ftbench("validate", root)
    assert done.returncode == 2
    assert "format 99" in done.stderr


def test_what_is_not_judged_is_not_asked_for(ftbench: Ftbench, equal: Path) -> None:
    """A metric that is shown only is refused by name, instead of comparing nothing for hours."""
    done = ftbench("compare", equal, "--metric", "train.tokens_per_second")
    assert done.returncode == 2
    assert "train.step_seconds" in done.stderr


def test_a_folder_of_one_device_is_named(ftbench: Ftbench, equal: Path) -> None:
    """One level too deep is said, and an empty name is no folder."""
    device = next(path for path in (equal / "old").iterdir() if path.is_dir())
    done = ftbench("compare", device, equal / "new")
    assert done.returncode == 2
    assert "one device's folder" in done.stderr
    assert ftbench("compare", "", equal / "new").returncode == 2


def test_a_breakdown_is_no_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own ends with 3 and its traceback: 1 would say that something is worse."""
    from bench.analysis.gate import choose
    from bench.cli import main

    monkeypatch.setattr(choose, "side", lambda *_: 1 / 0)
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 3
