"""The suites that sweep a setting: what they plan at each scale, and their tables in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.test_suites import suites

TITLES = {
    "rank": ("What a higher rank gives", "What a higher rank costs"),
    "targets": ("What adapters on each kind of layer give", "What adapters on each kind of layer cost"),
    "sizes": ("How cost grows with the model",),
    "learning_rate": ("What each learning rate and warm-up gives", "How steadily each learning rate"),
    "optimizers": ("What optimisers keep", "What optimisers cost beside AdamW", "What optimisers give"),
    "recipes": ("The guide's use cases: what they give", "The guide's use cases: what they cost"),
    "variants": ("What LoRA's variants give", "What LoRA's variants cost"),
}
PLANNED = {
    "rank": [f"test_learning[{rank}]" for rank in (1, 2, 4, 8, 16, 32, 64, 128)],
    "targets": [f"test_learning[{kind}]" for kind in ("query-value", "attention", "mlp", "all-linear+embeddings")],
    "sizes": [f"test_cost[smollm2-360m-{method}]" for method in ("full", "lora", "qlora")],
    "learning_rate": ["test_rate[lora-0.0005]", "test_rate[qlora-0.0003]", "test_warmup[0.0003-0.2]"],
    "optimizers": ["test_cost[adafactor]", "test_cost[paged_adamw_8bit]", "test_learning[lion_8bit]"],
    "recipes": ["test_use_case[faq-as-the-guide-says]", "test_use_case[multimodal-fixed-rank]"],
    "variants": [f"test_learning[{method}]" for method in ("dora", "pissa", "vera", "ia3", "oft", "randlora")],
}


@pytest.mark.parametrize("name", TITLES)
def test_the_chain_ends_in_the_suites_own_tables(tmp_path: Path, name: str) -> None:
    """A dry run of all cases at the smallest scale shows what each gives and costs."""
    asked = "--benchmark-only", "--dry-run", "--scale", "smoke", "--device", "cpu"
    done = suites(*asked, "--results", tmp_path / "dry", suite=f"test_{name}.py")

    assert done.returncode == 0, done.stdout + done.stderr
    missing = [title for title in TITLES[name] if title not in done.stdout]
    assert missing == []


@pytest.mark.parametrize("name", PLANNED)
def test_what_the_question_is_about_is_planned(tmp_path: Path, name: str) -> None:
    """The plan has every value that the question names, in three lines of output or a hundred."""
    done = suites("--collect-only", "-q", "--device", "fake:l40s" if name == "sizes" else "cpu", "--results", tmp_path,
                  suite=f"test_{name}.py")  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert [test for test in PLANNED[name] if f"{test}: " not in done.stdout] == []
