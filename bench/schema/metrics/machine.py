"""The machine while it ran: canaries, neighbours, energy, clocks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

REASONS = (
    "What held the clocks when the timed steps {}, a sum of NVML's bits: 1 idle, 2 set clocks, 4 power cap, "
    "8 hardware slowdown, 16 sync boost, 32 software heat, 64 hardware heat, 128 power brake, 256 display. One moment "
    "only; the seconds of slowdown miss nothing in between."
)


def _canary(when: str) -> dict[str, Metric]:
    return {
        f"canary.gemm_{when}": Metric(
            "FLOP/s", "higher", "noisy", f"canary GEMM, {when}",
            f"Median speed of a fixed square matrix product in the run's dtype, {when} the run."),
        f"canary.copy_{when}": Metric(
            "B/s", "higher", "noisy", f"canary copy, {when}",
            f"Median speed of copying a fixed block of memory, bytes read plus bytes written, {when} the run."),
    }  # fmt: skip


MACHINE: Mapping[str, Metric] = MappingProxyType({
    **_canary("before"),
    **_canary("after"),
    "canary.drift": Metric("1", "neither", "noisy", "canary drift",
                           "Largest relative change of a canary from before to after.", raw="canary.gemm_before"),
    "train.neighbour_cores": Metric("1", "lower", "noisy", "cores taken by others",
                                    "Cores that other processes kept busy on average during the timed steps: busy and "
                                    "stolen time of all processors (/proc/stat) minus this process's own."),
    "train.stolen_cores": Metric("1", "lower", "noisy", "cores stolen",
                                 "Cores that the hypervisor gave to others on average during the timed steps (steal in "
                                 "/proc/stat)."),
    "train.cpu_stall": Metric("s", "lower", "noisy", "waiting for a core",
                              "Time in which some task of the machine waited for a processor during the timed steps "
                              "(/proc/pressure/cpu, some total)."),
    "train.memory_stall": Metric("s", "lower", "noisy", "waiting for memory",
                                 "Time in which some task of the machine waited for memory during the timed steps "
                                 "(/proc/pressure/memory, some total)."),
    "train.io_stall": Metric("s", "lower", "noisy", "waiting for a disk",
                             "Time in which some task of the machine waited for a disk during the timed steps "
                             "(/proc/pressure/io, some total)."),
    "train.foreign_processes": Metric("1", "lower", "noisy", "other processes on the GPU",
                                      "Most other compute processes NVML saw on this GPU at either end of the timed "
                                      "steps.", devices=("cuda",)),
    "train.energy": Metric("J", "lower", "noisy", "energy",
                           "Energy during the timed steps. GPU: NVML's total energy counter, the board alone, host "
                           "excluded. CPU: RAPL packages, whole sockets."),
    "train.energy_error": Metric("J", "lower", "noisy", "error of the energy",
                                 "What the counter's update step can make of the energy at both ends together."),
    "train.energy_per_token": Metric("J/tok", "lower", "noisy", "energy a token",
                                     "train.energy over the non-padding tokens of the timed steps.",
                                     raw="train.energy", margin=0.02),
    "train.power": Metric("W", "lower", "noisy", "mean power",
                          "train.energy over the wall time of the timed steps.", raw="train.energy"),
    "train.sm_clock": Metric("Hz", "higher", "noisy", "SM clock",
                             "Median of the streaming multiprocessors' clock, read while the timed steps ran.",
                             devices=("cuda",)),
    "train.temperature_start": Metric("Cel", "lower", "noisy", "temperature before",
                                      "GPU temperature when the timed steps began.", devices=("cuda",)),
    "train.temperature_end": Metric("Cel", "lower", "noisy", "temperature after",
                                    "GPU temperature when the timed steps ended.", devices=("cuda",)),
    "train.clock_reasons_start": Metric("1", "neither", "noisy", "clock reasons before",
                                        REASONS.format("began"), devices=("cuda",)),
    "train.clock_reasons_end": Metric("1", "neither", "noisy", "clock reasons after",
                                      REASONS.format("ended"), devices=("cuda",)),
    "train.power_cap_seconds": Metric("s", "lower", "noisy", "held back by the power cap",
                                      "Time the clocks were held back by the software power cap during the timed "
                                      "steps (NVML field 74). Normal on a loaded GPU.", devices=("cuda",)),
    "train.throttled_seconds": Metric("s", "lower", "noisy", "throttled",
                                      "Time the clocks were held back by heat or the power brake during the timed "
                                      "steps (NVML fields 269 to 271 or 251 to 253, by driver); causes at one time "
                                      "count each.", devices=("cuda",)),
})  # fmt: skip
