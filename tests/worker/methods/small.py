"""Settings with which every method fits tiny-llama: its layers have sides of 32, 64 and 192."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from bench.schema.catalogue import METHODS

SMALL: dict[str, dict[str, Any]] = {
    "velora": {"groups": 16},
    "adamss": {"rank": 16},
    "randlora": {"rank": 8},
    "vblora": {"vector_length": 32},
    "c3a": {"block_size": 32},
    "road": {"group_size": 32},
    "psoft": {"rank": 8},
    "waveft": {"n_frequency": 64},
    "shira": {"rank": 4},
}

NEEDS_SKLEARN = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")


def every_method() -> list[Any]:
    """Return every method's name, as values of a parameter."""
    return [pytest.param(name, marks=NEEDS_SKLEARN if name == "adamss" else ()) for name in METHODS]
