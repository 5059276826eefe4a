"""A comparison for GitHub Actions: annotations on the run, and a comment that fits one.

Limits: 10 annotations of a kind are shown a step (docs.github.com, "workflow commands"); a comment holds 65,536
characters.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.gate.comparison import Comparison
from bench.analysis.gate.verdicts import LOST, WORSE, Finding
from bench.report.gate.verdict_table import lines, table
from bench.report.render import to_markdown

MOST_ANNOTATIONS = 9
"""Of a kind; one more says how many there are beyond them."""
LONGEST_COMMENT = 60_000
"""Characters of Markdown; what is beyond is left out and counted."""


def commands(comparison: Comparison) -> str:
    """Write workflow commands: an error for what is worse, a warning for what could not be compared."""
    return "".join(f"{line}\n" for line in _commands(comparison))


def _commands(comparison: Comparison) -> Iterator[str]:
    worse = [one for one in comparison.findings if one.verdict in WORSE and not one.acknowledged]
    lost = [one for one in comparison.findings if one.verdict in LOST]
    for level, found in (("error", worse), ("warning", lost)):
        yield from (_command(level, one) for one in found[:MOST_ANNOTATIONS])
        if len(found) > MOST_ANNOTATIONS:
            yield f"::{level} title=ftbench::and {len(found) - MOST_ANNOTATIONS} more"
    yield f"::notice title=ftbench::{_data(' '.join(list(lines(comparison))[-2:]))}"


def _command(level: str, found: Finding) -> str:
    title = _property(f"{found.verdict}: {found.metric}")
    return f"::{level} title={title}::{_data(f'{found.case}: {found.why}')}"


def _data(text: str) -> str:
    """Escape the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def comment(comparison: Comparison, *, unchanged: bool = False) -> str:
    """Write Markdown: what differs, how it ends, and the table, cut to what a comment holds."""
    said = "\n".join(f"- {line}" for line in map(_plain, lines(comparison)))
    whole = f"{to_markdown(table(comparison, unchanged=unchanged))}\n{said}\n"
    if len(whole) <= LONGEST_COMMENT:
        return whole
    kept: list[str] = []
    room = LONGEST_COMMENT - len(said) - 200
    rows = whole.splitlines()
    for line in rows:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    left = sum(line.startswith("|") for line in rows[len(kept) :])
    return "\n".join(kept) + f"\n\n{left} rows left out; the JSON has them.\n\n{said}\n"


def _plain(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "\\`|*_[]<>#" else mark for mark in text)
