"""What PYTORCH_ALLOC_CONF asks of torch's CUDA caching allocator.

After c10/core/AllocatorConfig.cpp and c10/cuda/CUDAAllocatorConfig.cpp of torch 2.13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.errors import BadValueError

MIB = 2**20
INTERVALS = 16
"""Powers of two from 1 MiB to 32 GiB, each with its own rounding (kRoundUpPowerOfTwoIntervals)."""

MIN_LARGE_ALLOC = 10 * MIB
"""From here a request gets a segment of its own (kMinLargeAlloc); large segments must be larger."""

WITHOUT_EFFECT = (
    "graph_capture_record_stream_reuse", "pinned_free_catch_all", "pinned_max_cached_size_mb",
    "pinned_max_round_threshold_mb", "pinned_num_register_threads", "pinned_reserve_segment_size_mb",
    "pinned_use_background_threads", "pinned_use_cuda_host_register", "release_lock_on_cudamalloc",
)  # fmt: skip
"""Options of host memory, locks and graph capture: they move no byte of what is simulated, and are not checked."""

OPTIONS = (
    "backend", "expandable_segments", "garbage_collection_threshold", "large_segment_size_mb",
    "max_non_split_rounding_mb", "max_split_size_mb", "per_process_memory_fraction", "roundup_power2_divisions",
    "throw_on_cudamalloc_oom", *WITHOUT_EFFECT,
)  # fmt: skip
"""Every option of torch 2.13."""

PAIR = re.compile(r"([^,:\[\]]+):(\[[^\[\]]*\]|[^,:\[\]]+)(?:,|$)")


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """The options that decide where device memory goes, in bytes where torch's names say mb; defaults are torch's.

    `roundup_power2_divisions` holds the divisions of each interval (0: round to 512 bytes only).
    `max_split_size` None lets every block be split. `max_non_split_rounding_size` None is
    `large_segment_size`. torch collects garbage, by `garbage_collection_threshold` (0: never), only
    where `per_process_memory_fraction` is below 1.
    """

    expandable_segments: bool = False
    garbage_collection_threshold: float = 0.0
    max_split_size: int | None = None
    max_non_split_rounding_size: int | None = None
    roundup_power2_divisions: tuple[int, ...] = (0,) * INTERVALS
    large_segment_size: int = 20 * MIB
    per_process_memory_fraction: float = 1.0

    @classmethod
    def parse(cls, text: str) -> AllocatorSettings:
        """Read `text` as PYTORCH_ALLOC_CONF has it: "option:value,option:value"; of two with one name the last counts.

        Raises `BadValueError` for what torch 2.13 would not take, and for what is not simulated. Numbers are
        read strictly: torch takes "20abc" for 20 and -1 for no limit, both are refused here.
        """
        given = dict(_pairs(text))
        _refuse_what_is_not_simulated(given)
        large = _megabytes(given, "large_segment_size_mb", MIN_LARGE_ALLOC + MIB) or 20 * MIB
        return cls(
            expandable_segments=_flag(given, "expandable_segments"),
            garbage_collection_threshold=_share(given, "garbage_collection_threshold", 0.0, ends=False),
            max_split_size=_megabytes(given, "max_split_size_mb", large),
            max_non_split_rounding_size=_megabytes(given, "max_non_split_rounding_mb", large),
            roundup_power2_divisions=_divisions(given.get("roundup_power2_divisions", "[]")),
            large_segment_size=large,
            per_process_memory_fraction=_share(given, "per_process_memory_fraction", 1.0, ends=True),
        )

    def divisions(self, size: int) -> int:
        """Return the divisions for `size` bytes (AcceleratorAllocatorConfig::roundup_power2_divisions).

        Below 1 MiB the first interval counts, from 32 GiB the last.
        """
        interval = size.bit_length() - MIB.bit_length()
        return self.roundup_power2_divisions[min(max(interval, 0), INTERVALS - 1)]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Split into options and values; white space counts nowhere (ConfigTokenizer)."""
    left = re.sub(r"\s", "", text)
    while left:
        found = PAIR.match(left)
        if not found:
            raise BadValueError(f"PYTORCH_ALLOC_CONF={text!r} is not a list of option:value at {left!r}.")
        option, value = found.groups()
        if option not in OPTIONS:
            raise BadValueError(f"unknown allocator option {option}:{value}. Known: {', '.join(OPTIONS)}.")
        yield option, value
        left = left[found.end() :]


def _refuse_what_is_not_simulated(given: dict[str, str]) -> None:
    backend = given.get("backend", "native")
    if backend == "cudaMallocAsync":
        raise BadValueError("backend:cudaMallocAsync is not simulated; only backend:native is.")
    if backend != "native":
        raise BadValueError(f"backend:{backend} must be native or cudaMallocAsync.")
    if _flag(given, "throw_on_cudamalloc_oom"):
        raise BadValueError("throw_on_cudamalloc_oom:True is not simulated; leave it out.")


def _flag(given: dict[str, str], option: str) -> bool:
    value = given.get(option, "False")
    if value not in {"True", "False"}:
        raise BadValueError(f"{option}:{value} must be True or False.")
    return value == "True"


def _whole(number: str, given: str) -> int:
    if not re.fullmatch(r"[0-9]+", number):
        raise BadValueError(f"{given}: {number!r} must be a whole number.")
    return int(number)


def _megabytes(given: dict[str, str], option: str, least: int) -> int | None:
    """Read an option in MiB as bytes, None if it is not given."""
    if option not in given:
        return None
    size = _whole(given[option], f"{option}:{given[option]}") * MIB
    if size < least:
        raise BadValueError(f"{option}:{given[option]} must be at least {least // MIB}.")
    return size


def _share(given: dict[str, str], option: str, default: float, *, ends: bool) -> float:
    """Read a number between 0 and 1, both themselves allowed if `ends`."""
    value = given.get(option)
    if value is None:
        return default
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not (0.0 <= share <= 1.0 if ends else 0.0 < share < 1.0):
        raise BadValueError(f"{option}:{value} must be a number from 0 to 1{'' if ends else ', neither of them'}.")
    return share


def _divisions(value: str) -> tuple[int, ...]:
    """Read one number for all sizes, or "[64:8,256:4,>:1]": divisions from a size in MiB on.

    The first entry also counts for all sizes below it, ">" for all above the entry before it; an
    interval that nothing names is not rounded (AcceleratorAllocatorConfig::parseRoundUpPower2Divisions).
    """
    given = f"roundup_power2_divisions:{value}"
    if not value.startswith("["):
        return (_power_of_two(value, given),) * INTERVALS
    divisions, last = [0] * INTERVALS, None
    for entry in value[1:-1].split(",") if value != "[]" else ():
        start, colon, number = entry.partition(":")
        if not colon:
            raise BadValueError(f"{given}: {entry!r} must pair a size with divisions, as in [64:8,256:4,>:1].")
        count = 0 if number == "0" else _power_of_two(number, given)
        if start == ">":
            above = 1 if last is None else last + 1
            divisions[above:] = [count] * (INTERVALS - above)
            continue
        interval = min(_power_of_two(start, given).bit_length() - 1, INTERVALS - 1)
        if last is None:
            divisions[:interval] = [count] * interval
        divisions[interval] = count
        last = interval
    return tuple(divisions)


def _power_of_two(number: str, given: str) -> int:
    value = _whole(number, given)
    if value.bit_count() != 1:
        raise BadValueError(f"{given}: {number} must be a power of two.")
    return value
