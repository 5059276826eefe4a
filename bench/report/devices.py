"""Two devices side by side: the same configurations, and each one's best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis import devices, stats
from bench.analysis.cases import Case
from bench.analysis.devices import SPEED, Match
from bench.report.beside import ratio_cell
from bench.report.tables import Cell, Column, Table, case_page, estimated, sources

METRICS = {
    "train.tokens_per_second": "tokens/s", "train.step_seconds": "seconds a step",
    "train.energy_per_token": "energy a token",
    "train.peak_process": "peak memory of the process", "train.peak_reserved": "peak reserved memory",
    "train.peak_allocated": "peak tensor memory",
}  # fmt: skip
COST = "USD a million tokens"
BATCH = "largest batch that fits"
NO_PRICE = "no price was given for both; --price DEVICE=USD@DATE takes one"
UNPRICED = "What a token costs needs the price of both devices: --price DEVICE=USD@DATE."


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of a device costs, in US dollars, and when that was so."""

    an_hour: float
    date: str


def tables(cases: Sequence[Case], left: str, right: str, prices: Mapping[str, Price]) -> list[Table]:
    """Return matched cases in their own configuration, and each device's best; never mixed.

    Ratios are of `left` to `right`. Tables without a matched case are left out.
    """
    kinds = {
        f"{left} and {right}, the same configurations": devices.same(cases, left, right),
        f"{left} and {right}, the best of each": devices.best(cases, left, right),
    }
    return [_table(title, matches, cases, prices, (left, right)) for title, matches in kinds.items() if matches]


def _table(
    title: str, matches: Sequence[Match], cases: Sequence[Case], prices: Mapping[str, Price], names: tuple[str, str]
) -> Table:
    alike = all(match.left.name == match.right.name for match in matches)
    columns = (
        Column("case", "case"), Column("other", f"case on {names[1]}", detail=alike),
        Column("metric", "metric"), Column("left", names[0]), Column("right", names[1]),
        Column("ratio", "ratio", f"{names[0]} to {names[1]}, 95 % Welch interval on logarithms over runs"),
    )  # fmt: skip
    rows = [row for match in matches for row in _rows(match, cases, prices)]
    said = [f"An hour of {name} at {price.an_hour:g} USD as of {price.date}, as given; the accelerator's price alone."
            for name, price in prices.items() if name in names]  # fmt: skip
    energy = "Energy is the board's own counter where there is one; the host is left out."
    return Table(title, columns, tuple(rows), (*devices.cautions(matches), *(said or [UNPRICED]), energy))


def _rows(match: Match, cases: Sequence[Case], prices: Mapping[str, Price]) -> list[Mapping[str, Cell]]:
    left, right = match.left, match.right
    shown = [name for name in METRICS if left.values(name) or right.values(name)]
    found = [_row(match, METRICS[name], estimated(left, name), estimated(right, name), ratio_cell(left, right, name))
             for name in shown]  # fmt: skip
    costs = [_cost(case, prices.get(case.device)) for case in (left, right)]
    if all(costs):
        found.append(_row(match, COST, _dollars(left, costs[0]), _dollars(right, costs[1]), _cost_ratio(match, *costs)))
    elif any(costs):
        none = Cell(None, reason=NO_PRICE, brief="no price")
        found.append(_row(match, COST, none, none, Cell("")))
    batches = [devices.largest_batch(cases, case) for case in (left, right)]
    if any(batches):
        ratio = Cell(batches[0] / batches[1], "x", kind="derived") if batches[0] and batches[1] else Cell("")
        found.append(_row(match, BATCH, _batch(batches[0]), _batch(batches[1]), ratio))
    return found


def _batch(found: int | None) -> Cell:
    return Cell(found, "count", kind="derived") if found else Cell(None, reason="was not sought", brief="not sought")


def _row(match: Match, metric: str, left: Cell, right: Cell, ratio: Cell) -> Mapping[str, Cell]:
    return {
        "case": Cell(match.left.name, link=case_page(match.left)),
        "other": Cell(match.right.name, link=case_page(match.right)),
        "metric": Cell(metric), "left": left, "right": right, "ratio": ratio,
    }  # fmt: skip


def _cost(case: Case, price: Price | None) -> list[float]:
    """Return US dollars a token, of every run: price an hour / 3600 s / tokens a second."""
    return [] if price is None else [price.an_hour / 3600 / speed for speed in case.values(SPEED)]


def _dollars(case: Case, costs: Sequence[float]) -> Cell:
    found = stats.geometric_mean([cost * 1e6 for cost in costs])
    assert found is not None, "the caller has costs"
    return Cell(found.value, "1", found.low, found.high, found.n, found.how, kind="derived", runs=sources(case),
                link=case_page(case), metric=SPEED)  # fmt: skip


def _cost_ratio(match: Match, left: Sequence[float], right: Sequence[float]) -> Cell:
    found = stats.ratio(left, right)
    assert found is not None, "the caller has costs"
    return Cell(found.value, "x", found.low, found.high, found.n, found.how, kind="derived", metric=SPEED,
                runs=sources(match.left), against=sources(match.right))  # fmt: skip
