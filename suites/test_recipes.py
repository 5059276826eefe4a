"""The guide's four use cases, each as the guide states it and beside its nearest alternatives.

An FAQ chatbot, code completion, medical reports, images with text: each trains a task of its kind for as many examples,
whatever the batch. On a CPU 16-bit recipes are held in its fastest dtype and train on less. Claims C15, C16 and C24.
"""

from __future__ import annotations

from typing import Any

from bench.launch.lessons import LESSONS
from bench.launch.work import Work
from bench.schema import RunConfig
from bench.schema.catalogue import find_task
from bench.schema.recipes import RECIPES

ON_CPU = {"faq": (900, 50), "humaneval": (48, 16), "pubmedqa": (96, 60), "shapes": (240, 60)}
"""Training examples and test items on a CPU at the small scale: minutes a run."""


def parameters(work: Work) -> dict[str, object]:
    """Return every recipe with its variants, by name."""
    named = [{"use": name, "variant": variant} for name, recipe in RECIPES.items() for variant in recipe.variants]
    few = [case for case in named if list(RECIPES[case["use"]].variants).index(case["variant"]) < 2]
    return {"case": few if work.scale == "smoke" else named}


def recipe(work: Work, use: str, variant: str) -> RunConfig:
    """Train a variant of a use case, on a model that reads what its task shows."""
    known, lesson = RECIPES[use], LESSONS[RECIPES[use].task]
    made: dict[str, Any] = {"task": known.task, **known.variants[variant]}
    examples = lesson.steps[work.scale] * lesson.batch_size * lesson.gradient_accumulation_steps
    items = lesson.evaluate_items[work.scale]
    if work.device == "cpu" and work.scale == "small":
        examples, items = ON_CPU[known.task]
    made |= {"steps": max(4, examples // made["batch_size"]), "evaluate_items": items}
    made["gradient_accumulation_steps"] = 1
    if known.sixteen_bits and work.device != "cpu":
        made |= {"dtype": "float16", "autocast": "float16"}
    if find_task(known.task).images:
        made["model"] = work.image_model
    return work.learning(**made)


def test_use_case(measure, work, case):
    """Accuracy, speed and memory of a use case, as stated or with one thing changed."""
    measure(recipe(work, **case), rounds=work.seeds)
