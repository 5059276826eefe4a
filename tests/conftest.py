"""Fixtures for the tests of reading and showing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.records import filled

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def example_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with Full, LoRA and QLoRA, three seeds each, and a failed run; for reading only."""
    return filled(tmp_path_factory.mktemp("example") / "results")


@pytest.fixture(scope="session")
def ftbench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `ftbench` with arguments in a process of its own and return what it said."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        settings: dict[str, object] = {
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "env": environment,
            **options,
        }
        return subprocess.run(command, check=False, **settings)  # type: ignore[call-overload,no-any-return]

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that talks to nobody. FTBENCH_REQUIRE_BROWSER=1 fails where there is none."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("FTBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail("FTBENCH_REQUIRE_BROWSER=1 and there is no Chromium")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(ALONE))
        yield started
        started.close()


ALONE = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
