"""Numbers that others published, read from a table: a row a number, a column a setting of the run it is about."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.errors import BadValueError, FtbenchError, StoreError
from bench.launch.predict import published
from bench.schema import Kind, RunConfig, RunRecord
from bench.schema.catalogue import find
from bench.schema.metrics import METRICS
from bench.schema.record import Number
from bench.store import Stored

NEEDED = ("metric", "value", "citation", "gpu")
"""Columns that every table has; the others are settings, named as the flags of `ftbench cite`."""

Configured = Callable[[Mapping[str, str]], tuple[RunConfig, str]]
"""Makes the config and the card of a row out of its settings."""


def records(file: Path, configured: Configured) -> list[RunRecord]:
    """Return the records of a table of published numbers; those of one run and one source share a record.

    Raises `StoreError` for a file that cannot be read, and `BadValueError` that names the line for a row that is no
    published number. Nothing is written here.
    """
    found: dict[tuple[str, str, str], tuple[RunConfig, dict[str, Number]]] = {}
    for line, row in _rows(file):
        try:
            config, card = configured({name: text for name, text in row.items() if name not in NEEDED[:3]})
            metric, number = _number(row)
            source = cited(row["citation"]).strip()
            _, numbers = found.setdefault((config.case, card, source), (config, {}))
            if numbers.setdefault(metric, number) != number:
                raise BadValueError(f"{metric} of the same run and source stands above with another value.")
        except FtbenchError as error:
            raise BadValueError(f"{file}, line {line}: {error}") from None
    return [published(config, card, numbers, citation) for (_, card, citation), (config, numbers) in found.items()]


def fresh(made: list[RunRecord], kept: list[Stored]) -> list[RunRecord]:
    """Return those records that are not kept yet: of the same run, card and source, with the same numbers."""
    known = [run.record for run in kept if run.record.kind is Kind.PUBLISHED]
    return [record for record in made if not any(_same(record, other) for other in known)]


def _same(one: RunRecord, other: RunRecord) -> bool:
    said = [(record.case, record.device, record.citation, record.metrics) for record in (one, other)]
    return said[0] == said[1]


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows that hold anything, with their lines; empty cells are settings nobody gave."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise BadValueError(f"{file} has no column {', '.join(missing)}; it needs {', '.join(NEEDED)}.")
            for row in reader:
                if None in row:
                    raise BadValueError(f"{file}, line {reader.line_num}: more cells than columns.")
                yield reader.line_num, {name: text or "" for name, text in row.items() if text or name in NEEDED}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}.") from error


def _number(row: Mapping[str, str]) -> tuple[str, Number]:
    find("metric", METRICS, row["metric"])
    try:
        number = float(row["value"])
    except ValueError:
        raise BadValueError(f"value {row['value']!r} is no number.") from None
    return row["metric"], published_value(number)


def published_value(number: float, named: str = "value") -> Number:
    """Return a number as records hold it, whole ones as such. Raises `BadValueError` for one that is not finite."""
    if not math.isfinite(number):
        raise BadValueError(f"{named} {number} is no number that can be published.")
    return int(number) if number.is_integer() else number


def cited(source: str, named: str = "citation") -> str:
    """Return a citation. Raises `BadValueError` for an empty one."""
    if not source.strip():
        raise BadValueError(f"{named} is empty; a published number needs its source.")
    return source
