"""Paging: what it costs when optimiser state is not where the step needs it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

PAGING: Mapping[str, Metric] = MappingProxyType({
    "paging.state_bytes": Metric("B", "neither", "exact", "optimiser state", "Bytes of all optimiser state."),
    "paging.paged_bytes": Metric("B", "neither", "exact", "paged state",
                                 "Bytes of optimiser state that can be paged: managed memory on a GPU, a mapped file "
                                 "on a CPU."),
    "paging.paged_share": Metric("1", "neither", "exact", "paged share",
                                 "paging.paged_bytes over paging.state_bytes. bitsandbytes pages no tensor below "
                                 "100,000 values.", raw="paging.paged_bytes"),
    "paging.chilled_bytes": Metric("B", "neither", "exact", "bytes sent away",
                                   "Bytes of paged state moved out before each cold step.", raw="step.chilled_bytes"),
    "paging.stall": Metric("s", "lower", "noisy", "page-fault stall",
                           "Median seconds of a cold step (state moved out just before) minus the median of a "
                           "resident step, interleaved in one run, without any counter attached.",
                           raw="step.chilled_bytes", margin=0.05),
    "paging.stall_share": Metric("1", "lower", "noisy", "stall against a step",
                                 "paging.stall over the median resident step.", raw="step.chilled_bytes"),
    "paging.bandwidth": Metric("B/s", "higher", "noisy", "effective bandwidth",
                               "paging.chilled_bytes over paging.stall.", raw="step.chilled_bytes"),
    "paging.predicted_stall": Metric("s", "lower", "near-exact", "stall by the rule of thumb",
                                     "bitsandbytes' planning rule: bytes over half the bandwidth of the bus; a "
                                     "prediction beside the measurement.", raw="step.chilled_bytes",
                                     devices=("cuda",)),
    "paging.predicted_bytes_in": Metric("B", "lower", "exact", "bytes moved in, predicted",
                                        "Bytes a step would bring in if every step ran oversubscribed so: state walked "
                                        "in order, the chunk of 2 MiB that came in longest ago evicted first. A "
                                        "prediction beside the measurement.", devices=("cuda",)),
    "paging.cold_major_faults": Metric("1", "lower", "noisy", "major faults a cold step",
                                       "Median major page faults of a cold step.", raw="step.major_faults"),
    "paging.cold_minor_faults": Metric("1", "lower", "noisy", "minor faults a cold step",
                                       "Median minor page faults of a cold step.", raw="step.minor_faults"),
    "paging.counters_valid": Metric("1", "neither", "exact", "counters believed",
                                    "1 if the counters passed the canary and the bytes reconcile, else 0.",
                                    devices=("cuda",)),
    "paging.fault_groups": Metric("1", "lower", "noisy", "GPU fault groups a cold step",
                                  "Median over cold steps of CUPTI's GPU page-fault groups.",
                                  devices=("cuda",)),
    "paging.fault_batches": Metric("1", "lower", "noisy", "GPU fault batches a cold step",
                                   "Median over cold steps of distinct fault batches.",
                                   devices=("cuda",)),
    "paging.bytes_in": Metric("B", "lower", "noisy", "bytes moved in",
                              "Median over cold steps of bytes migrated from host to device (CUPTI).",
                              devices=("cuda",)),
    "paging.bytes_out": Metric("B", "lower", "noisy", "bytes moved out",
                               "Median over cold steps of bytes migrated from device to host (CUPTI).",
                               devices=("cuda",)),
    "paging.active_seconds": Metric("s", "lower", "noisy", "paging active",
                                    "Median over cold steps of the union of fault, migration and throttling intervals: "
                                    "an upper bound of what paging can have cost.",
                                    devices=("cuda",)),
    "paging.fault_service_seconds": Metric("s", "lower", "noisy", "fault service",
                                           "Median over cold steps of the union of fault intervals, from the driver's "
                                           "start of processing to the queued replay: a lower bracket of the stall on "
                                           "the fault path.", devices=("cuda",)),
})  # fmt: skip
