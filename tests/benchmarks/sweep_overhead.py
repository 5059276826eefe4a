"""What handing out a run to a cluster costs: sweeps of made-up runs over a Ray cluster on this machine.

Run by `tox -e sweep-overhead` (two minutes on two cores). Exits with 1 where a case takes longer than is promised, or
where many cases take longer each than few.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench.launch.cluster.pools import pools
from bench.launch.cluster.remote import Order
from bench.launch.cluster.sweep import ClusterSweep, connected
from bench.launch.sweep import Repeat
from bench.schema.config import configure

CASES = (125, 250, 500, 1000)
MOST_S = 0.020
"""Promised of a case, the made-up run itself included."""
GROWTH = 1.5
"""How much longer a case may take among the most than among the fewest: linear, on a busy machine."""


def seconds(address: str, count: int) -> float:
    """Return what a case of `count` takes, in seconds; what the first run of a node imports is not counted."""
    reference = configure(model="tiny-llama", method="lora", task="addition")
    configs = [reference.but(rank=rank) for rank in range(1, count + 1)]
    order = Order("cpu", None, dry=True)
    with tempfile.TemporaryDirectory() as folder, connected(address) as ray:
        found = pools(ray, (), order)
        ClusterSweep(Path(folder, "warm"), configs[:8], found, order, Repeat(), lambda _: None).run(ray)
        sweep = ClusterSweep(Path(folder, "all"), configs, found, order, Repeat(), lambda _: None)
        begun = time.perf_counter()
        sweep.run(ray)
        spent = time.perf_counter() - begun
    assert (sweep.made, sweep.lost) == (count, [])
    return spent / count


def main() -> int:
    """Time sweeps of several sizes; return 1 where what is promised does not hold."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        found = {count: seconds(cluster.address, count) for count in CASES}
    finally:
        cluster.shutdown()
    for count, each in found.items():
        print(f"{count:5d} cases: {1000 * each:5.1f} ms a case")
    slow, grows = found[CASES[-1]] > MOST_S, found[CASES[-1]] > GROWTH * found[CASES[0]]
    print("too slow" if slow else "grows" if grows else "as promised")
    return 1 if slow or grows else 0


if __name__ == "__main__":
    sys.exit(main())
