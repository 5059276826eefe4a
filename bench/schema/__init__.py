"""What a run is: configs, records, and the names they may use. No torch, no pandas."""

from bench.schema.config import RunConfig
from bench.schema.record import Failure, Kind, RunRecord, Status

__all__ = ["Failure", "Kind", "RunConfig", "RunRecord", "Status"]
