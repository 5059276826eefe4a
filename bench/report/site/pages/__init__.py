"""The pages of the site: a module each, with `files`, which writes paths below the site's root and their HTML."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from bench.analysis.results import Results

PAGES = ("front", "claims", "methods", "questions", "memory", "hardware", "upgrades", "explore", "published", "method",
         "data", "missing", "environments",
         "cases")  # fmt: skip


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write every page: paths below the site's root, and text."""
    for name in PAGES:
        yield from import_module(f"{__name__}.{name}").files(results)
