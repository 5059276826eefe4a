"""Runs are pooled only when nothing that matters differs, and compared only on equal work."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
from msgspec.structs import replace

import bench
from bench.analysis.cases import estimate, group, is_headline, newest, of_one_kind, ran, read
from bench.analysis.match import comparisons
from bench.schema import Kind, RunRecord
from bench.schema.metrics import METRICS
from bench.store import Stored
from tests.records import (
    METHODS,
    cases_of,
    everything,
    failed,
    filled,
    fixed_shape,
    learning,
    predicted,
    published,
    record,
)


def under(version: str, made: RunRecord) -> RunRecord:
    return replace(made, environment={**made.environment, "package.torch": version})


def test_another_stack_is_another_case(tmp_path: Path) -> None:
    """Runs under another torch are never pooled, and the newest stack is the one kept."""
    old = [under("2.9.0", record(fixed_shape("lora", seed=s), day=1)) for s in range(2)]
    new = [under("2.13.0", record(fixed_shape("lora", seed=s), day=2)) for s in range(3)]
    cases = group(read(filled(tmp_path, *old, *new))[0])
    assert sorted(len(case.runs) for case in cases) == [2, 3]
    (kept,) = newest(cases)
    assert dict(kept.stack)["torch"] == "2.13.0"
    assert len(kept.runs) == 3


def test_kinds_and_devices_are_kept_apart(tmp_path: Path) -> None:
    """A predicted run and a run on another device never share a case with a measured one."""
    config = fixed_shape("full")
    runs = (record(config), record(config, kind=Kind.PREDICTED), record(config, device="another"))
    cases = group(read(filled(tmp_path, *runs))[0])
    assert {(case.device, case.kind) for case in cases} == {(run.device, run.kind) for run in runs}
    assert all(len(case.runs) == 1 for case in cases)


def test_failed_runs_count_but_do_not_enter_estimates(tmp_path: Path) -> None:
    """A failed run belongs to its case and to none of its numbers."""
    config = fixed_shape("full")
    (case,) = group(read(filled(tmp_path, record(config), failed(config, day=2)))[0])
    found = estimate(case, "parameters.total")
    assert (len(case.ok), len(case.failed)) == (1, 1)
    assert found is not None
    assert found.n == 1


def test_a_misfiled_record_is_reported(tmp_path: Path) -> None:
    """A record moved into another case's folder is reported with the place it belongs to, not pooled."""
    root = filled(tmp_path / "results", record(fixed_shape("full")))
    (folder,) = (root / "example-cpu-2-cores").iterdir()
    shutil.move(folder, folder.with_name("another-case"))
    stored, unreadable = read(root)
    assert stored == []
    assert f"example-cpu-2-cores/{folder.name}" in unreadable[0].reason


def test_a_method_of_a_newer_version_still_reads(tmp_path: Path) -> None:
    """A record of a method and an option that the catalogue does not list has a case and loads."""
    config = replace(fixed_shape("lora"), method="nextlora", options={"rank": "../../escape", "extra": 1})
    (case,) = group(read(filled(tmp_path, replace(record(fixed_shape("lora")), config=config)))[0])
    assert case.name.startswith("smollm2-135m-nextlora-f32")


def test_comparison_takes_equal_work_only(tmp_path: Path) -> None:
    """A LoRA case of another batch size is not set against Full; rates may differ and are reported."""
    runs = [record(fixed_shape("full")), record(fixed_shape("lora", batch_size=8)), record(fixed_shape("qlora"), day=3)]
    runs += [record(learning(method)) for method in METHODS]
    (found,) = comparisons(group(read(filled(tmp_path, *runs))[0]))
    assert set(found.speed.cases) == {"full", "qlora"}
    assert set(found.learning.cases) == set(METHODS)
    assert found.learning.differing_rates == {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}


def test_comparison_never_mixes_kinds_devices_or_models(tmp_path: Path) -> None:
    """One comparison a device and model; a prediction is in none, for it has no speed."""
    runs = [record(fixed_shape("full")), record(fixed_shape("lora"), device="another")]
    runs += [record(fixed_shape("qlora"), kind=Kind.PREDICTED), record(fixed_shape("qlora", model="tiny-llama"))]
    found = comparisons(group(read(filled(tmp_path, *runs))[0]))
    assert [one.kind for one in found] == [Kind.MEASURED] * 3
    assert all(len(one.speed.cases) == 1 for one in found)


def test_comparison_prefers_the_newest_of_several(tmp_path: Path) -> None:
    """Of several LoRA cases on equal work the most recent one is compared."""
    runs = [record(fixed_shape("full")), record(fixed_shape("lora", rank=8), day=1)]
    runs += [record(fixed_shape("lora", rank=32), day=2)]
    (found,) = comparisons(group(read(filled(tmp_path, *runs))[0]))
    assert found.speed.cases["lora"].config.options["rank"] == 32


def test_comparison_prefers_what_was_run_and_scored_more(tmp_path: Path) -> None:
    """Of groups with as many methods, more scored items outweigh a later start, and so do more runs."""
    short = [record(learning(method, steps=20, evaluate_items=50), day=9) for method in METHODS]
    (found,) = comparisons(group(read(filled(tmp_path / "items", *everything(), *short))[0]))
    assert {case.config.steps for case in found.learning.cases.values()} == {60}
    once = [record(fixed_shape(method, steps=20), day=9) for method in METHODS]
    (found,) = comparisons(group(read(filled(tmp_path / "runs", *everything(), *once))[0]))
    assert {case.config.steps for case in found.speed.cases.values()} == {10}


def test_frame_has_one_row_a_run_and_every_metric(example_results: Path) -> None:
    """`bench.load` gives every run a row, metrics as floats, and NaN instead of 0 for what is absent."""
    frame = bench.load(example_results)
    assert len(frame) == 19
    assert set(METRICS) <= set(frame.columns)
    assert frame.loc[frame.status == "oom", "train.step_seconds"].isna().all()
    assert frame.loc[(frame.method == "lora"), "option.rank"].eq(16).all()


def test_frame_of_no_records_has_its_columns(tmp_path: Path) -> None:
    """An empty folder gives an empty frame with all columns; a broken file a warning."""
    folder = tmp_path / "device" / "case"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{")
    with pytest.warns(UserWarning, match="not a record"):
        frame = bench.load(tmp_path)
    assert len(frame) == 0
    assert set(METRICS) <= set(frame.columns)


def test_reading_a_good_folder_warns_of_nothing(example_results: Path) -> None:
    """Records as the suites write them load without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bench.load(example_results)


def test_a_prediction_of_what_does_not_fit_is_an_answer() -> None:
    """Its numbers stand although the run would end out of memory; of several predictions the newest alone counts."""
    config = fixed_shape("full")
    old, new = predicted(config), predicted(config, fits=False, started="2026-02-01T00:00:00Z")
    (case,) = cases_of(replace(old, metrics={"train.peak_allocated": 1}), new)
    assert case.values("train.peak_allocated") == [new.metrics["train.peak_allocated"]]
    assert (len(case.ok), len(case.failed), len(case.answers)) == (1, 1, 1)
    (short,) = cases_of(failed(config))
    assert short.answers == ()


def test_one_kind_is_taken_and_runs_come_first() -> None:
    """Runs before predictions before published numbers; predictions are no runs, whatever else there is."""
    kinds = [record(fixed_shape("full")), predicted(fixed_shape("full")), published(fixed_shape("full"), 5)]
    for place, first in enumerate(kinds):
        kept = cases_of(*kinds[place:])
        assert [case.kind for case in of_one_kind(kept)] == [first.kind]
        assert bool(ran(kept)) is (first.kind is Kind.MEASURED)
    assert of_one_kind([]) == ran([]) == []


def test_tries_and_experiments_are_no_headlines():
    """A try of a search, a paging run and its resident twin stay out of headline tables; a speed run is in."""
    kinds = [{}, {"inspect": False}, {"paging": "fault"}, {"uvm_counters": True}]
    made = [Stored(Path(f"{n}.json"), record(fixed_shape("full", **kind))) for n, kind in enumerate(kinds)]

    told = {case.name: is_headline(case) for case in group(made)}

    assert [told[stored.record.case] for stored in made] == [True, False, False, False]
