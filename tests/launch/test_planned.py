"""What suites would run, asked of them."""

from __future__ import annotations

import pytest

from bench.errors import BadValueError, UnknownNameError
from bench.launch.planned import cases, planned

SMOKE = ["--scale", "smoke", "--model", "tiny-llama", "--device", "cpu"]


def test_the_suites_say_what_is_run():
    """The cases of a suite, narrowed by -k, are those that the suite itself would run at that scale."""
    configs = planned(["methods"], [*SMOKE, "-k", "speed and not full"])
    assert [config.method for config in configs] == ["lora", "qlora"]
    assert {config.model for config in configs} == {"tiny-llama"}
    assert len({config.case for config in configs}) == 2


def test_a_suite_that_does_not_exist_is_named():
    """A typing mistake lists the suites there are."""
    with pytest.raises(UnknownNameError, match=r"'method'.*Did you mean 'methods'"):
        planned(["method"], [])


@pytest.mark.parametrize("more", [["-k", "nothing_is_called_so"], ["--scale", "enormous"]])
def test_nothing_to_run_is_refused(more):
    """Neither a selection of nothing nor an option that the suites refuse starts a comparison; both say why."""
    with pytest.raises(BadValueError) as refused:
        planned(["methods"], [*SMOKE, *more])
    assert "\n" not in str(refused.value)


def test_every_seed_is_a_run_and_a_case_is_asked_for_once():
    """Rounds are seeds from 0 on, as the suites number them; a comparison takes the first of each case."""
    runs = planned(["rank"], [*SMOKE, "--scale", "full", "-k", "test_learning and (1 or 2) and not (6 or 8)"])
    assert {run.seed for run in runs} == {0, 1, 2}
    assert len(runs) == 3 * len(cases(runs)) == len({(run.case, run.seed) for run in runs})
    assert all(run.seed == 0 for run in cases(runs))
