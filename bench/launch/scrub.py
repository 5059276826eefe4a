"""Take out of a text what identifies a person or a machine."""

from __future__ import annotations

import getpass
import platform
import re
import sys
from functools import cache
from pathlib import Path

import bench

TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}|(?<=://)[^/\s@]+@")

NOBODY = {"root", "localhost"}  # names that identify nothing and occur in ordinary messages


@cache
def _names() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The words to replace, longest first: folders of home, work and installation, host and user names."""
    installed = {str(Path(bench.__file__).parent): "<ftbench>", sys.prefix: "<python>", sys.base_prefix: "<python>"}
    found = {str(Path.home()): "~", str(Path.cwd()): ".", **installed, platform.node(): "<host>"}
    try:
        found[getpass.getuser()] = "<user>"
    except (KeyError, OSError):  # a uid without a name has none to give away
        pass
    ordered = sorted((w for w in found if len(w) > 2 and w not in NOBODY), key=len, reverse=True)
    return tuple((re.compile(rf"(?<![\w.-]){re.escape(word)}(?![\w-])"), found[word]) for word in ordered)


def scrub(text: str) -> str:
    """Replace tokens, home and working folders, host and user names in `text`.

    Control characters go too, so that a dying process cannot write to somebody's terminal.
    """
    text = TOKEN.sub("<token>", text)
    for word, replacement in _names():
        text = word.sub(replacement, text)
    return "".join(c if c.isprintable() else " " for c in text)
