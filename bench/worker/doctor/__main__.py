"""`python -m bench.worker.doctor QUESTION`: the answer as JSON on standard output.

Questions: `findings` (what can be measured), `facts` (the device as torch sees it), `gpu_parts`
(names of the hardware check's parts), `gpu PART` (one of them).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bench.worker import doctor
from bench.worker.doctor import hardware

QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "findings": lambda: [asdict(finding) for finding in doctor.findings()],
    "facts": doctor.device_facts,
    "gpu_parts": lambda: list(hardware.PARTS),
    "gpu": hardware.answer,
}

if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answer
    with os.fdopen(answers, "w") as output:
        json.dump(QUESTIONS[sys.argv[1]](*sys.argv[2:]), output)
