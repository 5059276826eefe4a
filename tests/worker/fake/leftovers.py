"""A process that meets a simulated GPU and prints what of torch and its family is not as it was before."""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from typing import Any

import bitsandbytes
import peft
import transformers

DEEPEST = 3
"""Tables in tables whose contents are looked at."""

FAMILY = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")


def snapshot() -> dict[str, Any]:
    """Return the identity of every attribute of every module and class of the family, contents of lists, variables."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in FAMILY and module is not None:
            _note(found, name, vars(module))
            for owner in [value for value in vars(module).values() if issubclass(type(value), type)]:
                if owner.__module__.partition(".")[0] in FAMILY:
                    _note(found, f"{owner.__module__}.{owner.__qualname__}", vars(owner))
    return {**found, "environment": dict(os.environ)}


def _note(found: dict[str, Any], place: str, attributes: Any) -> None:
    for name, value in list(attributes.items()):
        found[f"{place}.{name}"] = id(value) if name.startswith("__") else _identity(value)


def _identity(value: Any, depth: int = 0) -> Any:
    """Return what tells a value from others: its id, and those of a list's or a table's contents."""
    if depth == DEEPEST or type(value) not in {list, dict}:
        return id(value)
    if type(value) is list:
        return [_identity(part, depth + 1) for part in value]
    return {id(key): _identity(part, depth + 1) for key, part in value.items()}


def met(device: Any, error: type[BaseException] | None) -> dict[str, list[str]]:
    """Enter and leave `device`, by an error if there is one, and return what is another meanwhile, afterwards, and new.

    Modules that are loaded by it are not counted.
    """
    known, before = set(sys.modules), snapshot()
    with suppress(ZeroDivisionError), device:
        within = snapshot()
        if error:
            raise error
    after = snapshot()
    loaded = tuple(f"{name}." for name in set(sys.modules) - known)
    found = {
        "meanwhile": [name for name in {**before, **within} if within.get(name) != before.get(name)],
        "left": [name for name in before if after.get(name) != before[name]],
        "new": [name for name in after if name not in before and name not in sys.modules],
    }
    return {what: [name for name in names if not name.startswith(loaded)] for what, names in found.items()}


def main() -> None:
    """Meet a simulated GPU twice, and print what changed."""
    from bench.worker.devices.fake import Fake
    from bench.worker.fake import abi

    abi.install()  # for good
    gc.disable()
    assert transformers.masking_utils
    assert peft.get_peft_model
    assert bitsandbytes.nn.Params4bit
    ways = {"well": None, "error": ZeroDivisionError}
    print(json.dumps({way: met(Fake("h100-80gb"), error) for way, error in ways.items()}))


if __name__ == "__main__":
    main()
