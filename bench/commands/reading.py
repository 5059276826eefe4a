"""Commands that read records: show, table, site, metrics, validate, schema."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.commands import EXIT_ERROR, FORMATS, say
from bench.errors import RecordFormatError, StoreError
from bench.report.questions import QUESTIONS

if TYPE_CHECKING:
    from bench.analysis.cases import Case
    from bench.commands import Commands
    from bench.report.tables import Table
    from bench.store import Unreadable

TABLES: Mapping[str, str] = MappingProxyType({
    "summary": "bench.report.summary:summary",
    "t1": "bench.report.comparison:comparison_tables",
    "memory": "bench.report.memory:memory",
    "attribution": "bench.report.attribution:attribution",
    "cost": "bench.report.cost:cost",
    "limits": "bench.report.limits:limits",
    "conditions": "bench.report.conditions:conditions",
    "failures": "bench.report.summary:failures",
    "predictions": "bench.report.predictions:predictions",
})  # fmt: skip
"""Names for `ftbench table`: what makes one table, or several, of all cases."""


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    results = argparse.ArgumentParser(add_help=False)
    results.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)"
    )

    one = commands.add_parser("show", parents=[results], help="list cases, or one case's runs in detail")
    one.add_argument("case", nargs="?", metavar="CASE", help="the start of a case's name, or a part only it has")
    one.add_argument("--json", action="store_true", help="write JSON: with CASE the records, else the list")
    one.set_defaults(command=show)

    one = commands.add_parser(
        "table",
        parents=[results],
        help="write a table: summary, t1 (the guide's comparison), memory (by phase), cost, and more",
    )
    one.add_argument("name", nargs="?", choices=(*TABLES, *QUESTIONS), default="summary")
    one.add_argument("--format", choices=FORMATS, default="text")
    one.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of standard output")
    one.set_defaults(command=table)

    one = commands.add_parser("site", parents=[results], help="build the static site")
    one.add_argument("--output", type=Path, default=Path("site"), metavar="DIR", help="where to (default: site)")
    one.add_argument("--check", action="store_true", help="then check every link, and every number against its record")
    one.add_argument("--open", action="store_true", help="open it in a browser")
    one.add_argument("--serve", action="store_true", help="serve it on this machine alone, until interrupted")
    one.set_defaults(command=site)

    one = commands.add_parser("metrics", help="say what every number is: unit, direction, noise, source")
    one.add_argument("--format", choices=FORMATS, default="text")
    one.set_defaults(command=metrics)

    one = commands.add_parser("validate", help="check that files, or all files of folders, are records")
    one.add_argument("paths", nargs="*", type=Path, default=[Path("results")], metavar="PATH")
    one.set_defaults(command=validate)

    commands.add_parser("schema", help="print the JSON Schema of a record").set_defaults(command=schema)


def _cases(root: Path) -> list[Case]:
    """Read the results, with one warning a file that is no record."""
    from bench.analysis import cases

    stored, unreadable = cases.read(root)
    _warn(unreadable)
    found = cases.group(stored)
    _need(found, root)
    return found


def _warn(unreadable: Sequence[Unreadable]) -> None:
    for file in unreadable:
        say(f"warning: {file.path}: {file.reason}")


def _need(cases: Sequence[Case], root: Path) -> None:
    if not cases:
        raise StoreError(f"{root} holds no record; run the suites first, or name another folder with --results.")


def show(options: argparse.Namespace) -> int:
    """List cases, or one case's runs in detail."""
    from bench.report import render
    from bench.report import show as shown

    cases = _cases(options.results)
    if options.case is None:
        listed = shown.listing(cases)
        print(render.to_json(listed) if options.json else render.to_text(listed), end="")
        return 0
    found = shown.matching(cases, options.case)
    print(shown.as_json(found) if options.json else shown.detail(found), end="")
    return 0


def table(options: argparse.Namespace) -> int:
    """Write one of the tables in one of the formats."""
    from bench.report import render

    tables = _tables(options.name, _cases(options.results))
    if not tables:
        raise StoreError(f"{options.results} holds no case that table {options.name} is about.")
    text = render.written(tables, options.format)
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {options.output}: {error.strerror or error}.") from error
    return 0


def _tables(name: str, cases: Sequence[Case]) -> list[Table]:
    if name in QUESTIONS:
        return QUESTIONS[name].tables(cases)
    module, _, function = TABLES[name].partition(":")
    made: Table | list[Table] = getattr(import_module(module), function)(cases)
    return made if isinstance(made, list) else [made]


def site(options: argparse.Namespace) -> int:
    """Build the site; with --check compare it with the records it was built from."""
    from bench.analysis import results
    from bench.report.site import check
    from bench.report.site.build import build

    found, unreadable = results.read(options.results)
    _warn(unreadable)
    _need(found.cases, options.results)
    index = build(found, options.output)
    say(f"wrote {index}")
    if options.check:
        problems = check.problems(options.output)
        for problem in problems:
            say(problem)
        if problems:
            return EXIT_ERROR
        say("checked: every link resolves, every number equals its record's")
    if options.serve:
        _serve(options.output, open_it=options.open)
    elif options.open:
        import webbrowser

        webbrowser.open(index.resolve().as_uri())
    return 0


def _serve(folder: Path, *, open_it: bool) -> None:
    """Serve a folder on a free port of this machine, for this machine alone, until interrupted."""
    import webbrowser
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(address, flush=True)
        if open_it:
            webbrowser.open(address)
        server.serve_forever()


def metrics(options: argparse.Namespace) -> int:
    """Say what every number is."""
    from bench.report import glossary, render

    document = options.format == "markdown"
    print(glossary.document() if document else render.written([glossary.glossary()], options.format), end="")
    if options.format == "text":
        print(f"* {glossary.WHERE_TO_READ}")
    return 0


def validate(options: argparse.Namespace) -> int:
    """Decode every file named, and every record and comparison below every folder named."""
    from bench.schema import codec, comparison

    good = bad = 0
    for path in options.paths:
        if not path.exists():
            raise StoreError(f"there is no file or folder {path}.")
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            if path.is_dir() and any(part.startswith(".") for part in file.relative_to(path).parts):
                continue
            try:
                read = comparison.decode if file.parent.name == comparison.FOLDER else codec.decode
                read(file.read_bytes())
                good += 1
            except (RecordFormatError, OSError) as error:
                say(f"{file}: {error}")
                bad += 1
    say(f"{good} valid, {bad} not")
    return EXIT_ERROR if bad else 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of a record."""
    import json

    from bench.schema.codec import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0
