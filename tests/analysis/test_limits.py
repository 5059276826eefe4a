"""A limit is what cases say that differ by one size only, and no more than they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.limits import families
from bench.schema import RunRecord, Status
from tests.records import cases_of, failed, fixed_shape, record


def tried(size: int, fits: bool, setting: str = "batch_size", **changes: object) -> RunRecord:
    config = fixed_shape("lora", **{setting: size, **changes})
    return record(config) if fits else failed(config)


@given(
    limit=st.integers(0, 20), sizes=st.sets(st.integers(1, 20), min_size=2),
    setting=st.sampled_from(["batch_size", "sequence_length"]),
)  # fmt: skip
def test_a_limit_lies_between_what_fits_and_what_fails(limit: int, sizes: set[int], setting: str) -> None:
    """Where all up to a limit fit, the largest tried below it and the smallest tried above it are found."""
    (family,) = families(cases_of(*(tried(size, size <= limit, setting) for size in sizes)))
    fits, fails = {s for s in sizes if s <= limit}, {s for s in sizes if s > limit}
    assert (family.size(family.fits) if family.fits else 0) == max(fits, default=0)
    assert (family.size(family.fails) if family.fails else None) == min(fails, default=None)
    assert family.gap == (min(fails) - max(fits) if fits and fails else None)
    assert family.contradicts is None
    assert family.setting == setting


def test_a_larger_size_that_fits_contradicts() -> None:
    """When 8 found no memory and 16 did, the limit is the largest below 8, and 16 is named."""
    (family,) = families(cases_of(tried(4, True), tried(8, False), tried(16, True)))
    assert family.fits is not None
    assert family.contradicts is not None
    assert (family.size(family.fits), family.size(family.contradicts)) == (4, 16)


def test_a_size_that_failed_once_does_not_fit() -> None:
    """One run without memory among good ones of the same size makes this size the one that fails."""
    (family,) = families(cases_of(tried(4, True), tried(8, True), tried(8, False)))
    assert family.fails is not None
    assert family.size(family.fails) == 8
    assert family.gap == 4
    assert family.contradicts is family.fails


@pytest.mark.parametrize(
    "changes",
    [{"steps": 11}, {"untimed_steps": 3}, {"inspect": False}, {"memory_limit": 2**33}, {"rank": 8}, {"seed": None}],
    ids=str,
)
def test_families_differ_by_the_size_only(changes: dict[str, object]) -> None:
    """Another number of steps, no inspection, a memory limit or another rank is another family; a seed is not."""
    same = changes == {"seed": None}
    other = {"seed": 5} if same else changes
    assert len(families(cases_of(tried(4, True), tried(8, False, **other)))) == (1 if same else 0)


def test_devices_and_stacks_are_kept_apart() -> None:
    """What fits on one device, or under one torch, says nothing of another."""
    there = replace(tried(8, False), device="another")
    older = tried(8, False)
    older = replace(older, environment={**older.environment, "package.torch": "2.9.0"})
    assert families(cases_of(tried(4, True), there, older)) == []


def test_other_endings_and_single_sizes_say_nothing() -> None:
    """A crash or a time-out is neither a fit nor a lack of memory; one size alone is no search."""
    crashed = replace(tried(8, False), status=Status.CRASHED)
    assert families(cases_of(tried(4, True), crashed)) == []
    assert families(cases_of(tried(4, True))) == []


def test_batch_and_sequence_are_searched_apart() -> None:
    """Cases along both settings give a family for each, batch size first."""
    sizes = ((1, 64), (2, 64), (1, 128))
    configs = [fixed_shape("full", batch_size=batch, sequence_length=length) for batch, length in sizes]
    found = families(cases_of(*map(record, configs)))
    assert [(family.setting, len(family.cases)) for family in found] == [("batch_size", 2), ("sequence_length", 2)]
