"""A part of a sweep, so that several machines do it between them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from bench.errors import BadValueError


class Shard(NamedTuple):
    """The `number`-th of `parts`, counted from 1."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "I/N". Raises `BadValueError` for anything else."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise BadValueError(f"--shard {text!r} is not I/N with I from 1 to N, for example 2/8.")
        return cls(int(found[1]), int(found[2]))

    def takes(self, keys: Sequence[Hashable]) -> list[bool]:
        """Tell of every key whether it belongs to this part: keys are dealt out in turn, equal ones to one part.

        Neighbours, which tend to take equally long, go to different parts. Every part that is given the same keys
        agrees on who takes which.
        """
        place = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        return [place[key] % self.parts == self.number - 1 for key in keys]
