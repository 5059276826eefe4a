"""Predict runs, in processes of their own like any others, and keep what others published beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import store
from bench.launch import journal, machine
from bench.launch.aftermath import utc_now
from bench.launch.launchers import launcher_for
from bench.launch.process import Launcher
from bench.schema import Kind, RunConfig, RunRecord, Status
from bench.schema.record import Number


def predict_one(config: RunConfig, results: Path | None = None) -> store.Stored:
    """Predict the run of `config`, whose device is "fake:<gpu>", and keep its record below `results` if given.

    A record that is not kept has an empty path. Raises `StoreError` where it cannot be kept.
    """
    with launcher_for(config.device, isolation="spawn") as launcher:  # which imports no more than this run needs
        return made_by(launcher, config, results)


def predict_all(configs: Iterable[RunConfig], results: Path | None) -> Iterator[store.Stored]:
    """Predict runs one after the other; what they need is imported once a card, where forking is safe."""
    with ExitStack() as stack:
        launchers: dict[str, Launcher] = {}
        for config in configs:
            if config.device not in launchers:
                launchers[config.device] = stack.enter_context(launcher_for(config.device))
            yield made_by(launchers[config.device], config, results)


def made_by(launcher: Launcher, config: RunConfig, results: Path | None) -> store.Stored:
    """Make one run by `launcher`, and keep its record below `results` if given; see `predict_one`."""
    record = launcher.run(config)
    if results is None:
        return store.Stored(Path(), record)
    path = journal.save(record, results)
    return store.Stored(path, record)


def published(config: RunConfig, device: str, metrics: Mapping[str, Number], citation: str) -> RunRecord:
    """Make the record of numbers that others published for the run of `config` on a GPU of the catalogue."""
    return RunRecord(
        config=config,
        kind=Kind.PUBLISHED,
        status=Status.OK,
        device=device,
        started=utc_now(),
        metrics=dict(metrics),
        citation=citation,
    )


def unpredicted(stored: Iterable[store.Stored]) -> list[RunConfig]:
    """Return the configs of published runs that no record predicts with the stack installed here, each once."""
    runs = [run.record for run in stored]
    stack = machine.stack()
    done = {
        (run.case, run.config.device)
        for run in runs
        if run.kind is Kind.PREDICTED and stack.items() <= run.environment.items()
    }
    wanted = {}
    for run in runs:
        if run.kind is Kind.PUBLISHED and (run.case, f"fake:{run.device}") not in done:
            wanted[run.case, run.device] = run.config.but(device=f"fake:{run.device}")
    return list(wanted.values())
