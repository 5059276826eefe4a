"""What holds of every step: categories sum to what is alive, and only order and owners matter."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from bench.schema.metrics.memory import CATEGORIES
from bench.worker.probes.attribution import replay
from bench.worker.probes.trace import Block, Change, Mark, Trace
from tests.worker.probes.stories import levels_of, traced

MARKS = ("forward", "head", "backward", "head_done", "optimizer")


@st.composite
def steps(draw):
    """A consistent step: releases only of what is alive, marks in order anywhere, owners of anything."""
    before = [Block(address, draw(st.integers(1, 50)), draw(st.sampled_from(list(CATEGORIES)))) for address in range(3)]
    alive = {block.address: block.size for block in before}
    story = []
    marks = [name for _ in range(draw(st.integers(1, 2))) for name in MARKS[:4]] + ["optimizer"]
    for _ in range(draw(st.integers(0, 40))):
        if marks and draw(st.booleans()):
            story.append(marks.pop(0))
        address = draw(st.integers(0, 8))
        if address in alive:
            story.append((address, -alive.pop(address)))
        else:
            alive[address] = draw(st.integers(1, 50))
            story.append((address, alive[address]))
    known = st.dictionaries(st.integers(0, 9), st.sampled_from(list(CATEGORIES)))
    return before, traced(*story, "end"), {name: draw(known) for name in ("optimizer", "end")}


@given(steps())
def test_categories_sum_to_the_running_total_at_every_instant(step):
    """The sum of all categories is what the changes alone add up to, and no category is ever negative."""
    before, trace, known = step
    result = replay(before, trace, known)

    running = accumulate((change.size for change in trace.changes), initial=sum(block.size for block in before))
    levels = levels_of(result)
    assert [sum(level.values()) for level in levels] == list(running)
    assert min(min(level.values()) for level in levels) >= 0
    assert set(result.peak) == set(CATEGORIES)


@given(steps())
def test_the_peak_is_the_highest_running_total(step):
    """Total and categories are those of the first highest instant, and the highest stage has it."""
    before, trace, known = step
    result = replay(before, trace, known)

    totals = [sum(level.values()) for level in levels_of(result)]
    assert result.total == max(totals) == sum(result.peak.values())
    assert result.peak == levels_of(result)[totals.index(max(totals))]
    assert result.total == max(result.stages.values()) == result.stages[result.stage]
    assert result.strays == 0


@given(steps(), st.permutations(range(9)))
def test_where_blocks_lie_does_not_matter(step, addresses):
    """Moving every block to another address, the owners' knowledge with it, changes nothing."""
    before, trace, known = step

    def moved(address):
        return addresses[address] if address < len(addresses) else address

    there = Trace([change._replace(address=moved(change.address)) for change in trace.changes], trace.marks)
    owners = {mark: {moved(a): category for a, category in owned.items()} for mark, owned in known.items()}

    assert replay([b._replace(address=moved(b.address)) for b in before], there, owners) == replay(before, trace, known)


@given(steps(), st.randoms())
def test_the_order_of_what_was_there_does_not_matter(step, random):
    """Blocks alive before may be listed in any order."""
    before, trace, known = step
    shuffled = random.sample(before, len(before))

    assert replay(shuffled, trace, known) == replay(before, trace, known)


@given(steps())
def test_a_block_that_comes_and_goes_between_two_changes_moves_nothing_else(step):
    """An independent block adds itself while it lives; every other instant is as before."""
    before, trace, known = step
    at = len(trace.changes)
    changes = [*trace.changes, Change(at, 99, 7), Change(at, 99, -7)]
    plain, more = (
        replay(before, trace, known),
        replay(before, Trace(changes, [*trace.marks[:-1], Mark(at + 2, "end")]), known),
    )

    assert levels_of(more)[: at + 1] == levels_of(plain)[: at + 1]
    assert more.total == max(plain.total, sum(levels_of(plain)[-1].values()) + 7)
