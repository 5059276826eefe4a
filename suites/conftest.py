"""The suites' door: command-line parameters, the `work` to do, and the `measure` fixture that does it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.commands.closing import summary_lines
from bench.errors import FtbenchError, RunDidNotFinishError, StoreError
from bench.launch import clock
from bench.launch.limit import Limit, largest
from bench.launch.plan import Plan
from bench.launch.progress import progress_line, unfinished
from bench.launch.session import Session
from bench.launch.shard import Shard
from bench.launch.work import SCALES, Work
from bench.schema import RunConfig, RunRecord, Status
from bench.schema.catalogue import STUDIES, find
from bench.schema.codec import encode_configs

Measure = Callable[..., list[RunRecord]]
FindLimit = Callable[..., Limit]

EXPECTED_ENDS = (Status.OOM, Status.UNSUPPORTED)
"""Ends that answer the question a case asks; pytest shows them as expected failures with their reason."""

MEASURING = {"measure", "find_limit"}
"""Fixtures of tests that measure."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ftbench", "ftbench: what to measure, and where records go")
    group.addoption("--model", help="a known name, hub id, folder or GGUF file (default: what fits the device)")
    group.addoption("--task", help="the task to train and score (default: addition on CPU, gsm8k on GPU)")
    group.addoption("--device", help="cpu, cuda, or fake:<gpu> to predict (default: the GPU if there is one)")
    group.addoption("--results", type=Path, help="folder for records (default: results/, or dry-results/)")
    group.addoption("--scale", default="small", help=f"how much work: {', '.join(SCALES)} (default: small)")
    group.addoption("--rounds", type=int, help="repeats of every speed run (default: by scale)")
    group.addoption("--data-dir", type=Path, help="folder with data sets laid out like the hub")
    group.addoption("--rerun", action="store_true", help="make finished runs again")
    group.addoption("--retry", default="", metavar="STATUS,...", help="make runs again that ended so: oom,timeout")
    group.addoption("--isolation", choices=("fork", "spawn"), help="how runs start (default: what is safe here)")
    group.addoption("--memory-limit", metavar="SIZE", help="host memory a run may take, for example 4GiB")
    group.addoption("--find-limit", action="store_true", help="search the largest batch and longest sequence that fit")
    group.addoption("--oversubscribe", action="store_true", help="really run a GPU out of room for managed memory")
    group.addoption("--try-anyway", action="store_true", help="run also what is predicted not to fit the GPU by far")
    group.addoption("--shard", metavar="I/N", help="the I-th of N parts of the cases, one for every machine")
    group.addoption("--plan", type=Path, metavar="FILE", help="with --collect-only, write what would be run to FILE")
    group.addoption("--dry-run", action="store_true", help="run the whole chain with made-up numbers")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("runs in parallel would disturb each other's numbers; leave -n out.")
    try:
        config.stash[SESSION] = Session.from_options(config.option)
        config.stash[SHARD] = Shard.parse(config.option.shard) if config.option.shard is not None else None
    except FtbenchError as error:
        raise pytest.UsageError(str(error)) from None


def _is_asked_for(config: pytest.Config) -> bool:
    """Tell whether to measure: with pytest-benchmark's statistics, or each run for its record alone."""
    return bool(config.option.benchmark_only or config.option.benchmark_disable)


def _suites(items: Sequence[pytest.Item]) -> list[pytest.Function]:
    """Pick the items that measure; a session may hold other tests beside them."""
    return [
        item
        for item in items
        if isinstance(item, pytest.Function) and item.path.is_relative_to(HERE) and MEASURING & set(item.fixturenames)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a suite's parameters the values its function `parameters` says; a test without any says why."""
    if not Path(metafunc.module.__file__ or "").is_relative_to(HERE):
        return
    of_suite = getattr(metafunc.module, "parameters", lambda _: {})
    for name, values in of_suite(metafunc.config.stash[SESSION].work).items():
        if name in metafunc.fixturenames:
            none = [pytest.param(None, id="none", marks=pytest.mark.skip(reason=values))]
            metafunc.parametrize(name, none if isinstance(values, str) else values, ids=spelled)


def spelled(value: object) -> str:
    """Name a parameter's value in a test's id, without spaces."""
    words = (f"{part:g}" if isinstance(part, float) else str(part) for part in _parts(value))
    return "-".join(words).replace(" ", "-")


def _parts(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else [value]


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Mark what measures; of what is left after -k and -m, keep this part."""
    _mark(config, items)
    yield
    if shard := config.stash[SHARD]:
        mine = _suites(items)
        taken = shard.takes([_cases(item, config) for item in mine])
        others = [item for item, is_taken in zip(mine, taken, strict=True) if not is_taken]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _cases(item: pytest.Function, config: pytest.Config) -> Hashable:
    """Return what a test measures, which tests of the same cases share; of one that is skipped, its name."""
    plan = config.stash[SESSION].new_plan()
    if not item.get_closest_marker("skip"):
        _plan(item, plan, config)
    return tuple(one.case for one in plan.configs()) or item.nodeid


def _mark(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    for item in _suites(items):
        item.add_marker(pytest.mark.benchmark(timer=clock.trained_seconds))
        if not _is_asked_for(config) and not config.option.collectonly:
            item.add_marker(pytest.mark.skip(reason="measures for minutes; ask for it with --benchmark-only"))
        if "find_limit" in item.fixturenames and not config.option.find_limit:
            item.add_marker(pytest.mark.skip(reason="makes many runs; ask for it with --find-limit"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """With --collect-only, let every test say what it would measure."""
    if not session.config.option.collectonly:
        return
    here = session.config.stash[SESSION]
    for item in _suites(session.items):
        if item.get_closest_marker("skip"):
            continue
        _plan(item, here.plan, session.config)
    if file := session.config.option.plan:
        file.write_bytes(encode_configs(here.plan.runs()))


def _plan(item: pytest.Function, plan: Plan, config: pytest.Config) -> None:
    """Note in `plan` what a test would measure."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    planned = {"measure": plan.planner(item.name), "find_limit": plan.search_planner(item.name)}
    given = {**planned, "work": config.stash[SESSION].work, "pytestconfig": config, **parameters}
    try:
        item.obj(**{name: given[name] for name in inspect.signature(item.obj).parameters})
    except FtbenchError as error:
        raise pytest.UsageError(f"{item.name}: {error}") from None


def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the first test: hold the results folder and bring what is missing."""
    config = session.config
    if config.option.collectonly or not _is_asked_for(config) or not _suites(session.items):
        return
    config.stash[SUITES] = frozenset(item.path.stem.removeprefix("test_") for item in _suites(session.items))
    try:
        config.stash[SESSION].open()
    except FtbenchError as error:
        raise pytest.UsageError(str(error)) from None
    if reporter := _reporter(config):
        reporter.showfspath = False  # a line a run says more than a dot behind a file's name


def pytest_unconfigure(config: pytest.Config) -> None:
    if SESSION in config.stash:
        config.stash[SESSION].close()


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Print no letter for a test whose runs have a line each; what pytest counts stays the same."""
    measured = config.stash[SESSION].is_open and dict(report.user_properties).get(MEASURED)
    if report.when != "call" or not measured:
        return None
    if hasattr(report, "wasxfail"):
        return "xfailed", "", "XFAIL"
    return report.outcome, "", report.outcome.upper()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = config.stash[SESSION]
    if session.runs:
        terminalreporter.write_line("")
        if config.option.benchmark_only:
            what = " and ".join(dict.fromkeys(timed_as(session, run.record.config) for run in session.runs))
            how = "" if session.predicts else ", one median a run"
            terminalreporter.write_line(f"The times above are {what}{how}.")
    try:
        suites = config.stash.get(SUITES, frozenset())
        planned = () if config.option.plan else session.plan_lines()
        for line in planned if config.option.collectonly else summary_lines(session, suites):
            terminalreporter.write_line(line)
    except StoreError as error:  # of a plan, whose predictions are kept
        terminalreporter.write_line(f"ERROR: {error}", red=True)


def timed_as(session: Session, config: RunConfig) -> str:
    """Say what pytest-benchmark's column holds of a run."""
    return "seconds a prediction took" if session.predicts else find("study", STUDIES, config.study).timed[1]


@pytest.fixture(scope="session")
def work(pytestconfig: pytest.Config) -> Work:
    """The work this session does: model, task, device and scale."""
    return pytestconfig.stash[SESSION].work


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Measure:
    """Run a config `rounds` times, each with a seed and a process of its own, and keep every record."""
    session = request.config.stash[SESSION]

    def measure(config: RunConfig, rounds: int) -> list[RunRecord]:
        found: list[RunRecord] = []
        rounds = session.rounds(rounds)

        def one_run() -> None:
            asked = config.but(seed=len(found))
            if line := session.forecast_line(request.node.name, asked):
                _say(request, line)
            stored, fresh = session.result(asked)
            found.append(stored.record)
            if not session.stands_in(found[-1]):
                _say(request, progress_line(request.node.name, len(found), rounds, found[-1], fresh=fresh))
            if found[-1].status is not Status.OK:
                raise session.end(found[-1])
            clock.advance(clock.step_seconds(found[-1]))

        def all_runs() -> None:  # a disabled benchmark calls its target once, whatever the rounds
            for _ in range(rounds):
                one_run()

        _benchmarked(benchmark, request, config, all_runs if benchmark.disabled else one_run, rounds)
        return found

    return measure


@pytest.fixture
def find_limit(benchmark: Any, request: pytest.FixtureRequest) -> FindLimit:
    """Search the largest value of a setting with which a config fits in memory; every try is a run with its record."""
    session = request.config.stash[SESSION]

    def find_limit(config: RunConfig, setting: str, ceiling: int, grain: int = 1) -> Limit:
        tries: list[RunRecord] = []
        limits: list[Limit] = []

        def fits(value: int) -> bool:
            stored, fresh, fitted = session.fits(config.but(**{setting: value}))
            tries.append(stored.record)
            name = f"{request.node.name} {setting}={value}"
            _say(request, progress_line(name, len(tries), 0, stored.record, fresh=fresh))
            return fitted

        def search() -> None:
            limits.append(largest(fits, getattr(config, setting), ceiling, grain))
            _say(request, f"  {request.node.name}: {limits[0].sentence(setting)}")
            if limits[0].fits is None:
                raise unfinished(tries[-1])
            clock.advance(max((clock.step_seconds(made) for made in tries), default=0.0))

        _benchmarked(benchmark, request, config, search, 1)
        return limits[0]

    return find_limit


def _benchmarked(
    benchmark: Any, request: pytest.FixtureRequest, config: RunConfig, target: Callable[[], None], rounds: int
) -> None:
    """Let pytest-benchmark call `target`, and turn the ends of runs into pytest's."""
    request.node.user_properties.append((MEASURED, True))
    benchmark.group = timed_as(request.config.stash[SESSION], config)
    benchmark.extra_info["case"] = config.case
    try:
        benchmark.pedantic(target, rounds=1 if benchmark.disabled else rounds, iterations=1)
    except RunDidNotFinishError as end:
        if end.status in EXPECTED_ENDS:
            pytest.xfail(str(end))
        pytest.fail(str(end), pytrace=False)
    except StoreError as error:  # the next runs would end the same way, after minutes each
        pytest.exit(str(error), returncode=2)


def _reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    found: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    return found


def _say(request: pytest.FixtureRequest, line: str) -> None:
    """Print a line at once, past pytest's capture."""
    config = request.config
    capture, reporter = config.pluginmanager.getplugin("capturemanager"), _reporter(config)
    if capture and reporter:
        with capture.global_and_fixture_disabled():
            reporter.write_line(line)


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    """Keep host names and processor serials out of pytest-benchmark's own JSON."""
    machine_info.pop("node", None)
    machine_info.pop("cpu", None)


SESSION = pytest.StashKey[Session]()
SHARD = pytest.StashKey[Shard | None]()
SUITES = pytest.StashKey[frozenset[str]]()
MEASURED = "ftbench.measured"
