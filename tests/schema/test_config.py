"""A config's identity: what is measured has one name for ever, and what is not measured does not show in it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.errors import BadValueError
from bench.schema.codec import decode, decode_config
from bench.schema.config import Protocol, RunConfig, configure

RESULTS = Path(__file__).parents[2] / "results"
KEPT = sorted(path for path in RESULTS.rglob("*.json") if "comparisons" not in path.parts)


def config(**settings) -> RunConfig:
    return configure(**{"model": "smollm2-135m", "method": "lora", "task": "addition", **settings})


@pytest.mark.skipif(not KEPT, reason="no records beside this checkout")
def test_cases_are_called_what_their_records_are_filed_under():
    """Fields and options that came later have changed the name of no case that has a record."""
    filed = {path: path.parts[-2] for path in KEPT}

    assert {path: decode(path.read_bytes()).case for path in KEPT} == filed


def test_another_loop_is_another_case():
    """A protocol is what is measured; our own, written out, is not."""
    ours = config()
    theirs = {config(protocol=protocol).case for protocol in (
        Protocol(padded=True), Protocol(use_cache=True), Protocol(outputs="forward"), Protocol(zero_grad_first=True),
        Protocol(empty_cache_steps=10), Protocol(evaluate_first=(4, 768)), Protocol(shapes=((4, 100),)),
    )}  # fmt: skip

    assert config(protocol=Protocol()).case == ours.case
    assert len(theirs) == 7
    assert ours.case not in theirs


@pytest.mark.parametrize(
    "changes", [{"largest_batch": True}, {"device": "fake:l40s"}, {"seed": 3}, {"timeout_s": 10.0}]
)
def test_what_is_not_measured_is_not_in_the_name(changes):
    """A search for the largest batch, the device, the seed and the patience of the launcher leave the case as it is."""
    assert config(**changes).case == config().case


def test_a_protocol_survives_the_way_to_the_worker():
    """Written as JSON and read back, a config with another loop is the same config."""
    sent = config(protocol=Protocol(shapes=((4, 193), (2, 57)), padded=True, evaluate_first=(4, 768)))

    assert decode_config(msgspec.json.encode(sent)) == sent


@pytest.mark.parametrize(
    "protocol",
    [
        {"shapes": ((0, 5),)},
        {"shapes": ((4,),)},
        {"evaluate_first": (4, 0)},
        {"outputs": "for ever"},
        {"empty_cache_steps": -1},
        {"drop_last": True},
    ],
)
def test_a_loop_that_cannot_be_is_refused(protocol):
    """Sizes are at least 1, words are known ones, and nothing unknown is passed over."""
    with pytest.raises(BadValueError):
        config(protocol=protocol)
