"""The guide's four use cases (section 6, table T2), each beside its nearest alternatives; claims C15, C16 and C24."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.analysis.cases import Case
from bench.analysis.families import OPTIONS, settings
from bench.report.asked import METHOD, Told
from bench.report.chart import Chart
from bench.report.sweep_charts import accuracy_chart
from bench.report.sweeps import Sweep, costs, gives, is_scored, sweeps
from bench.report.tables import Cell, Table, case_page
from bench.schema.recipes import AS_STATED, RECIPES

APART = ("method", OPTIONS, "base", "optimizer", "batch_size", "steps", "learning_rate", "dtype", "autocast")
"""What differs between a recipe and its alternatives."""


class Place(NamedTuple):
    """A case's place among the recipes: the use case and the variant."""

    recipe: str
    variant: str


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return what each recipe and its alternatives gave and cost."""
    found = _swept(cases)
    return [
        gives("The guide's use cases: what they give", found, HEADINGS),
        costs("The guide's use cases: what they cost", found, HEADINGS),
    ]


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return accuracy by variant, one chart a use case."""
    made = (
        accuracy_chart(f"recipes-{name}", [sweep for sweep in _swept(cases) if _place(sweep.cases[0]).recipe == name],
                       lambda case: _place(case).variant, recipe.label)
        for name, recipe in RECIPES.items()
    )  # fmt: skip
    return [chart for chart in made if chart is not None]


def _swept(cases: Sequence[Case]) -> list[Sweep]:
    chosen = [case for case in cases if _known(case) is not None]
    found = sweeps(
        chosen, APART, wanted=is_scored, order=_order, reference=lambda case: _place(case).variant == AS_STATED
    )
    return sorted(found, key=lambda sweep: _order(sweep.cases[0]))


def _is_as_stated(case: Case) -> bool:
    return _place(case).variant == AS_STATED


def _known(case: Case) -> Place | None:
    """Recognise a case by its task and by every setting that a recipe or an alternative names."""
    given = settings(case.config)
    return next(
        (
            Place(name, variant)
            for name, recipe in RECIPES.items()
            if recipe.task == case.config.task
            for variant, wanted in recipe.variants.items()
            if all(given.get(key) == value for key, value in wanted.items())
        ),
        None,
    )


def _place(case: Case) -> Place:
    found = _known(case)
    assert found is not None, "only recipes are asked for their place"
    return found


def _order(case: Case) -> tuple[int, int]:
    recipe, variant = _place(case)
    return list(RECIPES).index(recipe), list(RECIPES[recipe].variants).index(variant)


HEADINGS: Told = {
    "use": ("use case", lambda case: Cell(RECIPES[_place(case).recipe].label)),
    "guide": ("the guide says", lambda case: Cell(RECIPES[_place(case).recipe].guide)),
    "variant": ("variant", lambda case: Cell(_place(case).variant, link=case_page(case))),
    **METHOD,
    "base": ("base", lambda case: Cell(case.config.dtype if case.config.base == "plain" else case.config.base)),
}
