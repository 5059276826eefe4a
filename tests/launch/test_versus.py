"""What a comparison runs is asked of the suites; what it cannot compare it refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BadValueError, ConfoundedError, FtbenchError, UnknownNameError
from bench.launch.versus import Versus, planned
from tests.comparisons import cases
from tests.wheels import wheel

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


def versus(folder: Path, old: object, new: object, pairs: int = 2, allowed: tuple[str, ...] = ()) -> Versus:
    return Versus(str(old), str(new), folder, cases(1), pairs, None, allowed, lambda _: True)


def test_sides_that_differ_by_more_than_is_tested_are_refused(tmp_path, monkeypatch):
    """A release that drags another package along is refused by both names, before any run; nothing is left running."""
    wheel(tmp_path / "wheels", "ftbench_other", "1.0")
    old = wheel(tmp_path / "wheels", "ftbench_needy", "1.0")
    new = wheel(tmp_path / "wheels", "ftbench_needy", "2.0", needs="ftbench_other==1.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    with pytest.raises(ConfoundedError, match=r"ftbench-other absent and 1\.0"):
        versus(tmp_path / "folder", old, new).run(lambda _: None)
    assert not (tmp_path / "folder" / "old").exists()


def test_one_pair_is_refused(tmp_path):
    """A single pair has no spread, and is refused with the number."""
    with pytest.raises(BadValueError, match="--pairs 1"):
        versus(tmp_path, "installed", "installed", pairs=1).run(lambda _: None)


def test_what_is_simulated_is_refused(tmp_path):
    """A GPU that is not there cannot be measured in turns; the line names it."""
    configs = planned(["methods"], ["--scale", "smoke", "--device", "fake:l40s", "-k", "speed and lora"])
    with pytest.raises(BadValueError, match="fake:l40s"):
        Versus("installed", "installed", tmp_path, configs, 2, None, (), lambda _: True).run(lambda _: None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"comparison": "c0ffee"}'])
def test_a_charter_that_is_not_one_is_refused(tmp_path, text):
    """A truncated or foreign file in the comparison's place ends in a line of its own, not in a traceback."""
    (tmp_path / "comparison-of.json").write_text(text)
    with pytest.raises(FtbenchError, match="comparison"):
        versus(tmp_path, "installed", "installed").run(lambda _: None)
