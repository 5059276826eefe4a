"""The static site: every page from the records, the same bytes for the same records."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from bench.analysis.results import Results
from bench.errors import StoreError
from bench.report import render, summary
from bench.report.predictions import predictions
from bench.report.published import published
from bench.report.site import pages
from bench.report.site.publish import publish
from bench.schema.comparison import FOLDER, encode

STATIC = ("style.css", "early.js", "site.js", "explore.js")
HASHES = "data/SHA256SUMS"


def build(results: Results, output: Path) -> Path:
    """Write the site of `results` to `output` and return its first page.

    Raises `StoreError` when the disk refuses or a file of somebody else is in the way.
    """
    publish({**render_site(results), **_heavy()}, output)
    return output / "index.html"


def render_site(results: Results) -> dict[str, bytes]:
    """Return every file of the site but plotly.js: path below its root -> content."""
    files = {path: text.encode() for path, text in pages.files(results)}
    files |= _data(results)
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in files.items() if path.startswith("data/")}
    listed = (f"{digest}  {path.removeprefix('data/')}\n" for path, digest in sorted(hashes.items()))
    files[HASHES] = "".join(listed).encode()
    for name in STATIC:
        files[f"static/{name}"] = resources.files("bench.report.site").joinpath("static", name).read_bytes()
    return files


def _data(results: Results) -> dict[str, bytes]:
    """Return what can be taken away: tables, records, comparisons, the schema."""
    files = {"data/records.csv": render.to_csv(summary.summary(results.cases)).encode()}
    if results.predicted:
        files["data/predictions.csv"] = render.written(predictions(results.cases), "csv").encode()
    if results.published:
        files["data/published.csv"] = render.to_csv(published(results.cases)).encode()
    for name, comparison in results.comparisons.items():
        files[f"data/{FOLDER}/{name}.json"] = encode(comparison).encode()
    files["data/record.schema.json"] = resources.files("bench.schema").joinpath("record.schema.json").read_bytes()
    for run in (run for case in results.cases for run in case.runs):
        try:
            files[f"data/{run.address}.json"] = run.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {run.path}: {error.strerror or error}.") from error
    return files


def _heavy() -> dict[str, bytes]:
    from plotly.offline import get_plotlyjs

    return {"assets/plotly.min.js": get_plotlyjs().encode()}
