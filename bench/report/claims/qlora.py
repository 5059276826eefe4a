"""Section 3, how QLoRA works: its 4-bit type, double quantisation, paged optimisers, and how adapters are saved."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.claims.chosen import derived, such
from bench.report.claims.claim import Claim, Evidence, beside, exact
from bench.report.display import DIFFERENCE
from bench.report.formats import quantised, unnested
from bench.report.merges import base_label
from bench.report.summary import method_label, optimizer_label
from bench.report.tables import estimated

QUANTIZATION = "pytest suites/test_quantization.py --benchmark-only"
ABOUT = 0.05
"""How far, in shares, an error may be off the 30 % that were said to be about so much."""
BYTES_OF_16_BITS = 2


def uniform(results: Results) -> Iterator[Evidence]:
    """Return NF4's error over that of uniform codes of 4 bits, three errors of two sets of numbers."""
    for case in such(quantised(results.cases), format="nf4", blocksize=64, double_quant=False, compute_dtype="same"):
        for data, words in (("normal_", "normal numbers"), ("", "the model's weights")):
            for error in ("rmse", "mae", "mse"):
                ours, theirs = (case.values(f"quantization.{data}{grid}{error}") for grid in ("", "uniform_"))
                if ours and theirs and theirs[-1]:
                    cell = derived(case, ours[-1] / theirs[-1] - 1, DIFFERENCE, "NF4's error over uniform's, minus 1")
                    yield exact(f"{error.upper()} on {words}", cell, -0.3 - ABOUT, -0.3 + ABOUT, case)


def doubled(results: Results) -> Iterator[Evidence]:
    """Return the bits a weight that double quantisation saves, counted."""
    cases = quantised(results.cases)
    for case in such(cases, format="nf4", blocksize=64, double_quant=True):
        plain = unnested(case, cases)
        saved = [one.values("quantization.scale_bits") for one in (plain, case) if one]
        if plain and all(saved):
            cell = derived(plain, saved[0][-1] - saved[1][-1], "bit", "bits of the scales, once minus doubly quantised")
            yield exact("bits a weight saved, blocks of 64", cell, 0.45, 0.55, case)


def paged(results: Results) -> Iterator[Evidence]:
    """Return the steps that went on without room for half of the optimiser's state."""
    for case in results.ran:
        if case.config.paging in ("limit", "ballast") and case.ok:
            decides = case.config.device.startswith("cuda")
            cell = estimated(case, "paging.stall")
            what = f"{optimizer_label(case.config.optimizer)} without room for its state, trained; longer a step by"
            yield exact(what, cell, case=case) if decides else beside(what, cell, case)


def saved_bytes(results: Results) -> Iterator[Evidence]:
    """Return how many bytes an adapter's file has for every parameter, by dtype of the base."""
    seen = set()
    for case in such(results.ran, study="training"):
        size, count = case.values("save.adapter_bytes"), case.values("parameters.trainable")
        kind = (case.config.method, base_label(case))
        if not size or not count or case.config.method not in ("lora", "qlora") or kind in seen:
            continue
        seen.add(kind)
        cell = derived(case, size[-1] / count[-1], "B", "bytes of the file over trained parameters")
        what = f"bytes a parameter in the file of {method_label(case.config.method)} on a base in {base_label(case)}"
        yield exact(what, cell, 0, 1.25 * BYTES_OF_16_BITS, case)


CLAIMS = (
    Claim(
        "C08", "3", "NF4 has about 30 % less error than uniform quantisation to 4 bits.", QUANTIZATION, uniform,
        "quantization", remark="The guide does not say which error; on the same numbers they differ.",
    ),
    Claim(
        "C09", "3", "Double quantisation saves 0.5 bit a parameter.", QUANTIZATION, doubled, "quantization",
        remark="By arithmetic it is 0.373 bit with blocks of 64 (arXiv 2305.14314, section 3); 0.5 bit is what the "
               "scales take before.",
    ),
    Claim(
        "C10", "3", "Paged optimisers let training exceed the GPU's memory.",
        "pytest suites/test_paging.py --benchmark-only --oversubscribe", paged, "paging",
        remark="Only a GPU decides; on a CPU the state lies in a mapped file under a memory limit.",
    ),
    Claim(
        "C11", "3", "Adapters are saved in 16 bits.", "pytest suites/test_methods.py --benchmark-only", saved_bytes,
        remark="Files keep the dtype that adapters train in: peft trains them in 32 bits unless told otherwise.",
    ),
)  # fmt: skip
