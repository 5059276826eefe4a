"""Loops of others are data: every one makes a config, and what decides memory is in it."""

from __future__ import annotations

import pytest

from bench.schema.catalogue import METHODS
from bench.schema.config import RunConfig, configure
from bench.schema.protocols import METAMATH_LONGEST, PROTOCOLS


def applied(name: str, method: str) -> RunConfig:
    """Make a config of a named loop, with the options that the method has."""
    loop = PROTOCOLS[name]
    options = {option: value for option, value in loop.options.items() if option in METHODS[method].options}
    return configure(model="llama-3.2-3b", method=method, task="gsm8k", **loop.settings, **options)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_named_loop_makes_a_config(name, method):
    """All its settings are ones that configs have, with values they take."""
    made = applied(name, method)

    assert all(getattr(made, setting) == value for setting, value in PROTOCOLS[name].settings.items())


@pytest.mark.parametrize("loop", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_loop_says_whose_it_is(loop):
    """It tells in a sentence what it does, and where that is written down."""
    assert loop.about.endswith(".")
    assert "/" in loop.source


def test_the_cache_is_emptied_between_the_short_batches_and_the_longest():
    """PEFT's loop empties it every ten steps, in the middle of a bucket of twenty, and then meets the longest batch."""
    protocol = applied("peft-metamath", "lora").protocol
    lengths = [length for _, length in protocol.shapes]

    assert lengths[protocol.empty_cache_steps] == max(lengths) == METAMATH_LONGEST
    assert lengths[:10] == sorted(lengths[:10], reverse=True)
    assert lengths[9] <= 128


def test_the_longest_batch_fits_the_length_it_is_evaluated_at():
    """No shape is longer than a sequence may be, nor has another number of rows than the batch."""
    made = applied("peft-metamath", "lora")

    assert made.protocol.evaluate_first == (4, made.sequence_length)
    assert all(rows == made.batch_size and length <= made.sequence_length for rows, length in made.protocol.shapes)
