"""A tiny model in a cache of its own, and ways to open it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench import cache
from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.catalogue import METHODS, load
from bench.schema.config import configure
from bench.worker import models
from bench.worker.devices.cpu import Cpu
from bench.worker.fake import abi
from bench.worker.fetch import tiny


@pytest.fixture(scope="session", autouse=True)
def _fake_gpus() -> None:
    """Let GPUs be simulated in this process: that has to be told before the first gradient, whoever computes it."""
    with suppress(UnsupportedError):  # tests that simulate one will tell
        abi.install()


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that holds tiny-llama and nothing else."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(folder))
        cache.publish(tiny.build("tiny-llama"))
        yield folder


@pytest.fixture
def tiny_config() -> Callable[..., RunConfig]:
    """Make a config of tiny-llama on addition, with changes."""

    def make(method: str = "full", **settings: Any) -> RunConfig:
        return configure(**{"model": "tiny-llama", "method": method, "task": "addition", **settings})

    return make


@pytest.fixture
def prepared(tiny_cache: Path) -> Callable[[RunConfig], Any]:
    """Open and prepare the model of a config, as a run does."""

    def prepare(config: RunConfig) -> Any:
        method = load(METHODS[config.method])
        manifest = cache.manifest(config.model)
        kind, weights = models.fetched_class(manifest), models.stored_weights(manifest)
        model = models.open_model(kind, weights, config, method.quantization(config), "cpu")
        return method.prepare(model, config)

    return prepare


@pytest.fixture
def tokenizer(tiny_cache: Path) -> Any:
    """The tokenizer of tiny-llama: one token a byte."""
    return models.open_tokenizer(cache.manifest("tiny-llama"))


@pytest.fixture
def cpu() -> Cpu:
    """The host as a device."""
    return Cpu()
