"""Clocks, heat and slowdowns of a window, from counters whose every reading is known."""

from __future__ import annotations

import pytest

from bench.nvml import Absent
from bench.worker.probes.clocks import slowdown_fields
from tests.nvml_stub import H100, INSTANCES, Machine

NAMES = {
    "sm_clock", "temperature_start", "temperature_end", "clock_reasons_start", "clock_reasons_end",
    "power_cap_seconds", "throttled_seconds", "foreign_processes",
}  # fmt: skip
WINDOW = """
import threading, time
from bench import nvml
from bench.worker.probes.clocks import CardClocks
meter = CardClocks(nvml.find(), period={period})
meter.start()
{meanwhile}
begun = time.monotonic()
reading = meter.stop()
say([dict(reading.values), dict(reading.absent), time.monotonic() - begun])
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("nvml"))


def measure(machine, facts=H100, changed=None, period=100.0, meanwhile="", **variables):
    then = f"tell({ {**facts, **(changed or {})}!r})\n"
    code = WINDOW.format(period=period, meanwhile=meanwhile + then)
    values, absent, _ = machine.run(code, facts, **variables)
    assert values.keys() | absent.keys() == NAMES
    assert values.keys().isdisjoint(absent)
    return values, absent


def test_both_ends_are_read(machine):
    """Temperatures at both ends, the counters' advance in seconds, and the most neighbours of either end."""
    after = {
        "gpu0.temperature": 66,
        "gpu0.reasons": 36,
        "gpu0.field74": 400_000_000,
        "gpu0.field269": 10_000_000,
        "gpu0.field270": 200_000_000,
        "gpu0.field271": 3_000_000,
        "gpu0.processes": "self:1,5:1,6:1",
        "gpu0.clock1": 1_755,
    }
    values, absent = measure(machine, changed=after)
    assert absent == {}
    assert values == {
        "sm_clock": 1_755_000_000,
        "temperature_start": 41,
        "temperature_end": 66,
        "clock_reasons_start": 4,
        "clock_reasons_end": 36,
        "power_cap_seconds": 0.4,
        "throttled_seconds": pytest.approx(0.213),
        "foreign_processes": 2,
    }


def test_the_clock_is_watched_while_the_work_runs(machine):
    """Readings of the window decide, not those of an idle GPU after it."""
    wait = "while len(meter._clocks.seen) < 3: time.sleep(0.005)\n"
    values, _ = measure(machine, changed={"gpu0.clock1": 210}, period=0.01, meanwhile=wait)
    assert values["sm_clock"] == 1_700_000_000


def test_one_reading_of_the_work_is_enough(machine):
    """A window with a single reading is not mixed with one of the idle GPU at its end."""
    single = (
        "while not meter._clocks.seen: time.sleep(0.005)\n"
        "meter._clocks.over.set(); meter._watcher.join(); del meter._clocks.seen[1:]\n"
    )
    values, _ = measure(machine, changed={"gpu0.clock1": 210}, period=0.01, meanwhile=single)
    assert values["sm_clock"] == 1_700_000_000


def test_the_clock_is_the_median(machine):
    """One slow reading among many does not move it."""
    changes = (
        "while len(meter._clocks.seen) < 9: time.sleep(0.005)\n"
        f"tell({ {**H100, 'gpu0.clock1': 300}!r})\n"
        "while 300 not in meter._clocks.seen: time.sleep(0.001)\n"
    )
    values, _ = measure(machine, period=0.02, meanwhile=changes)
    assert values["sm_clock"] == 1_700_000_000


def test_a_clock_that_does_not_answer_does_not_hold_the_run(machine):
    """A call that hangs in the driver costs the number and at most the patience, not the run."""
    late = {**H100, "gpu0.clock1": "@30 1700"}
    code = WINDOW.format(period=0.01, meanwhile="time.sleep(0.3)")
    values, absent, waited = machine.run(code + "import os, sys; sys.stdout.flush(); os._exit(0)", late)
    assert "sm_clock" not in values
    assert "in time" in absent["sm_clock"]
    assert waited < 20


def test_the_watcher_ends_with_the_window(machine):
    """After `stop` no thread is left that asks the driver."""
    window = WINDOW.format(period=0.01, meanwhile="time.sleep(0.1)").partition("say(")[0]
    code = window + "say([thread.name for thread in threading.enumerate()])"
    assert machine.run(code, H100) == ["MainThread"]


@pytest.mark.parametrize(
    ("changed", "name", "why"),
    [
        ({"gpu0.clock1": None}, "sm_clock", "Not Supported"),
        ({"gpu0.temperature": None}, "temperature_end", "Not Supported"),
        ({"gpu0.reasons": None}, "clock_reasons_end", "nvmlDeviceGetCurrentClocksThrottleReasons: Function Not Found"),
        ({"gpu0.field74": "!3"}, "power_cap_seconds", "field 74: Not Supported"),
        ({"gpu0.field270": "!3"}, "throttled_seconds", "field 270: Not Supported"),
        ({"gpu0.field271": "!15"}, "throttled_seconds", "field 271: GPU is lost"),
        ({"gpu0.processes": "-"}, "foreign_processes", "--pid=host"),
    ],
)
def test_what_one_end_does_not_tell_is_absent_alone(machine, changed, name, why):
    """One refusal takes away the number that needs it, says so, and leaves the rest."""
    values, absent = measure(machine, changed=changed)
    assert why in absent[name]
    assert values.keys() == NAMES - {name}


def test_a_counter_that_goes_back_is_absent(machine):
    """The driver was loaded anew: what it counted before is lost."""
    _, absent = measure(machine, {**H100, "gpu0.field74": 10**9}, {"gpu0.field74": 5})
    assert "went back" in absent["power_cap_seconds"]


def test_a_counter_faster_than_time_is_absent(machine):
    """A field that advanced by an hour within a second does not count nanoseconds."""
    _, absent = measure(machine, changed={"gpu0.field270": 3600 * 10**9})
    assert "counts no ns" in absent["throttled_seconds"]


def test_the_numbers_of_the_counters_depend_on_the_driver(machine):
    """Driver 575 counts slowdowns in 251 to 253, and keeps constants of power smoothing in 269 to 271."""
    facts = {**H100, "driver": "575.57.08", "gpu0.field251": 0, "gpu0.field252": 0, "gpu0.field253": 0}
    values, _ = measure(machine, facts, {"gpu0.field252": 500_000_000})
    assert values["throttled_seconds"] == 0.5


@pytest.mark.parametrize(
    ("driver", "fields"),
    [
        ("595.45.04", (269, 270, 271)),
        ("580.82.07", (269, 270, 271)),
        ("580.105.08", (269, 270, 271)),
        ("580.65.06", (251, 252, 253)),
        ("575.51.02", (251, 252, 253)),
    ],
)
def test_the_numbering_follows_the_binding_of_the_release(driver, fields):
    """As nvidia-ml-py of that release numbers them."""
    assert slowdown_fields(driver) == fields


@pytest.mark.parametrize("driver", ["580.76.05", "570.172.08", "535.104.05", "unknown"])
def test_a_driver_whose_numbering_is_not_known_counts_nothing(driver):
    """Reading another field would look like a GPU that was never throttled."""
    assert isinstance(slowdown_fields(driver), Absent)


def test_an_instance_has_no_clock_of_its_own(machine):
    """Under MIG clocks and heat are the board's, so none is told."""
    values, absent = measure(machine, INSTANCES, CUDA_VISIBLE_DEVICES="MIG-a")
    assert values == {}
    assert all("whole board" in why for why in absent.values())


def test_no_card_is_six_reasons(machine):
    """Without a GPU every number says why."""
    values, absent = measure(machine, {**H100, "init": "!9"})
    assert values == {}
    assert all("Driver Not Loaded" in why for why in absent.values())


def test_an_old_driver_costs_numbers_and_raises_nothing(tmp_path):
    """Symbols that are missing leave what the driver does have."""
    values, absent = measure(Machine(tmp_path, "-DOLD"))
    assert values["temperature_end"] == 41
    assert "Function Not Found" in absent["foreign_processes"]
