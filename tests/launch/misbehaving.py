"""Workers that end in every way a run can end. `workers(...)` in conftest.py makes them importable for the runs."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from bench.launch import dry
from bench.schema import Failure, RunConfig, RunRecord, Status
from bench.schema.codec import decode_config, encode

TOKEN = "hf_" + "a1B2c3D4" * 3
ENDLESS = [sys.executable, "-c", "import time; time.sleep(600)"]


def config(folder: str) -> RunConfig:
    return decode_config(Path(folder, "config.json").read_bytes())


def leave(folder: str, record: RunRecord) -> None:
    Path(folder, "record.json").write_text(encode(record))


def ok(folder: str) -> None:
    leave(folder, dry.record(config(folder)))


def out_of_memory(folder: str) -> None:
    failure = Failure(phase="train", message="no memory left", bytes_requested=4096)
    leave(folder, replace(dry.record(config(folder)), status=Status.OOM, failure=failure, metrics={}, series={}))


def sigkill(folder: str) -> None:
    Path(folder, "phase").write_text("train")
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(folder: str) -> None:
    ctypes.string_at(0)


def realtime_signal(folder: str) -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 3)


def silent(folder: str) -> None:
    """End as if all were well."""


def exit_three(folder: str) -> None:
    sys.exit(3)


def exception(folder: str) -> None:
    raise ValueError("no such thing")


def truncated(folder: str) -> None:
    Path(folder, "record.json").write_text(encode(dry.record(config(folder)))[:-40])


def huge(folder: str) -> None:
    with Path(folder, "record.json").open("wb") as file:
        file.truncate(300_000_000)


def garbage(folder: str) -> None:
    Path(folder, "record.json").write_bytes(os.urandom(5000))


def linked(folder: str) -> None:
    Path(folder, "elsewhere").write_text(encode(dry.record(config(folder))))
    Path(folder, "record.json").symlink_to(Path(folder, "elsewhere"))


def pipe(folder: str) -> None:
    os.mkfifo(Path(folder, "record.json"))


def directory(folder: str) -> None:
    Path(folder, "record.json").mkdir()


def another_config(folder: str) -> None:
    leave(folder, dry.record(config(folder).but(steps=77)))


def garbage_phase(folder: str) -> None:
    Path(folder, "phase").write_bytes(b"\xff\xfe" * 5000)
    sys.exit(3)


def closes_output(folder: str) -> None:
    os.close(1)
    os.close(2)
    ok(folder)


def talkative(folder: str) -> None:
    line = "x" * 99 + "\n"
    for _ in range(1000):
        sys.stdout.write(line * 1000)
    print("the last of it")
    sys.exit(3)


def tells_secrets(folder: str) -> None:
    home = os.environ["HOME"]
    print(f"token {TOKEN} of planted-user in {home}/models on planted-host.corp, https://me:sesame@hub/x")
    print("y" * 485 + TOKEN)  # a cut at 500 characters goes through the token
    raise OSError(f"cannot read {home}/models: {TOKEN}")


def secrets_everywhere(folder: str) -> None:
    home = os.environ["HOME"]
    record = dry.record(config(folder))
    told = {"a": f"{home}/data {TOKEN}", "b": "planted-user@planted-host"}
    leave(folder, replace(record, absent=dict(told), resolved=dict(told), environment=dict(told)))


def ignores_sigterm(folder: str) -> None:
    """Hang with a grandchild beside, and do not go when asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(ENDLESS)
    time.sleep(600)


def leaves_grandchild(folder: str) -> None:
    subprocess.Popen(ENDLESS)
    Path(os.environ["BEGUN"]).write_text(f"{os.getpid()} {os.getppid()} {os.getpgid(0)}")
    ok(folder)


def disastrous(folder: str) -> None:
    """End badly, in the way `DISASTER` names, for the seed 1 only."""
    globals()[os.environ["DISASTER"] if config(folder).seed == 1 else "ok"](folder)


def hangs(folder: str) -> None:
    """Hang with a grandchild, and say that it has begun."""
    subprocess.Popen(ENDLESS)
    Path(os.environ["BEGUN"]).write_text(f"{os.getpid()} {os.getppid()} {os.getpgid(0)}")
    time.sleep(600)


def sleeps(folder: str) -> None:
    time.sleep(2)
    ok(folder)


def sees(folder: str) -> None:
    """Record which descriptors are open, beside the three standard ones, and where they lead."""
    found = {}
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            found[f"fd.{entry.name}"] = str(entry.readlink())
        except OSError:
            continue
    found["token"] = os.environ.get("HF_TOKEN", "")
    found["gpus"] = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    leave(folder, replace(dry.record(config(folder)), environment=found))
