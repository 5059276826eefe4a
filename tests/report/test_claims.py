"""Claims are weighed by the evidence that can decide them; what cannot is shown and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from bench.analysis.claims import Verdict
from bench.analysis.results import Results
from bench.report.claims import CLAIMS, judged
from bench.report.claims.claim import Evidence, beside, exact, varying
from bench.report.questions import QUESTIONS
from bench.report.tables import Cell
from bench.schema import RunConfig, RunRecord
from tests.records import cases_of, everything, fixed_shape, learning, paged, predicted, record

GB = 10**9
LARGE = {"model": "llama-3.3-70b", "dtype": "bfloat16", "optimizer": "adamw"}
SEEDS = range(4)


def verdict_of(claim: str, *records: RunRecord) -> Verdict:
    return found(claim, *records)[0]


def found(claim: str, *records: RunRecord) -> tuple[Verdict, tuple[Evidence, ...]]:
    """What records say of one claim."""
    one = next(one for one in judged(Results(cases_of(*records))) if one.claim.id == claim)
    return one.verdict, one.evidence


def of_70b(method: str, metrics: Mapping[str, int], **settings: Any) -> RunRecord:
    """A prediction of a 70B model on an A100 of 80 GB, with some numbers as given."""
    made = predicted(fixed_shape(method), "a100-80gb")
    config = made.config.but(**{**LARGE, **settings})
    return replace(made, config=config, metrics={**made.metrics, **metrics})


def sped(method: str, seconds: float, seed: int) -> RunRecord:
    """A run whose timed steps take so long, give or take a little by seed."""
    made = record(fixed_shape(method, seed=seed))
    steps = tuple(seconds * (1 + 0.002 * seed) for _ in range(made.config.steps))
    timed = sum(steps[made.config.untimed_steps :])
    return replace(made, series={**made.series, "step.seconds": steps},
                   metrics={**made.metrics, "train.timed_seconds": timed})  # fmt: skip


def scored(config: RunConfig, right: int, of: int = 200) -> RunRecord:
    """A training after which the first `right` items are right."""
    after = "1" * right + "0" * (of - right)
    return replace(record(config), items={"before": "0" * of, "after": after})


def test_every_claim_of_the_guide_is_there_once_in_order() -> None:
    """C01 to C35, none missing, none twice."""
    assert [claim.id for claim in CLAIMS] == [f"C{number:02}" for number in range(1, 36)]


def test_claims_name_questions_that_have_pages() -> None:
    """What stands behind a claim is a question of the site, where there is one."""
    assert {claim.question for claim in CLAIMS} - {""} <= set(QUESTIONS)


def test_without_records_nothing_is_tested() -> None:
    """An empty folder supports and contradicts nothing, and every claim says what would test it."""
    assert {one.verdict for one in judged(Results([]))} == {Verdict.UNTESTED}
    assert all(claim.test for claim in CLAIMS)


def test_evidence_without_a_number_is_left_out() -> None:
    """No claim shows an absent number as evidence."""
    for one in judged(Results(cases_of(*everything(), paged("limit", 0.5)))):
        assert all(evidence.cell.value is not None for evidence in one.evidence)


@pytest.mark.parametrize(
    ("size", "expected"), [(141 * GB, Verdict.SUPPORTED), (160 * GB, Verdict.PARTLY)]
)  # the parameters are counted from the record as well, and stay where they are
def test_c01_weights_are_about_140_gb_where_they_are(size: int, expected: Verdict) -> None:
    """Two bytes for each of 70.5 billion parameters are about 140 GB; weights of 160 GB at the peak are not."""
    numbers = {"parameters.total": 70_760_800_256, "parameters.trainable": 207_093_760, "at_peak.base_bfloat16": size}
    assert verdict_of("C01", of_70b("lora", numbers)) is expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [([0.0005], Verdict.SUPPORTED), ([0.0052], Verdict.CONTRADICTED), ([0.0005, 0.0052], Verdict.PARTLY)],
)
def test_c03_shares_that_train_decide(share: list[float], expected: Verdict) -> None:
    """Below a thousandth supports, above contradicts, both are partly; the least and the most of a model are shown."""
    made = [record(fixed_shape("lora", rank=rank + 1)) for rank in range(len(share))]
    counts = [{"parameters.total": 10**9, "parameters.trainable": int(10**9 * one), "parameters.trainable_share": one}
              for one in share]  # fmt: skip
    records = [replace(one, metrics={**one.metrics, **count}) for one, count in zip(made, counts, strict=True)]
    assert verdict_of("C03", *records) is expected


@pytest.mark.parametrize(("times", "expected"), [(0.15, "supported"), (0.5, "contradicted"), (1.0, "contradicted")])
def test_c05_the_step_decides_with_its_interval(times: float, expected: str) -> None:
    """LoRA's step at 15 % of Full's supports a fifth to a tenth; half of it, and all of it, contradict."""
    records = [sped(method, seconds, seed) for method, seconds in (("full", 2.0), ("lora", 2.0 * times))
               for seed in SEEDS]  # fmt: skip
    assert verdict_of("C05", *records) == expected


def test_c05_one_run_of_each_decides_nothing() -> None:
    """A ratio of single runs has no interval: it is shown, and leaves the claim untested."""
    said, evidence = found("C05", sped("full", 2.0, 0), sped("lora", 0.3, 0))
    assert said is Verdict.UNTESTED
    assert [one.cell.text for one in evidence] == ["0.150×"]


@pytest.mark.parametrize(("times", "expected"), [(2.5, "supported"), (1.2, "contradicted")])
def test_c13_speed_is_judged_by_its_own_range(times: float, expected: str) -> None:
    """Two and a half times as fast lies within LoRA's 2 to 3, 1.2 times does not."""
    records = [sped(method, seconds, seed) for method, seconds in (("full", 2.0), ("lora", 2.0 / times))
               for seed in SEEDS]  # fmt: skip
    assert verdict_of("C13", *records) == expected


@pytest.mark.parametrize(("right", "expected"), [(175, "supported"), (80, "contradicted"), (155, "untested here")])
def test_c14_quality_is_judged_by_the_lower_end(right: int, expected: str) -> None:
    """Better than Full is above 95 %; half as good is not; 97 % with an interval around 95 % is left open."""
    assert verdict_of("C14", scored(learning("full"), 160), scored(learning("lora"), right)) == expected


def test_c17_the_printed_line_is_counted_again() -> None:
    """41,943,040 parameters contradict 33,554,432; the guide's own number would support it."""
    config = {"model": "llama-3.1-8b", "rank": 16, "targets": "all-linear"}
    for trained, total, expected in ((41_943_040, 8_072_204_288, "contradicted"),
                                     (33_554_432, 8_046_432_704, "supported")):  # fmt: skip
        numbers = {"parameters.trainable": trained, "parameters.total": total,
                   "parameters.trainable_share": trained / total}  # fmt: skip
        assert verdict_of("C17", of_70b("qlora", numbers, **config)) == expected


def test_c18_halves_depend_on_what_they_are_halves_of() -> None:
    """States in 8 bits are half of those in 16 and a quarter of those in 32: partly."""
    states = {"adamw": 4, "adamw_32bit": 8, "paged_adamw_8bit": 2}
    records = [of_70b("full", {"paging.state_bytes": size * GB}, optimizer=name) for name, size in states.items()]
    assert verdict_of("C18", *records) is Verdict.PARTLY


@pytest.mark.parametrize(
    ("all_linear", "narrow", "expected"), [(150, 90, "supported"), (90, 150, "contradicted"), (90, 90, "untested here")]
)
def test_c20_layers_are_paired_on_the_same_items(all_linear: int, narrow: int, expected: str) -> None:
    """Sixty items more support, sixty fewer contradict, and a tie decides nothing."""
    records = [scored(learning("lora", targets=targets), right)
               for targets, right in (("all-linear", all_linear), ("query-value", narrow))]  # fmt: skip
    assert verdict_of("C20", *records) == expected


def sharded(
    strategy: str, seconds: float, seed: int, *, device: str = "cpu", again: int = 0, **settings: Any
) -> RunRecord:
    """QLoRA shared by two processes whose step takes so long, and which quantises so many weights again in it."""
    own = {"study": "distributed", "strategy": strategy, "device": device, **settings}
    made = sped("qlora", seconds, seed)
    metrics = {**made.metrics, "distributed.quantizations": again, "distributed.expansions": 417 + again}
    return replace(made, config=fixed_shape("qlora", seed=seed, **own), metrics=metrics)


@pytest.mark.parametrize(("again", "expected"), [(0, Verdict.CONTRADICTED), (417, Verdict.SUPPORTED)])
def test_c22_conversions_decide_anywhere_and_seconds_not_on_a_cpu(again: int, expected: Verdict) -> None:
    """Weights quantised again support the claim; a step on shared cores stands beside it, however slow it is."""
    records = [sharded("zero3", 9.0, seed, again=again) for seed in SEEDS]
    records += [sharded("fsdp2", 1.0, seed, forward_prefetch=True) for seed in SEEDS]

    said, evidence = found("C22", *records)

    assert said is expected
    assert [one.holds is None for one in evidence] == [False, False, True]


def test_c22_seconds_decide_on_gpus() -> None:
    """Nothing quantised again and a slower step: partly so."""
    records = [sharded("zero3", 9.0, seed, device="cuda") for seed in SEEDS]
    records += [sharded("fsdp2", 1.0, seed, device="cuda", forward_prefetch=True) for seed in SEEDS]

    assert verdict_of("C22", *records) is Verdict.PARTLY


def test_c31_what_fits_one_card_decides() -> None:
    """Only QLoRA fits: supported. LoRA fitting too makes it partly."""

    def fitting(method: str, *, fits: bool) -> RunRecord:
        made = predicted(fixed_shape(method), "a100-80gb", fits=fits)
        return replace(made, config=made.config.but(**LARGE))

    records = [fitting("full", fits=False), fitting("lora", fits=False), fitting("qlora", fits=True)]
    assert verdict_of("C31", *records) is Verdict.SUPPORTED
    assert verdict_of("C31", *records[:1], fitting("lora", fits=True), records[2]) is Verdict.PARTLY


@pytest.mark.parametrize("claim", ["C10", "C32"])
def test_a_cpu_never_decides_a_claim_about_gpus(claim: str) -> None:
    """State in a mapped file stands beside claims about managed memory, however slow it is; a GPU's run decides."""
    on_cpu = paged("limit", 0.5)
    said, evidence = found(claim, on_cpu)
    assert said is Verdict.UNTESTED
    assert evidence
    on_gpu = paged("ballast", 0.5, device="cuda", optimizer="paged_adamw_8bit")
    assert verdict_of(claim, replace(on_gpu, device="example-gpu")) is not Verdict.UNTESTED


def test_the_ways_of_judging_differ() -> None:
    """A number without an interval decides where it cannot vary, not where it does, and never beside a claim."""
    sure, wide = Cell(0.5, "x", kind="derived"), Cell(0.5, "x", 0.1, 0.9, kind="derived")
    assert exact("", sure, 0, 1).holds is True
    assert exact("", sure, 0.6, 1).holds is False
    assert varying("", sure, 0, 1).holds is None
    assert varying("", wide, 0, 1).holds is True
    assert varying("", wide, 0.4, 1).holds is None
    assert beside("", sure).holds is None
