"""Sessions in which nothing is measured: predictions, and runs that a GPU has no room for by far."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from bench import store
from bench.errors import RunDidNotFinishError, UnknownNameError
from bench.launch import machine
from bench.launch.forecast import NotTriedError
from bench.launch.machine import Gpu
from bench.launch.session import Session
from bench.schema import Kind, Status

GIB = 2**30
T4 = {"gpu.name": "NVIDIA Tesla T4", "gpu.memory_bytes": 15 * GIB, "gpu.multiprocessors": 40}


def session(root: Path, device: str, **changes: Any) -> Session:
    """Make a smoke session that was asked for on the command line."""
    said = {
        "model": "tiny-llama", "task": None, "device": device, "results": root, "scale": "smoke", "rounds": 3,
        "data_dir": None, "rerun": False, "retry": "", "isolation": None, "dry_run": False, "memory_limit": None,
        "find_limit": False, "oversubscribe": False, "try_anyway": False,
    }  # fmt: skip
    return Session.from_options(Namespace(**{**said, **changes}))  # type: ignore[arg-type]


@pytest.fixture
def on_t4(monkeypatch: pytest.MonkeyPatch, in_tiny_cache: Path) -> None:
    """This machine has a T4, as far as anybody asks who does not use it."""
    there = {**machine.software(), **T4}
    monkeypatch.setattr(machine, "facts", lambda: dict(there))
    monkeypatch.setattr(machine, "gpu", lambda: Gpu("Tesla T4", 15 * GIB, "00000000", "1"))


def test_only_predictions_are_made_once(tmp_path):
    """Rounds are for what differs from run to run; made-up runs go through the chain as often as real ones."""
    assert session(tmp_path, "fake:l40s").rounds(3) == 1
    assert session(tmp_path, "fake:l40s", dry_run=True).rounds(3) == 3
    assert session(tmp_path, "cpu").rounds(3) == 3
    assert [session(tmp_path, "fake:l40s", dry_run=dry).predicts for dry in (False, True)] == [True, False]


def test_what_is_far_beyond_the_card_is_tried_only_when_asked(on_t4, tmp_path):
    """Its prediction stands for it; with --try-anyway it is run, and a finished run then counts for more."""
    root = tmp_path / "results"
    first = session(root, "cuda")
    first.open()
    beyond = first.work.speed("lora", attention="eager", sequence_length=65_536)
    announced = first.forecast_line("test", beyond)
    stored, fresh = first.result(beyond)
    first.close()
    assert (stored.record.kind, stored.record.status, fresh) == (Kind.PREDICTED, Status.OOM, True)
    assert announced.endswith("GiB, which does not fit; not run, --try-anyway runs it")
    assert first.forecast_line("test", beyond.but(seed=1)) is None, "once a case"
    assert isinstance(first.end(stored.record), NotTriedError)
    assert any(line.startswith("1 not run: ") for line in first.closing_lines())
    assert {run.record.kind for run in store.read(root)[0]} == {Kind.PREDICTED}

    second = session(root, "cuda", try_anyway=True)
    second.open()
    tried, fresh = second.result(beyond)
    second.close()
    assert (tried.record.kind, tried.record.device, fresh) == (Kind.MEASURED, "tesla-t4", True)
    assert tried.record.status is not Status.OK, "there is no such card here"
    assert not isinstance(second.end(tried.record), NotTriedError)

    third = session(root, "cuda")
    third.open()
    assert third.result(beyond) == (tried, False)
    third.close()


def test_what_fits_is_found_out_by_runs(on_t4, tmp_path):
    """A search for limits makes its tries, also those that are predicted not to fit by far."""
    one = session(tmp_path / "results", "cuda", find_limit=True)
    one.open()
    with pytest.raises(RunDidNotFinishError, match="torch sees no CUDA device"):
        one.fits(one.work.trial("lora", attention="eager", sequence_length=65_536))
    one.close()
    assert [(run.record.kind, run.record.device) for run in one.tries] == [(Kind.MEASURED, "tesla-t4")]
    assert one.runs == []


def test_a_prediction_fetches_no_model(tiny_cache, tmp_path, monkeypatch):
    """A known name or that of a fetched model will do; another is refused before anything is asked of the hub."""
    monkeypatch.setattr("bench.launch.fetch._in_child", lambda _: pytest.fail("a process was started"))
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path))
    shutil.copytree(tiny_cache / "models" / "tiny-llama", tmp_path / "models" / "my-model-local-1234")

    for model in ("tiny-llama", "llama-3.3-70b", "my-model-local-1234"):
        assert session(tmp_path, "fake:h100", model=model).work.model == model
    for model in ("lama-3.3-70b", "owner/name", str(tmp_path), "../x", ""):
        with pytest.raises(UnknownNameError, match="unknown model"):
            session(tmp_path, "fake:h100", model=model)
