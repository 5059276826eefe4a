"""Generating with an adapter against generating with its base, in turns within one run: speeds and slowdowns.

Turns come in blocks of four, with the adapter, without, without, with (`bench.analysis.blocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from bench.analysis.blocks import Block, alone, in_blocks, middle, pooled
from bench.analysis.stats import Estimate
from bench.schema.metrics.inference import FIRST, LATER
from bench.schema.record import RunRecord

TURNS = "with adapter, without, without, with"


def _first(record: RunRecord) -> list[Block]:
    return in_blocks(record.series.get(FIRST, ()))


def _later(record: RunRecord) -> list[Block]:
    """Blocks of every turn's median token."""
    return in_blocks([median(turn) if turn and None not in turn else None for turn in _tokens(record)])


def _whole(record: RunRecord) -> list[Block]:
    """Blocks of every turn's seconds from the prompt to the last token."""
    firsts, laters = record.series.get(FIRST, ()), _tokens(record)
    return in_blocks([
        None if first is None or None in later else first + sum(later)
        for first, later in zip(firsts, laters, strict=True)
    ])  # fmt: skip


def _tokens(record: RunRecord) -> list[list[float]]:
    """Return the seconds of every turn's further tokens; turns have equally many of them."""
    turns, tokens = len(record.series.get(FIRST, ())), record.series.get(LATER, ())
    count = len(tokens) // turns if turns else 0
    return [list(tokens[turn * count : (turn + 1) * count]) for turn in range(turns)]  # type: ignore[arg-type]


def _speed(*, with_adapter: bool) -> Callable[[RunRecord], float | None]:
    """Tokens of all sequences of a turn over the seconds of the median turn."""

    def speed(record: RunRecord) -> float | None:
        seconds = middle(_whole, first=with_adapter)(record)
        tokens = 1 + len(_tokens(record)[0]) if seconds else 0
        return record.config.batch_size * tokens / seconds if seconds else None

    return speed


SLOWDOWN: Mapping[str, Callable[[Sequence[RunRecord]], Estimate | None]] = MappingProxyType({
    "inference.slowdown": pooled(_later, TURNS),
    "inference.first_token_slowdown": pooled(_first, TURNS),
})  # fmt: skip
"""Ratios of a case's runs with their intervals: of the median token, and of the median first token."""


INFERENCE: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "inference.first_token_seconds": middle(_first, first=True),
    "inference.base_first_token_seconds": middle(_first, first=False),
    "inference.token_seconds": middle(_later, first=True),
    "inference.base_token_seconds": middle(_later, first=False),
    "inference.tokens_per_second": _speed(with_adapter=True),
    "inference.base_tokens_per_second": _speed(with_adapter=False),
    "inference.slowdown": alone(_later),
    "inference.first_token_slowdown": alone(_first),
})  # fmt: skip
