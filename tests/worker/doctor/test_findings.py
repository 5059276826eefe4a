"""The doctor says what this machine can measure by having measured it, and why not the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def asked(*question: str):
    """Ask the worker as the launcher does."""
    command = [sys.executable, "-P", "-m", "bench.worker.doctor", *question]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def findings():
    """What it found here, by device and thing."""
    return {(found["device"], found["what"]): found for found in asked("findings")}


def test_a_cpu_can_train_and_be_traced(findings):
    """Training, the trace of allocations, the canary and 4-bit kernels work on this machine's processor."""
    for what in ("training", "memory by category", "canary", "4-bit kernels"):
        assert findings["cpu", what]["can"], findings["cpu", what]["said"]
    assert "GFLOP/s" in findings["cpu", "canary"]["said"]


def test_every_refusal_has_its_reason(findings):
    """Whatever cannot be measured says why; whatever was metered is named as the tables name it."""
    refused = [found for found in findings.values() if not found["can"]]

    assert all(len(found["said"]) > 10 for found in refused)
    assert not any("." in what for _, what in findings), "a metric's raw name shows"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_a_finding(findings):
    """Without a GPU the device is listed as one that cannot train, with advice."""
    assert findings["cuda", "training"]["can"] is False
    assert "--device cpu" in findings["cuda", "training"]["said"]


def test_facts_describe_the_device_torch_would_use():
    """Threads are told wherever it runs."""
    assert asked("facts")["torch.threads"] >= 1
