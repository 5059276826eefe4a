"""A Ray cluster of several nodes on this machine, with made-up accelerators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ray.cluster_utils import Cluster

AddNode = Callable[..., Any]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster whose head makes no runs; tests add nodes."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture
def add(cluster: Cluster) -> AddNode:
    """Add a node with an accelerator of a made-up type, which runs one thing at a time."""

    def add_node(accelerator: str) -> Any:
        node = cluster.add_node(num_cpus=1, resources={f"accelerator_type:{accelerator}": 1})
        cluster.wait_for_nodes()
        return node

    return add_node
