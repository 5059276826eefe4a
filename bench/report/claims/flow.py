"""Section 5, the standard flow: the line it prints, and what its optimiser saves."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.results import Results
from bench.report.claims.chosen import LARGE, MIDDLE, predicted, quotient, such
from bench.report.claims.claim import Claim, Evidence, exact
from bench.report.claims.need import PREDICT
from bench.report.forecast import number
from bench.report.tables import estimated

KEPT = "paging.state_bytes"
ABOUT = 0.05


def line(results: Results) -> Iterator[Evidence]:
    """Return what is counted in Llama-3.1-8B with rank 16 on all linear layers."""
    for case in predicted(results, model=MIDDLE, method="qlora", rank=16, targets="all-linear"):
        count = number(case, "parameters.trainable")
        yield exact("trainable parameters", count, 33_554_432, 33_554_432, case)
        yield exact("share of all", estimated(case, "parameters.trainable_share"), 0.00416, 0.00418, case)


def halved(results: Results) -> Iterator[Evidence]:
    """Return the state of AdamW in 8 bits over that in 16 and in 32."""
    least, most = 0.5 - ABOUT, 0.5 + ABOUT
    for model in (MIDDLE, LARGE):
        for eight in predicted(results, model=model, method="full", optimizer="paged_adamw_8bit"):
            for other, bits in (("adamw", "16"), ("adamw_32bit", "32")):
                for case in predicted(results, model=model, method="full", optimizer=other):
                    cell = quotient(eight, case, KEPT)
                    yield exact(f"states in 8 bits over {bits}", cell, least, most, eight)
    ran = [case for case in such(results.ran, method="full", study="training", packing=True) if case.values(KEPT)]
    for eight in such(ran, optimizer="adamw_8bit")[:1]:
        alike = such(ran, optimizer="adamw_fused", batch_size=eight.config.batch_size, model=eight.config.model)
        for case in [one for one in alike if one.device == eight.device][:1]:
            yield exact("states in 8 bits over 32, of a run", quotient(eight, case, KEPT), least, most, eight)


CLAIMS = (
    Claim(
        "C17", "5", "Rank 16 on all linear layers of Llama-3.1-8B trains 33,554,432 parameters, 0.417 %.", PREDICT,
        line, "standard_flow",
    ),
    Claim(
        "C18", "5", "The paged 8-bit AdamW halves the optimiser's memory.", PREDICT, halved, "optimizers",
        remark="That depends on what it is held against: half of states in 16 bits, a quarter of those in 32.",
    ),
)  # fmt: skip
