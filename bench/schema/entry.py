"""What the catalogue is made of: names with their code, and the settings they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bench.errors import BadValueError

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a method: its default decides its type; `choices`, if any, its values."""

    default: Scalar
    about: str
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None

    def checked(self, name: str, value: Any) -> Scalar:
        """Return `value` as this option's type, or raise `BadValueError`."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise BadValueError(f"option {name}={value!r} must be of type {kind.__name__}, like {self.default!r}.")
        if self.choices and value not in self.choices:
            known = ", ".join(map(repr, self.choices))
            raise BadValueError(f"option {name}={value!r} is not one of {known}.")
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise BadValueError(f"option {name}={value!r} is below its minimum {self.minimum:g}.")
        result: Scalar = value
        return result


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of the catalogue: `target` is "module:object", resolved in the worker only."""

    target: str
    label: str
    about: str
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Task(Entry):
    """What is learned; with `images`, every prompt has one, so that examples cannot be packed end to end."""

    images: bool = False


@dataclass(frozen=True, slots=True)
class Study(Entry):
    """What a run does once its config is read: `target` takes the run's logbook.

    `measures` are the beginnings of the names of its metrics; `timed` is the one in seconds that stands for a run in
    pytest-benchmark's table, and what it is in words. A study without `weights` needs no model, one
    without `examples` no task; its configs say "none" there.
    """

    measures: tuple[str, ...] = ()
    timed: tuple[str, str] = ("train.step_seconds", "seconds an optimiser step")
    weights: bool = True
    examples: bool = True
