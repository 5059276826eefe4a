"""Which release of a package changed a metric of a case? Halve the releases between a good and a bad one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.analysis.gate.comparison import Comparison, Side, compare
from bench.analysis.gate.verdicts import STATE, Verdict
from bench.errors import BadValueError
from bench.launch.interleave import Told, records
from bench.launch.versus import Versus

TELLING = frozenset({Verdict.IMPROVED, Verdict.REGRESSED, Verdict.CHANGED, Verdict.BROKEN, Verdict.FIXED})
"""Verdicts by which a release differs from the good one."""
LONGEST_ANSWER_S = 300.0
SAME = frozenset({Verdict.UNCHANGED})

Try = Callable[[str], Verdict]
"""Compares the good release with another one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a bisection came to: the last release that is like the good one, the first that is not, and in what way.

    `between` are releases that could not be judged; the change is in one of them or in `first_different`.
    """

    last_same: str
    first_different: str
    verdict: Verdict
    between: tuple[str, ...] = ()


def bisect(versions: Sequence[str], attempt: Try, told: Told) -> Found:
    """Find the release after the first of `versions` (good), up to the last (bad), from which on `attempt` differs.

    A release that cannot be installed or judged is left out, and the nearest other one is tried instead.
    Raises `BadValueError` where the ends do not differ, or there are fewer than two.
    """
    if len(versions) < 2:
        raise BadValueError(f"there is nothing to halve: {', '.join(versions) or 'no release'} lies in that range.")
    verdict = attempt(versions[-1])
    told(f"{versions[0]} against {versions[-1]}: {verdict}")
    if verdict in SAME:
        raise BadValueError(f"{versions[0]} and {versions[-1]} do not differ, so no release between did it.")
    if verdict not in TELLING:
        raise BadValueError(
            f"{versions[0]} and {versions[-1]} could not be told apart ({verdict}); more --pairs may do."
        )
    same, different, unknown = 0, len(versions) - 1, set[int]()
    while left := [place for place in range(same + 1, different) if place not in unknown]:
        place = min(left, key=lambda one: abs(one - (same + different) / 2))
        try:
            found = attempt(versions[place])
        except BadValueError as error:
            told(f"{versions[place]} is left out: {error}")
            unknown.add(place)
            continue
        told(f"{versions[0]} against {versions[place]}: {found}, {len(left) - 1} releases left between")
        if found in SAME:
            same = place
        elif found == verdict:
            different = place
        else:
            unknown.add(place)
    between = tuple(versions[place] for place in range(same + 1, different))
    return Found(versions[same], versions[different], verdict, between)


def releases(package: str, first: str, last: str) -> list[str]:
    """Return the final releases of a package from `first` to `last`, oldest first, as pip's index knows them.

    `first` and `last` may be the start of a release: 0.18 means 0.18.0 as the good end, the newest 0.18 as the bad one.
    Raises `BadValueError` where pip cannot tell, or an end is not among them.
    """
    from packaging.version import Version

    command = [sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_ANSWER_S)
    except subprocess.TimeoutExpired:
        raise BadValueError(
            f"pip did not say within {LONGEST_ANSWER_S:.0f} s which releases {package!r} has."
        ) from None
    line = next((line for line in done.stdout.splitlines() if line.startswith("Available versions:")), "")
    if not line:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BadValueError(f"pip knows no releases of {package!r}: {said[0]}")
    known = sorted({Version(word.strip()) for word in line.partition(":")[2].split(",")})
    ends = [[one for one in known if str(one) == end or str(one).startswith(f"{end}.")] for end in (first, last)]
    for end, found in zip((first, last), ends, strict=True):
        if not found:
            raise BadValueError(f"{package} {end} is no release; known: {', '.join(map(str, known[-12:]))}.")
    low, high = ends[0][0], ends[1][-1]
    if low >= high:
        raise BadValueError(f"{package} {first} is not before {last}; name the earlier release first.")
    chosen = [one for one in known if low <= one <= high]
    return [str(one) for one in chosen]


def against(versus: Versus, package: str, good: str, metric: str, told: Told) -> Try:
    """Return what compares `good` with another release of `package`, in a folder of its own below `versus.folder`."""

    def attempt(version: str) -> Verdict:
        one = replace(
            versus, old=f"{package}=={good}", new=f"{package}=={version}", folder=versus.folder / version,
            wanted=lambda name: name == metric,
        )  # fmt: skip
        one.run(told)
        sides = [Side(name, tuple(records(root))) for name, root in one.roots().items()]
        return verdict_of(compare(*sides, wanted=one.wanted, allowed=versus.allowed), metric)

    return attempt


def verdict_of(comparison: Comparison, metric: str) -> Verdict:
    """Return what a comparison of one case says of a metric; of its state, where the case runs on one side alone."""
    said = {found.metric: found.verdict for found in comparison.findings}
    if said.get(STATE) in (Verdict.BROKEN, Verdict.FIXED):
        return said[STATE]
    return said.get(metric, Verdict.INCOMPARABLE)
