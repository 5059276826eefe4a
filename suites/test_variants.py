"""LoRA's variants: what does each cost and give beside LoRA, on a plain and on a 4-bit base?

Each with its own defaults, on all linear layers where it takes them, at the learning rate its authors or peft's
documentation give in relation to LoRA's. Claims C24 and C28.
"""

from __future__ import annotations

import pytest

from bench.launch.work import Work
from bench.schema.catalogue import METHODS

LIKE_LORA = (
    "lora", "dora", "rslora", "loraplus", "pissa", "olora", "eva", "loftq", "adalora", "mora", "adamix", "xlora",
)  # fmt: skip
OTHERS = ("vera", "ia3", "oft", "loha", "lokr", "miss", "randlora")
VARIANTS = tuple(name for name in (*LIKE_LORA, *OTHERS) if name in METHODS)
FEW = ("lora", "dora", "loraplus", "pissa", "adalora", "vera", "ia3")
"""Those that are trained on a 4-bit base on a CPU; on a GPU all are."""
FASTER = {"vera": 10.0, "ia3": 10.0}
"""Learning rate over LoRA's of methods that train few scales: VeRA 4e-3 beside 4e-4 (arXiv 2310.11454, table 8),
(IA)3 3e-3 beside 3e-4 (arXiv 2205.05638, section 3.3, and LoRA's usual)."""


def parameters(work: Work) -> dict[str, object]:
    """Return the methods that are trained on 4 bits."""
    return {"on_4_bits": ("lora", "dora", "vera") if work.scale == "smoke" else VARIANTS if work.thorough else FEW}


def settings(work: Work, method: str) -> dict[str, object]:
    """Return a method's learning rate, its layers, and what makes it fit a model of small layers."""
    made: dict[str, object] = {"learning_rate": work.learning_rate(method) * FASTER.get(method, 1.0)}
    if method not in ("ia3",):
        made["targets"] = "all-linear"
    if work.model == "tiny-llama":  # its layers have sides of 32 and 64
        made |= {"randlora": {"rank": 8}, "vera": {"rank": 16}}.get(method, {})
    return made


@pytest.mark.parametrize("method", VARIANTS)
def test_cost(measure, work, method):
    """Parameters, speed and memory on a plain base."""
    measure(work.speed(method, infer_tokens=0, **settings(work, method)), rounds=1)


@pytest.mark.parametrize("method", VARIANTS)
def test_learning(measure, work, method):
    """Accuracy on a plain base."""
    measure(work.short(method, **settings(work, method)), rounds=work.seeds)


def test_learning_on_4_bits(measure, work, on_4_bits):
    """Accuracy on a base in NF4."""
    measure(work.short(on_4_bits, base="nf4", **settings(work, on_4_bits)), rounds=work.seeds)
