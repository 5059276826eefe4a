"""Section 4, LoRA against QLoRA: memory of a 70B model, speed, quality, and two kinds of tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bench.analysis.cases import Case
from bench.analysis.families import families
from bench.analysis.results import Results
from bench.report.beside import accuracy_cell
from bench.report.claims.chosen import LARGE, against_full, predicted, such
from bench.report.claims.claim import Claim, Evidence, beside, exact, varying
from bench.report.claims.lora import METHODS
from bench.report.claims.need import PREDICT
from bench.report.comparison import comparison_table
from bench.report.forecast import PEAKS, number
from bench.report.summary import method_label
from bench.schema.recipes import RECIPES

RECIPES_COMMAND = "pytest suites/test_recipes.py --benchmark-only"
MEMORY = {"lora": (80e9, 120e9), "qlora": (20e9, 40e9)}
SPEED = {"lora": (2.0, 3.0), "qlora": (1.5, 2.0)}
QUALITY = {"lora": (0.95, math.inf), "qlora": (0.93, math.inf)}
PEAK = "train.peak_process"


def memory(results: Results) -> Iterator[Evidence]:
    """Return the predicted peaks of a 70B model under both, one sequence of 2,048 tokens."""
    for method, (least, most) in MEMORY.items():
        for case in predicted(results, model=LARGE, method=method, optimizer="adamw"):
            yield exact(f"{method_label(method)}, peak ({PEAKS[PEAK]})", number(case, PEAK), least, most, case)


def speed(results: Results) -> Iterator[Evidence]:
    """Return tokens a second over Full's, for every device and model that has both."""
    what = "tokens/s of {} over Full's"
    yield from _rows(results, "Training speed against Full", SPEED, what)
    for method in SPEED:
        for case, cell in against_full(results, "train.tokens_per_second", method):
            yield beside(f"{what.format(method_label(method))}, single numbers of others", cell, case)


def quality(results: Results) -> Iterator[Evidence]:
    """Return accuracies over Full's, for every device and model that has both."""
    return _rows(results, "Accuracy against Full", QUALITY, "accuracy of {} over Full's")


def _rows(results: Results, row: str, ranges: Mapping[str, tuple[float, float]], what: str) -> Iterator[Evidence]:
    """Return the cells of a row of T1 for every device and model."""
    for found in results.matched:
        rows = {str(made["row"].value): made for made in comparison_table(found).rows}
        for method, (least, most) in ranges.items():
            side = (found.speed if "speed" in row else found.learning).cases.get(method)
            if rows[row][method].is_number:
                yield varying(what.format(method_label(method)), rows[row][method], least, most, side)


def code(results: Results) -> Iterator[Evidence]:
    """Return how many points QLoRA is apart from LoRA in generating code."""
    return _bases(results, "code", -0.01, 0.01)


def medical(results: Results) -> Iterator[Evidence]:
    """Return how many points QLoRA is behind LoRA in classifying medical abstracts."""
    return _bases(results, "medical", -0.03, -0.02)


def _bases(results: Results, use: str, least: float, most: float) -> Iterator[Evidence]:
    """Return the paired differences of accuracy between a base in NF4 and a plain one, all else equal."""
    cases = such(results.ran, task=RECIPES[use].task, study="training")
    for family in families([case for case in cases if case.config.evaluate_items], by=("base", "dtype", "autocast")):
        held: dict[str, Case] = {case.config.base: case for case in family}
        if "nf4" in held and "plain" in held:
            cell = accuracy_cell(held["nf4"], held["plain"])
            yield varying("accuracy of QLoRA minus LoRA's", cell, least, most, held["nf4"])


CLAIMS = (
    Claim(
        "C12", "4", "A 70B model needs 80 to 120 GB (75 to 112 GiB) with LoRA, 20 to 40 GB (19 to 37 GiB) with QLoRA.",
        PREDICT, memory, remark="Its weights alone take 141 GB in 16 bits, so LoRA on them cannot need less.",
    ),
    Claim(
        "C13", "4", "LoRA trains 2 to 3 times, QLoRA 1.5 to 2 times as fast as full fine-tuning.", METHODS, speed,
        remark="Section 2 says 5 to 10 times for LoRA.",
    ),
    Claim(
        "C14", "4", "LoRA reaches 95 to 99 %, QLoRA 93 to 98 % of full fine-tuning's quality.", METHODS, quality,
        remark="Judged by the lower end: to reach more contradicts nothing.",
    ),
    Claim("C15", "4", "In code generation (HumanEval) LoRA and QLoRA are less than 1 % apart.", RECIPES_COMMAND, code,
          "recipes"),
    Claim("C16", "4", "In specialised classification (medical) QLoRA is 2 to 3 % behind.", RECIPES_COMMAND, medical,
          "recipes"),
)  # fmt: skip
