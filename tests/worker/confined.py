"""The real worker in a process that may grow by one gibibyte, so that memory really runs out."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import bench.worker.run  # noqa: F401 (what is imported does not count)
from bench.worker import main as worker

GROWTH = 2**30


def main(folder: str) -> None:
    """Limit the address space, then do the run."""
    found = re.search(r"^VmSize:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    limit = int(found.group(1)) * 1024 + GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    worker.main(folder)
