"""Families hold what differs by the settings asked for, and nothing else."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.cases import group
from bench.analysis.families import families, setting
from bench.launch import dry
from bench.schema.config import configure
from bench.store import Stored

BASE = configure(model="tiny-llama", method="lora", task="addition")


def found(*configs):
    """The cases of one run of each config."""
    return group(Stored(Path(f"{place}.json"), dry.record(config)) for place, config in enumerate(configs))


def test_cases_that_differ_by_the_setting_are_a_family():
    """Three ranks are one family, in their order; another learning rate stays out."""
    cases = found(*(BASE.but(rank=rank) for rank in (4, 8, 16)), BASE.but(rank=8, learning_rate=1e-3))

    (family,) = families(cases, by=("rank",))

    assert sorted(setting(case.config, "rank") for case in family) == [4, 8, 16]


def test_several_settings_may_differ_together():
    """Rank and alpha, named together, may both differ."""
    cases = found(BASE, BASE.but(rank=4, alpha=8))

    assert families(cases, by=("rank",)) == []
    assert [len(family) for family in families(cases, by=("rank", "alpha"))] == [2]


def test_methods_are_compared_whatever_their_options():
    """Options of one method are not missed in another."""
    cases = found(BASE, BASE.but(method="vera", rank=256))

    assert [len(family) for family in families(cases, by=("method", "options"))] == [2]


def test_a_seed_is_no_difference():
    """Runs of two seeds are one case, and one case is no family."""
    assert families(found(BASE, BASE.but(seed=1)), by=("rank",)) == []
