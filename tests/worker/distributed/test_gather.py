"""One record of several: what is summed, what is the greatest, and whose end explains the run's."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.schema import Failure, RunRecord, Status
from bench.schema.config import configure
from bench.worker.distributed.gather import End, cause, fold
from bench.worker.logbook import Logbook
from tests.records import record

CONFIG = configure(model="tiny-llama", method="lora", task="addition", study="distributed", strategy="ddp")


def left(status: Status = Status.OK, message: str = "", **parts: object) -> RunRecord:
    """Make the record that one process left."""
    failure = None if status is Status.OK else Failure(phase="train", message=message, bytes_requested=8)
    return replace(record(CONFIG), status=status, failure=failure, **parts)


def folded(tmp_path: Path, *records: RunRecord) -> RunRecord:
    """Fold records into one."""
    logbook = Logbook(CONFIG, tmp_path / "phase")
    fold(logbook, records)
    return logbook.record(Status.OK)


def test_steps_end_with_the_slowest_and_tokens_add_up(tmp_path):
    """Seconds are the slowest process's, tokens the sum of all, losses the mean; rates are alike and stay."""
    one = left(series={"step.seconds": (1.0, 4.0), "step.tokens_real": (10, 20), "step.loss": (2.0, 1.0),
                       "step.learning_rate": (0.1, 0.2)})  # fmt: skip
    two = left(series={"step.seconds": (3.0, 2.0), "step.tokens_real": (5, 5), "step.loss": (4.0, None),
                       "step.learning_rate": (0.1, 0.2)})  # fmt: skip

    found = folded(tmp_path, one, two)

    steps = {name: values for name, values in found.series.items() if name.startswith("step.")}
    assert steps == {
        "step.seconds": (3.0, 4.0), "step.tokens_real": (15, 25), "step.loss": (3.0, None),
        "step.learning_rate": (0.1, 0.2),
    }  # fmt: skip


def test_the_peak_is_the_greatest_and_every_process_keeps_its_own(tmp_path):
    """A process that holds more decides whether a run fits; what each held is told too, in their order."""
    first = left(metrics={"train.peak_allocated": 5, "parameters.total": 7}, series={})
    second = left(metrics={"train.peak_allocated": 9, "parameters.total": 7}, series={})

    found = folded(tmp_path, first, second)

    assert found.metrics == {"train.peak_allocated": 9, "parameters.total": 7}
    assert found.series == {"rank.train.peak_allocated": (5, 9)}


def test_a_sibling_is_no_neighbour(tmp_path):
    """What the other processes of the run compute does not count as a disturbance; what is left of it does."""
    steps = {"step.cpu_seconds": (9.0, 9.0, 3.0, 3.0)}  # two untimed
    made = left(series=steps, metrics={"train.timed_seconds": 8.0, "train.neighbour_cores": 1.0})

    assert folded(tmp_path, made, made).metrics["train.neighbour_cores"] == pytest.approx(0.25)
    assert folded(tmp_path, made, made, made).metrics["train.neighbour_cores"] == 0


@pytest.mark.parametrize(("device", "joules"), [("cuda", 11.0), ("cpu", 5.0)])
def test_cards_add_their_energy_and_a_processor_has_one_meter(tmp_path, device, joules):
    """Each card counts its own joules; every process reads the same meter of the processor."""
    ones = [left(metrics={"train.energy": spent}, series={}) for spent in (5.0, 6.0)]
    ones = [replace(one, config=CONFIG.but(device=device)) for one in ones]

    assert folded(tmp_path, *ones).metrics["train.energy"] == joules


def ended(made: RunRecord | None, code: int | None = 1, at: float = 0.0) -> End:
    """Make the end of a process."""
    return End(code, made, "train", at)


LOST = left(Status.ERROR, "Connection closed by peer")
SHORT = left(Status.OOM, "the host has no 8 bytes left.")


@pytest.mark.parametrize(
    ("ends", "status", "words"),
    [
        ([ended(LOST, at=1.0), ended(SHORT, at=2.0)], Status.OOM, "rank 1: the host has no 8 bytes left."),
        ([ended(LOST), ended(None, -9)], Status.CRASHED, "rank 1: killed by SIGKILL. The kernel does this"),
        ([ended(LOST), ended(None, 3)], Status.CRASHED, "rank 1: exit code 3 and no record."),
        ([ended(LOST, at=2.0), ended(left(Status.ERROR, "boom"), at=1.0)], Status.ERROR, "rank 1: boom"),
        ([ended(LOST), ended(None, None)], Status.ERROR, "closed by peer; rank 1 was still in train"),
        ([ended(left(), 0), ended(None, 0)], Status.CRASHED, "a process ended without a record"),
    ],
    ids=["memory", "killed", "exit", "first", "hung", "silent"],
)
def test_the_first_cause_is_named_and_not_what_followed(ends, status, words):
    """Memory that ran out, a process that died, or the first complaint; never the echo in another process."""
    found, failure = cause(ends)

    assert (found, words in failure.message) == (status, True), failure.message
    assert failure.phase == "train"
