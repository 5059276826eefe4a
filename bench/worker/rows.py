"""Rows of a data set: from a folder laid out like the hub, else from the hub's cache on this machine."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench import cache
from bench.errors import NotFetchedError
from bench.worker.tasks import DataSet

READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}


@lru_cache
def local_file(data_set: DataSet) -> Path | None:
    """Return <folder>/<owner>/<name>/<config>/<split>.jsonl (or .parquet) where `FTBENCH_DATA_DIR` has it."""
    folder = os.environ.get(cache.DATA_VARIABLE)
    if not folder:
        return None
    stem = Path(folder, *data_set.name.split("/"), data_set.config, data_set.split)
    return next((p for ending in READERS if (p := stem.with_suffix(ending)).is_file()), None)


@lru_cache
def rows(data_set: DataSet) -> list[dict[str, Any]]:
    """Return all rows of a split. Raises `NotFetchedError` if it is neither local nor in the hub's cache."""
    import datasets

    path = local_file(data_set)
    if path:
        loaded = datasets.load_dataset(READERS[path.suffix], data_files=str(path), split="train")
        return list(loaded)
    try:
        commit = cache.data_revision(data_set.name)
        return list(datasets.load_dataset(data_set.name, data_set.config, split=data_set.split, revision=commit))
    except (OSError, ValueError, RuntimeError) as error:  # the last of a data set that is a script, which is not run
        raise NotFetchedError(
            f"{data_set.name} ({data_set.config}, {data_set.split}) is not on this machine; bring it with "
            f"'ftbench fetch --task ...' or point --data-dir at a folder laid out like the hub. ({error})"
        ) from error


def origin(data_set: DataSet) -> str:
    """Say where the rows come from: the hash of a local file, or the hub's commit."""
    path = local_file(data_set)
    if path is None:
        return f"hub {cache.data_revision(data_set.name) or 'at an unknown commit'}"
    return f"local sha256:{cache.file_hash(path)}"
