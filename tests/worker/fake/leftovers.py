"""A process that meets a simulated GPU and prints what of torch and its family is not as it was before; see `main`."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import Any

import bitsandbytes
import peft
import torch
import transformers

FAMILY = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")


def snapshot() -> dict[str, Any]:
    """Return the identity of every attribute of every module and class of the family, contents of lists, variables."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in FAMILY and module is not None:
            _note(found, name, vars(module))
            for owner in [value for value in vars(module).values() if isinstance(value, type)]:
                if owner.__module__.partition(".")[0] in FAMILY:
                    _note(found, f"{owner.__module__}.{owner.__qualname__}", vars(owner))
    return {**found, "environment": dict(os.environ)}


def _note(found: dict[str, Any], place: str, attributes: Any) -> None:
    for name, value in list(attributes.items()):
        if isinstance(value, list):
            found[f"{place}.{name}"] = [id(part) for part in value]
        elif isinstance(value, dict) and not name.startswith("__"):
            found[f"{place}.{name}"] = {key: id(part) for key, part in value.items()}
        else:
            found[f"{place}.{name}"] = id(value)


def main() -> None:
    """Enter and leave a simulated GPU, by an exception if the first argument says so, and print what changed."""
    from bench.worker.devices.fake import Fake

    gc.disable()
    assert transformers.masking_utils and peft and bitsandbytes.nn
    device = Fake("h100-80gb")
    before = snapshot()
    with suppress(ZeroDivisionError), device:
        within = snapshot()
        if sys.argv[1] == "error":
            raise ZeroDivisionError
    after = snapshot()
    print("meanwhile:", *sorted(name for name in before if within.get(name) != before[name]))
    print("left:", *sorted(name for name in before if after.get(name) != before[name]))
    print("new:", *sorted(name for name in after if name not in before and _is_ours(name)))
    assert torch.utils.data.DataLoader


def _is_ours(name: str) -> bool:
    """Modules that were imported meanwhile are new, and so are they as attributes of others."""
    module, _, attribute = name.rpartition(".")
    return f"{module}.{attribute}" not in sys.modules


if __name__ == "__main__":
    main()
