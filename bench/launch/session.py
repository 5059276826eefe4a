"""One session of the suites: what was asked for, what is done, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol, Self

from bench import cache, store
from bench.analysis.values import is_answer
from bench.errors import BadValueError, NotFetchedError, RunDidNotFinishError
from bench.launch import machine
from bench.launch.fetch import Supplies, fetch, without_fetching
from bench.launch.forecast import Forecasts, NotTriedError, far_beyond
from bench.launch.launchers import launcher_for, slug_for
from bench.launch.plan import Plan
from bench.launch.progress import unfinished
from bench.launch.sweep import Finished, Repeat, Sweep, keep_dry_apart, locked
from bench.launch.work import Work, choose
from bench.launch.workers import Isolation
from bench.schema import Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import is_predicted
from bench.schema.models import MODELS


class Options(Protocol):
    """The command line's words, as pytest's options hold them."""

    model: str | None
    task: str | None
    device: str | None
    results: Path | None
    scale: str
    rounds: int | None
    data_dir: Path | None
    rerun: bool
    retry: str
    isolation: Isolation | None
    dry_run: bool
    memory_limit: str | None
    find_limit: bool
    oversubscribe: bool
    try_anyway: bool


class Session:
    """Holds the results folder while it runs, and everything the suites produce."""

    def __init__(self, work: Work, options: Options) -> None:
        self.work = work
        self.runs: list[store.Stored] = []
        self.tries: list[store.Stored] = []
        self._options = options
        self._root = options.results or Path("dry-results" if options.dry_run else "results")
        self._repeat = Repeat.parse(rerun=options.rerun, retry=options.retry)
        self._supplies = Supplies(options.data_dir)
        self.plan = self.new_plan()
        self._kept = 0
        self._sweep: Sweep | None = None
        self._forecasts: Forecasts | None = None
        self._open = ExitStack()

    @classmethod
    def from_options(cls, options: Options) -> Self:
        """Read the options. Raises the user's mistakes as `FtbenchError`."""
        if options.data_dir and not options.data_dir.is_dir():
            raise BadValueError(f"--data-dir {str(options.data_dir)!r} is no folder.")
        model = options.model
        if model is not None and is_predicted(options.device or ""):
            model = without_fetching(model)
        elif model is not None and model not in MODELS:
            (model,) = fetch([model], [], None)
        work = choose(
            model=model,
            task=options.task,
            device=options.device,
            scale=options.scale,
            rounds=options.rounds,
            memory_limit=options.memory_limit,
            oversubscribe=options.oversubscribe,
        )
        if options.find_limit and work.device == "cpu" and not (work.memory_limit or options.dry_run):
            raise BadValueError(
                "--find-limit on a CPU needs --memory-limit, for example 8GiB: else the host itself runs out of memory."
            )
        return cls(work, options)

    def open(self) -> None:
        """Hold the results folder, bring what is missing, and make ready to run.

        Raises `BusyError`, `StoreError` or `FetchError`; nothing was run then.
        """
        keep_dry_apart(self._root, dry=self._options.dry_run)
        self._open.enter_context(locked(self._root))
        if not self._options.dry_run and not self.work.predicted:
            self._supplies.bring(self.work.model, self.work.task)
        launcher = self._open.enter_context(launcher_for(
            self.work.device,
            isolation=self._options.isolation,
            data_dir=self._options.data_dir,
            dry=self._options.dry_run,
        ))  # fmt: skip
        stack = machine.stack()
        if self._is_on_gpu():
            self._forecasts = self._open.enter_context(closing(Forecasts.for_this_gpu(self._root)))
        finished = Finished(self._root, self._device_slug(), stack, self._repeat, self._revisions(), self._kinds())
        self._sweep = Sweep(self._root, launcher, finished)

    @property
    def is_open(self) -> bool:
        """Tell whether runs are made, or only planned."""
        return self._sweep is not None

    @property
    def predicts(self) -> bool:
        """Tell whether runs are simulated, and not made up."""
        return self.work.predicted and not self._options.dry_run

    def close(self) -> None:
        """Stop what runs and let the results folder go."""
        self._open.close()

    def _revisions(self) -> Mapping[str, str]:
        """Say which weights the model's name means on this machine."""
        try:
            return {self.work.model: cache.manifest(self.work.model).revision}
        except NotFetchedError:
            return {}

    def _device_slug(self) -> str:
        return slug_for(self.work.device, dry=self._options.dry_run)

    def _kinds(self) -> tuple[Kind, ...]:
        if self._options.dry_run:
            return (Kind.DRY,)
        return (Kind.PREDICTED,) if self.predicts else (Kind.MEASURED,)

    def _is_on_gpu(self) -> bool:
        return self.work.device == "cuda" and not self._options.dry_run

    def rounds(self, wanted: int) -> int:
        """Return how often a config is run: a prediction once."""
        return 1 if self.predicts else wanted

    def result(self, config: RunConfig) -> tuple[store.Stored, bool]:
        """Return the run of `config` and whether it was made now, or kept from a former session; it joins `runs`.

        On a GPU, a run that is predicted to need far more than the card has is not made: its prediction is returned,
        unless the run was finished before.
        """
        told = self._forecast(config)
        if told and self._is_not_worth_trying(told.record):
            self.runs.append(told)
            return told, True
        return self._run(config, self.runs)

    def fits(self, config: RunConfig) -> tuple[store.Stored, bool, bool]:
        """Try `config` in a process of its own: its run, whether it was made now, whether memory sufficed.

        What fits is found out by runs, whatever is predicted of them; they join `tries`.
        Raises `RunDidNotFinishError` for an end that tells neither.
        """
        stored, fresh = self._run(config, self.tries)
        if stored.record.status not in (Status.OK, Status.OOM):
            raise unfinished(stored.record)
        return stored, fresh, stored.record.status is Status.OK

    def _run(self, config: RunConfig, among: list[store.Stored]) -> tuple[store.Stored, bool]:
        assert self._sweep is not None, "open the session first"
        if not self._options.dry_run and not self.work.predicted and not self._sweep.has(config):
            self._supplies.try_to_bring(config.model, config.task)
        stored, fresh = self._sweep.result(config)
        among.append(stored)
        self._kept += not fresh
        return stored, fresh

    def _forecast(self, config: RunConfig) -> store.Stored | None:
        """Return what is predicted of a run that is still to be made; None where nothing is."""
        assert self._sweep is not None, "open the session first"
        return None if self._forecasts is None or self._sweep.has(config) else self._forecasts.told(config)

    def _is_not_worth_trying(self, forecast: RunRecord) -> bool:
        return far_beyond(forecast) and not self._options.try_anyway

    def stands_in(self, record: RunRecord) -> bool:
        """Tell whether a record is the prediction of a run that was not made."""
        return record.kind is Kind.PREDICTED and not self.predicts

    def end(self, record: RunRecord) -> RunDidNotFinishError:
        """Make the error that says how a run ended, or that it was not made."""
        return NotTriedError(record) if self.stands_in(record) else unfinished(record)

    def forecast_line(self, name: str, config: RunConfig) -> str | None:
        """Say in a line what a run is predicted to need before it is made, once a case, or once why nobody knows."""
        assert self._sweep is not None, "open the session first"
        news = None if self._forecasts is None or self._sweep.has(config) else self._forecasts.news(config)
        if news is None:
            return None
        told = self._forecast(config)
        ending = "; not run, --try-anyway runs it" if told and self._is_not_worth_trying(told.record) else ""
        return f"  {name}: {news}{ending}"

    def new_plan(self) -> Plan:
        """Return an empty plan of this session."""
        return Plan(self._root, self._device_slug(), self.rounds)

    def plan_lines(self) -> Iterator[str]:
        """Say what a session with these options would run, what it should need and how long it should take."""
        return self.plan.lines(on_gpu=self._is_on_gpu(), simulates=self.predicts or self._options.dry_run)

    def closing_lines(self) -> Iterator[str]:
        """Say where the records are, and how to make kept ones again."""
        if self._kept:
            yield f"{self._kept} of {len(self.runs)} runs were finished before and kept; --rerun makes them again."
        failed = ",".join(sorted({run.record.status.value for run in self.runs if not is_answer(run.record)}))
        if failed:
            yield f"Some runs ended as {failed.replace(',', ', ')}; --retry {failed} makes those again."
        if not_tried := sum(self.stands_in(run.record) for run in self.runs):
            yield f"{not_tried} not run: predicted to need far more memory than the GPU has; --try-anyway runs such."
        yield f"Records are below {self._root}/; see them with: ftbench show, table, site."
        others = "attribution" if self.predicts else "t1, memory, attribution, cost, paging, limits and conditions"
        yield f"ftbench table also has {'predictions and ' if self.predicts else ''}{others}."
