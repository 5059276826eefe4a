"""Timed steps really find their state away or in place, in turns, and training is the same as without."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count

import pytest
import torch

from bench.errors import BadValueError, UnsupportedError
from bench.worker.paging import steps as paged
from bench.worker.paging.away import SLACK, growth_of_a_step
from bench.worker.paging.confine import Confinement
from tests.worker.paging.wide import STATE, VALUES, made

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the host's paging is Linux's")
MIB = 2**20
COLD = [True, False, False, True] * 2


def split(series):
    timed = series[2:]
    pairs = list(zip(COLD, timed, strict=True))
    return [v for cold, v in pairs if cold], [v for cold, v in pairs if not cold]


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_cold_steps_find_the_fraction_away_and_fault_it_in(tmp_path, fraction):
    """The bytes away are the fraction in cold steps and 0 in resident ones, which have no major fault at all."""
    logbook, _, _ = made(tmp_path, paging="fault", paging_fraction=fraction)
    away, in_place = split(logbook.series["step.chilled_bytes"])
    cold_faults, resident_faults = split(logbook.series["step.major_faults"])

    assert logbook.metrics["paging.paged_bytes"] == STATE
    assert all(fraction * STATE - 2 * MIB <= nbytes <= fraction * STATE + 4096 for nbytes in away)
    assert in_place == [0] * 4
    assert all(faults >= 1 for faults in cold_faults)
    assert resident_faults == [0] * 4


def test_the_control_moves_nothing_and_faults_on_nothing(tmp_path):
    """At fraction 0 cold steps are resident steps: no byte away, no major fault."""
    logbook, _, _ = made(tmp_path, paging="fault", paging_fraction=0.0)

    assert logbook.series["step.chilled_bytes"] == (None, None, *[0] * 8)
    assert logbook.series["step.major_faults"] == (None, None, *[0] * 8)


def test_every_series_is_as_long_as_the_steps_and_null_before_the_timed_ones(tmp_path):
    """What was not measured in untimed steps is null, not 0; seconds and series have the same places."""
    logbook, steps, _ = made(tmp_path, paging="fault", paging_fraction=1.0)
    names = {"step.chilled_bytes", "step.minor_faults", "step.major_faults", "step.memory_stall", "step.io_stall"}
    kept = names & set(logbook.series)

    assert kept | set(logbook.absent) >= names
    assert all(len(logbook.series[name]) == len(steps.seconds) == 10 for name in kept)
    assert all(logbook.series[name][:2] == (None, None) for name in kept)
    assert all(value is not None and value >= 0 for name in kept for value in logbook.series[name][2:])
    assert logbook.metrics["train.timed_seconds"] == pytest.approx(sum(steps.seconds[2:]), rel=0.05)


@pytest.mark.parametrize("path", ["prefetch", "fault"])
def test_where_the_state_was_changes_no_weight(tmp_path, path):
    """Ten steps with the state moved out and back end at the bits of ten plain steps of adamw_fused."""
    _, _, moved = made(tmp_path, values=200_000, paging=path, paging_fraction=1.0)
    _, _, plain = made(tmp_path, values=200_000, optimizer="adamw_fused", paging=path)

    assert torch.equal(moved.model.weight, plain.model.weight)
    assert not torch.equal(moved.model.weight, torch.ones(200_000))


def test_an_optimiser_that_does_not_page_has_nothing_to_move(tmp_path):
    """Its paged bytes are 0 and so is what is away, so that nobody calls the difference a stall."""
    logbook, _, _ = made(tmp_path, values=1000, optimizer="adamw_fused", paging="fault", paging_fraction=1.0)

    assert logbook.metrics["paging.paged_bytes"] == 0
    assert logbook.series["step.chilled_bytes"][2:] == (0,) * 8


class Scene:
    """A pager, a device and a clock that note what happens in which order."""

    def __init__(self, monkeypatch):
        self.said = []
        monkeypatch.setattr(paged, "pager_of", lambda trainer: self)
        train = paged.train

        def noting(trainer, feed, steps, count):
            self.said.append("clock starts")
            seconds = train(trainer, feed, steps, count)
            self.said.append("clock stops")
            return seconds

        monkeypatch.setattr(paged, "train", noting)

    def paged_bytes(self):
        return 100

    def move_out(self, fraction):
        self.said.append("move out")
        return int(100 * fraction)

    def make_resident(self):
        self.said.append("make resident")

    def taking(self, path):
        from contextlib import nullcontext

        return nullcontext(lambda: self.said.append(path))


@pytest.mark.parametrize("path", ["prefetch", "fault"])
def test_state_moves_outside_the_clock_and_comes_back_inside_it(monkeypatch, tmp_path, path):
    """Every step starts from everything in place; only then is it moved out, and only then does the clock start."""
    scene = Scene(monkeypatch)
    logbook, _, _ = made(tmp_path, values=10, count=4, paging=path, paging_fraction=0.5)

    step = ["clock starts", path, "clock stops"]
    cold, resident = ["make resident", "move out", *step], ["make resident", *step]
    assert scene.said == [*cold, *resident, *resident, *cold]
    assert logbook.series["step.chilled_bytes"] == (None, None, 50, 0, 0, 50)


def test_a_run_that_dies_keeps_what_it_had(monkeypatch, tmp_path):
    """The third move is refused: two steps are kept, and the reason is raised."""
    scene, moves = Scene(monkeypatch), count(1)
    kept = []
    monkeypatch.setattr(paged.Logbook, "keep_series", lambda book, name, values: kept.append((name, list(values))))

    def refuse(fraction):
        if next(moves) == 2:
            raise UnsupportedError("the disk is gone.")
        return 100

    scene.move_out = refuse
    with pytest.raises(UnsupportedError, match="gone"):
        made(tmp_path, values=10, count=4, paging="fault", paging_fraction=1.0)
    assert dict(kept)["step.chilled_bytes"] == [None, None, 100, 0, 0]


def test_the_feed_outlives_a_step():
    """A step takes its batches and leaves the rest to the next one, though its own iterator ends."""
    closed = []

    def batches():
        try:
            yield from range(4)
        finally:
            closed.append(True)

    feed, begun = batches(), []
    found = [next(paged._after(lambda: begun.append(1), feed)) for _ in range(4)]

    assert found == [0, 1, 2, 3]
    assert len(begun) == 4
    assert closed == []


def test_the_growth_of_a_step_by_hand():
    """A peak of 900 MiB with 300 MiB of files leaves 600; 450 are held between steps, so a step adds 150."""
    kib = {"VmHWM": 900, "VmRSS": 750, "RssAnon": 450, "RssFile": 290, "RssShmem": 10}
    status = "Name:\tpython\n" + "".join(f"{name}:\t{mib * 1024} kB\n" for name, mib in kib.items())
    assert growth_of_a_step(status) == 150 * MIB
    assert growth_of_a_step(status.replace(str(900 * 1024), str(700 * 1024))) == 0


def test_a_limit_needs_steps_that_show_what_a_step_takes(tmp_path):
    """With one untimed step the peak may be of a step without its state; that is refused before anything is limited."""
    with pytest.raises(BadValueError, match="untimed_steps of 2"):
        made(tmp_path, values=5 * VALUES, untimed_steps=1, paging="limit", paging_fraction=0.5)


def test_a_limit_that_would_press_nothing_is_refused(tmp_path):
    """State of 64 MB fits into what a limit cannot tell apart; going on would measure nothing and call it a limit."""
    with pytest.raises(UnsupportedError, match=r"kept to within 67108864 bytes.*64000000 bytes"):
        made(tmp_path, paging="limit", paging_fraction=1.0)


def test_a_limit_on_a_gpu_is_refused_with_what_to_take(monkeypatch, tmp_path):
    """The host's limit does not page a GPU's state."""
    Scene(monkeypatch)
    with pytest.raises(UnsupportedError, match="'prefetch' or 'fault'"):
        made(tmp_path, values=10, paging="limit", paging_fraction=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_under_a_limit_training_lives_and_pages(tmp_path, fraction):
    """State of 320 MB with room for a part of it: cold steps cannot keep more than that part, resident ones all."""
    try:
        with Confinement():
            pass
    except UnsupportedError as refusal:
        pytest.skip(str(refusal))
    state = 5 * STATE
    settings = {"values": 5 * VALUES, "paging": "limit", "paging_fraction": fraction}
    command = [sys.executable, "-m", "tests.worker.paging.wide", str(tmp_path), json.dumps(settings)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)

    found = json.loads(run.stdout)
    away, in_place = split(found["step.chilled_bytes"])
    cold_faults, resident_faults = split(found["step.major_faults"])
    cold_left, resident_left = split([None, None, *found["left"]])
    assert all(nbytes >= fraction * state - 2 * MIB for nbytes in away)
    assert in_place == [0] * 4
    stays = (1 - fraction) * state
    assert all(stays <= nbytes <= stays + SLACK + 16 * MIB for nbytes in cold_left)
    assert resident_left == [state] * 4
    assert max(resident_faults) < min(cold_faults)
