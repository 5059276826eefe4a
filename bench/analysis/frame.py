"""Records as a pandas DataFrame, for notebooks; public as `bench.load`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.cases import read
from bench.analysis.values import value
from bench.schema import RunConfig
from bench.schema.metrics import METRICS
from bench.store import Stored

if TYPE_CHECKING:
    from pandas import DataFrame


def load(root: str | Path = "results") -> DataFrame:
    """Read every record below `root`: one row a run, in the order of device, case and start.

    Columns: device, case, run, kind, status, started; every field of the config but
    `options`, whose entries are `option.<name>`; every metric in base units, NaN where it
    is absent. A file that is no record is a warning, not a row.
    Raises `StoreError` if `root` does not exist.
    """
    import pandas as pd

    stored, unreadable = read(Path(root))
    for file in unreadable:
        warnings.warn(f"{file.path}: {file.reason}", stacklevel=2)
    frame = pd.DataFrame([_row(run) for run in stored], columns=None if stored else _columns())
    return frame.astype(dict.fromkeys(METRICS, float))


def _row(run: Stored) -> dict[str, object]:
    record, config = run.record, run.record.config
    return {
        "device": record.device,
        "case": record.case,
        "run": run.run,
        "kind": record.kind.value,
        "status": record.status.value,
        "started": record.started,
        **{name: getattr(config, name) for name in RunConfig.__struct_fields__ if name not in ("options", "device")},
        **{name: value(record, name) for name in METRICS},
        **{f"option.{name}": option for name, option in config.options.items()},
    }


def _columns() -> list[str]:
    fields = [name for name in RunConfig.__struct_fields__ if name not in ("options", "device")]
    return ["device", "case", "run", "kind", "status", "started", *fields, *METRICS]
