"""Two sides of records become verdicts: what is worse is found, and what cannot be said is not said."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from bench.analysis.cases import ITEMS
from bench.analysis.gate.comparison import Comparison, Side, compare
from bench.analysis.gate.judge import to_confirm
from bench.analysis.gate.noise import noise
from bench.analysis.gate.rules import is_exact, is_judged
from bench.analysis.gate.sides import twins
from bench.analysis.gate.verdicts import ALL_CASES, STATE, Exit, Finding, Verdict
from bench.schema import Failure, Kind, Status
from bench.schema.metrics import METRICS
from bench.schema.pairing import Stage
from tests.comparisons import cases, holding, sides, slower
from tests.records import learning, record

MIB = 2**20


def found(comparison: Comparison, metric: str) -> list[Finding]:
    """The findings of single cases about a metric."""
    return [one for one in comparison.findings if one.metric == metric and one.case != ALL_CASES]


def verdicts(comparison: Comparison, metric: str) -> set[Verdict]:
    """The verdicts on a metric over all cases."""
    return {one.verdict for one in found(comparison, metric)}


def test_equal_versions_are_told_equal():
    """Pairs of equal versions with 0.5 % of noise: every finding is `unchanged`, and the comparison ends well."""
    told = compare(*sides())
    assert {one.verdict for one in told.findings} == {Verdict.UNCHANGED}
    assert told.ending is Exit.GOOD
    assert len(found(told, "train.step_seconds")) == 6


def test_five_percent_are_a_regression():
    """A step that takes 5 % longer on the new side is found in every case; most intervals hold the 5 %."""
    told = compare(*sides(change=lambda made: slower(made, 1.05)))
    assert verdicts(told, "train.step_seconds") == {Verdict.REGRESSED}
    assert told.ending is Exit.WORSE
    changes = [one.change for one in found(told, "train.step_seconds")]
    assert sum(change.low < 0.05 < change.high for change in changes) >= 4
    assert all(one.old < one.new for one in found(told, "train.step_seconds"))


def test_faster_is_no_regression():
    """A step that takes 5 % less is an improvement, and nothing fails."""
    told = compare(*sides(change=lambda made: slower(made, 0.95)))
    assert verdicts(told, "train.step_seconds") == {Verdict.IMPROVED}
    assert told.ending is Exit.GOOD


def test_what_only_the_screen_shows_is_not_claimed():
    """Without fresh pairs a slower step stays inconclusive, and `to_confirm` names its cases and no others."""
    slow = cases()[2].case
    old, new = sides(change=lambda made: slower(made, 1.05) if made.case == slow else made, stages=[Stage.SCREEN])
    told = compare(old, new)
    assert {one.verdict for one in found(told, "train.step_seconds") if one.case == slow} == {Verdict.INCONCLUSIVE}
    assert [twin.case for twin in to_confirm(twins(old.runs, new.runs))] == [slow]


def test_a_common_small_shift_shows_in_all_cases_together():
    """Twelve cases 1.5 % slower: no case says so, all together do, and that alone fails the comparison."""
    told = compare(*sides(cases(12), lambda made: slower(made, 1.015)))
    assert Verdict.REGRESSED not in verdicts(told, "train.step_seconds")
    of_all = [one for one in told.findings if one.case == ALL_CASES and one.metric == "train.step_seconds"]
    assert [one.verdict for one in of_all] == [Verdict.REGRESSED]
    assert told.ending is Exit.WORSE


def test_noise_that_hides_a_change_is_called_so():
    """With 2 % of noise a case is `inconclusive`, says how many pairs would tell, and fails only with --strict."""
    old, new = sides(cv=0.02)
    told = compare(old, new)
    hidden = [one for one in found(told, "train.step_seconds") if one.verdict is not Verdict.UNCHANGED]
    assert {one.verdict for one in hidden} == {Verdict.INCONCLUSIVE}
    assert len(hidden) > 2
    assert all(one.needed > 20 for one in hidden)
    assert told.ending is Exit.GOOD
    assert compare(old, new, strict=True).ending is Exit.UNKNOWN


def test_one_percent_more_memory_is_a_regression():
    """Peaks that rise by 1 % (9 MiB) regress; by 0.1 % they do not."""
    peak = record(cases(1)[0]).metrics["train.peak_allocated"]
    more = compare(*sides(change=lambda made: holding(made, train__peak_allocated=int(peak * 1.01))))
    assert verdicts(more, "train.peak_allocated") == {Verdict.REGRESSED}
    little = compare(*sides(change=lambda made: holding(made, train__peak_allocated=int(peak * 1.001))))
    assert verdicts(little, "train.peak_allocated") == {Verdict.UNCHANGED}


def test_one_run_a_side_is_not_enough_for_a_peak():
    """A peak that rose in a single pair is inconclusive: nobody knows whether it repeats."""
    told = compare(
        *sides(change=lambda made: holding(made, train__peak_allocated=2**31), pairs=1, stages=[Stage.SCREEN])
    )
    assert verdicts(told, "train.peak_allocated") == {Verdict.INCONCLUSIVE}


def test_an_exact_number_may_not_change():
    """One more trainable parameter is `changed`, and fails; acknowledged, by metric or by case, it does not."""
    old, new = sides(change=lambda made: holding(made, parameters__trainable=4_884_481))
    told = compare(old, new)
    assert verdicts(told, "parameters.trainable") == {Verdict.CHANGED}
    assert told.ending is Exit.WORSE
    known = ["parameters.trainable", "parameters.trainable_share"]
    assert compare(old, new, acknowledged=known).ending is Exit.GOOD
    one_case = [f"{cases()[0].case} parameters.trainable", "parameters.trainable_share"]
    assert compare(old, new, acknowledged=one_case).ending is Exit.WORSE


JUDGED = [name for name, metric in METRICS.items() if is_judged(metric)]


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("name", JUDGED)
def test_every_metric_knows_its_direction(name, up):
    """Half as much again of any judged metric, or a third less: worse where less is better, better where more is."""
    metric = METRICS[name]
    told = compare(*_with(name, up), wanted=lambda one: one == name)
    said = {one.verdict for one in found(told, name)}
    wanted = {"lower": (Verdict.REGRESSED, Verdict.IMPROVED), "higher": (Verdict.IMPROVED, Verdict.REGRESSED)}
    assert said == ({wanted[metric.better][not up]} if metric.better in wanted else {Verdict.CHANGED})
    assert is_exact(metric) or metric.better in wanted, "what has no direction is judged only where any change counts"


def _with(name, up):
    """Sides whose judged metric differs by a factor, wherever it is read from; exact ones repeat, others nearly."""
    rng = random.Random(name)

    def side(runs, factor):
        return tuple(type(run)(run.path, _set(run.record, name, factor, rng)) for run in runs)

    old, new = sides(cases(3))
    return Side("old", side(old.runs, 1.0)), Side("new", side(new.runs, 1.5 if up else 1 / 1.5))


def _set(made, name, factor, rng):
    if name in ITEMS:
        return replace(made, items={**made.items, ITEMS[name]: ("1" * round(50 * factor)).ljust(200, "0")})
    number = 2**30 * factor * (1 if is_exact(METRICS[name]) else rng.uniform(1, 1.0005))
    return holding(replace(made, series={}), **{name.replace(".", "__"): number})


def test_a_case_that_stops_running_is_broken():
    """ok that became an error is `broken`, in the error's words, and fails; the other way round it is `fixed`."""
    failure = Failure(phase="train", message="no kernel for this")
    dead = lambda made: replace(made, status=Status.ERROR, failure=failure, metrics={}, series={}, items={})  # noqa: E731
    old, new = sides(change=dead)
    told = compare(old, new)
    why = "ok became error: no kernel for this, in 10 of 10 pairs"
    assert {(one.verdict, one.why) for one in found(told, STATE)} == {(Verdict.BROKEN, why)}
    assert told.ending is Exit.WORSE
    back = compare(Side("old", new.runs), Side("new", old.runs))
    assert verdicts(back, STATE) == {Verdict.FIXED}


def test_what_fails_alike_on_both_sides_compares_nothing():
    """Cases unsupported on both sides are unchanged in state, but a comparison of only those compared nothing."""
    failure = Failure(phase="load", message="not here")
    refused = lambda made: replace(made, status=Status.UNSUPPORTED, failure=failure, metrics={}, series={}, items={})  # noqa: E731
    new = sides(change=refused)[1]
    told = compare(Side("old", new.runs), Side("new", new.runs))
    assert verdicts(told, STATE) == {Verdict.UNCHANGED}
    assert told.ending is Exit.NOTHING


def test_a_lost_case_is_missing():
    """A case that only the old side has is `missing`, and the comparison does not end well; a new one is only told."""
    old, new = sides()
    kept = tuple(run for run in new.runs if run.record.case != cases()[0].case)
    told = compare(old, Side("new", kept))
    assert [one.case for one in found(told, STATE) if one.verdict is Verdict.MISSING] == [cases()[0].case]
    assert told.ending is Exit.LOST
    assert compare(Side("old", kept), Side("new", old.runs)).ending is Exit.GOOD


def test_a_lost_number_is_missing():
    """A metric that only the old side holds is `missing` too: a gate must not go quiet."""
    without = lambda made: replace(  # noqa: E731
        made, metrics={name: number for name, number in made.metrics.items() if name != "train.peak_allocated"}
    )
    told = compare(*sides(change=without))
    assert verdicts(told, "train.peak_allocated") == {Verdict.MISSING}
    assert told.ending is Exit.LOST


@pytest.mark.parametrize("old", [True, False])
def test_an_empty_side_never_ends_well(old):
    """Nothing on one side, or on both, compares nothing."""
    full, nothing = sides()[0], Side("empty", ())
    told = compare(full, nothing) if old else compare(nothing, full)
    assert told.ending is not Exit.GOOD
    assert compare(nothing, nothing).ending is Exit.NOTHING


def test_runs_that_were_not_in_turns_get_no_verdict_on_time():
    """Stored runs of two days are never judged by their seconds, while exact numbers and peaks still are."""
    told = compare(*sides(change=lambda made: slower(made, 1.5), in_turns=False))
    assert verdicts(told, "train.step_seconds") == {Verdict.INCOMPARABLE}
    assert "in turns" in found(told, "train.step_seconds")[0].why
    assert verdicts(told, "parameters.trainable") == {Verdict.UNCHANGED}
    assert verdicts(told, "train.peak_allocated") == {Verdict.UNCHANGED}
    assert told.ending is Exit.LOST


@pytest.mark.parametrize(
    ("fact", "value", "scope"),
    [
        ("ftbench.code", "another", {"parameters.trainable", "train.peak_allocated", "train.step_seconds"}),
        ("package.numpy", "9.9", {"parameters.trainable", "train.peak_allocated", "train.step_seconds"}),
        ("python", "3.99", {"parameters.trainable", "train.peak_allocated", "train.step_seconds"}),
        ("cpu.model", "Other CPU", {"train.peak_allocated", "train.step_seconds"}),
        ("gpu.driver", "999", {"train.peak_allocated", "train.step_seconds"}),
        ("package.peft", "9.9", set()),
        ("host.load_average", 3.0, set()),
        ("gpu.sm_clock_hz", 345_000_000, set()),
        ("gpu.pcie_generation", 1, set()),
    ],
)
def test_what_differs_beside_the_tested_is_named(fact, value, scope):
    """Another harness or package spoils every number, another machine those of time and memory, what is tested none."""
    told = compare(*sides(change=lambda made: replace(made, environment={**made.environment, fact: value})))
    if fact == "ftbench.code":  # the helper writes it last
        old, new = sides()
        altered = tuple(
            type(run)(run.path, replace(run.record, environment={**run.record.environment, fact: value}))
            for run in new.runs
        )
        told = compare(old, Side("new", altered))
    watched = ("parameters.trainable", "train.peak_allocated", "train.step_seconds")
    spoilt = {name for name in watched if verdicts(told, name) == {Verdict.INCOMPARABLE}}
    assert spoilt == scope
    assert all(fact in one.why or "code that measures" in one.why for name in spoilt for one in found(told, name))


def test_another_package_can_be_allowed_to_differ():
    """--allow-diff numpy, or all, lets numpy differ; another name does not."""
    old, new = sides(change=lambda made: replace(made, environment={**made.environment, "package.numpy": "9.9"}))
    assert compare(old, new, allowed=["numpy"]).ending is Exit.GOOD
    assert compare(old, new, allowed=["all"]).ending is Exit.GOOD
    assert compare(old, new, allowed=["scipy"]).ending is Exit.LOST


def test_another_model_revision_spoils_everything():
    """Runs of other weights are not compared, whatever their case is called."""
    told = compare(*sides(change=lambda made: replace(made, resolved={**made.resolved, "model.revision": "b"})))
    assert told.ending is Exit.GOOD, "a side that says nothing contradicts nobody"
    old, new = sides(change=lambda made: replace(made, resolved={**made.resolved, "model.revision": "b"}))
    olds = tuple(
        type(run)(run.path, replace(run.record, resolved={**run.record.resolved, "model.revision": "a"}))
        for run in old.runs
    )
    told = compare(Side("old", olds), new)
    assert {one.verdict for one in told.findings if one.metric != STATE} == {Verdict.INCOMPARABLE}


def test_a_disturbed_pair_is_left_out_and_told():
    """A neighbour that kept half a core busy: its pairs say nothing about time, and too few pairs is said."""
    all_of_them = compare(*sides(change=lambda made: slower(holding(made, train__neighbour_cores=0.5), 1.5)))
    assert verdicts(all_of_them, "train.step_seconds") == {Verdict.INCOMPARABLE}
    assert all_of_them.ending is Exit.LOST, "nothing became known of time, however slow it was"
    assert verdicts(all_of_them, "train.peak_allocated") == {Verdict.UNCHANGED}
    once = lambda made: holding(made, train__neighbour_cores=0.5) if made.config.seed == 0 else made  # noqa: E731
    told = compare(*sides(change=once))
    assert verdicts(told, "train.step_seconds") == {Verdict.UNCHANGED}
    assert all("1 pairs left out" in one.why for one in found(told, "train.step_seconds"))


def test_accuracy_is_compared_seed_by_seed():
    """Six points less accuracy in every seed regress; and stored runs suffice, since it is no timing."""

    def worse(made):
        right = made.items["after"].replace("1", "0", 12)
        return replace(made, items={**made.items, "after": right})

    configs = [learning("lora", rank=rank) for rank in (2, 4, 8, 16)]
    told = compare(*sides(configs, worse, pairs=5, stages=[Stage.SCREEN], in_turns=False))
    assert verdicts(told, "evaluate.accuracy") == {Verdict.REGRESSED}
    assert all(abs(one.change.value + 0.06) < 0.01 for one in found(told, "evaluate.accuracy"))
    assert verdicts(told, "evaluate.accuracy_before") == {Verdict.UNCHANGED}


def test_other_answers_of_the_same_weights_are_told_item_by_item():
    """Before training, 15 of 200 items lost and none gained cannot be chance (McNemar)."""

    def worse(made):
        before = made.items["before"]
        return replace(made, items={**made.items, "before": before.replace("1", "0", 15)})

    told = compare(*sides([learning("lora")], worse))
    assert verdicts(told, "evaluate.accuracy_before") == {Verdict.REGRESSED}


def test_a_training_that_diverges_is_a_regression():
    """A loss that is not finite on the new side regresses `train.diverged`, and the lost last loss is told."""

    def diverging(made):
        losses = (*made.series["step.loss"][:3], None, *made.series["step.loss"][4:])
        return replace(made, series={**made.series, "step.loss": losses})

    told = compare(*sides(change=diverging))
    assert verdicts(told, "train.diverged") == {Verdict.REGRESSED}


def test_a_pair_made_again_after_an_interruption_stands_whole():
    """Half a pair of a killed attempt is not paired with a later run."""
    old, new = sides(cases(1), stages=[Stage.SCREEN])
    half = old.runs[0]
    later = replace(half.record, environment={**half.record.environment, "pair.attempt": 1})
    told = twins([type(half)(half.path, later), *old.runs[1:]], new.runs)
    assert len(told[0].pairs) == 4


def test_an_allowed_difference_does_not_hide_a_change():
    """With numpy allowed to differ, a case that is half as slow again is confirmed and found all the same."""
    both = lambda made: slower(replace(made, environment={**made.environment, "package.numpy": "9"}), 1.5)  # noqa: E731
    old, new = sides(change=both, stages=[Stage.SCREEN])
    assert to_confirm(twins(old.runs, new.runs)) == []
    assert len(to_confirm(twins(old.runs, new.runs), allowed=["NumPy"])) == 6
    assert compare(*sides(change=both), allowed=["numpy"]).ending is Exit.WORSE


@pytest.mark.parametrize("kind", [Kind.DRY, Kind.PREDICTED, Kind.PUBLISHED])
def test_only_what_was_measured_is_compared(kind):
    """Made-up, predicted and published records are counted as not compared, and never pass for either side."""
    old, new = sides(change=lambda made: replace(made, kind=kind))
    told = compare(old, new)
    assert told.ending is Exit.LOST
    assert told.not_compared() == 60
    assert compare(Side("old", new.runs), new).ending is Exit.NOTHING


def test_a_number_that_has_no_ratio_is_told():
    """A stall that is not above 0 has no ratio: the metric is inconclusive, instead of losing those pairs."""

    def stalls(made):
        return holding(replace(made, series={}), paging__stall=0.01 if made.config.seed else -0.01)

    old, new = sides(cases(3), stalls)
    told = compare(Side("old", new.runs), Side("new", new.runs), wanted=lambda name: name == "paging.stall")
    assert verdicts(told, "paging.stall") == {Verdict.INCONCLUSIVE}
    assert told.ending is Exit.UNKNOWN
    assert len(old.runs) == len(new.runs)


def test_one_flaky_run_breaks_nothing():
    """One timeout in ten pairs is inconclusive and named; two are broken; and the differing pair is what is quoted."""
    failure = Failure(phase="train", message="took too long")

    def flaky(*seeds):
        def change(made):
            dead = {"status": Status.TIMEOUT, "failure": failure, "metrics": {}, "series": {}, "items": {}}
            return replace(made, **dead) if made.config.seed in seeds else made

        return change

    once = compare(*sides(change=flaky(3)))
    assert {(one.verdict, one.why) for one in found(once, STATE)} == {
        (Verdict.INCONCLUSIVE, "ok became timeout: took too long, in one of 10 pairs")
    }
    assert verdicts(compare(*sides(change=flaky(3, 7))), STATE) == {Verdict.BROKEN}


def test_accuracies_without_items_are_told():
    """A record that holds an accuracy before training but not which items were right ends in no traceback."""
    bare = lambda made: holding(replace(made, items={}), evaluate__accuracy_before=0.1)  # noqa: E731
    new = sides(change=bare)[1]
    told = compare(Side("old", new.runs), Side("new", new.runs))
    assert verdicts(told, "evaluate.accuracy_before") == {Verdict.INCOMPARABLE}


def test_one_outlier_does_not_hide_a_peak():
    """A peak 10 % higher in nine of ten pairs regresses although one run has the old one."""
    peak = record(cases(1)[0]).metrics["train.peak_allocated"]
    told = compare(*sides(change=lambda made: holding(made, train__peak_allocated=int(
        peak * (1.1 if made.config.seed else 1)))))  # fmt: skip
    assert verdicts(told, "train.peak_allocated") == {Verdict.REGRESSED}


def test_one_divergence_may_be_chance():
    """A training that diverges in one of ten seeds is inconclusive, in two it regresses."""

    def diverging(*seeds):
        def change(made):
            losses = (*made.series["step.loss"][:-1], 99.0)
            return replace(made, series={**made.series, "step.loss": losses}) if made.config.seed in seeds else made

        return change

    assert verdicts(compare(*sides(change=diverging(2))), "train.diverged") == {Verdict.INCONCLUSIVE}
    assert verdicts(compare(*sides(change=diverging(2, 4))), "train.diverged") == {Verdict.REGRESSED}


def test_pairs_of_several_stacks_are_not_pooled():
    """Stored seeds of which one compares releases of peft and another releases of torch say nothing together."""

    def mixed(made):
        package = "package.peft" if made.config.seed % 2 else "package.torch"
        return replace(made, environment={**made.environment, package: "9.9"})

    told = compare(*sides(change=mixed, in_turns=False))
    assert {one.verdict for one in told.findings if one.metric != STATE} == {Verdict.INCOMPARABLE}
    assert "several software stacks" in found(told, "parameters.trainable")[0].why


def test_what_was_acknowledged_and_not_found_is_told():
    """A list of known changes that has gone stale is named, and what is gone on purpose may be acknowledged."""
    old, new = sides()
    gone = cases()[0].case
    kept = Side("new", tuple(run for run in new.runs if run.record.case != gone))
    told = compare(old, kept, acknowledged=[f"{gone} state", "no.such.metric"])
    assert told.ending is Exit.GOOD
    assert told.unmatched == ("no.such.metric",)


def test_no_more_pairs_are_asked_for_than_were_made():
    """A change of about the margin's size is called that; it is not answered by fewer pairs than there are."""
    told = compare(*sides(change=lambda made: slower(made, 1.018)))
    asked = [one for one in found(told, "train.step_seconds") if one.needed]
    assert all(one.needed > one.pairs / 2 for one in asked)


def test_noise_is_measured_from_the_pairs():
    """Runs that vary by 1 % say so of themselves, whether the sides differ or not."""
    for change in (lambda made: made, lambda made: slower(made, 1.2)):
        old, new = sides(cases(12), change, cv=0.01)
        (step,) = [one for one in noise(twins(old.runs, new.runs)) if one.metric == "train.step_seconds"]
        assert step.typical == pytest.approx(0.01, rel=0.3)
        assert step.least <= step.typical <= step.most
        assert (step.cases, step.pairs) == (12, 60)
