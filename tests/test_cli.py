"""The command in a process of its own: exit codes, one-line errors, and what it may import."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import __version__, store
from bench.cli import main
from bench.commands.reading import TABLES
from bench.schema.codec import json_schema
from tests.conftest import ROOT
from tests.records import fixed_shape, record

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("torch", "numpy", "pandas", "plotly", "scipy", "jinja2")
QLORA = "smollm2-135m-qlora-r16-f32-b4-s64"


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a command failed with one line and nothing else, and return it."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ftbench: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_door_carries_nothing_heavy() -> None:
    """Importing the command loads neither torch nor any package for tables, charts or records."""
    heavy = (*HEAVY, "msgspec", "tabulate")
    done = python(f"import sys, bench.cli; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout == "[]\n"


def test_show_works_where_heavy_packages_do_not_exist(example_results: Path) -> None:
    """`ftbench show`, with and without a case, runs with every heavy package blocked."""
    script = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY}))
from bench.cli import main
sys.exit(main(["show", "--results", sys.argv[1]]) or main(["show", {QLORA!r}, "--results", sys.argv[1]]))
"""
    done = python(script, example_results)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1.75 s" in done.stdout


def test_help_and_version(ftbench: Ftbench) -> None:
    """--help lists every command and --version prints the version, both at once."""
    start = time.perf_counter()
    done = ftbench("--help")
    assert time.perf_counter() - start < 1  # 0.05 s when nothing else runs
    assert done.returncode == 0
    for command in ("show", "table", "site", "fetch", "validate", "schema"):
        assert command in done.stdout
    assert ftbench("--version").stdout == f"ftbench {__version__}\n"


def test_show_lists_cases_and_a_case_in_detail(ftbench: Ftbench, example_results: Path) -> None:
    """Without a case every case is a line; with one, its runs, settings and environment are shown."""
    listed = ftbench("show", "--results", example_results)
    assert listed.returncode == 0
    assert listed.stdout.count("smollm2-135m-") == 7
    detail = ftbench("show", QLORA, "--results", example_results).stdout
    for word in ("seed: ", "base.quantization: nf4", "package.torch: 2.13.0", "Run 20260101T100000Z-0", "CUDA only"):
        assert word in detail
    failed = ftbench("show", "full-f32-b64", "--results", example_results).stdout
    assert "not enough memory" in failed
    assert "| step 1 of 10" in failed


def test_show_json_holds_raw_values(ftbench: Ftbench, example_results: Path) -> None:
    """--json with a case gives each run's record and values in base units, null where absent."""
    runs = json.loads(ftbench("show", QLORA, "--json", "--results", example_results).stdout)
    assert len(runs) == 3
    assert runs[0]["values"]["train.peak_allocated"] == runs[0]["record"]["metrics"]["train.peak_allocated"]
    assert runs[0]["values"]["train.peak_reserved"] is None


def test_an_ambiguous_or_unknown_case_is_one_line(ftbench: Ftbench, example_results: Path) -> None:
    """A name that several cases share, or none has, is an error that lists candidates."""
    several = one_line(ftbench("show", "smollm2", "--results", example_results))
    assert "'smollm2' is in the names of" in several
    assert "smollm2-135m-lora" in several
    assert "Known" in one_line(ftbench("show", "nonesuch", "--results", example_results))


def test_unreadable_files_are_warnings(ftbench: Ftbench, example_results: Path, tmp_path: Path) -> None:
    """Each file that is no record is one line on standard error; the rest is shown and the exit code is 0."""
    root = tmp_path / "results"
    shutil.copytree(example_results, root)
    good = next(root.rglob("*.json"))
    (good.parent / "broken.json").write_text("{")
    (good.parent / "newer.json").write_bytes(good.read_bytes().replace(b'"format": 1', b'"format": 9'))
    done = ftbench("show", "--results", root)
    assert done.returncode == 0
    assert done.stdout.count("smollm2-135m-") == 7
    assert [line.startswith("ftbench: warning: ") for line in done.stderr.splitlines()] == [True, True]


@pytest.mark.parametrize("command", [["show"], ["table"], ["table", "t1"], ["site"]])
def test_nothing_to_show_is_one_line(ftbench: Ftbench, tmp_path: Path, command: list[str]) -> None:
    """A missing folder and an empty one are explained in a line that says what to do."""
    assert "run the suites first" in one_line(ftbench(*command, "--results", tmp_path / "none", cwd=tmp_path))
    (tmp_path / "empty").mkdir()
    assert "holds no record" in one_line(ftbench(*command, "--results", tmp_path / "empty", cwd=tmp_path))
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", list(TABLES))
@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_tables_in_every_format(
    capsys: pytest.CaptureFixture[str], example_results: Path, tmp_path: Path, name: str, form: str
) -> None:
    """Each table is written in each format, the same to a file as to standard output."""
    file, command = tmp_path / "table", ["table", name, "--format", form, "--results", str(example_results)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert main([*command, "--output", str(file)]) == 0
    assert (printed.err, capsys.readouterr().out) == ("", "")
    assert file.read_text() == printed.out
    assert ("Full" in printed.out) is (name != "predictions")  # of which there is no example
    if form == "json":
        made = json.loads(printed.out)
        assert all(table["title"] for table in made) if isinstance(made, list) else made["rows"]


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
def test_metrics_are_explained_without_any_record(ftbench: Ftbench, tmp_path: Path, form: str) -> None:
    """`ftbench metrics` names every metric in each format, wherever it is called."""
    done = ftbench("metrics", "--format", form, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.count("at_peak.gradients".replace("_", r"\_") if form == "markdown" else "at_peak.gradients") == 1
    )
    assert ("clipping" in done.stdout) or form == "text"


def test_output_that_cannot_be_written_is_one_line(ftbench: Ftbench, example_results: Path, tmp_path: Path) -> None:
    """A folder in the way of the output is an error, not a traceback."""
    assert "cannot write" in one_line(ftbench("table", "--results", example_results, "--output", tmp_path))


def test_site_builds_and_checks(ftbench: Ftbench, example_results: Path, tmp_path: Path) -> None:
    """`ftbench site --check` builds, and accepts what it built."""
    site = tmp_path / "site"
    done = ftbench("site", "--results", example_results, "--output", site, "--check")
    assert done.returncode == 0, done.stderr
    assert (site / "index.html").is_file()


def test_validate_tells_good_from_bad(ftbench: Ftbench, example_results: Path, tmp_path: Path) -> None:
    """Good folders exit 0; a bad file exits 2 and is named; a missing path is one line."""
    assert ftbench("validate", example_results).returncode == 0
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    done = ftbench("validate", example_results, bad)
    assert done.returncode == 2
    assert str(bad) in done.stderr
    assert "19 valid, 1 not" in done.stderr
    assert "no file or folder" in one_line(ftbench("validate", tmp_path / "none"))


def test_schema_prints_the_schema(ftbench: Ftbench) -> None:
    """`ftbench schema` prints the JSON Schema of a record."""
    assert json.loads(ftbench("schema").stdout) == json.loads(json.dumps(json_schema()))


@pytest.mark.parametrize("arguments", [[], ["nonesuch"], ["table", "nonesuch"], ["show", "--nonesuch"]])
def test_wrong_usage_exits_2(ftbench: Ftbench, arguments: list[str]) -> None:
    """What argparse refuses is usage on standard error and exit code 2."""
    done = ftbench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: ftbench" in done.stderr


def test_fetch_of_an_unknown_model_is_one_line(ftbench: Ftbench, tmp_path: Path) -> None:
    """A model that nobody knows is refused before anything is fetched."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FTBENCH_CACHE": str(tmp_path)}
    assert "smollm2-135m" in one_line(ftbench("fetch", "smollm2-135n", env=environment))


def test_a_reader_that_stops_reading_is_no_error(example_results: Path) -> None:
    """Piping into a program that closes early ends quietly with exit code 0."""
    command = f"{sys.executable} -m bench table --format json --results {example_results}"
    script = f"{command} | head -c 10; echo; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_an_interrupt_exits_130() -> None:
    """Ctrl-C ends a command with exit code 130 and no traceback."""
    script = """
import sys
from bench import cli
from bench.commands import reading
def stop(_):
    raise KeyboardInterrupt
reading.schema = stop
sys.exit(cli.main(["schema"]))
"""
    done = python(script)
    assert (done.returncode, done.stderr) == (130, "")


def test_hostile_text_does_not_reach_the_terminal(ftbench: Ftbench, tmp_path: Path) -> None:
    """Escape sequences in a record are shown as text, never sent."""
    made = record(fixed_shape("full"))
    store.save(replace(made, environment={"cpu.model": "\x1b[2Jgone\x07"}), tmp_path)
    shown = ftbench("show", made.case, "--results", tmp_path).stdout
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown


def test_a_thousand_records_are_listed_quickly(ftbench: Ftbench, tmp_path: Path) -> None:
    """`ftbench show` lists a thousand records; 0.5 s is the budget, three times that the alarm on a busy machine."""
    made = [record(fixed_shape("full", batch_size=size)) for size in range(1, 101)]
    for one in made:
        path = store.save(one, tmp_path)
        for copy in range(1, 10):
            shutil.copyfile(path, path.with_name(f"{path.stem[:-2]}-{copy}.json"))
    start = time.perf_counter()
    done = ftbench("show", "--results", tmp_path)
    seconds = time.perf_counter() - start
    assert done.stdout.count("10/0") == 100
    assert seconds < 1.5
