"""A comparison for GitHub Actions: annotations on the run, and a comment that fits one.

Limits: 10 annotations of a kind are shown a step (docs.github.com, "workflow commands"); a comment holds 65,536
characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.gate.comparison import Comparison
from bench.analysis.gate.verdicts import LOST, WORSE, Exit, Finding
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
    level = "error" if comparison.ending is Exit.INVALID else "notice"
    yield f"::{level} title=ftbench::{_data('; '.join(list(lines(comparison))[-2:]))}"


def _command(level: str, found: Finding) -> str:
    title = _property(f"{found.verdict}: {found.metric}")
    return f"::{level} title={title}::{_data(f'{found.title} on {found.device}: {found.why}')}"


def _data(text: str) -> str:
    """Escape the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def comment(comparison: Comparison, *, unchanged: bool = False) -> str:
    """Write Markdown: the table, what differs, how it ends; cut to what a comment holds, which is then said."""
    said = _cut([f"- {_plain(line)}" for line in lines(comparison)], LONGEST_COMMENT // 3, "lines")
    rows = to_markdown(table(comparison, unchanged=unchanged)).rstrip().splitlines()
    return "\n".join([*_cut(rows, LONGEST_COMMENT - sum(map(len, said)) - len(said), "rows"), "", *said]) + "\n"


def _cut(rows: Sequence[str], room: int, what: str) -> list[str]:
    """Keep the first rows and the last two of what there is no room for all of."""
    if sum(map(len, rows)) + len(rows) <= room:
        return list(rows)
    ends, kept = [row[: room // 4] for row in rows[-2:]], []
    room -= sum(map(len, ends)) + 100
    for row in rows[:-2]:
        room -= len(row) + 1
        if room < 0:
            break
        kept.append(row)
    return [*kept, "", f"{len(rows) - 2 - len(kept)} {what} left out; the JSON has them.", "", *ends]


def _plain(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "\\`|*_[]<>#" else mark for mark in text)
