"""The rule of thumb is the rule of thumb, and says nothing where the bus is not known."""

from __future__ import annotations

import pytest

from bench.analysis.values import value
from tests.records import fixed_shape, record

GIB = 2**30
H100 = {"gpu.pcie_generation_max": 5, "gpu.pcie_width_max_lanes": 16}


def paged(environment, *, away=GIB):
    config = fixed_shape("full", device="cuda", optimizer="paged_adamw_8bit", paging="fault", paging_fraction=1.0)
    return record(config, series={"step.chilled_bytes": (None, None, away, 0, 0, away)}, environment=environment)


def test_it_is_bytes_over_half_the_bus():
    """1 GiB over half of 16 lanes of generation 5, 63.0 GB/s, is 34.1 ms; generation 4 takes twice as long."""
    fast = value(paged(H100), "paging.predicted_stall")
    slow = value(paged({**H100, "gpu.pcie_generation_max": 4}), "paging.predicted_stall")

    assert fast == pytest.approx(GIB / (0.5 * 16 * 32e9 * 128 / 130 / 8))
    assert fast == pytest.approx(0.0341, rel=2e-3)
    assert slow == pytest.approx(2 * fast)


@pytest.mark.parametrize("environment", [{}, {"gpu.pcie_generation_max": 5}, {**H100, "gpu.pcie_generation_max": 7}])
def test_an_unknown_bus_has_no_prediction(environment):
    """Missing link facts, or a generation whose rate is not listed, give no number."""
    assert value(paged(environment), "paging.predicted_stall") is None


def test_nothing_moved_is_no_prediction():
    """A control run without cold bytes predicts nothing."""
    assert value(paged(H100, away=0), "paging.predicted_stall") is None
