"""Joules of a window from a counter whose every reading is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.nvml import Absent
from bench.worker.probes.energy import LEAST_S, between
from tests.nvml_stub import H100, INSTANCES, Machine

WINDOW = """
from bench import nvml
from bench.worker.probes.energy import CardEnergy
times = iter({times})
meter = CardEnergy(nvml.find(), lambda: next(times))
for meanwhile in {windows!r}:
    meter.start()
    tell({{**{facts!r}, **meanwhile}})
    reading = meter.stop()
say([dict(reading.values), dict(reading.absent)])
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("nvml"))


def measure(machine, meanwhile, facts=H100, times=(10.0, 15.0), **variables):
    code = WINDOW.format(times=times, windows=[meanwhile], facts=dict(facts))
    return machine.run(code, facts, **variables)


def test_the_counter_is_in_millijoules(machine):
    """2,500,000 mJ in 5 s are 2,500 J, and the ends can have added two updates at the enforced 700 W."""
    values, absent = measure(machine, {"gpu0.energy": 3_500_000})
    assert values == {"energy": 2500.0, "energy_error": pytest.approx(140.0)}
    assert absent == {}


@pytest.mark.parametrize("limit", [None, 400_000])
def test_the_error_is_at_least_the_mean_powers(machine, limit):
    """Without a limit, or with one that was lowered meanwhile, the mean of 500 W bounds the ends."""
    facts = {**H100, "gpu0.power.enforced": limit}
    values, _ = measure(machine, {"gpu0.energy": 3_500_000}, facts)
    assert values["energy_error"] == pytest.approx(2 * 0.1 * 500)


@pytest.mark.parametrize(
    ("meanwhile", "times", "why"),
    [
        ({"gpu0.energy": 1_500_000}, (0.0, 1.99), "too short"),
        ({"gpu0.energy": 999_999}, (0.0, 5.0), "went back"),
        ({"gpu0.energy": 1_000_000}, (0.0, 5.0), "did not move"),
        ({"gpu0.energy": None}, (0.0, 5.0), "Not Supported"),
        ({"gpu0.energy": "!15"}, (0.0, 5.0), "GPU is lost"),
        ({"gpu0.energy": 1_500_000, "gpu0.processes": "self:1,99:1"}, (0.0, 5.0), "at least 1 others"),
        ({"gpu0.energy": 1_500_000, "gpu0.processes": "98:1,99:1"}, (0.0, 5.0), "at least 1 others"),
    ],
)
def test_a_window_that_means_nothing_is_absent(machine, meanwhile, times, why):
    """Short, reset, standing, refused or shared: each has its reason, and neither number is there."""
    values, absent = measure(machine, meanwhile, times=times)
    assert values == {}
    assert set(absent) == {"energy", "energy_error"}
    assert why in absent["energy"]


def test_a_neighbour_who_left_spoils_the_window_too(machine):
    """Somebody who computed at its start has used energy that is not ours."""
    values, absent = measure(machine, {"gpu0.energy": 2_000_000, "gpu0.processes": "self:1"}, {
        **H100, "gpu0.processes": "self:1,99:1",
    })  # fmt: skip
    assert values == {}
    assert "at least 1 others" in absent["energy"]


def test_a_hidden_list_of_processes_does_not_forbid_energy(machine):
    """In a container nobody is listed; the board's energy is still the board's."""
    values, _ = measure(machine, {"gpu0.energy": 2_000_000}, {**H100, "gpu0.processes": "-"})
    assert values["energy"] == 1000.0


def test_the_boards_energy_is_not_an_instances(machine):
    """Under MIG the counter belongs to every instance."""
    meanwhile = {"gpu0.energy": 2_000_000}
    values, absent = measure(machine, meanwhile, INSTANCES, CUDA_VISIBLE_DEVICES="MIG-a")
    assert values == {}
    assert "whole board" in absent["energy"]


def test_no_card_is_a_reason(machine):
    """Without a GPU there is no energy."""
    values, absent = measure(machine, {}, {**H100, "init": "!9"})
    assert values == {}
    assert "Driver Not Loaded" in absent["energy"]


def test_a_second_window_starts_anew(machine):
    """The meter can be started again; its second window holds only its own joules."""
    windows = [{"gpu0.energy": 9_000_000}, {"gpu0.energy": 10_000_000}]
    code = WINDOW.format(times=(0.0, 5.0, 5.0, 10.0), windows=windows, facts=dict(H100))
    assert machine.run(code, H100)[0]["energy"] == 1000.0


@given(st.integers(0, 2**63), st.integers(1, 2**40), st.floats(LEAST_S, 1e6))
def test_joules_are_the_difference(first, spent, seconds):
    """Whatever the counter began at, the window's joules are what it advanced by, and going back is never a number."""
    assert between(first, first + spent, seconds) == spent / 1000
    assert isinstance(between(first + spent, first, seconds), Absent)
