"""Pages as files: their pieces written one by one, and laid on as many pages as the budget of one asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import __version__
from bench.analysis.results import Results
from bench.report.site.navigation import MENU, root_of
from bench.report.site.page import Page, Section, Sources, in_parts, thinned
from bench.report.site.templating import piece, rendered
from bench.report.tables import Table

if TYPE_CHECKING:
    from markupsafe import Markup

BUDGET = 250_000
"""Bytes that a page's HTML may have."""
ROOM = 200_000
"""Bytes of pieces on a page; a piece may begin where there is some left, and the rest is for what is around them."""
LARGEST = 40_000
"""Bytes of one table; a larger one is cut by rows."""
BESIDE = 2
"""Charts in a row, where a window is wide enough."""


@dataclass
class Laid:
    """What of a section lies on one page."""

    section: Section
    continued: bool
    pieces: list[Markup] = field(default_factory=list)


def whole(template: str, path: str, results: Results, **known: object) -> str:
    """Write a whole page: a template with what stands around every page."""
    return rendered(
        template, root=root_of(path), path=path, menu=MENU, dry=results.is_dry, latest=results.latest,
        version=__version__, **known,
    )  # fmt: skip


def laid_out(page: Page, results: Results) -> Iterator[tuple[str, str]]:
    """Write a page, on as many files as it takes: paths below the site's root, and HTML."""
    parts = list(_parts(page, root_of(page.path)))
    paths = [_path(page.path, number) for number in range(len(parts))]
    for number, (path, sections) in enumerate(zip(paths, parts, strict=True)):
        pager = [{"path": other, "here": other == path} for other in paths] if len(paths) > 1 else []
        yield path, whole("page.html", path, results, page=page, sections=sections, pager=pager, first=number == 0)


def _path(path: str, number: int) -> str:
    return path if number == 0 else f"{path.removesuffix('.html')}-{number + 1}.html"


def _parts(page: Page, root: str) -> Iterator[list[Laid]]:
    """Lay pieces on pages, in their order."""
    laid, used = list[Laid](), 0
    for section in page.sections:
        begun = False
        for made in pieces(section, root):
            size = len(made.encode())
            if used and used + size > ROOM:
                yield laid
                laid, used = [], 0
            if not laid or laid[-1].section is not section:
                laid.append(Laid(section, continued=begun))
            begun = True
            laid[-1].pieces.append(made)
            used += size
    yield laid


def in_pieces(sections: Iterable[Section], root: str, room: int) -> Iterator[Markup]:
    """Write pieces of several sections without their headings; what there is no room for, in bytes, is counted."""
    left_out = 0
    for section in sections:
        for made in pieces(section, root):
            size = len(made.encode())
            if size <= room:
                room -= size
                yield made
            else:
                left_out += 1
    if left_out:
        yield piece("left_out", left_out)


def pieces(section: Section, root: str) -> Iterator[Markup]:
    """Write what stands below a section's heading, one piece after the other."""
    if section.findings:
        yield piece("findings", section.findings, root, Sources())
    for first in range(0, len(section.charts), BESIDE):
        row = [thinned(chart, section.chart_rows) for chart in section.charts[first : first + BESIDE]]
        yield piece("charts", [(chart, Sources.of_table(chart.table)) for chart in row], root)
    titled = len(section.tables) > 1 or any(table.title != section.title for table in section.tables)
    for table in section.tables:
        if table.rows or table.notes:
            yield from _tables(table, root, section, titled)


def _tables(table: Table, root: str, section: Section, titled: bool) -> Iterator[Markup]:
    written = _table(table, root, section, titled)
    size = len(written.encode())
    if size <= LARGEST or len(table.rows) < 2:
        yield written
        return
    rows = max(1, len(table.rows) * LARGEST // size)
    for part in in_parts(table, rows):
        yield _table(part, root, section, titled=True)


def _table(table: Table, root: str, section: Section, titled: bool) -> Markup:
    return piece("titled_table", table, root, Sources.of_table(table), style=section.style, titled=titled)


def shown(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections that have something to show."""
    return tuple(section for section in sections if not section.is_empty)
