"""Check a built site against itself: links, numbers against the records it carries, and every byte of its pages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.analysis.peaks import share_of_peak
from bench.analysis.results import read
from bench.analysis.turns import TURNS
from bench.analysis.values import batch_speeds, value
from bench.errors import RecordFormatError, StoreError
from bench.report.display import DIFFERENCE, shown
from bench.report.site.build import render_site
from bench.schema import RunRecord
from bench.schema.codec import decode
from bench.schema.metrics import METRICS

Attributes = Mapping[str, str]


class Page(HTMLParser):
    """What a page links to, the names it defines, and every number it shows with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.numbers: list[tuple[Attributes, str]] = []
        self._waiting: list[tuple[dict[str, str], str]] = []
        self._open: dict[str, str] | None = None
        self._in_sources = False
        self._shared: dict[str, str] = {}
        self._row: dict[str, str] = {}
        self._text = ""
        self.feed(text)
        self.numbers += self._waiting

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect links, names and the start of a number."""
        named = {name: text or "" for name, text in attrs}
        self.links += [named[name] for name in ("href", "src") if name in named]
        if "id" in named:
            self.ids.add(named["id"])
        if tag == "table":
            self._shared = {name: text for name, text in named.items() if name in ("data-kind", "data-runs")}
        if tag == "tr":
            self._row = {name: text for name, text in named.items() if name in ("data-metric", "data-unit")}
        if tag == "data":
            own = {**self._row, **named}
            self._open, self._text = {**(self._shared if "data-metric" in own else {}), **own}, ""
        if tag == "script" and named.get("class") == "sources":
            self._in_sources, self._text = True, ""

    def handle_endtag(self, tag: str) -> None:
        """Close a number."""
        if tag == "data" and self._open is not None:
            self._waiting.append((self._open, " ".join(self._text.split())))
            self._open = None
        if tag == "table":
            self._shared, self._row = {}, {}
        if tag == "script" and self._in_sources:
            listed = json.loads(self._text)
            self.numbers += [(_resolved(attributes, listed), text) for attributes, text in self._waiting]
            self._waiting, self._in_sources = [], False

    def handle_data(self, data: str) -> None:
        """Collect the text of a number, or the list of what numbers come from."""
        if self._open is not None or self._in_sources:
            self._text += data


def _resolved(attributes: Mapping[str, str], listed: Sequence[str | list[str]]) -> dict[str, str]:
    """Put the runs a number comes from in place of their number in the list behind its table."""
    found = dict(attributes)
    for name in ("data-runs", "data-against"):
        if name in attributes:
            found[name] = " ".join(listed[int(attributes[name])])
    return found


def problems(site: Path) -> list[str]:
    """Return everything wrong with a built site, one line each; an empty list is a good site.

    Raises `StoreError` if there is no site.
    """
    if not (site / "index.html").is_file():
        raise StoreError(f"{site} holds no site; build it with ftbench site.")
    files = sorted(site.rglob("*.html"))
    pages = {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in files}
    found = [f"{name}: {problem}" for name, page in pages.items() for problem in _links(site, name, page, pages)]
    records = _Records(site / "data")
    for name, page in pages.items():
        for attributes, text in page.numbers:
            found += [f"{name}: {problem}" for problem in _number(attributes, text, records)]
    return found + list(_bytes(site))


def _links(site: Path, name: str, page: Page, pages: Mapping[str, Page]) -> Iterator[str]:
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc or link.startswith("/"):
            yield f"{link} leads out of the site"
            continue
        target = (site / name).parent / unquote(parts.path) if parts.path else site / name
        if not target.is_file():
            yield f"{link} leads nowhere"
            continue
        relative = target.resolve().relative_to(site.resolve()).as_posix()
        if parts.fragment and relative in pages and parts.fragment not in pages[relative].ids:
            yield f"{link} names no place on its page"


class _Records:
    """The records a site carries, by device/case/run, each read once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[str, RunRecord] = {}

    def __getitem__(self, run: str) -> RunRecord:
        if run not in self._known:
            self._known[run] = decode((self._data / f"{run}.json").read_bytes())
        return self._known[run]


def _number(attributes: Attributes, text: str, records: _Records) -> Iterator[str]:
    number = float(attributes["value"])
    low, high = (float(attributes[side]) if side in attributes else None for side in ("data-low", "data-high"))
    right = shown(number, attributes.get("data-unit", "1"), low, high)
    if text != right:
        yield f"shows {text!r} where its value reads {right!r}"
    if "data-metric" not in attributes or "data-runs" not in attributes:
        return
    try:
        bounds = _bounds(attributes, records)
    except (OSError, RecordFormatError) as error:
        yield f"{text!r} comes from a record that cannot be read: {error}"
        return
    size = 1.0 if attributes.get("data-unit") == DIFFERENCE else abs(number)  # of what was divided or averaged
    slack = 1e-9 * size  # a mean may round past the numbers it is the mean of
    if bounds is None or not (bounds[0] - slack <= number <= bounds[1] + slack):
        yield f"{text!r} is not what its records say of {attributes['data-metric']} ({bounds})"
    if attributes.get("data-kind") not in _kinds(attributes, records):
        yield f"{text!r} claims to be {attributes.get('data-kind')!r} and its records do not"


def _kinds(attributes: Attributes, records: _Records) -> set[str]:
    """Return the kinds a number may claim: its records', or derived where it is made of two sides.

    A relative difference is always derived.
    """
    if attributes.get("data-unit") == DIFFERENCE:
        return {"derived"}
    kinds = {records[run].kind.value for run in attributes["data-runs"].split()}
    return kinds | {"derived"} if "data-against" in attributes else kinds


def _bounds(attributes: Attributes, records: _Records) -> tuple[float, float] | None:
    """Least and most that a mean, or a ratio or difference of means, of the named records can be; equal for one."""
    metric = attributes["data-metric"]
    top = list(_values(metric, (records[run] for run in attributes["data-runs"].split())))
    if "data-against" not in attributes:
        return (min(top), max(top)) if top else None
    bottom = list(_values(metric, (records[run] for run in attributes["data-against"].split())))
    if metric == "evaluate.tokens_per_second":
        top += [s for run in attributes["data-runs"].split() for s in batch_speeds(records[run])]
        bottom += [s for run in attributes["data-against"].split() for s in batch_speeds(records[run])]
    if not top or not bottom:
        return None
    ratio = min(top) / max(bottom), max(top) / min(bottom) if min(bottom) > 0 else math.inf
    return (ratio[0] - 1, ratio[1] - 1) if attributes.get("data-unit") == DIFFERENCE else ratio


def _values(metric: str, records: Iterable[RunRecord]) -> Iterator[float]:
    for record in records:
        number = _read(metric, record)
        if number is not None:
            yield float(number)


def _read(metric: str, record: RunRecord) -> float | None:
    """Read a number off a record as the tables do; "a/b" is a share of the step's peak."""
    part, _, whole = metric.partition("/")
    if whole:
        return share_of_peak(record, part)
    if part in TURNS:
        return TURNS[part](record)
    if part in METRICS:
        return value(record, part)
    return record.failure.bytes_requested if record.failure else None


def _bytes(site: Path) -> Iterator[str]:
    """Build the pages again from the records that the site carries, and compare."""
    results, unreadable = read(site / "data")
    yield from (f"{file.path}: {file.reason}" for file in unreadable)
    again = render_site(results)
    for path, content in again.items():
        if not (site / path).is_file():
            yield f"{path} is missing"
        elif (site / path).read_bytes() != content:
            yield f"{path} is not what its records give"
