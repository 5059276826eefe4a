"""Two devices side by side: matched work only, ratios with intervals, prices with their day, and what to beware of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis import devices
from bench.report.devices import Price, tables
from tests.comparisons import slower
from tests.records import cases_of, failed, filled, fixed_shape, on_card

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]
A, H = "nvidia-a100-80gb", "nvidia-h100-80gb"


def runs(gpu: str, factor: float, seeds: int = 5, **changes: object) -> list:
    """Runs of a LoRA case on a card that takes `factor` times as long."""
    return [slower(on_card(fixed_shape("lora", seed=seed, **changes), gpu), factor) for seed in range(seeds)]


def rows(table, metric: str) -> list:
    """Rows of a metric."""
    return [row for row in table.rows if row["metric"].text == metric]


@pytest.fixture(scope="module")
def both() -> list:
    """An H100 twice as fast as an A100, each with a batch of its own beside the common one."""
    return cases_of(
        *runs("a100-80gb", 1.0), *runs("h100-80gb", 0.5), *runs("a100-80gb", 1.4, batch_size=8),
        *runs("h100-80gb", 0.8, batch_size=16),
    )  # fmt: skip


def names(cases: list) -> tuple[str, str]:
    """The devices' names, the A100 first."""
    found = sorted({case.device for case in cases})
    assert len(found) == 2
    return found[0], found[1]


def test_only_the_same_work_is_compared(both):
    """One case was run by both: it alone is in the table of the same configurations, with a ratio of 2."""
    same, best = tables(both, *names(both), {})
    (step,) = rows(same, "seconds a step")
    assert step["ratio"].value == pytest.approx(2, rel=0.05)
    assert step["ratio"].low < step["ratio"].value < step["ratio"].high
    assert step["ratio"].kind == "derived"
    assert len(step["ratio"].runs) == len(step["ratio"].against) == 5
    assert len(rows(best, "seconds a step")) == 1


def test_each_has_its_own_best(both):
    """The best of each is another batch size on each card, and both are named."""
    best = tables(both, *names(both), {})[1]
    (speed,) = rows(best, "tokens/s")
    assert "-b8-" in speed["case"].text
    assert "-b16-" in speed["other"].text


def test_other_software_is_another_match(both):
    """A card whose runs had another release of torch matches nothing."""
    other = [replace(one, environment={**one.environment, "package.torch": "9.9"}) for one in runs("h100-80gb", 0.5)]
    cases = cases_of(*runs("a100-80gb", 1.0), *other)
    assert tables(cases, *names(cases), {}) == []


def test_a_price_makes_a_token_cost_something(both):
    """USD a million tokens is the price an hour over the tokens of an hour; without prices it is absent, not 0."""
    left, right = names(both)
    priced = tables(both, left, right, {left: Price(1.5, "2026-11-01"), right: Price(3.0, "2026-11-01")})[0]
    (cost,) = rows(priced, "USD a million tokens")
    (speed,) = rows(priced, "tokens/s")
    assert cost["left"].value == pytest.approx(1.5 / 3600 / speed["left"].value * 1e6, rel=1e-6)
    assert cost["ratio"].value == pytest.approx(1, rel=0.05)
    assert any("2026-11-01" in note for note in priced.notes)
    (bare,) = rows(tables(both, left, right, {left: Price(1.5, "2026-11-01")})[0], "USD a million tokens")
    assert bare["left"].value is None
    unpriced = tables(both, left, right, {})[0]
    assert rows(unpriced, "USD a million tokens") == []
    assert any("--price" in note for note in unpriced.notes)


def test_the_largest_batch_stands_beside(both):
    """Where a search, which makes short bare runs, found what fits on both, their largest batches are compared."""
    trial = {"steps": 3, "inspect": False}
    tried = [runs(gpu, 1.0, 1, batch_size=size, **trial)[0]
             for gpu, sizes in (("a100-80gb", (4, 8, 16)), ("h100-80gb", (8, 16, 32))) for size in sizes]  # fmt: skip
    ends = [failed(one.config, device=one.device, environment=one.environment)
            if one.config.batch_size == (16 if "a100" in one.device else 32) else one for one in tried]  # fmt: skip
    cases = cases_of(*runs("a100-80gb", 1.0), *runs("h100-80gb", 0.5), *ends)
    (batch,) = rows(tables(cases, *names(cases), {})[0], "largest batch that fits")
    assert (batch["left"].value, batch["right"].value, batch["ratio"].value) == (8, 16, 0.5)


def test_an_older_common_stack_is_enough():
    """Where one card ran a newer stack as well, the stack that both had is compared."""
    newer = [replace(one, started="2026-03-01T10:00:00Z", environment={**one.environment, "package.torch": "9.9"})
             for one in runs("a100-80gb", 0.9)]  # fmt: skip
    cases = cases_of(*runs("a100-80gb", 1.0), *newer, *runs("h100-80gb", 0.5))
    (step,) = rows(tables(cases, *names(cases), {})[0], "seconds a step")
    assert step["ratio"].value == pytest.approx(2, rel=0.05)


def test_one_try_each_is_no_best():
    """Cards that each ran one configuration of the work, and not the same, are not compared by their best."""
    cases = cases_of(*runs("a100-80gb", 1.0, batch_size=4), *runs("h100-80gb", 0.5, batch_size=16))
    assert tables(cases, *names(cases), {}) == []


def test_what_may_mislead_is_said():
    """One unit of each, too few runs, another driver, a disturbed run: each is a note."""
    left, right = (
        [
            replace(one, environment={**one.environment, "gpu.unit": unit, "gpu.driver": driver})
            for one in runs(gpu, 1, n)
        ]
        for unit, driver, gpu, n in (("a", "1", "a100-80gb", 2), ("b", "2", "h100-80gb", 6))
    )
    right[0] = replace(right[0], metrics={**right[0].metrics, "train.throttled_seconds": 3.0})
    cases = cases_of(*left, *right)
    said = list(devices.cautions(devices.same(cases, *names(cases))))
    assert sum("one unit" in line for line in said) == 2
    assert any(line.startswith("1 of 1 cases") and "fewer than 5" in line for line in said)
    assert any("drivers differ: 1 and 2" in line for line in said)
    assert any("were disturbed" in line for line in said)


def test_the_command_names_what_it_compares(ftbench: Ftbench, tmp_path: Path) -> None:
    """`compare --by device` finds the devices by itself, takes a price, and refuses one without its day."""
    filled(tmp_path, *runs("a100-80gb", 1.0), *runs("h100-80gb", 0.5))
    done = ftbench("compare", "--by", "device", "--results", tmp_path, "--price", "h100=2.5@2026-11-01")
    assert done.returncode == 0, done.stderr
    assert "the same configurations" in done.stdout
    assert ftbench("compare", "--by", "device", "--results", tmp_path, "--price", "h100=2.5").returncode == 2
    for price in ("b200=2.5@2026-11-01", "h100=2.5@2026-99-01"):
        assert ftbench("compare", "--by", "device", "--results", tmp_path, "--price", price).returncode == 2
    assert ftbench("compare", "nosuch", "--by", "device", "--results", tmp_path).returncode == 2


def test_nothing_in_common_does_not_pass(ftbench: Ftbench, tmp_path: Path) -> None:
    """Devices without a common case, or only one device, end with 5."""
    filled(tmp_path, *runs("a100-80gb", 1.0), *runs("h100-80gb", 0.5, rank=2))
    assert ftbench("compare", "--by", "device", "--results", tmp_path).returncode == 5
