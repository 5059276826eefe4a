"""Does a case run at all: what ended otherwise on the new side than on the old."""

from __future__ import annotations

from bench.analysis.gate.rules import Ruling
from bench.analysis.gate.sides import Pair, Twin
from bench.analysis.gate.verdicts import Verdict
from bench.schema import Status


def state(twin: Twin) -> Ruling:
    """Judge how the runs of a case end.

    A single run of several that did not finish may be chance, so it breaks nothing; two do, and so does the only one.
    """
    if not twin.news:
        return Ruling(Verdict.MISSING, "only the old side has runs of it")
    if not twin.olds:
        return Ruling(Verdict.NEW, "only the new side has runs of it")
    pairs = twin.pairs or (Pair(twin.olds[-1], twin.news[-1]),)
    differ = [pair for pair in pairs if pair.ends[0] is not pair.ends[1]]
    if not differ:
        ends = ", ".join(dict.fromkeys(pair.ends[0].value for pair in pairs))
        return Ruling(Verdict.UNCHANGED, f"{ends} on both sides")
    for verdict, well in ((Verdict.BROKEN, 0), (Verdict.FIXED, 1)):
        found = [pair for pair in differ if pair.ends[well] is Status.OK]
        if len(found) > 1 or len(found) == len(pairs):
            return Ruling(verdict, f"{_became(found[0])}, in {len(found)} of {len(pairs)} pairs")
    if any(Status.OK in pair.ends for pair in differ):
        return Ruling(Verdict.INCONCLUSIVE, f"{_became(differ[0])}, in one of {len(pairs)} pairs")
    return Ruling(Verdict.CHANGED, f"{_became(differ[0])}, in {len(differ)} of {len(pairs)} pairs")


def _became(pair: Pair) -> str:
    failure = pair.new.record.failure or pair.old.record.failure
    return f"{pair.ends[0]} became {pair.ends[1]}{f': {failure.message}' if failure else ''}"
