"""Trends and the editors' opinion: variants, mixtures, edge devices, one card, page faults, two bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.analysis import stall
from bench.analysis.cases import Case
from bench.analysis.families import OPTIONS, families
from bench.analysis.results import Results
from bench.report.beside import accuracy_cell
from bench.report.claims.chosen import LARGE, predicted, such
from bench.report.claims.claim import Claim, Evidence, beside, varying, where
from bench.report.claims.need import PREDICT
from bench.report.claims.practice import RIGHT
from bench.report.forecast import fit, verdict
from bench.report.formats import name, quantised
from bench.report.questions.standard_flow import STUDY as FLOW
from bench.report.summary import method_label, optimizer_label
from bench.report.tables import Cell, case_page, estimated, sources

VARIANTS = "pytest suites/test_variants.py --benchmark-only"
ADAPTERS = "pytest suites/test_adapters.py --benchmark-only"
GAINS = {"dora": (0.01, 0.02), "loraplus": (0.01, 0.02)}
SHARE = "paging.stall_share"


def gains(results: Results) -> Iterator[Evidence]:
    """Return DoRA's and LoRA+'s accuracy minus LoRA's, on every base."""
    scored = [case for case in such(results.ran, study="training") if case.values(RIGHT)]
    plain = [case for case in scored if case.config.method != "lora" or not case.config.changed_options]
    for family in families(plain, ("method", "learning_rate", OPTIONS)):
        held = {case.config.method: case for case in family}
        for method, (least, most) in GAINS.items():
            if method in held and "lora" in held:
                cell = accuracy_cell(held[method], held["lora"])
                base = held[method].config.base
                yield varying(f"accuracy of {method_label(method)} minus LoRA's, {base} base", cell, least, most,
                              held[method])  # fmt: skip


def switching(results: Results) -> Iterator[Evidence]:
    """Return what a batch costs whose rows have an adapter each, over one whose rows share one."""
    for case in such(results.ran, study="adapters", method="lora"):
        cell = estimated(case, "adapters.mixed_slowdown")
        count = case.config.study_options["count"]
        yield beside(f"a batch of {count} adapters over one of a single adapter", cell, case)


def edge(results: Results) -> Iterator[Evidence]:
    """Return whether the guide's flow trained on a processor, and what it learned."""
    for case in such(results.ran, study=FLOW):
        if case.config.device == "cpu":
            what = f"the flow of section 5 with {optimizer_label(case.config.optimizer)}: accuracy after it"
            cell = estimated(case, RIGHT) if case.ok else Cell(_end(case), link=case_page(case))
            yield Evidence(what, cell, bool(case.ok), where(case))


def _end(case: Case) -> str:
    return case.runs[-1].record.status.value


def one_card(results: Results) -> Iterator[Evidence]:
    """Return what of a 70B model fits on one card of 80 GB."""
    for method in ("full", "lora", "lora_8bit", "qlora"):
        for case in predicted(results, model=LARGE, method=method, device="fake:a100-80gb"):
            record = case.answers[-1].record
            cell = Cell(fit(record), kind=case.kind.value, link=case_page(case), runs=sources(case))
            fits = verdict(record) == "fits"
            yield Evidence(f"{method_label(method)} fits", cell, fits == (method == "qlora"), where(case))


def faults(results: Results) -> Iterator[Evidence]:
    """Return what page faults add to a step, of a step without them; only a GPU decides."""
    for case in results.ran:
        if case.config.paging in ("fault", "limit", "ballast") and case.config.paging_fraction > 0:
            cell = _added(case)
            what = (f"a step is longer by, {case.config.paging_fraction:.0%} of the state away "
                    f"({case.config.paging}), {optimizer_label(case.config.optimizer)}")  # fmt: skip
            decides = case.config.device.startswith("cuda")
            yield varying(what, cell, 1.0, case=case) if decides else beside(what, cell, case)


def _added(case: Case) -> Cell:
    """Return what the stall adds to a step without one, with the stall's interval over blocks of steps."""
    share, found = estimated(case, SHARE), stall.pooled([run.record for run in case.answers])
    if not share.is_number or found is None or not found.value:
        return share
    low, high = (None if end is None else end * share.number / found.value for end in (found.low, found.high))
    return replace(share, low=low, high=high, how=found.how, n=found.n)


def two_bits(results: Results) -> Iterator[Evidence]:
    """Return how far what a model says moves with its weights in two bits; training on it is not measured."""
    for case in such(quantised(results.cases), format="hqq", bits=2):
        what = f"{name(case)}: KL divergence from the model that is not quantised"
        yield beside(what, estimated(case, "quantization.kl"), case)
        yield beside(f"{name(case)}: tokens of which another one is likeliest", estimated(case, "quantization.flips"),
                     case)  # fmt: skip


CLAIMS = (
    Claim(
        "C28", "trends", "DoRA and LoRA+ gain 1 to 2 % over LoRA.", VARIANTS, gains, "variants",
        remark="DoRA splits weights into magnitude and direction and gives no ranks to layers; LoRA+ sets two learning "
               "rates and constrains no orthogonality (arXiv 2402.09353, 2402.12354).",
    ),
    Claim(
        "C29", "trends", "Mixtures of adapters (AdaMix, MoRA) cut the cost of switching.", ADAPTERS, switching,
        "adapters", remark="MoRA is one adapter of high rank, and AdaMix merges its own into one: neither serves "
                           "several tasks. What switching costs is measured.",
    ),
    Claim("C30", "trends", "QLoRA can be used on edge devices.",
          "pytest suites/test_standard_flow.py --benchmark-only --device cpu", edge, "standard_flow"),
    Claim("C31", "opinion", "Of a 70B model only QLoRA fits on one A100 of 80 GB.", PREDICT, one_card),
    Claim(
        "C32", "opinion", "Page faults make paged optimisers several times slower.",
        "pytest suites/test_paging.py --benchmark-only", faults, "paging",
        remark="Only a GPU decides; on a CPU the state lies in a mapped file and comes from a disk.",
    ),
    Claim(
        "C33", "opinion", "QLoRA on two bits may keep the quality.",
        "pytest suites/test_quantization.py --benchmark-only", two_bits, "quantization",
        remark="Said of the future; a model held in two bits is measured, trained on it is none yet.",
    ),
)  # fmt: skip
