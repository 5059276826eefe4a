"""The suites' door: command-line parameters, the `work` to do, and the `measure` fixture that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import store
from bench.errors import FtbenchError, RunDidNotFinishError
from bench.launch import clock
from bench.launch.session import Session
from bench.launch.work import SCALES, Work
from bench.schema import RunConfig, RunRecord, Status

Measure = Callable[..., list[RunRecord]]

EXPECTED_ENDS = (Status.OOM, Status.UNSUPPORTED)
"""Ends that answer the question a case asks; pytest shows them as expected failures with their reason."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ftbench", "ftbench: what to measure, and where records go")
    group.addoption("--model", help="a known name, hub id, folder or GGUF file (default: what fits the device)")
    group.addoption("--task", help="the task to train and score (default: addition on CPU, gsm8k on GPU)")
    group.addoption("--device", help="cpu or cuda (default: the GPU if there is one)")
    group.addoption("--results", type=Path, help="folder for records (default: results/, or dry-results/)")
    group.addoption("--scale", default="small", help=f"how much work: {', '.join(SCALES)} (default: small)")
    group.addoption("--rounds", type=int, help="repeats of every speed run (default: by scale)")
    group.addoption("--data-dir", type=Path, help="folder with data sets laid out like the hub")
    group.addoption("--rerun", action="store_true", help="make finished runs again")
    group.addoption("--retry", default="", metavar="STATUS,...", help="make runs again that ended so: oom,timeout")
    group.addoption("--isolation", choices=("fork", "spawn"), help="how runs start (default: what is safe here)")
    group.addoption("--dry-run", action="store_true", help="run the whole chain with made-up numbers")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("runs in parallel would disturb each other's numbers; leave -n out.")
    try:
        config.stash[SESSION] = Session.from_options(config.option)
    except FtbenchError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=clock.trained_seconds))
        if not config.option.benchmark_only and not config.option.collectonly:
            item.add_marker(pytest.mark.skip(reason="measures for minutes; ask for it with --benchmark-only"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """With --collect-only, let every test say what it would measure."""
    if session.config.option.collectonly:
        here = session.config.stash[SESSION]
        for item in session.items:
            assert isinstance(item, pytest.Function)
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.obj(**{"measure": here.planner(item.name), "work": here.work, **parameters})


def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the first test: hold the results folder and bring what is missing."""
    config = session.config
    if config.option.collectonly or not config.option.benchmark_only or not session.items:
        return
    try:
        config.stash[SESSION].open()
    except FtbenchError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    if SESSION in config.stash:
        config.stash[SESSION].close()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = config.stash[SESSION]
    for line in session.plan_lines() if config.option.collectonly else _summary_lines(session):
        terminalreporter.write_line(line)


def _summary_lines(session: Session) -> Iterator[str]:
    from bench.analysis.cases import group
    from bench.report.render import to_text
    from bench.report.summary import summary

    if session.runs:
        yield ""
        yield "pytest-benchmark's times above are seconds an optimiser step, the median of a run's timed steps."
        yield from to_text(summary(group(session.runs))).splitlines()
        yield from session.closing_lines()


@pytest.fixture(scope="session")
def work(pytestconfig: pytest.Config) -> Work:
    """The work this session does: model, task, device and scale."""
    return pytestconfig.stash[SESSION].work


@pytest.fixture
def measure(benchmark, pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Measure:  # type: ignore[no-untyped-def]
    """Run a config `rounds` times, each with a seed and a process of its own, and keep every record."""
    session = pytestconfig.stash[SESSION]
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def measure(config: RunConfig, rounds: int) -> list[RunRecord]:
        found: list[store.Stored] = []

        def one_run() -> None:
            stored, fresh = session.result(config.but(seed=len(found)))
            found.append(stored)
            with capture.global_and_fixture_disabled():
                print(session.progress_line(request.node.name, len(found), rounds, stored.record, fresh=fresh))
            if stored.record.status is not Status.OK:
                failure = stored.record.failure
                raise RunDidNotFinishError(stored.record.case, stored.record.status, failure.message if failure else "")
            clock.advance(session.step_seconds(stored.record))

        benchmark.group = "seconds an optimiser step"
        benchmark.extra_info["case"] = config.case
        try:
            benchmark.pedantic(one_run, rounds=rounds, iterations=1)
        except RunDidNotFinishError as end:
            if found[-1].record.status in EXPECTED_ENDS:
                pytest.xfail(str(end))
            raise
        return [stored.record for stored in found]

    return measure


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    """Keep host names and processor serials out of pytest-benchmark's own JSON."""
    machine_info.pop("node", None)
    machine_info.pop("cpu", None)


SESSION = pytest.StashKey[Session]()
