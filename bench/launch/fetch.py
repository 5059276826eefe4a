"""Bring models and data to this machine ahead of the runs, which then need no network.

The work is done in a process of its own, because converting a model needs torch and
because the hub's client reads its settings when it is imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench import cache
from bench.errors import FetchError, NotFetchedError, UnknownNameError
from bench.schema.catalogue import NONE, find_task
from bench.schema.models import DEFAULT_CPU_MODEL, MODELS

HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*(@[\w.-]+)?", re.ASCII)
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
ONLINE = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def fetch(models: Sequence[str], tasks: Sequence[str], data_dir: Path | None) -> list[str]:
    """Fetch `models` and the data of `tasks`, and return the models' names as configs use them.

    A model is a name of `MODELS`, a hub id ("owner/name", or "owner/name@revision"), a local
    folder or a GGUF file; the last three get a name of their own. What is here already is
    not fetched again. Progress goes to standard error.

    Raises `FetchError` with the reason and the remedy, or `UnknownNameError`.
    """
    for task in tasks:
        find_task(task)
    if not models and not tasks:
        models = [DEFAULT_CPU_MODEL]
    for model in models:
        _recognise(model)
    order: dict[str, object] = {"models": list(models), "tasks": list(tasks)}
    order["data_dir"] = str(data_dir.resolve()) if data_dir else None
    return _in_child(order)


def missing_models(models: Sequence[str]) -> list[str]:
    """Return those of `models` that are not in the cache under the name given."""
    missing = []
    for model in models:
        try:
            cache.manifest(model)
        except NotFetchedError:
            missing.append(model)
    return missing


class Supplies:
    """What runs of a session need: models, and the data of tasks that the folder `data_dir` does not hold."""

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._tried: set[tuple[str, str]] = set()

    def bring(self, model: str, task: str) -> None:
        """Fetch what is not on this machine. Raises `FetchError` with the reason and the remedy."""
        self._tried.add((model, task))
        models = missing_models([model]) if model != NONE else []
        tasks = [task] if task != NONE and (self._data_dir or not cache.has_task(task)) else []
        if models or (tasks and not self._data_dir):
            fetch(models, tasks, self._data_dir)

    def try_to_bring(self, model: str, task: str) -> None:
        """Fetch what is not on this machine, once; where that fails, the run itself will say what it lacks."""
        if (model, task) not in self._tried:
            with suppress(FetchError):
                self.bring(model, task)


def without_fetching(model: str) -> str:
    """Return the name of a model whose shapes are known here, or become known from its config.json.

    `model` is one of `MODELS`, the name of one that was fetched or kept before, a config.json, or a folder with one.
    Raises `UnknownNameError`, or `BadValueError` for a file that is no config.json.
    """
    if model in MODELS or _was_fetched(model) or cache.kept_architecture(model):
        return model
    path = Path(model).expanduser()
    if file := next((found for found in (path / "config.json", path) if found.is_file()), None):
        return cache.keep_architecture(file)
    raise UnknownNameError("model", model, [*MODELS, "the path of a config.json"])


def _recognise(model: str) -> None:
    """Refuse what cannot be a model before a process is started for it."""
    if model in MODELS or HUB_ID.fullmatch(model) or (model and Path(model).expanduser().exists()):
        return
    if not _was_fetched(model):
        raise UnknownNameError("model", model, [*MODELS, "a hub id like owner/name", "a local folder", "a GGUF file"])


def _was_fetched(model: str) -> bool:
    return bool(SLUG.fullmatch(model)) and not missing_models([model])


def _in_child(order: dict[str, object]) -> list[str]:
    command = [sys.executable, "-P", "-m", "bench.worker.fetch"]
    environment = {**os.environ, **ONLINE}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        try:
            answer, _ = child.communicate(json.dumps(order).encode())
        except BaseException:
            child.kill()
            raise
    try:
        said = json.loads(answer.decode().strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise FetchError(f"fetching ended with exit code {child.returncode}; its messages are above.") from None
    if "error" in said:
        raise FetchError(said["error"])
    names: list[str] = said["names"]
    return names
