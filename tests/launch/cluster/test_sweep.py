"""Sweeps over a Ray cluster of several nodes: every run once on every accelerator, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from bench import cache, store
from bench.errors import BadValueError
from bench.launch.cluster.pools import pools
from bench.launch.cluster.remote import Order
from bench.launch.cluster.sweep import ClusterSweep, connected
from bench.launch.sweep import Repeat
from bench.schema import RunConfig, Status
from bench.schema.config import configure

Add = Callable[..., object]
DRY = Order("cpu", None, dry=True)


def configs(count: int) -> list[RunConfig]:
    """Make configs of as many cases."""
    return [configure(model="tiny-llama", method="lora", task="addition", rank=rank) for rank in range(1, count + 1)]


def swept(
    address: str, root: Path, wanted: Sequence[RunConfig], accelerators: Sequence[str] = (), order: Order = DRY
) -> ClusterSweep:
    """Make a sweep to its end."""
    with connected(address) as ray:
        made = ClusterSweep(root, wanted, pools(ray, accelerators, order), order, Repeat(), lambda _: None)
        made.run(ray)
    return made


def found(root: Path) -> Counter[tuple[str, str, int]]:
    """Count the records below a folder by device, case and seed."""
    return Counter((run.record.device, run.record.case, run.record.config.seed) for run in store.read(root)[0])


def test_every_run_is_made_once_on_every_accelerator(cluster: Cluster, add: Add, tmp_path: Path) -> None:
    """Two nodes of one type and one of another: each type makes each run once; asked again, nothing is made."""
    for accelerator in ("A100", "A100", "H100"):
        add(accelerator)
    wanted = [config.but(seed=seed) for config in configs(6) for seed in (0, 1)]

    first = swept(cluster.address, tmp_path, wanted, ["A100", "H100"])
    second = swept(cluster.address, tmp_path, wanted, ["A100", "H100"])

    assert (first.made, first.lost) == (24, [])
    assert found(tmp_path) == Counter(
        {(f"dry-{name}", config.case, config.seed): 1 for name in ("a100", "h100") for config in wanted}
    )
    assert (second.made, second.kept) == (0, 24)


@pytest.mark.slow
def test_a_killed_node_costs_a_retry_and_no_record(
    cluster: Cluster, add: Add, tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that dies in the middle of a real run: another makes the run, and every run has one record."""
    monkeypatch.setenv(cache.VARIABLE, str(tiny_cache))
    doomed, _ = add("A100"), add("A100")
    order = Order("cpu", None, dry=False)
    wanted = [config.but(steps=3, inspect=False) for config in configs(4)]
    killer = threading.Timer(9.0, lambda: cluster.remove_node(doomed, allow_graceful=False))
    killer.start()

    made = swept(cluster.address, tmp_path, wanted, ["A100"], order)
    killer.join()

    records = [run.record for run in store.read(tmp_path)[0]]
    assert made.lost == []
    assert sorted(record.case for record in records) == sorted(config.case for config in wanted)
    assert {record.status for record in records} == {Status.OK}


def command(cluster: Cluster, results: Path, *more: str) -> list[str]:
    """Return the command line of a made-up sweep over all suites."""
    return [sys.executable, "-m", "bench", "sweep", "suites/", "--ray", cluster.address, "--dry-run", "--scale", "full",
            "--model", "tiny-llama", "--device", "cpu", "--results", str(results), *more]  # fmt: skip


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(cluster: Cluster, add: Add, tmp_path: Path) -> None:
    """Killed in the middle, the same command makes the rest: no run twice, and what was there stays as it was."""
    add("A100"), add("A100")
    driver = subprocess.Popen(command(cluster, tmp_path), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.json"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}

    done = subprocess.run(command(cluster, tmp_path), capture_output=True, text=True, check=False)

    after = found(tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(before) >= 20
    assert all(path.read_bytes() == held for path, held in before.items())
    assert set(after.values()) == {1}
    assert len(after) > len(before)
    assert f"{len(after) - len(before)} runs made, {len(before)} kept from before, 0 lost" in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_runs_and_leaves_nobody(cluster: Cluster, add: Add, tmp_path: Path, tiny_cache: Path) -> None:
    """Interrupted in a real run, the driver says what it kept and ends with 130; the run on the node ends with it."""
    add("A100")
    line = [sys.executable, "-m", "bench", "sweep", "suites/test_rank.py", "-k", "cost", "--ray", cluster.address,
            "--scale", "full", "--model", "tiny-llama", "--device", "cpu", "--results", str(tmp_path)]  # fmt: skip
    environment = {**os.environ, cache.VARIABLE: str(tiny_cache)}
    driver = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)

    driver.send_signal(signal.SIGINT)

    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 130
    kept = len(list(tmp_path.rglob("*.json")))
    assert f"stopped after {kept} runs, which are kept below {tmp_path}/; the same command goes on." in said
    deadline = time.monotonic() + 20
    while keepers() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not keepers()


def keepers() -> list[str]:
    """Return the command lines of keepers of runs that Ray's workers started."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "bench.launch.keeper" in line and b"RAY_" in (folder / "environ").read_bytes():
                lines.append(line)
        except OSError:
            continue
    return lines


def test_an_accelerator_that_no_node_has_is_named(cluster: Cluster, add: Add, tmp_path: Path) -> None:
    """One line says which there are; nothing is run."""
    add("A100")
    with pytest.raises(BadValueError, match=r"no node of the cluster has the accelerator 'H100'; it has A100"):
        swept(cluster.address, tmp_path, configs(1), ["H100"])
    assert not found(tmp_path)


def test_a_cluster_without_room_for_a_run_says_what_it_needs(cluster: Cluster, tmp_path: Path) -> None:
    """A cluster of a head alone, which has no core for runs."""
    with pytest.raises(BadValueError, match=r"no node of the cluster has what a run needs: num_cpus=1"):
        swept(cluster.address, tmp_path, configs(1))


def test_nobody_at_the_address_is_one_line(tmp_path: Path) -> None:
    """An address without a cluster is the user's to mend, and no traceback."""
    with pytest.raises(BadValueError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        swept("127.0.0.1:1", tmp_path, configs(1))
