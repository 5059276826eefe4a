"""A record's run can be made again from its file alone, and a file that is no record says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import store
from bench.schema import Kind, Status
from bench.schema.codec import encode
from tests.records import fixed_shape, predicted, record

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_a_run_is_made_again_from_its_record(ftbench: Ftbench, tmp_path: Path) -> None:
    """The new record is measured, of the same case and seed, and its numbers are its own."""
    old = record(fixed_shape("lora", model="tiny-llama", steps=3, batch_size=2, sequence_length=32, seed=4))
    (tmp_path / "old.json").write_text(encode(old))

    done = ftbench("rerun", tmp_path / "old.json", "--results", tmp_path / "results", timeout=300)

    assert done.returncode == 0, done.stderr
    (made,) = store.read(tmp_path / "results")[0]
    assert (made.record.case, made.record.config.seed) == (old.case, 4)
    assert (made.record.kind, made.record.status) == (Kind.MEASURED, Status.OK)
    assert made.record.metrics["parameters.trainable"] != old.metrics["parameters.trainable"]
    assert old.case in done.stderr


@pytest.mark.slow
def test_a_prediction_is_predicted_again(ftbench: Ftbench, tmp_path: Path) -> None:
    """A predicted record gives a prediction, and nothing is run."""
    old = predicted(fixed_shape("lora", model="tiny-llama", steps=3))
    (tmp_path / "old.json").write_text(encode(old))

    assert ftbench("rerun", tmp_path / "old.json", "--results", tmp_path / "results", timeout=300).returncode == 0

    (made,) = store.read(tmp_path / "results")[0]
    assert (made.record.kind, made.record.device) == (Kind.PREDICTED, "fake-l40s")


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), ("{}", "old.json"), ("[", "not a record")])
def test_what_is_no_record_is_said_in_one_line(
    ftbench: Ftbench, tmp_path: Path, content: str | None, words: str
) -> None:
    """The file is named with what is wrong, and nothing is written."""
    if content is not None:
        (tmp_path / "old.json").write_text(content)
    done = ftbench("rerun", tmp_path / "old.json", "--results", tmp_path / "results")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert not (tmp_path / "results").exists()
