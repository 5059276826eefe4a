"""What lies beside tensors: every figure with its evidence, near cards alike, unknown ones wide, workspaces by rule."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError
from bench.schema.gpus import GIB, SKUS, by_slug
from bench.schema.overheads import EAGER, LAZY, cublas_workspace_bytes, outside_torch

MIB = 1024**2


@pytest.mark.parametrize("cuda", ["11.2", "11.7", "12.8", "13.0"])
@pytest.mark.parametrize("sku", SKUS, ids=lambda sku: sku.slug)
def test_every_card_has_a_figure_within_its_interval_and_evidence(sku, cuda):
    """Whatever the card and the CUDA version, low <= bytes <= high, between nothing and four GiB, with a source."""
    found = outside_torch(sku, cuda)
    assert 0 < found.low <= found.bytes <= found.high < 4 * GIB
    assert found.source


@pytest.mark.parametrize("row", [*LAZY, *EAGER], ids=lambda row: f"{row.card}, {row.capability}")
def test_all_that_was_seen_is_within_the_interval(row):
    """No figure that the table rests on contradicts the interval it gives."""
    found = row.overhead()
    assert all(found.low <= gib * GIB <= found.high for gib in row.gib)
    assert row.source


def test_the_figure_is_the_middle_of_those_seen():
    """One process that held much does not speak for all: an A10G's, a 3090's and an A6000's 0.30, 0.31, 0.32 GiB."""
    assert outside_torch(by_slug("rtx-3090")).bytes == round(0.31 * GIB)


@pytest.mark.parametrize("row", [row for row in LAZY if " - " in row.source], ids=lambda row: row.card)
def test_a_figure_is_the_difference_its_source_spells_out(row):
    """In use less allocated less reserved, as the messages print them, is a figure of the row, rounded three times."""
    words = row.source.replace(",", " ").replace(":", " ").replace(";", " ").split()
    dashes = [place for place, word in enumerate(words) if word == "-" and words[place + 2 : place + 3] == ["-"]]
    sums = [[words[place - 1], words[place + 1], words[place + 3]] for place in dashes if words[place - 1] != "use"]
    for used, allocated, reserved in sums:
        rest = float(used) - float(allocated) - float(reserved)
        assert any(rest == pytest.approx(gib, abs=0.016) for gib in row.gib)
    assert sums


@pytest.mark.parametrize(
    ("slug", "card"),
    [
        ("t4", "T4"),
        ("v100-16gb", "V100"),
        ("a100-40gb", "A100"),
        ("a10g", "A10G"),
        ("rtx-a6000", "RTX A6000"),
        ("l4", "L4"),
        ("l40s", "L40S"),
        ("rtx-4090", "RTX 4090"),
        ("h100-pcie", "H100"),
        ("b200", "B200"),
        ("rtx-5090", "RTX 5090"),
        ("rtx-pro-6000", "RTX PRO 6000 Blackwell"),
    ],
)
def test_a_card_takes_the_figure_of_its_own_chip(slug, card):
    """The row is the one of the card's architecture and size, taken over as it is."""
    rows = [row for row in LAZY if card in re.split(", | and ", row.card)]
    assert [row.overhead() for row in rows] == [outside_torch(by_slug(slug), "12.8")]


def test_a_smaller_chip_of_a_known_architecture_says_whose_figure_it_has():
    """An A30 has half of an A100's multiprocessors: the A100's figure, said to be so, in a wider interval."""
    own, taken = outside_torch(by_slug("a100-80gb")), outside_torch(by_slug("a30"))
    assert taken.bytes == own.bytes
    assert (taken.low, taken.high) == (own.low // 2, own.high * 2)
    assert taken.source.startswith("taken from A100, for none is known of the A30")


def test_an_unknown_architecture_takes_its_nearest_neighbours_figure():
    """A chip between two generations is given the nearer one's figure, and is not passed off as it."""
    orin = by_slug("rtx-3090")._replace(name="Orin", capability=(8, 7), multiprocessors=80)
    assert outside_torch(orin).source.startswith("taken from RTX 3090")


def test_kernels_loaded_at_once_take_what_the_documentation_shows():
    """Before CUDA 11.7 a V100's process holds 1341 MiB; with it, less than half a GiB."""
    v100 = by_slug("v100-16gb")
    assert outside_torch(v100, "11.2").bytes == outside_torch(v100, "11.6").bytes == 1341 * MIB
    assert outside_torch(v100, "11.7").high < GIB / 2


def test_kernels_loaded_at_once_are_a_guess_elsewhere():
    """No other architecture's eager loading is documented, so the V100's figure comes with a wide interval."""
    found = outside_torch(by_slug("a100-80gb"), "11.1")
    assert found.source.startswith("taken from V100")
    assert found.low < 0.5 * found.bytes
    assert found.high > 2 * found.bytes


def test_larger_chips_hold_no_less():
    """Among cards of one architecture the one with more multiprocessors holds at least as much."""
    for capability in {row.capability for row in LAZY}:
        rows = sorted((row for row in LAZY if row.capability == capability), key=lambda row: row.multiprocessors)
        sizes = [row.overhead().bytes for row in rows]
        assert sizes == sorted(sizes)


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(["", ".1", ".105.17"]))
def test_versions_are_compared_as_numbers(major, minor, rest):
    """Any version has a figure, and 11.10 is later than 11.7."""
    found = outside_torch(by_slug("v100-32gb"), f"{major}.{minor}{rest}")
    assert (found.bytes == 1341 * MIB) == ((major, minor) < (11, 7))


@pytest.mark.parametrize("cuda", ["", "12", "cu128", "12.x", "12.8+1", " 12.8", "12.8\n"])
def test_what_is_no_version_is_refused(cuda):
    """The message says what was given and how a version looks."""
    with pytest.raises(BadValueError, match=r"12\.8"):
        outside_torch(by_slug("t4"), cuda)


def test_workspaces_follow_the_capability():
    """Hopper and Blackwell have 32 MiB, everything else 8,519,680 B, 11.0 among them in torch 2.13."""
    large = {sku.slug for sku in SKUS if cublas_workspace_bytes(sku.capability) == 32 * MIB}
    assert large == {sku.slug for sku in SKUS if sku.capability >= (9, 0)}
    assert {cublas_workspace_bytes(sku.capability) for sku in SKUS if sku.slug not in large} == {8_519_680}
    assert cublas_workspace_bytes((10, 3)) == cublas_workspace_bytes((12, 1)) == 32 * MIB
    assert cublas_workspace_bytes((11, 0)) == 8_519_680
