"""Families: cases on equal work that differ by given settings alone, so that a difference says something about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import msgspec

from bench.analysis.cases import Case, newest
from bench.schema import RunConfig
from bench.schema.catalogue import METHODS
from bench.schema.config import NOT_IDENTITY

OPTIONS = "options"
"""Stands for every option of a method in `by`, as where methods themselves are compared."""

FIELDS = frozenset(RunConfig.__struct_fields__) - {"options", "study_options"}

Family = tuple[Case, ...]


def families(cases: Sequence[Case], by: Collection[str], fewest: int = 2) -> list[Family]:
    """Return the groups of at least `fewest` cases that are alike but for the settings named in `by`.

    `by` holds fields of a config and options of its method or study. Cases of a family share device, kind and
    software stack; only the newest stack's runs of a case take part. Families and their cases keep the order of
    `cases`. A case may stand in families of other settings too.
    """
    found: dict[bytes, list[Case]] = defaultdict(list)
    for case in newest(cases):
        shared = [case.device, case.kind.value, case.stack, settings(case.config, without=by)]
        found[msgspec.json.encode(shared, order="sorted")].append(case)
    return [tuple(group) for group in found.values() if len(group) >= fewest]


def largest(cases: Sequence[Case], alike: Callable[[Case], object]) -> list[Case]:
    """Return the cases for which `alike` says the same of which there are most; ties go to the first."""
    groups: dict[object, list[Case]] = defaultdict(list)
    for case in cases:
        groups[alike(case)].append(case)
    return max(groups.values(), key=len, default=[])


def settings(config: RunConfig, without: Collection[str] = ()) -> dict[str, object]:
    """Return a config's settings, its method's and its study's options among them, but those named in `without`.

    Options that are newer than the record have their defaults.
    """
    named = msgspec.to_builtins(config)
    known = METHODS[config.method].options if config.method in METHODS else {}
    complete = {**{name: option.default for name, option in known.items()}, **named["options"]}
    options = {} if OPTIONS in without else complete
    fields = {name: value for name, value in named.items() if name not in (*NOT_IDENTITY, "options", "study_options")}
    flat = {**fields, **options, **named["study_options"]}
    return {name: value for name, value in flat.items() if name not in without}


def setting(config: RunConfig, name: str) -> object:
    """Return one setting of a config, of its method or of its study; None where it has none of that name.

    Options that are newer than the record have their defaults.
    """
    if name in FIELDS:
        return getattr(config, name)
    for options in (config.options, config.study_options):
        if name in options:
            return options[name]
    known = METHODS[config.method].options if config.method in METHODS else {}
    return known[name].default if name in known else None
