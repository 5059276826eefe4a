"""Every byte of a recorded step has one category, and categories always sum to what is alive."""

from __future__ import annotations

import pytest

from bench.schema.metrics.memory import CATEGORIES
from bench.worker.probes.attribution import replay
from bench.worker.probes.trace import Block, Trace
from tests.worker.probes.stories import levels_of, traced


def found(attribution):
    """Return the categories at the peak that are not zero."""
    return {category: size for category, size in attribution.peak.items() if size}


STEP = (
    "forward", (1, 100), (2, 30), (2, -30),
    "head", (3, 500), (4, 4),
    "backward", (5, 500), (3, -500), (6, 40), (7, 60), (5, -500),
    "head_done", (8, 10), (1, -100), (7, -60), (8, -10), (4, -4),
    "optimizer", (9, 80), (10, 7), (10, -7),
    "end", (6, -40),
)  # fmt: skip
"""A weight's gradient at 6, the head's input's at 7, optimiser state at 9."""
KNOWN = {"optimizer": {6: "gradients"}, "end": {9: "optimizer_state"}}


def test_a_step_worked_by_hand():
    """The peak is in backward, where two logits-sized blocks, the loss, activations and weights are alive."""
    result = replay([Block(50, 1000, "base_float32"), Block(51, 9, "other")], traced(*STEP), KNOWN)

    assert result.total == 1009 + 100 + 500 + 4 + 500
    assert found(result) == {"base_float32": 1000, "other": 9, "activations": 100, "logits": 1004}
    assert result.stage == "backward"
    assert result.stages == {"forward": 1009 + 604, "backward": result.total, "optimizer": 1009 + 40 + 80 + 7}
    assert result.head_seen
    assert result.strays == 0


def test_categories_last_a_whole_life():
    """Gradients count from their allocation in backward on, state from the update, what flows on is temporary."""
    levels = levels_of(replay([], traced(*STEP), KNOWN))

    assert [level["gradients"] for level in levels] == [0] * 8 + [40] * 11
    assert max(level["optimizer_state"] for level in levels) == 80
    assert max(level["temporaries"] for level in levels) == 70  # the head's input's gradient and one more
    assert levels[-1] == {**dict.fromkeys(CATEGORIES, 0), "gradients": 40, "optimizer_state": 80}


def test_what_follows_the_end_is_no_part_of_the_step():
    """An allocation after `end` is neither the peak nor in the timeline."""
    result = replay([], traced("forward", (1, 10), "optimizer", "end", (2, 1000)), {})

    assert result.total == 10
    assert len(result.shifts) == 1


def test_micro_batches_each_have_their_activations_and_logits():
    """The second forward pass is not taken for a part of the first backward pass."""
    one = ("forward", (1, 100), "head", (2, 50), "backward", (1, -100), (3, 5), (2, -50), (3, -5), "head_done")
    result = replay([], traced(*one, *one, "optimizer", "end"), {})

    assert max(level["activations"] for level in levels_of(result)) == 100
    assert max(level["logits"] for level in levels_of(result)) == 55
    assert result.stages == {"forward": 150, "backward": 150, "optimizer": 0}


def test_a_head_whose_input_needs_no_gradient_owns_the_whole_backward_pass():
    """Without `head_done`, all that backward allocates and nobody owns belongs to the head."""
    story = ("forward", (1, 9), (1, -9), "head", (2, 50), "backward", (3, 50), (4, 7), "optimizer", (5, 3), "end")
    result = replay([], traced(*story), {"optimizer": {4: "gradients"}})

    assert found(result) == {"logits": 100, "gradients": 7, "temporaries": 3}


def test_without_a_head_the_result_says_so():
    """A loss computed without calling the head leaves its bytes among activations and temporaries."""
    result = replay([], traced("forward", (1, 100), "backward", (2, 100), "optimizer", "end"), {})

    assert not result.head_seen
    assert found(result) == {"activations": 100, "temporaries": 100}


def test_an_address_used_again_does_not_inherit():
    """What lies at a gradient's address before it and after it is a temporary."""
    story = ("forward", "backward", (1, 10), (1, -10), (1, 20), "optimizer", (1, -20), (1, 30), "end")
    levels = levels_of(replay([], traced(*story), {"optimizer": {1: "gradients"}}))

    assert [(level["gradients"], level["temporaries"]) for level in levels] == [
        (0, 0), (0, 10), (0, 0), (20, 0), (0, 0), (0, 30),
    ]  # fmt: skip


def test_a_forward_block_that_is_gone_is_no_activation_though_its_address_lives_on():
    """Released before backward, its address given to a logit: it was temporary."""
    story = ("forward", (1, 10), (1, -10), "head", (1, 20), "backward", "head_done", "optimizer", "end")
    levels = levels_of(replay([], traced(*story), {}))

    assert [(level["temporaries"], level["logits"], level["activations"]) for level in levels] == [
        (0, 0, 0), (10, 0, 0), (0, 0, 0), (0, 20, 0),
    ]  # fmt: skip


def test_what_the_head_passed_on_is_no_activation_of_the_next_micro_batch():
    """It is still alive at the second `backward`, but no forward pass made it."""
    story = ("forward", "head", "backward", (1, 10), "head_done", "forward", "head", "backward", "head_done", "end")

    assert found(replay([], traced(*story), {})) == {"temporaries": 10}


def test_a_peak_reached_by_the_last_allocation_of_a_stage_is_that_stages():
    """The next stage starts as high, but did not get there."""
    result = replay([], traced("forward", (1, 10), "backward", (1, -10), "optimizer", "end"), {})

    assert result.stage == "forward"
    assert result.stages == {"forward": 10, "backward": 10, "optimizer": 0}


def test_an_owner_known_at_a_mark_says_nothing_of_other_marks():
    """State known at `end` does not name what lay at its address at `optimizer`."""
    story = ("forward", "backward", (1, 10), "optimizer", (1, -10), (1, 30), "end")
    levels = levels_of(replay([], traced(*story), {"end": {1: "optimizer_state"}}))

    assert levels[1]["temporaries"] == 10
    assert levels[3]["optimizer_state"] == 30


def test_what_comes_before_the_first_mark_is_temporary():
    """A scalar made before the forward pass is no activation, though it outlives the pass."""
    result = replay([], traced((1, 4), "forward", (2, 8), "backward", "optimizer", "end"), {})

    assert found(result) == {"temporaries": 4, "activations": 8}
    assert result.stages["forward"] == 12


def test_releases_of_unknown_blocks_are_counted_and_ignored():
    """A release of what was never seen changes no total."""
    result = replay([Block(1, 10, "buffers")], traced("forward", (77, -5), (2, 3), "backward", "optimizer", "end"), {})

    assert result.strays == 1
    assert result.total == 13


def test_an_address_given_out_twice_is_released_first():
    """An unseen release shows when the address comes again; the old block does not stay alive."""
    result = replay([Block(1, 10, "other")], traced("forward", (1, 4), "end"), {})

    assert result.strays == 1
    assert result.total == 10
    assert levels_of(result)[-1]["other"] == 0


def test_a_release_takes_what_its_address_holds():
    """The CPU's profiler may tell a stale size of a block from before; the block's own size leaves."""
    result = replay([Block(1, 10, "other")], traced("forward", (1, -3), (2, 10), "end"), {})

    assert result.strays == 0
    assert result.total == 10


def test_a_trace_without_marks_has_a_total():
    """A traced evaluation has no stages, and still its peak."""
    result = replay([Block(1, 10, "base_float32")], traced((2, 5), (2, -5), (3, 4)), {})

    assert result.total == 15
    assert found(result) == {"base_float32": 10, "temporaries": 5}


def test_nothing_at_all_is_a_peak_of_what_was_there():
    """A step without an allocation peaks at its start."""
    result = replay([Block(1, 10, "buffers")], Trace([], []), {})

    assert (result.total, result.stage, result.stages) == (10, "forward", {"forward": 10})


@pytest.mark.parametrize("mark", ["optimizer", "end"])
def test_owners_of_addresses_that_hold_nothing_are_ignored(mark):
    """Memory the allocator does not manage (paged state, host tensors) is in no category."""
    result = replay([], traced("forward", (1, 5), "optimizer", "end"), {mark: {123: "optimizer_state"}})

    assert found(result) == {"temporaries": 5}
