"""The release that changed a number is found with few tries, around releases that cannot be judged."""

from __future__ import annotations

import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.gate.verdicts import Verdict
from bench.errors import BadValueError
from bench.launch import bisect as module
from bench.launch.bisect import bisect, releases


def tries(culprit: int, broken: frozenset[int] = frozenset(), unsure: frozenset[int] = frozenset()):
    """An attempt that regresses from release `culprit` on; and the releases it was asked for."""
    asked: list[int] = []

    def attempt(version: str) -> Verdict:
        number = int(version)
        asked.append(number)
        if number in broken:
            raise BadValueError("cannot install it")
        if number in unsure:
            return Verdict.INCONCLUSIVE
        return Verdict.REGRESSED if number >= culprit else Verdict.UNCHANGED

    return attempt, asked


@given(st.integers(2, 40), st.data())
def test_the_first_different_release_is_found(count, data):
    """Wherever the culprit is, it is named, in as many tries as halving takes."""
    culprit = data.draw(st.integers(1, count - 1))
    attempt, asked = tries(culprit)
    found = bisect([str(number) for number in range(count)], attempt, lambda _: None)
    assert (found.last_same, found.first_different) == (str(culprit - 1), str(culprit))
    assert found.between == ()
    assert len(asked) <= 2 + math.ceil(math.log2(count))


@given(st.integers(3, 25), st.data())
def test_what_cannot_be_judged_is_told(count, data):
    """Releases that do not install or stay unclear are gone around; the truth is always within what is told."""
    culprit = data.draw(st.integers(1, count - 1))
    inner = st.frozensets(st.integers(1, count - 2))
    attempt, asked = tries(culprit, data.draw(inner), data.draw(inner))
    found = bisect([str(number) for number in range(count)], attempt, lambda _: None)
    assert int(found.last_same) < culprit <= int(found.first_different)
    assert set(found.between) == {str(n) for n in range(int(found.last_same) + 1, int(found.first_different))}
    assert len(asked) == len(set(asked))


def test_equal_ends_have_no_culprit():
    """Where the last release is like the first, nothing is halved and nobody is blamed."""
    attempt, _ = tries(99)
    with pytest.raises(BadValueError, match="do not differ"):
        bisect(["1", "2", "3"], attempt, lambda _: None)
    with pytest.raises(BadValueError, match="nothing to halve"):
        bisect(["1"], attempt, lambda _: None)


def test_ends_that_cannot_be_told_apart_are_not_called_equal():
    """An inconclusive comparison of the ends is no sign that nothing changed."""
    with pytest.raises(BadValueError, match="could not be told apart"):
        bisect(["1", "2"], lambda _: Verdict.INCONCLUSIVE, lambda _: None)


INDEX = "thing (0.21.2)\nAvailable versions: 0.21.2, 0.21.0, 0.20.0, 0.19.1, 0.19.0, 0.18.1, 0.18.0, 0.9.0, 0.3.0\n"


@pytest.fixture
def index(monkeypatch):
    """An index that answers as pip prints it; pip itself is tried in `test_pip_is_asked`."""
    answer = subprocess.CompletedProcess([], 0, INDEX, "")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: answer)


def test_a_range_of_releases(index):
    """The starts of releases name a range, ordered as releases are and not as words are."""
    assert releases("thing", "0.18", "0.21") == ["0.18.0", "0.18.1", "0.19.0", "0.19.1", "0.20.0", "0.21.0", "0.21.2"]
    assert releases("thing", "0.19.1", "0.21.0") == ["0.19.1", "0.20.0", "0.21.0"]
    assert releases("thing", "0.9.0", "0.18.0") == ["0.9.0", "0.18.0"]
    assert releases("thing", "0.3", "0.9") == ["0.3.0", "0.9.0"], "0.3 is not the beginning of 0.30"


@pytest.mark.parametrize(
    ("first", "last"), [("0.17", "0.21"), ("0.18", "0.30"), ("what", "0.21"), ("0.2", "0.21"), ("0.21", "0.18")]
)
def test_an_end_that_does_not_exist_is_refused(index, first, last):
    """A release that nobody published is named."""
    with pytest.raises(BadValueError):
        releases("thing", first, last)


def test_pip_is_asked():
    """A package that no index has ends in one line with pip's words."""
    with pytest.raises(BadValueError, match="pip knows no releases"):
        releases("ftbench-no-such-package-at-all", "1", "2")
