"""GPU memory at the peak, from the end of the window: every term known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.nvml import Absent
from bench.worker.probes.nvml import Reserved, at_peak
from tests.nvml_stub import GIB, H100, INSTANCES, Machine

STOPPED = """
from bench import nvml
from bench.worker.probes.nvml import CardMemory, Reserved
meter = CardMemory(nvml.find(), lambda: Reserved({peak}, {now}))
meter.start()
{meanwhile}
reading = meter.stop()
say([dict(reading.values), dict(reading.absent)])
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("nvml"))


def read(machine, facts, peak=30 * GIB, now=8 * GIB, meanwhile="", **variables):
    return machine.run(STOPPED.format(peak=peak, now=now, meanwhile=meanwhile), facts, **variables)


def test_both_peaks_are_torchs_plus_what_lies_outside(machine):
    """30 GiB at the peak, 8 now; NVML sees 10 on the device and 9 in the process: 2 and 1 lie outside torch."""
    values, absent = read(machine, H100)
    assert values == {"peak_device": 32 * GIB, "peak_process": 31 * GIB}
    assert absent == {}


def test_what_is_read_is_the_end_of_the_window(machine):
    """A context that grows while the window runs counts."""
    grown = {**H100, "gpu0.memory": f"{80 * GIB},{GIB},{12 * GIB}", "gpu0.processes": f"self:{11 * GIB}"}
    values, _ = read(machine, H100, meanwhile=f"tell({grown!r})")
    assert values == {"peak_device": 34 * GIB, "peak_process": 33 * GIB}


def test_a_full_card_is_not_fuller_than_full(machine):
    """With 70 GiB of managed pages resident at the end, the peak is all the card has, not more."""
    full = {**H100, "gpu0.memory": f"{80 * GIB},{GIB},{78 * GIB}"}
    values, _ = read(machine, full)
    assert values["peak_device"] == 79 * GIB
    assert values["peak_process"] == 31 * GIB


def test_a_hidden_process_leaves_the_device(machine):
    """In a container NVML may not list the process: that number alone is absent, with the remedy."""
    values, absent = read(machine, {**H100, "gpu0.processes": "4242:77"})
    assert values == {"peak_device": 32 * GIB}
    assert "--pid=host" in absent["peak_process"]


def test_a_device_without_version_2_leaves_the_process(machine):
    """Memory that is not supported is absent and never 0."""
    values, absent = read(machine, {**H100, "gpu0.memory": None})
    assert values == {"peak_process": 31 * GIB}
    assert "Not Supported" in absent["peak_device"]


def test_an_instance_is_measured_as_an_instance(machine):
    """Under MIG both numbers are those of the instance."""
    values, _ = read(machine, INSTANCES, peak=4 * GIB, now=GIB, CUDA_VISIBLE_DEVICES="MIG-a")
    assert values == {"peak_device": 6 * GIB, "peak_process": 5 * GIB}


def test_no_card_is_two_reasons(machine):
    """Without a GPU nothing is measured and each number says why."""
    values, absent = read(machine, {**H100, "init": "!9"})
    assert values == {}
    assert set(absent) == {"peak_device", "peak_process"}
    assert "Driver Not Loaded" in absent["peak_device"]


def test_figures_of_another_card_are_refused():
    """Less than torch alone holds cannot be this GPU or this process."""
    found = at_peak(3 * GIB, Reserved(8 * GIB, 4 * GIB), None)
    assert isinstance(found, Absent)
    assert "nvidia-smi -L" in found.reason


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_peak_lies_between_torchs_and_the_cards(now, grown, outside, free):
    """Never below torch's peak nor what is in use now, never above the card; exact where it fits."""
    reserved = Reserved(now + grown, now)
    used = now + outside
    peak = at_peak(used, reserved, used + free)
    assert peak == min(reserved.peak + outside, used + free)
    assert peak >= used
    if grown <= free:
        assert peak == reserved.peak + outside
