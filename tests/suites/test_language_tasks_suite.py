"""Tasks of language from the suites' command line, on the real data beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import store
from bench.schema import Status
from tests.suites.test_suites import suites

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data beside the checkout ({SHARED.name}/)")
@pytest.mark.parametrize("task", ["gsm8k", "pubmedqa", "jnli", "jcommonsenseqa"])
def test_a_local_mirror_is_trained_and_scored(task: str, tmp_path: Path) -> None:
    """`--task` with `--data-dir` trains a tiny model on real rows, scores it twice, and says so in the table."""
    asked = ("--task", task, "--data-dir", SHARED, "--scale", "smoke", "--results", tmp_path, "--device", "cpu")
    done = suites("--benchmark-only", *asked, "-k", "learning and lora and not qlora")

    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = store.read(tmp_path)[0]
    assert run.record.status is Status.OK
    assert {name: len(bits) for name, bits in run.record.items.items()} == {"before": 8, "after": 8}
    assert run.record.metrics["data.contaminated"] == 0
    assert all(loss is not None and loss > 0 for loss in run.record.series["step.loss"])
    assert "accuracy after" in done.stdout
