"""Data sets of a task: from the hub into its cache, unless a local folder has them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench import cache
from bench.errors import FetchError, NotFetchedError
from bench.worker.fetch import hub
from bench.worker.rows import local_file, rows
from bench.worker.tasks import DataSet, open_task


def fetch_task(name: str, data_dir: Path | None) -> None:
    """Make every data set of a task readable without network. Raises `FetchError`."""
    if data_dir:
        os.environ[cache.DATA_VARIABLE] = str(data_dir)
    task = open_task(name)
    for data_set in task.data_sets:
        if local_file(data_set) is None:
            _from_hub(name, data_set)
        else:
            rows(data_set)
    task.test(1)  # what comes with a package is found missing here, and what a harness fetches itself is fetched
    if not data_dir:
        cache.publish_task(name)


def _from_hub(task: str, data_set: DataSet) -> None:
    print(f"fetching {data_set.name} ({data_set.config}, {data_set.split}) from the hub", file=sys.stderr)
    try:
        cache.publish_data(data_set.name, hub.data_commit(data_set.name))
        rows(data_set)
    except (hub.Unreachable, NotFetchedError, OSError) as trouble:
        raise FetchError(
            f"task {task!r} needs {data_set.name} ({data_set.config}, {data_set.split}), which the hub did not give "
            f"({trouble}); fetch where the hub can be reached, or point --data-dir at a folder laid out like it."
        ) from trouble
