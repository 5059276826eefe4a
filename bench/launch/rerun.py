"""Make the run of a record again: the same config, on this machine, with the versions installed here."""

from __future__ import annotations

from pathlib import Path

from bench import store
from bench.launch.fetch import Supplies
from bench.launch.launchers import launcher_for
from bench.launch.predict import made_by, predict_one
from bench.launch.sweep import locked
from bench.schema import RunConfig
from bench.schema.catalogue import is_predicted


def rerun(config: RunConfig, results: Path, data_dir: Path | None) -> store.Stored:
    """Run `config` in a process of its own and keep its record below `results`; a prediction is predicted again.

    Fetches what is not on this machine; where that fails, the record says what it lacked. Raises `BusyError` while
    something else runs into that folder, and `StoreError`.
    """
    if is_predicted(config.device):
        return predict_one(config, results)
    Supplies(data_dir).try_to_bring(config.model, config.task)
    with locked(results), launcher_for(config.device, data_dir=data_dir) as launcher:
        return made_by(launcher, config, results)
