"""The commands of `ftbench`, by what they are for; each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_ERROR = 2
FORMATS = ("text", "markdown", "csv", "json")


def say(message: str) -> None:
    """Write one line to standard error."""
    print("ftbench: " + " ".join(message.split()), file=sys.stderr)
