"""Read an order from standard input, fetch, and answer with one line of JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.errors import INSTALL, FtbenchError, MissingPackageError


def main() -> None:
    """Serve one order: {"models": [...], "tasks": [...], "data_dir": path or null}."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is progress, not the answer
    order = json.loads(sys.stdin.read())
    try:
        answer: dict[str, Any] = {"names": _serve(order)}
    except FtbenchError as error:
        answer = {"error": str(error)}
    except ModuleNotFoundError as error:
        answer = {"error": str(MissingPackageError(error.name or "?", "fetching", INSTALL))}
    except OSError as error:
        answer = {"error": f"the disk refuses: {error.strerror or error} ({error.filename or 'no file named'})."}
    os.write(answers, json.dumps(answer).encode() + b"\n")


def _serve(order: dict[str, Any]) -> list[str]:
    from bench.worker.fetch.data import fetch_task
    from bench.worker.fetch.model import fetch_model

    for task in order["tasks"]:
        fetch_task(task, Path(order["data_dir"]) if order["data_dir"] else None)
    return [fetch_model(model) for model in order["models"]]


if __name__ == "__main__":
    main()
