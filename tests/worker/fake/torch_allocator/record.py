"""Record what torch's own CUDA caching allocator counts, without a GPU: python record.py FOLDER > counted.json.

Needs g++, and in FOLDER the unpacked wheels of torch 2.13.0 (the CUDA 13 build) and of the headers it is built with:
    pip download --no-deps 'torch===2.13.0' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-crt==13.0.*'
The real libc10_cuda.so runs on runtime.cpp, which stands for the CUDA runtime and driver. A folder
nvidia/cu13/lib must not be there, or the real runtime is found first.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MIB = 2**20
GIB = 2**30
STEPS = 64

CASES = [
    ("", 80 * GIB),
    ("", 300 * MIB),
    ("max_split_size_mb:20", 300 * MIB),
    ("max_split_size_mb:40,max_non_split_rounding_mb:30", GIB),
    ("per_process_memory_fraction:0.6,garbage_collection_threshold:0.5", GIB),
    ("per_process_memory_fraction:0.9,garbage_collection_threshold:0.3,max_split_size_mb:32", 400 * MIB),
    ("roundup_power2_divisions:8", GIB),
    ("roundup_power2_divisions:[1:2,16:8,64:4,>:1]", GIB),
    ("large_segment_size_mb:32", 300 * MIB),
    ("expandable_segments:True", 80 * GIB),
    ("expandable_segments:True", 300 * MIB + 12345),
    ("expandable_segments:True,large_segment_size_mb:12,max_split_size_mb:30", 300 * MIB),
    ("expandable_segments:True,per_process_memory_fraction:0.7", 400 * MIB),
]


def build(wheels: Path, into: Path) -> Path:
    """Compile the stand-ins and the program; return the program."""
    lib = wheels / "torch/lib"
    includes = [f"-I{wheels / path}" for path in ("torch/include", "nvidia/cu13/include")]
    versions = into / "versions"
    versions.write_text("libcudart.so.13 { global: *; };")
    runtime, program = into / "libcudart.so.13", into / "replay"
    shared = ["-shared", "-fPIC", f"-Wl,--version-script={versions}", "-Wl,-soname,libcudart.so.13"]
    compiler = ["g++", "-std=c++20", "-O1", *includes]
    subprocess.run([*compiler, *shared, "-o", runtime, HERE / "runtime.cpp"], check=True)
    (into / "libnvidia-ml.so.1").symlink_to(runtime)
    libraries = [lib / "libc10_cuda.so", lib / "libc10.so", runtime, f"-Wl,-rpath,{into}:{lib}"]
    subprocess.run([*compiler, "-o", program, HERE / "replay.cpp", *libraries], check=True)
    return program


def steps(seed: int, capacity: int) -> list[str]:
    """Make up a run: few sizes, taken again and again, at every border of the allocator's rules."""
    chance = random.Random(seed)
    borders = [1, 512, 513, MIB, MIB + 1, 9 * MIB, 10 * MIB - 512, 10 * MIB, 11 * MIB, 20 * MIB, 21 * MIB, 40 * MIB]
    sizes = [*chance.sample(borders, 6), *(chance.randrange(1, 64 * MIB) for _ in range(4)), min(capacity, GIB) // 4]
    made: list[str] = []
    live: list[int] = []
    for key in range(STEPS):
        kind = chance.random()
        if kind < 0.04:
            made.append("empty")
        elif kind < 0.06:
            made.append("reset")
        elif kind < 0.6 or not live:
            made.append(f"malloc {key} {chance.choice(sizes)}")
            live.append(key)
        else:
            made.append(f"free {live.pop(chance.randrange(len(live)))}")
    return [*made, *(f"free {key}" for key in live), "empty"]


def main() -> None:
    """Print one run and its numbers for each case."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(sys.argv[1]).resolve(), Path(folder))
        recorded = []
        for seed, (settings, capacity) in enumerate(CASES):
            made = steps(seed, capacity)
            environment = {**os.environ, "CAPACITY": str(capacity), "LD_LIBRARY_PATH": folder}
            environment["PYTORCH_CUDA_ALLOC_CONF"] = settings
            played = subprocess.run(
                [program], input="\n".join(made), env=environment, capture_output=True, text=True, check=True
            )
            counted = played.stdout.splitlines()
            recorded.append({"settings": settings, "capacity": capacity, "steps": made, "counted": counted})
    json.dump(recorded, sys.stdout, indent=0)


if __name__ == "__main__":
    main()
