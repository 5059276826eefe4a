"""Two Python environments that differ by what is tested alone.

A side that names packages becomes a virtual environment of its own which finds everything else
where this interpreter finds it: what does not differ is shared, gigabytes of it, and cannot differ.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import bench
from bench.errors import BadValueError, ConfoundedError, StoreError
from bench.launch.scrub import scrub
from bench.schema.catalogue import Scalar
from bench.schema.pairing import may_differ, normalised
from bench.schema.record import STACK

INSTALLED = "installed"
"""What a side is called that is this interpreter's environment as it is."""
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?\s*([<>=!~].*)?")
PINNED = re.compile(r"@[0-9a-f]{40}\b")
SHARED = "ftbench-shared.pth"
STAMP = "ftbench-environment.json"
LONGEST_INSTALL_S = 3600.0
LONGEST_ANSWER_S = 600.0
BUILT = {"build", "dist", "__pycache__"}
"""Folders of a checkout that are made from the rest of it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A side of a comparison: its name, its interpreter, and what that holds.

    `versions` are of all packages by their normalised names; `named` are those that the side asks for; `variables`
    are what its processes need beside what they inherit.
    """

    name: str
    python: str
    versions: Mapping[str, str]
    named: frozenset[str]
    facts: Mapping[str, Scalar]
    variables: Mapping[str, str]


def prepare(words: str, home: Path) -> Environment:
    """Make or find the environment that `words` name.

    `words` are packages as pip takes them, with spaces between ("peft==0.21.2 bitsandbytes==0.50.2", wheels, folders,
    git addresses), an interpreter, a virtual environment's folder, or "installed". An environment that was made below
    `home` for the same words, files and base is used again.
    Raises `BadValueError` for what cannot be installed or run, `StoreError` where `home` cannot be written.
    """
    if words == INSTALLED:
        return _asked(words, sys.executable, ())
    if interpreter := _interpreter(words):
        return _asked(words, interpreter, ())
    try:
        packages = shlex.split(words)
    except ValueError as error:
        raise BadValueError(f"{words!r} cannot be read: {error}.") from None
    if not packages:
        raise BadValueError(f"a side of a comparison is empty; name packages, an interpreter, or {INSTALLED!r}.")
    return _asked(words, _overlay(packages, home), packages)


def under_test(old: Environment, new: Environment) -> list[str]:
    """Return the packages whose versions are compared: those that a side names, else those of the stack that differ."""
    named = old.named | new.named
    return sorted(named) or [name for name in STACK if old.versions.get(name) != new.versions.get(name)]


def differences(old: Environment, new: Environment) -> dict[str, tuple[str, str]]:
    """Return what differs between two environments by package, and "python": versions, or "absent"."""
    names = sorted(old.versions.keys() | new.versions.keys())
    found = {name: (old.versions.get(name, "absent"), new.versions.get(name, "absent")) for name in names}
    found["python"] = (str(old.facts["python"]), str(new.facts["python"]))
    return {name: versions for name, versions in found.items() if versions[0] != versions[1]}


def refuse_confounders(old: Environment, new: Environment, allowed: Collection[str]) -> None:
    """Raise `ConfoundedError` where sides differ by more than is tested or `allowed`, or in the code that measures."""
    tested = {*under_test(old, new), *allowed}
    found = {name: both for name, both in differences(old, new).items() if not may_differ(name, tested)}
    code = tuple(str(side.facts.get("ftbench.code")) for side in (old, new))
    if code[0] != code[1]:
        found["ftbench's own code"] = (code[0], code[1])
    if found:
        words = ", ".join(f"{name} {before} and {after}" for name, (before, after) in found.items())
        raise ConfoundedError(f"the sides differ by more than what is tested, so nothing could be told: {words}. "
                              "Name versions for both sides, or allow it with --allow-diff NAME.")  # fmt: skip


def _names(packages: Sequence[str]) -> set[str]:
    """Return the names of requirements; a folder's or an address's is told by what it installs."""
    found = set()
    for package in packages:
        if package.endswith(".whl"):
            found.add(normalised(Path(package).name.partition("-")[0]))
        elif not _is_direct(package) and (said := REQUIREMENT.fullmatch(package)):
            found.add(normalised(said.group(1)))
    return found


def _is_direct(package: str) -> bool:
    """Tell whether a requirement is no name and version, but files: a wheel, a folder, an address."""
    return os.sep in package or package.startswith(".") or "@" in package or package.endswith(".whl")


def _interpreter(words: str) -> str | None:
    """Return the interpreter that a path leads to, itself or as a virtual environment's; None for anything else."""
    path = Path(words).expanduser()
    for candidate in (path, path / "bin" / "python"):
        if candidate.name.startswith("python") and candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate.absolute())  # not resolved: a virtual environment's is a link
    return None


def _overlay(packages: Sequence[str], home: Path) -> str:
    """Make a virtual environment below `home` with `packages` on top of what this interpreter finds."""
    python = home / "bin" / "python"
    wanted = {"packages": list(packages), "files": [_contents(package) for package in packages], "base": _base()}
    try:
        if _made_before(home) == wanted and not any(map(_moves, packages)):
            return str(python)
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        _call([sys.executable, "-m", "venv", "--without-pip", str(home)], "cannot make a virtual environment")
        there = next(home.glob("lib/python*/site-packages"))
        lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in _shared_folders())
        (there / SHARED).write_text(lines, encoding="utf-8")
        _install(python, packages)
        if direct := list(filter(_is_direct, packages)):  # pip takes the base's for it where its version is the same
            _install(python, ["--no-deps", "--force-reinstall", *direct])
        (home / STAMP).write_text(json.dumps(wanted), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot make an environment below {home}: {error.strerror or error}.") from error
    return str(python)


def _made_before(home: Path) -> object:
    """Return what the environment below `home` was made of; None where there is none that was finished."""
    try:
        return json.loads((home / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _moves(package: str) -> bool:
    """Tell whether what a requirement leads to can change behind it: a branch, an address."""
    return "://" in package and not PINNED.search(package)


def _contents(package: str) -> str | None:
    """Hash the file or the folder that a requirement is; None for a name or an address."""
    path = Path(package)
    if not _is_direct(package) or not path.exists():
        return None
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_source(file, path))
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _is_source(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    return file.is_file() and not any(part.startswith(".") or part in BUILT for part in parts)


def _shared_folders() -> list[str]:
    """Return where this interpreter finds packages."""
    named = ("site-packages", "dist-packages")
    return [folder for folder in dict.fromkeys(sys.path) if Path(folder).name in named and Path(folder).is_dir()]


def _base() -> dict[str, str]:
    """Say what an overlay stands on, so that it is made anew when that changes."""
    return {normalised(found.metadata["Name"] or ""): found.version for found in metadata.distributions()}


def _install(python: Path, packages: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input",
               "--disable-pip-version-check", "--no-warn-script-location", *packages]  # fmt: skip
    _call(command, f"cannot install {' '.join(package for package in packages if not package.startswith('--'))}")


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


def _asked(words: str, python: str, packages: Sequence[str]) -> Environment:
    """Ask an interpreter what it holds; what an overlay holds from no index is what its packages asked for by path."""
    variables = _variables()
    last = "it did not start"
    try:
        done = subprocess.run(
            [python, "-P", "-m", "bench.launch.inventory"], capture_output=True, text=True, check=False,
            timeout=LONGEST_ANSWER_S, env={**os.environ, **variables},
        )  # fmt: skip
        last = (done.stderr.strip().splitlines() or [last])[-1]
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise BadValueError(f"{words!r} cannot run ftbench: {last}. Its environment needs what ftbench needs: install "
                            "ftbench there.") from None  # fmt: skip
    named = frozenset(_names(packages) | set(told["direct"])) if packages else frozenset[str]()
    return Environment(_shown(words), python, told["versions"], named, told["facts"], variables)


def _shown(words: str) -> str:
    """Return a side's words without the folders of this machine, for reports that others read."""
    parts = (Path(word).name if os.sep in word and "://" not in word else word for word in words.split())
    return scrub(" ".join(parts))


def _variables() -> dict[str, str]:
    """Let a foreign interpreter find this very code, where it lies in a checkout and not among other packages."""
    parent = Path(bench.__file__).resolve().parent.parent
    return {"PYTHONPATH": str(parent)} if (parent / "pyproject.toml").is_file() else {}
