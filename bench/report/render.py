"""The same table as text for a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bench.report.display import base_unit
from bench.report.tables import Cell, Table

ASCII = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "→": "->", "±": "+-", "≥": ">=", "≤": "<=", "°": " ", "\u2019": "'"}
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
EMPTY = Cell("")


def to_text(table: Table) -> str:
    """Write a table for a terminal in plain ASCII; control characters are shown, not sent."""
    columns = [column for column in table.columns if not column.detail]
    rows = [[plain(_short(row.get(c.key, EMPTY).text)) for c in columns] for row in table.rows]
    body = _aligned([plain(column.label) for column in columns], rows)
    notes = "".join(f"\n* {plain(note)}" for note in table.notes)
    return f"{plain(table.title)}\n\n{body if rows else 'nothing to show'}\n{notes}".rstrip() + "\n"


def _aligned(labels: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(labels, *rows, strict=True)]
    lines = [labels, ["-" * width for width in widths], *rows]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def to_markdown(table: Table) -> str:
    """Write a table as GitHub Markdown; text from records cannot become markup."""
    head = "| " + " | ".join(_markdown(column.label) for column in table.columns) + " |"
    rule = "|" + " --- |" * len(table.columns)
    rows = [
        "| " + " | ".join(_markdown(row.get(column.key, EMPTY).text) for column in table.columns) + " |"
        for row in table.rows
    ]
    notes = [f"- {_markdown(note)}" for note in table.notes]
    parts = [f"### {_markdown(table.title)}", "\n".join([head, rule, *rows]), *(["\n".join(notes)] if notes else [])]
    return "\n\n".join(parts) + "\n"


def to_csv(table: Table) -> str:
    """Write raw values in base units, each number followed by its unit, kind, low, high and n.

    A string that a spreadsheet would take for a formula gets a leading apostrophe.
    """
    numeric = {c.key for c in table.columns if any(_has_figures(row.get(c.key, EMPTY)) for row in table.rows)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    extra = ("unit", "kind", "low", "high", "n", "reason")
    writer.writerow([h for c in table.columns for h in (c.key, *(f"{c.key}.{e}" for e in extra if c.key in numeric))])
    for row in table.rows:
        fields: list[object] = []
        for column in table.columns:
            cell = row.get(column.key, EMPTY)
            fields.append(_safe(cell.value))
            if column.key in numeric:
                fields += [
                    base_unit(cell.unit),
                    cell.kind,
                    _safe(cell.low),
                    _safe(cell.high),
                    cell.n or "",
                    _safe(cell.reason),
                ]
        writer.writerow(fields)
    return out.getvalue()


def to_json(table: Table) -> str:
    """Write a table with everything its cells know."""
    rows = [
        {column.key: _fields(row[column.key]) for column in table.columns if column.key in row} for row in table.rows
    ]
    document = {"title": table.title, "rows": rows, "notes": list(table.notes)}
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def plain(text: str) -> str:
    """Return one line of printable ASCII: what a terminal shows and never obeys."""
    flat = " ".join(text.translate(ASCII).split())
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in flat)


def _short(text: str, longest: int = 100) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _markdown(text: str) -> str:
    flat = " ".join(text.split())
    for mark in "\\`|*_[]<>~#":
        flat = flat.replace(mark, f"&#{ord(mark)};" if mark in "<>" else f"\\{mark}")
    return flat


def _has_figures(cell: Cell) -> bool:
    return cell.is_number or (cell.value is None and bool(cell.unit))


def _safe(value: object) -> object:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _fields(cell: Cell) -> dict[str, object]:
    names = ("value", "unit", "low", "high", "n", "how", "kind", "reason", "metric")
    known: dict[str, object] = {name: getattr(cell, name) for name in names}
    known |= {"unit": base_unit(cell.unit), "n": cell.n or None, "runs": list(cell.runs), "against": list(cell.against)}
    return {name: item for name, item in known.items() if name == "value" or item not in (None, "", [])}


FORMATS: Mapping[str, Callable[[Table], str]] = MappingProxyType(
    {"text": to_text, "markdown": to_markdown, "csv": to_csv, "json": to_json}
)


def written(tables: Sequence[Table], form: str) -> str:
    """Write tables one after another in a format of `FORMATS`, with an empty line between; JSON as one list."""
    if form == "json" and len(tables) != 1:
        return "[\n" + ",\n".join(to_json(table).rstrip() for table in tables) + "\n]\n"
    return "\n".join(FORMATS[form](table) for table in tables)
