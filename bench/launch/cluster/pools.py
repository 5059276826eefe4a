"""The nodes of a cluster that one kind of run can be on: those with an accelerator of a type, or all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BadValueError
from bench.launch.cluster import remote
from bench.launch.cluster.remote import Node, Order, Refusal
from bench.launch.machine import code_hash
from bench.schema import RunConfig
from bench.schema.studies import devices

ACCELERATOR = "accelerator_type:"
"""How Ray names the resource that says which accelerators a node has."""

Described = Mapping[str, Any]
"""A node as Ray describes it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes that are alike: what they are for a record, how many runs they make at once, what a run asks Ray for.

    `most_gpus` is what the node with most of them has.
    """

    node: Node
    slots: int
    asked: Mapping[str, Any]
    device: str
    most_gpus: int

    def asked_by(self, config: RunConfig) -> Mapping[str, Any]:
        """Return what a run asks for: a GPU for each device that shares it, if a node has so many.

        If none has, it gets them all and says itself what is missing.
        """
        if "num_gpus" not in self.asked:
            return self.asked
        return {**self.asked, "num_gpus": min(devices(config.study_options), self.most_gpus)}


def default_device(ray: Any) -> str:
    """Return what is measured where nobody says: the GPUs of a cluster that has some, else its processors."""
    return "cuda" if ray.cluster_resources().get("GPU") else "cpu"


def pools(ray: Any, accelerators: Sequence[str], order: Order) -> list[Pool]:
    """Ask the cluster's nodes what they are; one pool for each of `accelerators`, or one of all nodes if none is named.

    Raises `BadValueError` for an accelerator that no node has, for nodes of a pool that differ, and for nodes that
    have another ftbench.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not accelerators:
        return [_pool(ray, nodes, None, order)]
    known = {accelerator: [node for node in nodes if f"{ACCELERATOR}{accelerator}" in node["Resources"]]
             for accelerator in accelerators}  # fmt: skip
    for accelerator, having in known.items():
        if not having:
            raise BadValueError(f"no node of the cluster has the accelerator {accelerator!r}; it has {_types(nodes)}.")
    return [_pool(ray, having, accelerator, order) for accelerator, having in known.items()]


def _types(nodes: Sequence[Described]) -> str:
    names = {name for node in nodes for name in node["Resources"] if name.startswith(ACCELERATOR)}
    return ", ".join(sorted(name.removeprefix(ACCELERATOR) for name in names)) or "none"


def _pool(ray: Any, nodes: Sequence[Described], accelerator: str | None, order: Order) -> Pool:
    asked = _asked(nodes, accelerator, order)
    usable = [node for node in nodes if _slots(node, asked)]
    if not usable:
        said = ", ".join(f"{name}={value:g}" for name, value in asked.items() if name.startswith("num_"))
        raise BadValueError(f"no node of the cluster has what a run needs: {said}.")
    alike = _alike(on_each(ray, usable, asked, remote.describe, order))
    # made-up records are of no device, and each type has its own
    device = f"{alike.slug}-{accelerator.lower()}" if order.dry and accelerator else alike.slug
    most = max(int(node["Resources"].get("GPU", 0)) for node in usable)
    return Pool(alike, sum(_slots(node, asked) for node in usable), asked, device, most)


def _alike(nodes: Sequence[Node]) -> Node:
    """Return what all nodes are. Raises `BadValueError` where they differ, from each other or from this machine."""
    kinds = Counter((node.slug, tuple(sorted(node.stack.items())), node.code) for node in nodes)
    if len(kinds) > 1:
        said = "; ".join(f"{slug} with {_versions(stack)}, code {code}, on {count}"
                         for (slug, stack, code), count in kinds.most_common())  # fmt: skip
        raise BadValueError(f"the cluster's nodes differ, so their numbers would not be one device's: {said}. "
                            "Name one kind with --accelerator, or install the same on all.")  # fmt: skip
    here = code_hash()
    if nodes[0].code != here:
        raise BadValueError(f"the cluster's nodes have another ftbench (code {nodes[0].code}) than this machine "
                            f"(code {here}); install the same on all.")  # fmt: skip
    return nodes[0]


def _versions(stack: Sequence[tuple[str, object]]) -> str:
    return ", ".join(f"{name.removeprefix('package.')} {version}" for name, version in stack)


def _asked(nodes: Sequence[Described], accelerator: str | None, order: Order) -> dict[str, Any]:
    """Return what a run asks for: a GPU; a whole node where its processor is measured; else one core."""
    asked: dict[str, Any] = {"num_cpus": 1}
    if order.device == "cuda" and not order.dry:
        asked["num_gpus"] = 1
    elif order.device == "cpu" and not order.dry:
        cores = [node["Resources"]["CPU"] for node in nodes if node["Resources"].get("CPU")]
        asked["num_cpus"] = min(cores, default=1)
    if accelerator:
        asked["accelerator_type"] = accelerator
    return asked


def _slots(node: Described, asked: Mapping[str, Any]) -> int:
    """Return how many runs a node can make at once."""
    has = node["Resources"]
    by_cores = has.get("CPU", 0) // asked["num_cpus"]
    return int(min(by_cores, has.get("GPU", 0) // asked["num_gpus"]) if "num_gpus" in asked else by_cores)


def on_each(
    ray: Any, nodes: Sequence[Described], asked: Mapping[str, Any], call: Callable[..., Any], *given: Any
) -> list[Any]:
    """Call a function of `remote` on every node, and return what they answer.

    Raises `BadValueError` for what a node refuses.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asking = ray.remote(call)
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = ray.get([asking.options(**asked, scheduling_strategy=place).remote(*given) for place in places])
    return [answered(answer) for answer in answers]


def answered(answer: Any) -> Any:
    """Return an answer, or raise `BadValueError` for a refusal."""
    if isinstance(answer, Refusal):
        raise BadValueError(f"a node of the cluster refuses: {answer.why}")
    return answer
