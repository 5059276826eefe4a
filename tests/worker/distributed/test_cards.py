"""Which GPUs the processes of a run get: one each, of those that the run may see."""

from __future__ import annotations

import pytest

from bench.errors import UnsupportedError
from bench.schema.config import configure
from bench.worker.distributed import launch

ON_GPU = configure(model="tiny-llama", method="lora", task="addition", study="distributed", device="cuda")


def test_every_process_gets_one_of_the_cards_the_run_may_see(monkeypatch):
    """Numbers, UUIDs or parts of a card, as CUDA_VISIBLE_DEVICES names them; what is not needed is left alone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a0,5")

    assert launch._cards(ON_GPU, 2) == ("3", "GPU-8a0")


@pytest.mark.parametrize(("visible", "said"), [("0", "1 can be seen"), ("", "0 can be seen")])
def test_too_few_cards_are_refused_by_their_number(monkeypatch, visible, said):
    """Processes that share a card would measure each other."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    with pytest.raises(UnsupportedError, match=f"needs 2 GPUs, and {said}"):
        launch._cards(ON_GPU, 2)


def test_without_a_variable_all_cards_of_the_machine_count(monkeypatch):
    """They are called by their numbers."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(launch, "_count", lambda: 4)

    assert launch._cards(ON_GPU, 4) == ("0", "1", "2", "3")
