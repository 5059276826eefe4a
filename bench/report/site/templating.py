"""Pieces of pages as HTML, by jinja2; text from records is escaped, always."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bench.report.site.cells import number, rows

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST = 300
"""Characters of one line of settings or environment."""


def rendered(template: str, **known: object) -> str:
    """Write a template; a name that it uses and nobody gave is an error."""
    return _environment().get_template(template).render(**known)


def piece(name: str, *values: object, **named: object) -> Markup:
    """Write one of the macros of parts.html."""
    made: Markup = getattr(_environment().get_template("parts.html").module, name)(*values, **named)
    return made


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("bench.report.site"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters["script_json"] = script_json
    made.globals |= {"number": number, "rows": rows}
    return made


def shortened(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return facts as text of one line each; the record has a longer one whole."""
    texts = {name: " ".join(str(value).split()) for name, value in facts.items()}
    return {name[:LONGEST]: text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for name, text in texts.items()}


def script_json(value: Any) -> Markup:
    """Write JSON that cannot end its script element; jinja2's own escaping would break it."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 (every character that could end the element is escaped above)
