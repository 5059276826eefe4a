"""Where fetched models wait: one folder a model, with a manifest that says what it is.

    $FTBENCH_CACHE (default ~/.cache/ftbench)/models/<name>/manifest.json
                                             /tasks/<name>
                                             /data/<owner>--<name>
                                             /architectures/<name>.json

A manifest is written last, so a folder without one is an unfinished fetch and counts as absent.
A task's data stay in the hub's own cache; the empty file of a task says that they were fetched,
the file of a data set at which commit of the hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.errors import BadValueError, NotFetchedError

VARIABLE = "FTBENCH_CACHE"
DATA_VARIABLE = "FTBENCH_DATA_DIR"
"""Tells a run the folder of data sets laid out like the hub, where there is one."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model in the cache is. `folder` never leaves this machine; the rest goes into records."""

    name: str
    folder: str
    """Absolute path of the folder with config.json, safetensors and tokenizer."""
    source: Literal["hub", "package", "gguf", "folder", "generated"]
    origin: str
    """Hub id, package and version, or the file's own name."""
    revision: str
    """Commit of the hub, or "sha256:..." of the file or of the folder's contents."""


def root() -> Path:
    """Return the cache folder, which may not exist yet."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "ftbench")


def variables(data_dir: Path | None = None) -> dict[str, str]:
    """Return the environment variables by which a process finds this cache, and the data sets below `data_dir`."""
    found = {VARIABLE: str(root())}
    return {**found, DATA_VARIABLE: str(data_dir.resolve())} if data_dir else found


def model_folder(name: str) -> Path:
    """Return where the model `name` keeps its files and manifest."""
    return root() / "models" / name


def manifest(name: str) -> Manifest:
    """Read the manifest of a fetched model, or raise `NotFetchedError`."""
    path = model_folder(name) / "manifest.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NotFetchedError(f"model {name!r} is not on this machine; bring it with: ftbench fetch {name}") from None
    except OSError as error:
        raise NotFetchedError(f"{path} cannot be read ({error.strerror}); set {VARIABLE} to another folder.") from None
    except msgspec.DecodeError as error:
        raise NotFetchedError(f"{path} is damaged ({error}); run: ftbench fetch {name}") from None
    if not (Path(found.folder) / "config.json").is_file():
        raise NotFetchedError(f"model {name!r} was at {found.folder} and is gone; run: ftbench fetch {name}")
    return found


def publish(found: Manifest) -> None:
    """Write a manifest, which makes its model known."""
    folder = model_folder(found.name)
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / ".manifest.part"
    hidden.write_bytes(msgspec.json.encode(found))
    hidden.replace(folder / "manifest.json")


def keep_architecture(file: Path) -> str:
    """Keep a model's config.json, which is all that a prediction needs, and return the name the model has here.

    The name is that of the file's folder with a part of its hash. Raises `BadValueError` for a file that is none.
    """
    try:
        text = file.read_bytes()
        facts = json.loads(text)
    except (OSError, ValueError) as error:
        raise BadValueError(f"{file} cannot be read as a model's config.json: {error}.") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("model_type"), str) or not facts.get("architectures"):
        raise BadValueError(f"{file} is no model's config.json: it needs 'model_type' and 'architectures'.")
    words = re.sub(r"[^a-z0-9]+", "-", file.resolve().parent.name.lower()).strip("-")[:60] or "model"
    name = f"{words}-{hashlib.sha256(text).hexdigest()[:8]}"
    kept = root() / "architectures" / f"{name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(text)
    return name


def kept_architecture(name: str) -> dict[str, Any] | None:
    """Return a config.json that was kept under this name; None where there is none."""
    try:
        facts: dict[str, Any] = json.loads((root() / "architectures" / f"{name}.json").read_bytes())
    except OSError:
        return None
    return facts


def has_task(name: str) -> bool:
    """Tell whether the data of a task were fetched."""
    return (root() / "tasks" / name).exists()


def publish_task(name: str) -> None:
    """Note that the data of a task are on this machine."""
    mark = root() / "tasks" / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def data_revision(data_set: str) -> str | None:
    """Return the hub's commit at which a data set ("owner/name") was fetched, or None if it was not."""
    try:
        return _data_file(data_set).read_text().strip() or None
    except OSError:
        return None


def publish_data(data_set: str, revision: str) -> None:
    """Note the commit at which a data set is fetched."""
    _data_file(data_set).parent.mkdir(parents=True, exist_ok=True)
    _data_file(data_set).write_text(revision + "\n")


def _data_file(data_set: str) -> Path:
    return root() / "data" / data_set.replace("/", "--")


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
