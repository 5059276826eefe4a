"""The guide's use cases as tables: recognised by their settings, each beside the recipe as stated."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.questions import QUESTIONS
from bench.schema import RunRecord
from bench.schema.recipes import AS_STATED, RECIPES
from tests.records import cases_of, learning, record


def made(use: str, variant: str, right: int, **changes: Any) -> RunRecord:
    """A run of a variant, after which the first `right` of a hundred items are right."""
    settings = {**RECIPES[use].variants[variant], **changes}
    method = str(settings.pop("method"))
    config = learning("lora", evaluate_items=100).but(method=method, task=RECIPES[use].task, **settings)
    run = record(learning("lora", evaluate_items=100))
    return replace(run, config=config, items={"before": "0" * 100, "after": "1" * right + "0" * (100 - right)})


@pytest.mark.parametrize("use", RECIPES)
def test_every_variant_stands_beside_the_recipe_as_stated(use: str) -> None:
    """All variants of a use case are recognised, named, and compared with what the guide says."""
    names = list(RECIPES[use].variants)
    records = [made(use, variant, 60 - 30 * (variant == names[-1])) for variant in names]

    gives, costs = QUESTIONS["recipes"].tables(cases_of(*records))
    (chart,) = QUESTIONS["recipes"].charts(cases_of(*records))

    assert [row["variant"].text for row in gives.rows] == names
    assert [row["word"].text for row in gives.rows] == ["reference", *["tie"] * (len(names) - 2), "worse"]
    assert [row["variant"].text for row in costs.rows] == names
    assert f"fewer: {names[-1]}" in chart.finding


def test_a_run_with_other_settings_is_no_recipe() -> None:
    """Another rank on the same task is not taken for a use case or an alternative."""
    others = [made("faq", AS_STATED, 50, rank=64), made("faq", "LoRA", 50, rank=64)]

    assert [table.rows for table in QUESTIONS["recipes"].tables(cases_of(*others))] == [(), ()]


def test_variants_of_a_use_case_differ_from_it_and_from_each_other() -> None:
    """No alternative says what the recipe says, so none is compared with itself."""
    for recipe in RECIPES.values():
        told = [tuple(sorted(settings.items())) for settings in recipe.variants.values()]
        assert len(set(told)) == len(told)
