"""Two Python environments that differ by what is tested alone.

A side that names packages becomes a virtual environment of its own which finds everything else
where this interpreter finds it: what does not differ is shared, gigabytes of it, and cannot differ.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bench
from bench.errors import BadValueError, StoreError
from bench.schema.catalogue import Scalar
from bench.schema.record import STACK

INSTALLED = "installed"
"""What a side is called that is this interpreter's environment as it is."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
REQUIREMENT = re.compile(rf"({NAME.pattern})(\[[^\]]*\])?\s*([<>=!~].*)?")
SHARED = "ftbench-shared.pth"
STAMP = "ftbench-environment.json"
LONGEST_INSTALL_S = 3600.0
ASK = f"""
import importlib.metadata as metadata, json, os, re
def name(one): return re.sub("[-_.]+", "-", one).lower()
versions, direct = {{}}, []
for found in metadata.distributions():
    called = name(found.metadata["Name"] or "")
    if called and called not in versions:
        versions[called] = found.version
        if found.read_text("direct_url.json") and os.path.exists(os.path.join(found.locate_file(""), {SHARED!r})):
            direct.append(called)
from bench.launch.machine import facts
print(json.dumps({{"versions": versions, "direct": direct, "facts": facts()}}))
"""
"""What an environment is asked: versions of all packages, those that did not come from an index, and its facts."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A side of a comparison: the words it was asked for with, its interpreter, and what that holds.

    `versions` are of all packages by their normalised names; `named` are those that the words ask for; `variables`
    are what its processes need beside what they inherit.
    """

    words: str
    python: str
    versions: Mapping[str, str]
    named: frozenset[str]
    facts: Mapping[str, Scalar]
    variables: Mapping[str, str]


def prepare(words: str, home: Path) -> Environment:
    """Make or find the environment that `words` name.

    `words` are packages as pip takes them, with spaces between ("peft==0.21.2 bitsandbytes==0.50.2", wheels, folders,
    git addresses), an interpreter, a virtual environment's folder, or "installed". An environment that was made below
    `home` for the same words, on the same base, is used again.
    Raises `BadValueError` for what cannot be installed or run, `StoreError` where `home` cannot be written.
    """
    if words == INSTALLED:
        return _asked(words, sys.executable)
    if interpreter := _interpreter(words):
        return _asked(words, interpreter)
    packages = words.split()
    if not packages:
        raise BadValueError(f"a side of a comparison is empty; name packages, an interpreter, or {INSTALLED!r}.")
    made = _asked(words, _overlay(packages, home))
    return replace(made, named=made.named | set(map(normalised, _names(packages))))


def under_test(old: Environment, new: Environment) -> list[str]:
    """Return the packages whose versions are compared: those that a side names, else those of the stack that differ."""
    named = old.named | new.named
    return sorted(named) or [name for name in STACK if old.versions.get(name) != new.versions.get(name)]


def differences(old: Environment, new: Environment) -> dict[str, tuple[str, str]]:
    """Return what differs between two environments by package, and "python": versions, or "absent"."""
    found = {
        name: (old.versions.get(name, "absent"), new.versions.get(name, "absent"))
        for name in sorted(old.versions.keys() | new.versions.keys())
    }
    found["python"] = (str(old.facts["python"]), str(new.facts["python"]))
    return {name: versions for name, versions in found.items() if versions[0] != versions[1]}


def confounders(old: Environment, new: Environment, allowed: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return what differs and is neither tested nor in `allowed` ("all" allows everything)."""
    if "all" in allowed:
        return {}
    may = {*under_test(old, new), *map(normalised, allowed)}
    return {name: versions for name, versions in differences(old, new).items() if name not in may}


def normalised(name: str) -> str:
    """Write a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(packages: Sequence[str]) -> list[str]:
    """Return the names of requirements; a wheel's is in its file name, a folder's or an address's is not known yet."""
    found = []
    for package in packages:
        if package.endswith(".whl"):
            found.append(Path(package).name.partition("-")[0])
        elif (said := REQUIREMENT.fullmatch(package)) and not Path(package).exists():
            found.append(said.group(1))
    return found


def _interpreter(words: str) -> str | None:
    """Return the interpreter that a path leads to, itself or as a virtual environment's; None for anything else."""
    path = Path(words).expanduser()
    for candidate in (path, path / "bin" / "python"):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate.absolute())  # not resolved: a virtual environment's is a link
    return None


def _overlay(packages: Sequence[str], home: Path) -> str:
    """Make a virtual environment below `home` with `packages` on top of what this interpreter finds."""
    python = home / "bin" / "python"
    wanted = {"packages": list(packages), "base": _base()}
    try:
        if (home / STAMP).is_file() and json.loads((home / STAMP).read_text(encoding="utf-8")) == wanted:
            return str(python)
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        _call([sys.executable, "-m", "venv", "--without-pip", str(home)], "cannot make a virtual environment")
        there = next(home.glob("lib/python*/site-packages"))
        lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in _site_folders())
        (there / SHARED).write_text(lines, encoding="utf-8")
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input",
                   "--disable-pip-version-check", "--no-warn-script-location", *packages]  # fmt: skip
        _call(install, f"cannot install {' '.join(packages)}")
        (home / STAMP).write_text(json.dumps(wanted), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot make an environment below {home}: {error.strerror or error}.") from error
    return str(python)


def _site_folders() -> list[str]:
    """Return where this interpreter finds packages."""
    own = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [folder for folder in dict.fromkeys([*own, *user]) if Path(folder).is_dir()]


def _base() -> dict[str, str]:
    """Say what an overlay stands on, so that it is made anew when that changes."""
    from importlib import metadata

    return {normalised(found.metadata["Name"] or ""): found.version for found in metadata.distributions()}


def _call(command: Sequence[str], failing: str) -> None:
    """Run a command. Raises `BadValueError` with the last line that it said where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise BadValueError(f"{failing}: no end after {LONGEST_INSTALL_S:.0f} s.") from None
    if done.returncode != 0:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")]
        raise BadValueError(f"{failing}: {(errors or said or ['it said nothing'])[-1].strip()}")


def _asked(words: str, python: str) -> Environment:
    """Ask an interpreter what it holds. Named are for now those packages of an overlay that came from no index."""
    variables = _variables()
    command = [python, "-P", "-c", ASK]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=600, env={**os.environ, **variables}
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        last = done.stderr.strip().splitlines()[-1:] if "done" in locals() else []
        raise BadValueError(
            f"{words!r} cannot run ftbench: {''.join(last) or 'it did not start'}. Its environment needs what ftbench "
            "needs: install ftbench there."
        ) from None
    return Environment(words, python, told["versions"], frozenset(told["direct"]), told["facts"], variables)


def _variables() -> dict[str, str]:
    """Let a foreign interpreter find this very code, where it lies in a checkout and not among other packages."""
    parent = Path(bench.__file__).resolve().parent.parent
    return {"PYTHONPATH": str(parent)} if (parent / "pyproject.toml").is_file() else {}
