"""What is done on a node of the cluster: say what it is, plan, and make one run. All are called in Ray's processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from bench.errors import FtbenchError
from bench.launch import machine
from bench.launch.fetch import Supplies
from bench.launch.launchers import launcher_for, slug_for
from bench.launch.planned import planned
from bench.launch.process import Launcher
from bench.schema.catalogue import Scalar, is_predicted
from bench.schema.codec import decode_config, encode, encode_configs


class Order(NamedTuple):
    """How runs are made: on which device, with which data (a folder on every node), or made up."""

    device: str
    data_dir: str | None
    dry: bool


class Node(NamedTuple):
    """What a node is for a record: its device, the versions of what measures, and the code that measures."""

    slug: str
    stack: Mapping[str, Scalar]
    code: str


class Refusal(NamedTuple):
    """What a user has to mend, in words: errors themselves may not survive the way back."""

    why: str


def describe(order: Order) -> Node | Refusal:
    """Say what this node is; a refusal where it has no such device."""
    try:
        return Node(slug_for(order.device, dry=order.dry), machine.stack(), machine.code_hash())
    except FtbenchError as refusal:
        return Refusal(str(refusal))


def plan(suites: Sequence[str], arguments: Sequence[str]) -> bytes | Refusal:
    """Return what the suites would run here, as `decode_configs` reads it; the node's card decides what fits."""
    try:
        return encode_configs(planned(suites, arguments))
    except FtbenchError as refusal:
        return Refusal(str(refusal))


def run(order: Order, config: bytes) -> str:
    """Make a run here, in a process of its own, and return its record as its file would hold it."""
    asked = decode_config(config)
    if not order.dry and not is_predicted(order.device):
        _supplies(order.data_dir).try_to_bring(asked.model, asked.task)
    return encode(_launcher(order, os.environ.get("CUDA_VISIBLE_DEVICES")).run(asked))


@lru_cache(maxsize=1)
def _launcher(order: Order, _visible: str | None) -> Launcher:
    """Keep one launcher while runs of one kind come in: importing takes longer than many a run.

    Ray tells by CUDA_VISIBLE_DEVICES which GPU is this process's; with another one a new launcher is made, and the one
    before ends with its last reference.
    """
    return launcher_for(order.device, data_dir=Path(order.data_dir) if order.data_dir else None, dry=order.dry)


@lru_cache(maxsize=1)
def _supplies(data_dir: str | None) -> Supplies:
    return Supplies(Path(data_dir) if data_dir else None)
