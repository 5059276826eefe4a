"""Tables of published numbers become records of their kind, whole or not at all, and once."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import store
from bench.schema import Kind

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]
ROW = {"metric": "train.peak_reserved", "value": "22292725760", "citation": "somebody, results.csv", "gpu": "L40S",
       "model": "llama-3.2-3b", "method": "lora", "rank": "32", "packing": "no"}  # fmt: skip


def table(path: Path, *rows: dict[str, str]) -> Path:
    """Write rows as CSV, with every column that any of them has."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def kept(results: Path) -> list[store.Stored]:
    return store.read(results)[0] if results.is_dir() else []


def test_numbers_of_one_run_and_source_share_a_record(ftbench: Ftbench, tmp_path: Path) -> None:
    """Two numbers of a run are one record, another source is another; all are published, with settings as given."""
    speed = ROW | {"metric": "train.tokens_per_second", "value": "7191.5"}
    other = ROW | {"citation": "somebody else"}
    file = table(tmp_path / "t.csv", ROW, speed, other)

    assert ftbench("import", file, "--results", tmp_path / "results").returncode == 0

    records = [run.record for run in kept(tmp_path / "results")]
    assert sorted((made.citation, *sorted(made.metrics.items())) for made in records) == [
        ("somebody else", ("train.peak_reserved", 22292725760)),
        ("somebody, results.csv", ("train.peak_reserved", 22292725760), ("train.tokens_per_second", 7191.5)),
    ]
    assert {made.kind for made in records} == {Kind.PUBLISHED}
    assert {(made.device, made.config.options["rank"], made.config.packing) for made in records} == {
        ("l40s", 32, False)
    }


def test_a_table_is_kept_once(ftbench: Ftbench, tmp_path: Path) -> None:
    """The same table again adds nothing and says so; a changed number is another record."""
    results = tmp_path / "results"
    ftbench("import", table(tmp_path / "t.csv", ROW), "--results", results)

    again = ftbench("import", tmp_path / "t.csv", "--results", results)
    assert (again.returncode, len(kept(results))) == (0, 1)
    assert "1 of 1 records were kept before" in again.stderr

    ftbench("import", table(tmp_path / "t.csv", ROW | {"value": "5"}), "--results", results)
    assert len(kept(results)) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "train.peak"}, ["line 3", "train.peak", "train.peak_reserved"]),
        ({"value": "much"}, ["line 3", "'much'", "no number"]),
        ({"value": "nan"}, ["line 3", "nan", "published"]),
        ({"citation": " "}, ["line 3", "citation is empty"]),
        ({"gpu": "L41"}, ["line 3", "l41"]),
        ({"method": "lorra"}, ["line 3", "lorra"]),
        ({"rank": "many"}, ["line 3", "many"]),
        ({"colour": "red"}, ["line 3", "--colour=red", "no setting"]),
        ({"value": "5"}, ["line 3", "stands above with another value"]),
    ],
)
def test_a_wrong_row_keeps_the_whole_table_out(
    ftbench: Ftbench, tmp_path: Path, changes: dict[str, str], words: list[str]
) -> None:
    """One line names the file, the line and the value, and nothing is written, of the good rows neither."""
    file = table(tmp_path / "t.csv", ROW, ROW | changes)

    done = ftbench("import", file, "--results", tmp_path / "results")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    for word in [str(file), *words]:
        assert word in done.stderr, done.stderr
    assert kept(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("metric,value\n", "no column citation, gpu"),
        ("", "no column metric, value, citation, gpu"),
        ("metric,value,citation,gpu\na,b,c,d,e\n", "line 2: more cells than columns"),
        ("metric,value,citation,gpu\n\x00\xff", "cannot read"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(ftbench: Ftbench, tmp_path: Path, text: str | None, words: str) -> None:
    """A file that is missing, lacks columns, or is no CSV is named with what is wrong."""
    file = tmp_path / "t.csv"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    done = ftbench("import", file, "--results", tmp_path / "results")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
