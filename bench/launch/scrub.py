"""Take out of a text what identifies a person or a machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

from msgspec.structs import replace

import bench
from bench.launch.workers import SECRET
from bench.schema import RunRecord
from bench.schema.catalogue import Scalar

PATTERNS = (
    (re.compile(r"hf_[A-Za-z0-9]{20,}|api_org_[A-Za-z0-9]{20,}|(?<=://)[^/\s@]+@"), "<token>"),
    (re.compile(r"\b(?:GPU|MIG)-[0-9a-f]{8}-[0-9a-f-]+", re.IGNORECASE), "<gpu>"),
    (re.compile(r"(?<![\w.-])/(?:home|Users)/[^/\s'\":,;)]+"), "~"),
)

NOBODY = {"root", "localhost"}  # names that identify nothing and occur in ordinary messages


@cache
def _names() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The words to replace, longest first: folders of home, work and installation, host and user names."""
    installed = {str(Path(bench.__file__).parent): "<ftbench>", sys.prefix: "<python>", sys.base_prefix: "<python>"}
    host = platform.node()
    found = {os.path.expanduser("~"): "~", str(Path.cwd()): ".", **installed}  # noqa: PTH111 (never raises)
    found |= {host: "<host>", host.partition(".")[0]: "<host>"}
    with contextlib.suppress(KeyError, OSError):  # a uid without a name has none to give away
        found[getpass.getuser()] = "<user>"
    ordered = sorted((w for w in found if len(w) > 2 and w not in NOBODY), key=len, reverse=True)
    return tuple((_whole(word), found[word]) for word in ordered)


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", re.IGNORECASE)


def scrub(text: str) -> str:
    """Replace tokens, home and working folders, host and user names in `text`.

    Control characters go too, so that a dying process cannot write to somebody's terminal.
    """
    for name in SECRET:
        if secret := os.environ.get(name):
            text = text.replace(secret, "<token>")
    for word, replacement in (PATTERNS[0], *_names(), *PATTERNS[1:]):
        text = word.sub(replacement, text)
    return "".join(c if c.isprintable() else " " for c in text)


def scrubbed(record: RunRecord) -> RunRecord:
    """Take persons and machines out of every free text a run can write."""
    failure = record.failure and replace(
        record.failure,
        phase=scrub(record.failure.phase),
        message=scrub(record.failure.message),
        last_words=tuple(map(scrub, record.failure.last_words)),
    )
    absent = {name: scrub(reason) for name, reason in record.absent.items()}
    return replace(
        record,
        failure=failure,
        absent=absent,
        resolved=_scrubbed_values(record.resolved),
        environment=_scrubbed_values(record.environment),
    )


def _scrubbed_values(facts: dict[str, Scalar]) -> dict[str, Scalar]:
    return {name: scrub(value) if isinstance(value, str) else value for name, value in facts.items()}
