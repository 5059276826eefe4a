"""What a comparison cannot compare it refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BadValueError, ConfoundedError, FtbenchError
from bench.launch.planned import planned
from bench.launch.versus import Versus
from tests.comparisons import cases
from tests.wheels import wheel


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
