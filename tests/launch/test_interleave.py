"""Turns are fair, kept, and go on after an interruption without mating halves that lie far apart."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.disturbance import influences
from bench.analysis.gate.sides import twins
from bench.launch.interleave import Interleaver, records, steps
from bench.schema import RunConfig
from bench.schema.config import configure
from bench.schema.pairing import Stage, Turn
from tests.comparisons import cases, holding
from tests.records import record


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 1000))
def test_turns_are_fair(count, pairs, chance):
    """Every case gets every pair on both sides with one seed; two pairs are old new new old, or the other way round."""
    made = list(steps(cases(count), range(pairs), Stage.SCREEN, random.Random(chance)))
    by_case = defaultdict(list)
    for step in made:
        by_case[step.config.case].append(step)
        assert step.config.seed == step.number
    assert len(by_case) == count
    for turns in by_case.values():
        assert sorted((step.number, step.side) for step in turns) == [
            (n, s) for n in range(pairs) for s in ("new", "old")
        ]
        for first in range(0, pairs - 1, 2):
            block = [step.side for step in turns if step.number in (first, first + 1)]
            assert block in (["old", "new", "new", "old"], ["new", "old", "old", "new"])


def test_a_case_rests_while_others_run():
    """Blocks of all cases come before the second block of any, so that hours meet all cases alike."""
    made = list(steps(cases(3), range(4), Stage.SCREEN, random.Random(1)))
    assert {step.config.case for step in made[:12]} == {config.case for config in cases(3)}
    assert {step.number for step in made[:12]} == {0, 1}


class Counted:
    """Makes records at once, and stops like a killed session after so many."""

    def __init__(self, left: list[int]) -> None:
        self.left = left
        self.seen: list[tuple[str, int]] = []
        self.processes = [0]

    def run(self, config):
        if not self.left[0]:
            raise KeyboardInterrupt
        self.left[0] -= 1
        self.seen.append((config.case, config.seed))
        self.processes[-1] += 1
        return record(config)

    def close(self):
        self.processes.append(0)


def attempt(root: Path, left: int) -> SimpleNamespace:
    """Try to make four pairs of two cases with at most `left` runs."""
    budget = [left]
    runs = {side: Counted(budget) for side in ("old", "new")}
    roots = {side: root / side for side in runs}
    lines: list[str] = []
    turns = Interleaver(roots, runs, "c0ffee", ["peft"], lines.append)
    wanted = list(steps(cases(2), range(4), Stage.SCREEN, random.Random(1)))
    try:
        turns.make(wanted)
        ended = True
    except KeyboardInterrupt:
        ended = False
    return SimpleNamespace(turns=turns, runs=runs, roots=roots, lines=lines, ended=ended, made=left - budget[0])


@pytest.mark.parametrize("left", range(1, 18))
def test_it_goes_on_wherever_it_was_stopped(tmp_path, left):
    """Stopped after any number of runs, a second attempt makes what is missing, whole pairs only, and nothing twice."""
    first = attempt(tmp_path, left)
    assert not first.ended
    second = attempt(tmp_path, 100)
    assert second.ended
    told = twins(records(tmp_path / "old"), records(tmp_path / "new"))
    assert [len(twin.pairs) for twin in told] == [4, 4]
    for twin in told:
        for pair in twin.pairs:
            old, new = (Turn.of(made.environment) for made in pair.records)
            assert old.attempt == new.attempt
            assert abs(old.position - new.position) == 1
    whole = max(0, left - 2) // 2
    assert second.made == 2 + 16 - 2 * whole


def test_what_is_noisy_shares_no_process(tmp_path):
    """Every timed run is forked from a process of its own: what is chance in one must not stay with a side."""
    runs = attempt(tmp_path, 100).runs
    assert {side: max(made.processes) for side, made in runs.items()} == {"old": 1, "new": 1}


def processes(root: Path, configs: list[RunConfig]) -> dict[str, list[int]]:
    """Make two pairs of every config; return how many runs each process of a side made."""
    runs = {side: Counted([100]) for side in ("old", "new")}
    turns = Interleaver({side: root / side for side in runs}, runs, "c0ffee", ["peft"], lambda _: None)
    turns.make(list(steps(configs, range(2), Stage.SCREEN, random.Random(1))))
    return {side: [number for number in made.processes if number] for side, made in runs.items()}


CHECKS = [configure(model="none", method="full", task="none", study="numerics", columns=n) for n in (64, 128)]


def test_checks_of_kernels_share_a_process(tmp_path):
    """Their numbers repeat, there are hundreds, and each would import for seconds what it needs for a hundredth."""
    assert processes(tmp_path, CHECKS) == {"old": [5], "new": [5]}


def test_a_timed_run_after_checks_has_a_process_of_its_own(tmp_path):
    """What a side's checks left in the process that they were forked from must not meet its first timed run."""
    assert processes(tmp_path, [*CHECKS, *cases(1)]) == {"old": [5, 1, 1], "new": [5, 1, 1]}


def test_a_finished_comparison_runs_nothing(tmp_path):
    """Asked again, it does not even warm up."""
    attempt(tmp_path, 100)
    assert attempt(tmp_path, 100).made == 0


def test_warm_ups_come_first_and_do_not_count(tmp_path):
    """The first run of each side warms it up, is kept, and is in no pair."""
    done = attempt(tmp_path, 100)
    firsts = [Turn.of(run.record.environment) for side in ("old", "new") for run in records(done.roots[side])]
    assert sum(turn.stage is Stage.WARM_UP for turn in firsts) == 2
    assert {turn.position for turn in firsts if turn.stage is Stage.WARM_UP} == {0, 1}
    assert all(pair.stage is Stage.SCREEN for twin in twins(records(done.roots["old"]), records(done.roots["new"]))
               for pair in twin.pairs)  # fmt: skip


def test_progress_says_how_far_and_how_long(tmp_path):
    """Every run is a line with its number, the runs in all, and, once known, the time left."""
    lines = attempt(tmp_path, 100).lines
    assert lines[0].startswith("warming up old ")
    assert lines[2].startswith("1/16 ")
    assert " left" in lines[5]


def test_records_of_another_comparison_do_not_count(tmp_path):
    """Pairs that were made under another name are not taken for this one's."""
    attempt(tmp_path, 100)
    other = Interleaver({side: tmp_path / side for side in ("old", "new")}, {}, "another", [], print)
    assert len(other.missing(list(steps(cases(2), range(4), Stage.SCREEN, random.Random(1))))) == 16


class Disturbed(Counted):
    """Makes runs of which the first ones had a busy neighbour."""

    def __init__(self, disturbed: int) -> None:
        super().__init__([1000])
        self.disturbed = disturbed

    def run(self, config):
        made = super().run(config)
        self.disturbed -= 1
        return holding(made, train__neighbour_cores=0.5) if self.disturbed >= 0 else made


@pytest.mark.parametrize(("disturbed", "runs"), [(2, 9 + 1), (1000, 3 * 8 + 1)])
def test_a_disturbed_pair_is_made_again(tmp_path, disturbed, runs):
    """A pair that something else disturbed is made anew, whole, and after three tries it stays as it is."""
    sides = {"old": Disturbed(disturbed), "new": Counted([1000])}
    turns = Interleaver({side: tmp_path / side for side in sides}, sides, "c0ffee", ["peft"], lambda _: None)
    turns.make(list(steps(cases(2), range(4), Stage.SCREEN, random.Random(1))))
    assert len(sides["old"].seen) == len(sides["new"].seen) == runs
    told = twins(records(tmp_path / "old"), records(tmp_path / "new"))
    assert [len(twin.pairs) for twin in told] == [4, 4]
    quiet = [not influences(pair.old.record) for twin in told for pair in twin.pairs]
    assert all(quiet) == (disturbed < 1000)


def test_more_pairs_go_on_from_those_there_are(tmp_path):
    """Asked for six pairs after four, it makes the two that are missing of each case."""
    attempt(tmp_path, 100)
    more = list(steps(cases(2), range(6), Stage.SCREEN, random.Random(1)))
    turns = Interleaver({side: tmp_path / side for side in ("old", "new")}, {}, "c0ffee", [], print)
    assert {step.number for step in turns.missing(more)} == {4, 5}
