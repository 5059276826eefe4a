"""The commands of `ftbench`, by what they are for; each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_ERROR = 2
FORMATS = ("text", "markdown", "csv", "json")


def say(message: str) -> None:
    """Write one line to standard error."""
    print("ftbench: " + " ".join(message.split()), file=sys.stderr)


def with_settings_when_used(one: argparse.ArgumentParser) -> None:
    """Add the flags of settings once the command is called: the tables they come from take a while to import."""
    parse = one.parse_known_args

    def parse_known_args(*arguments: Any) -> Any:
        from bench.commands.settings import add_settings

        one.parse_known_args = parse  # type: ignore[method-assign]
        add_settings(one)
        return parse(*arguments)

    one.parse_known_args = parse_known_args  # type: ignore[method-assign,assignment]
