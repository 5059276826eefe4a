"""How fast should each method learn, and where does training break down?

The guide's ranges (section 6.5: LoRA 1e-4 to 5e-4; QLoRA 1e-4 to 3e-4 with a warm-up of 10 to 20 %) and beyond both
ends, up to rates at which the loss no longer falls. Claim C23.
"""

from __future__ import annotations

import itertools

from bench.launch.work import Work

RATES = {
    "full": (1e-5, 1e-4, 1e-3),
    "lora": (1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 5e-2),
    "qlora": (1e-4, 2e-4, 3e-4, 1e-3, 5e-2),
}
WARM_UPS = (0.0, 0.1, 0.2)
SPREAD = (2e-4, 1e-3, 5e-3)
"""Rates that more seeds are trained at, to see how far those are apart."""


def parameters(work: Work) -> dict[str, object]:
    """Return methods with their rates, and warm-ups."""
    few = {method: tuple(dict.fromkeys((*of[:2], of[-1]))) for method, of in RATES.items()}
    rates = few if work.scale == "smoke" else RATES
    wanted = tuple(itertools.product((3e-4,) if not work.thorough else RATES["qlora"], WARM_UPS))
    return {
        "method_rate": [{"method": method, "learning_rate": rate} for method, of in rates.items() for rate in of],
        "warmup": [{"learning_rate": rate, "warmup_ratio": share} for rate, share in wanted],
        "spread_rate": SPREAD[:1] if work.scale == "smoke" else SPREAD,
    }


def test_rate(measure, work, method_rate):
    """Accuracy and loss by method and learning rate, warm-up 10 %."""
    measure(work.short(**method_rate), rounds=work.seeds)


def test_warmup(measure, work, warmup):
    """QLoRA by the share of steps in which the rate rises."""
    measure(work.short("qlora", **warmup), rounds=work.seeds)


def test_spread(measure, work, spread_rate):
    """LoRA with several seeds: how far apart are trainings that differ by nothing else?"""
    measure(work.short("lora", learning_rate=spread_rate), rounds=max(3 if work.scale != "smoke" else 2, work.seeds))
