"""The house stands: floors, rooms, and names that lead to code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.schema import catalogue

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bench"
TABLES = (catalogue.METHODS, catalogue.TASKS, catalogue.OPTIMIZERS, catalogue.STUDIES, catalogue.DEVICES)
CROWDED = 300  # lines; the soft ceiling is 250
NAMELESS = {"utils", "common", "helpers", "base", "core", "manager"}
HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "numpy", "pandas", "plotly", "scipy", "jinja2")


def files(ending: str = "*.py") -> list[Path]:
    return sorted(path for path in PACKAGE.rglob(ending) if "__pycache__" not in path.parts)


def test_imports_go_down():
    """Doors, towers, reading and ground import downwards only, and torch stays in the worker."""
    pytest.importorskip("importlinter", reason="import-linter comes with the test extra")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as go; go()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("door", ["bench.cli", "bench.launch.process", "bench.store", "bench.schema.codec"])
def test_a_light_door_carries_nothing_heavy(door):
    """Importing the command, the launcher, the store or the codec loads none of the big packages."""
    code = f"import sys, {door}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_nothing_happens_at_import(tmp_path):
    """Importing every module outside the worker opens no socket, starts no process or thread, and writes no file."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files()]
    quiet = [name for name in names if ".worker" not in name and not name.endswith("__main__")]
    (tmp_path / "code.py").write_text(WATCH.format(names=quiet))
    done = subprocess.run([sys.executable, "-B", tmp_path / "code.py"], capture_output=True, text=True, check=True)

    assert len(quiet) > 30
    assert done.stdout.strip() == "[]"


WATCH = """
import importlib, sys, threading
import jinja2, msgspec, numpy, pandas, plotly, scipy.stats, subprocess  # what others do is not ours
found = []
def watch(event, arguments):
    opened = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if opened or event.startswith(("socket.connect", "socket.bind", "subprocess", "os.fork", "os.exec", "os.mkdir")):
        found.append((event, str(arguments)))
sys.addaudithook(watch)
for name in {names}:
    importlib.import_module(name)
if threading.active_count() > 1:
    found.append(("threads", threading.active_count()))
print(found)
"""


def test_every_name_leads_to_code():
    """The file and the object that a catalogue entry names exist."""
    for table in TABLES:
        for name, entry in table.items():
            module, _, attribute = entry.target.partition(":")
            path = ROOT / (module.replace(".", "/") + ".py")
            assert path.is_file(), name
            assert re.search(rf"^(def |class )?{attribute}\b", path.read_text(), re.MULTILINE), name


@pytest.mark.parametrize("room", ["methods", "tasks", "devices"])
def test_every_file_has_a_name_in_the_catalogue(room):
    """A method, task or device that no entry leads to could never run."""
    named = {entry.target.partition(":")[0] for table in TABLES for entry in table.values()}
    found = {f"bench.worker.{room}.{path.stem}" for path in (PACKAGE / "worker" / room).glob("[!_]*.py")}

    assert found
    assert found <= named


def test_rooms_are_small_and_have_names():
    """No module is crowded, and none is called after nothing in particular."""
    for path in files():
        assert len(path.read_text().splitlines()) <= CROWDED, path
        assert path.stem not in NAMELESS, path


def test_nothing_tracked_names_a_machine_or_holds_a_token():
    """No tracked file has an absolute path of somebody's machine or what looks like a token to the hub."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    forbidden = re.compile(r"/(?:work|workspace|builds)/|/tmp/bash|hf_[A-Za-z0-9]{20,}")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in {".png"} and path != Path(__file__):
            found = forbidden.search(path.read_text(errors="replace"))
            assert not found, f"{name}: {found and found.group()}"
