"""The stub libraries of the paging tests, for the doctor's."""

from __future__ import annotations

from tests.worker.paging.conftest import compile_stub, stub_cuda, stub_cupti

__all__ = ["compile_stub", "stub_cuda", "stub_cupti"]
