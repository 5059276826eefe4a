"""Pages written by several processes are those that one would write, and nobody outlives the build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import BadValueError, StoreError, UnknownNameError
from bench.report.site import parallel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux writes pages in forks")


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_what_forks_make_comes_in_the_order_of_the_items(count: int) -> None:
    """However many forks share the work, the answers are those of one process, in its order; none is lost."""
    items = list(range(20))
    assert list(parallel.forked(lambda item: (item, "x" * 100_000), items, count)) == [
        (item, "x" * 100_000) for item in items
    ]


def test_many_items_are_made_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many items on two cores none is made in this process, and of few all are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    many = [*range(parallel.FEWEST)]
    assert os.getpid() not in {*parallel.mapped(lambda _: os.getpid(), many)}
    assert {*parallel.mapped(lambda _: os.getpid(), many[:-1])} == {os.getpid()}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BadValueError("five is no page"), "five is no page"),
        (UnknownNameError("metric", "loos", ["loss"]), "unknown metric 'loos'"),
    ],
    ids=["sent as it is", "made of more than its words"],
)
def test_what_goes_wrong_in_a_fork_is_raised_here(error: Exception, words: str) -> None:
    """An error keeps its kind and words, also one whose constructor takes more than its words."""

    def work(item: int) -> int:
        if item == 5:
            raise error
        return item

    with pytest.raises(type(error), match=words):
        list(parallel.forked(work, range(10), 2))


def test_a_killed_fork_is_told_and_not_waited_for() -> None:
    """A fork that the system kills, as when memory is short, ends the build with one line."""

    def work(item: int) -> int:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(StoreError, match="killed; is memory short"):
        list(parallel.forked(work, range(10), 2))


def test_no_fork_outlives_a_killed_build(tmp_path: Path) -> None:
    """Forks end with the process that reads them, even where it could say nothing."""
    script = (
        "import os, pathlib, sys\n"
        "from bench.report.site.parallel import forked\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "def work(item):\n"
        "    (folder / str(os.getpid())).touch()\n"
        "    return 'x' * 1_000_000\n"
        "for number, _ in enumerate(forked(work, range(100_000), 3)):\n"
        "    if number == 10:\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    forks = [int(file.name) for file in tmp_path.iterdir()]
    assert len(forks) == 3
    deadline = time.monotonic() + 30
    while left := [fork for fork in forks if _runs(fork)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
