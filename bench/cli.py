"""`ftbench`: one function per command; each imports what it needs when it is called.

Data goes to standard output, messages to standard error. Exit codes: 0 done, 2 an error
that the message explains, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from bench import __version__
from bench.commands import EXIT_ERROR, comparing, machine, predict, published, reading, say, sweeping, tracing
from bench.errors import FtbenchError

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        code = command(options)
        sys.stdout.flush()
    except FtbenchError as error:
        say(str(error))
        return EXIT_ERROR
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    top = argparse.ArgumentParser(prog="ftbench", description="Read, check and publish fine-tuning benchmark results.")
    top.add_argument("--version", action="version", version=f"ftbench {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    reading.register(commands)
    comparing.register(commands)
    tracing.register(commands)
    sweeping.register(commands)
    machine.register(commands)
    predict.register(commands)
    published.register(commands)
    return top
