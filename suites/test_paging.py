"""What do page faults cost when the optimiser's state is not where the step needs it?

On a GPU: bitsandbytes' paged optimisers against their resident twins, state in CUDA's managed
memory. On a CPU: the host's analogue, AdamW with its state in a mapped file.
"""

from __future__ import annotations

from bench.launch.work import Work


def parameters(work: Work) -> dict[str, object]:
    """Return the optimisers, ways and shares of a device, or why there are none."""
    if work.device == "cpu":
        optimizers: dict[str, object] = {"resident_optimizer": ("adamw_fused",), "paged_optimizer": ("mapped_adamw",)}
        counted: object = "unified-memory counters count on NVIDIA GPUs"
        limits: object = ({"paging": "limit", "paging_fraction": 0.5},)
    else:
        optimizers = {
            "resident_optimizer": ("adamw_8bit", "adamw_32bit"),
            "paged_optimizer": ("paged_adamw_8bit", "paged_adamw_32bit"),
        }
        counted = (0.0, 1.0)
        ballast = ({"paging": "ballast", "paging_fraction": 0.2},)
        limits = ballast if work.oversubscribe else "really runs the GPU out of room; ask for it with --oversubscribe"
    return {
        **optimizers,
        "path": ("prefetch", "fault"),
        "fraction": (0.0, 0.25, 0.5, 0.75, 1.0) if work.thorough else (0.0, 1.0),
        "counted_fraction": counted,
        "limiting": limits,
    }


def test_resident(measure, work, resident_optimizer):
    """The same work with all state in plain memory: what a step takes that cannot page."""
    measure(work.paging(resident_optimizer), rounds=1)


def test_stall(measure, work, paged_optimizer, path, fraction):
    """A share of the state is moved out before every other pair of steps and comes back by prefetch or by faults."""
    measure(work.paging(paged_optimizer, paging=path, paging_fraction=fraction), rounds=1)


def test_under_a_limit(measure, work, paged_optimizer, limiting):
    """Cold steps run where half of the state has no room: a memory limit on a host, another process on a GPU."""
    measure(work.paging(paged_optimizer, **limiting), rounds=1)


def test_counters(measure, work, paged_optimizer, path, counted_fraction):
    """A second pass with the counters on: faults, batches, bytes by direction and cause. It gives no headline time."""
    measure(work.paging(paged_optimizer, paging=path, paging_fraction=counted_fraction, uvm_counters=True), rounds=1)
