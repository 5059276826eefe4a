"""A machine with made-up GPUs: child processes in which the real nvidia-ml-py loads a library of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stubs import compiled

HERE = Path(__file__).parent
FILE = "NVML_STUB"
GIB = 1024**3

H100: Mapping[str, object] = {
    "driver": "580.95.05",
    "count": 1,
    "gpu0.name": "NVIDIA H100 80GB HBM3",
    "gpu0.uuid": "GPU-11111111-2222-3333-4444-555555555555",
    "gpu0.mig": "0,0",
    "gpu0.memory": f"{80 * GIB},{GIB},{10 * GIB}",
    "gpu0.processes": f"self:{9 * GIB}",
    "gpu0.energy": 1_000_000,
    "gpu0.power.enforced": 700_000,
    "gpu0.temperature": 41,
    "gpu0.reasons": 4,
    "gpu0.clock1": 1_700,
    "gpu0.field74": 0,
    "gpu0.field269": 0,
    "gpu0.field270": 0,
    "gpu0.field271": 0,
}
"""One whole GPU that tells everything the meters ask for."""

INSTANCES: Mapping[str, object] = {
    **H100,
    "gpu0.mig": "1,1",
    "gpu0mig0.uuid": "MIG-aaaaaaaa-2222-3333-4444-555555555555",
    "gpu0mig0.name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    "gpu0mig0.memory": f"{10 * GIB},0,{3 * GIB}",
    "gpu0mig0.processes": f"self:{2 * GIB}",
    "gpu0mig0.multiprocessors": 16,
    "gpu0mig1.uuid": "MIG-bbbbbbbb-2222-3333-4444-555555555555",
    "gpu0mig1.name": "NVIDIA H100 80GB HBM3 MIG 2g.20gb",
    "gpu0mig1.memory": f"{20 * GIB},0,{4 * GIB}",
    "gpu0mig1.processes": "-",
}
"""The same GPU cut into instances, two of which exist."""


def tell(facts: Mapping[str, object]) -> None:
    """Let NVML answer these facts from now on; None is a fact that the GPU does not support."""
    lines = (f"{key} {value}\n" for key, value in facts.items() if value is not None)
    path = Path(os.environ[FILE])
    path.with_suffix(".new").write_text("".join(lines))
    path.with_suffix(".new").replace(path)


class Machine:
    """Runs code that finds these GPUs and no other. `flags` are the C compiler's."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        compiled(HERE / "nvml_stub.c", folder, "libnvidia-ml.so.1", *flags)

    def run(self, code: str, facts: Mapping[str, object], **variables: str) -> Any:
        """Run `code` in a process of its own and return what it gave to `say`."""
        prelude = "import json; from tests.nvml_stub import *; say = lambda what: print(json.dumps(what))\n"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        environment = {
            **kept,
            "PYTHONPATH": str(HERE.parent),
            "LD_LIBRARY_PATH": str(self._folder),
            FILE: str(self._folder / "facts"),
            **variables,
        }
        code = f"{prelude}tell({dict(facts)!r})\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
