"""BEFT (arXiv 2509.15974): a trained bias, by default of the value projections alone."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("BeftConfig").method()
