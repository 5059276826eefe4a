"""The one-call check of a GPU, played against stub libraries: its steps, its numbers, and what it keeps."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.launch import doctor
from bench.nvml import Absent
from bench.worker.doctor import experiment, hardware
from bench.worker.paging.recording import decode
from bench.worker.paging.summary import summarize

ROOT = Path(__file__).parents[3]


class Memory:
    """Managed memory of known size, which a step brings back."""

    nbytes = 8 << 20

    def __init__(self, address):
        self.address, self.away = address, 0

    def data_ptr(self):
        return self.address


class Mover:
    """Notes what is sent away."""

    def __init__(self, tensors):
        self.tensors, self.moves = tensors, []

    def prefetch(self, address, size, device):
        self.moves.append((address, size, device))

    def synchronize(self):
        pass


def made_bench():
    tensors = [Memory(1 << 40), Memory(2 << 40)]
    faulted = []
    mover = Mover(tensors)
    return experiment.Bench(lambda: None, lambda: None, lambda: tensors, mover, lambda: faulted.append(1)), faulted


def test_the_experiment_goes_through_both_paths_with_controls():
    """One first step; on each path resident controls, half and whole sent away three times each, and a control."""
    bench, faulted = made_bench()
    windows = []

    class Windows:
        @contextmanager
        def window(self, index, phase="step"):
            windows.append(index)
            yield

    made = experiment.steps(bench, Windows())

    assert [step["index"] for step in made] == windows == list(range(21))
    assert made[0]["fraction"] is None
    for path in ("prefetch", "fault"):
        sent = [step["sent"] for step in made if step["path"] == path]
        assert sent == [0] * 3 + [8 << 20] * 3 + [16 << 20] * 3 + [0]
    assert faulted == [1]
    assert all(device is None for _, _, device in bench.mover.moves)
    assert [owner.owner for owner in bench.owners()] == ["state1", "state2"]


def test_the_energy_counter_s_pace_is_the_times_of_its_changes():
    """A counter that moves at every third read changes a third as often; one that is refused says why."""
    reads = iter(range(10**9))

    found = hardware.energy_steps(lambda: next(reads) // 1000, seconds=0.05)
    refused = hardware.energy_steps(lambda: Absent("not supported."), seconds=0.05)

    times = found["changed_after_seconds"]
    assert times == sorted(times)
    assert len(times) >= 1
    assert refused == {"absent": "not supported."}


@pytest.mark.parametrize("part", hardware.PARTS)
def test_a_part_that_cannot_run_says_why(part):
    """Without a GPU every part of the check ends with a sentence and its seconds, none with a traceback."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    found = hardware.answer(part)

    assert any(len(str(found.get(key, ""))) > 10 for key in ("failed", "absent"))
    assert found["seconds"] >= 0


def test_a_counted_pass_can_be_read_again_without_a_gpu(stub_cupti, stub_cuda):
    """What `counted` keeps gives the same verdict and numbers when its recording is decoded."""
    command = [sys.executable, "-m", "tests.worker.doctor.played", str(stub_cupti), str(stub_cuda)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)

    again = summarize(decode(base64.b64decode(found["recording"])))
    assert found["verdict"] == again.verdict.level.value == "counted"
    assert found["numbers"] == dict(again.reading.values)
    assert found["numbers"]["bytes_in"] > 0
    assert len(found["steps"]) == 21


def test_the_file_holds_every_part_and_the_environment(tmp_path, monkeypatch):
    """One JSON file with parts in order, no matter how they ended; a folder that is not there is one line."""
    answers = {("gpu_parts",): ["card", "bare"], ("gpu", "card"): {"absent": "none"}, ("gpu", "bare"): {"died": "9"}}
    monkeypatch.setattr(doctor, "_asked", lambda *question: answers.get(question, {}))

    doctor.hardware_check(tmp_path / "check.json")

    kept = json.loads((tmp_path / "check.json").read_text())
    assert list(kept["parts"]) == ["card", "bare"]
    assert kept["environment"]["python"]
    with pytest.raises(StoreError, match="cannot write"):
        doctor.hardware_check(tmp_path / "no" / "check.json")
