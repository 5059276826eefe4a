"""The real worker, with a process that goes wrong in its third step, as FTBENCH_TEST_SPOILED says. For tests only."""

from __future__ import annotations

import os
import signal
import time

import torch
from torch import distributed

from bench.worker import main as real
from bench.worker.loop import Trainer

SPOILED_STEP = 3


def main(folder: str) -> None:
    """Run the config in `folder`, spoiled."""
    step, how, made = Trainer.step, os.environ["FTBENCH_TEST_SPOILED"], [0]

    def spoiled(self, *arguments):
        made[0] += 1
        if made[0] == SPOILED_STEP and (distributed.get_rank() == 1 or how == "all hang"):
            spoil(how)
        return step(self, *arguments)

    Trainer.step = spoiled
    real.main(folder)


def spoil(how: str) -> None:
    """Let this process go wrong."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raises":
        raise ValueError("spoiled")
    if how == "memory":
        torch.empty(2**60, dtype=torch.uint8)
    time.sleep(3600)
