"""The site says what the records say, in the same bytes each time, and text in records stays text."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench import store
from bench.analysis.results import Results, read
from bench.errors import StoreError
from bench.report.site.assembly import BUDGET
from bench.report.site.build import build, render_site
from bench.report.site.check import Page, problems
from bench.report.site.publish import publish
from bench.schema import Failure, Kind, RunRecord, Status
from tests.records import METHODS, counted, everything, failed, filled, fixed_shape, learning, on_gpu, paged, record

SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = f"{SCRIPT}</script><img src=x onerror=alert(1)>|`{{{{7*7}}}}`&amp;" + "x" * 10_000


@pytest.fixture(scope="module")
def site(example_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the example results; for reading only."""
    output = tmp_path_factory.mktemp("out") / "site"
    build(read(example_results)[0], output)
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def hostile() -> RunRecord:
    failure = Failure(phase=HOSTILE, message=HOSTILE, signal=SCRIPT, last_words=(HOSTILE, SCRIPT))
    made = failed(fixed_shape("lora"), day=2)
    text = {SCRIPT: HOSTILE, "base.dtype": HOSTILE, "base.quantization": HOSTILE, "cpu.model": SCRIPT}
    return replace(made, failure=failure, absent={"train.seconds": HOSTILE, SCRIPT: HOSTILE}, resolved=text,
                   environment={**text, "package.torch": SCRIPT}, citation=HOSTILE)  # fmt: skip


def test_a_rebuild_is_byte_identical(example_results: Path, site: Path, tmp_path: Path) -> None:
    """The same records give the same bytes, whichever folder they are read from and built into."""
    elsewhere = tmp_path / "copy"
    shutil.copytree(example_results, elsewhere)
    build(read(elsewhere)[0], tmp_path / "again")
    build(read(elsewhere)[0], tmp_path / "again")
    assert contents(tmp_path / "again") == contents(site)


def test_a_built_site_has_no_problem(site: Path) -> None:
    """Every link resolves, every number is its record's, every page is what the records give."""
    assert problems(site) == []


def test_pages_show_many_numbers_all_traceable(site: Path) -> None:
    """Every number on the first page names its kind; all but the charts' own name the runs behind them."""
    numbers = [number for page in ("index.html", "methods.html") for number in Page((site / page).read_text()).numbers]
    assert len(numbers) > 100
    assert {attributes["data-kind"] for attributes, _ in numbers} == {"measured"}
    assert all(attributes.get("data-runs") for attributes, _ in numbers)


@pytest.mark.parametrize(
    ("page", "old", "new", "word"),
    [
        ("index.html", '">270 tok/s', '">271 tok/s', "shows"),
        ("index.html", 'href="method.html"', 'href="nowhere.html"', "leads nowhere"),
        ("index.html", 'href="method.html"', 'href="https://example.com/"', "out of the site"),
        ("claims.html", 'href="#C01"', 'href="#nothing"', "names no place"),
        ("index.html", "A published guide", "A famous guide", "not what its records give"),
        ("data/records.csv", "measured", "published", "not what its records give"),
    ],
)
def test_tampering_is_found(site: Path, tmp_path: Path, page: str, old: str, new: str, word: str) -> None:
    """A changed number, link or sentence is a problem that names its page."""
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    text = (copy / page).read_text()
    assert old in text
    (copy / page).write_text(text.replace(old, new, 1))
    found = [problem for problem in problems(copy) if problem.startswith(page)]
    assert any(word in problem for problem in found), found


def test_a_changed_record_is_found(site: Path, tmp_path: Path) -> None:
    """A record edited inside the site contradicts the numbers read off it."""
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    file = next(p for p in sorted((copy / "data").rglob("*.json")) if "lora" in p.parent.name)
    file.write_text(re.sub(r'("train.peak_allocated": )\d+', r"\g<1>12345", file.read_text()))
    assert any("is not what its records say of train.peak_allocated" in problem for problem in problems(copy))


def test_hostile_text_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    """Markup in messages, settings, environment and reasons appears as text on every page."""
    results = filled(tmp_path / "results", *everything(), hostile())
    build(read(results)[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []
    for path in (tmp_path / "site").rglob("*.html"):
        text = path.read_text()
        assert "<script>document" not in text
        assert "<img" not in text
        assert not re.search(
            r"<script(?! defer src=| src=| type=\"application/json\" class=\"(figure|sources)\">)", text
        )
        assert len(text.encode()) <= BUDGET
    page = next((tmp_path / "site").rglob("cases/*/*lora-r16-f32-b4-s128*.html")).read_text()
    assert "&lt;script&gt;document" in page
    assert "{{7*7}}" in page


@pytest.mark.parametrize(
    ("page", "pattern", "new"),
    [
        ("memory.html", r'(value=")0\.\d+(" data-unit="%"[^>]*data-metric="at_peak\.gradients/)', r"\g<1>0.5\2"),
        ("memory.html", r'(value=")\d+(" data-unit="B"[^>]*data-metric="at_peak\.activations")', r"\g<1>7.0\2"),
        (
            "cases/*/*-f32-b4-s128-*.html",
            r'(value=")\d\.\d+(" data-unit="s"[^>]*data-metric="paging\.cold_step")',
            r"\g<1>9.0\2",
        ),
    ],
)
def test_shares_and_steps_are_checked_too(every: Path, tmp_path: Path, page: str, pattern: str, new: str) -> None:
    """A share of the peak and a step behind a stall are computed, and still compared with their records."""
    copy = tmp_path / "site"
    shutil.copytree(every, copy)
    path = next(path for path in sorted(copy.glob(page)) if re.search(pattern, path.read_text()))
    path.write_text(re.sub(pattern, new, path.read_text(), count=1))
    assert any("is not what its records say of" in problem for problem in problems(copy))


def test_pages_show_what_runs_cost(every: Path) -> None:
    """A case's page has peaks, categories, speed, energy, stall and conditions; a CPU's without what a CPU lacks."""
    assert problems(every) == []
    gpu = next(every.glob("cases/example-gpu/*-qlora-*.html")).read_text()
    for title in (
        "Peak memory by phase", "Memory at the peak of a training step", "Speed of training", "Stages of a step",
        "Operations of the timed steps", "Energy of the timed steps", "What disturbed the runs",
    ):  # fmt: skip
        assert f">{title}, measured<" in gpu
    pages = [path.read_text() for path in every.glob("cases/example-cpu-2-cores/*.html")]
    assert sum(">What paging costs, measured<" in page for page in pages) == 1
    assert not any(">Energy of the timed steps, measured<" in page for page in pages)
    assert ">Memory at the peak of a training step, measured<" in (every / "memory.html").read_text()


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of runs on a CPU and on a GPU, with paging and with counters; for reading only."""
    root = tmp_path_factory.mktemp("every")
    runs = [*everything(), on_gpu(fixed_shape("qlora")), paged("fault", 0.5), counted()]
    build(read(filled(root / "results", *runs))[0], root / "site")
    return root / "site"


def test_charts_json_cannot_end_its_script(site: Path) -> None:
    """Embedded chart data holds no character that could close its element."""
    text = (site / "index.html").read_text()
    figures = re.findall(r'<script type="application/json" class="\w+">(.*?)</script>', text, re.DOTALL)
    assert len(figures) > 2
    assert not any(re.search("[<>&]", figure) for figure in figures)
    assert '"template"' not in "".join(figures)


@pytest.mark.parametrize("kind", [Kind.DRY, Kind.MEASURED])
def test_dry_numbers_carry_a_banner_on_every_page(tmp_path: Path, kind: Kind) -> None:
    """Every page of made-up records says so, and no page of measured ones does."""
    root = tmp_path / "results"
    if kind is Kind.DRY:
        store.prepare_dry_root(root)
    filled(root, *(record(make(method), kind=kind) for make in (fixed_shape, learning) for method in METHODS))
    files = render_site(read(root)[0])
    pages = [content.decode() for path, content in files.items() if path.endswith(".html")]
    assert len(pages) > 20
    assert all(("Made-up numbers of a dry run" in page) is (kind is Kind.DRY) for page in pages)


def test_failures_only_still_give_a_site(tmp_path: Path) -> None:
    """When no run went well the site says what failed and shows no number in its place."""
    results = filled(tmp_path / "results", *(failed(fixed_shape(method)) for method in METHODS))
    build(read(results)[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []
    text = (tmp_path / "site" / "index.html").read_text()
    assert "No method can be set against Full yet" in text
    assert "oom in train" in text


def test_a_run_without_failure_words_still_has_a_page(tmp_path: Path) -> None:
    """A failed record that holds no failure details builds."""
    made = replace(failed(fixed_shape("full")), failure=None, status=Status.ERROR)
    build(read(filled(tmp_path / "results", made))[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []


def test_a_method_of_a_newer_version_has_its_pages(tmp_path: Path) -> None:
    """A record of a method, optimiser and options that the catalogue does not list is shown like any other."""
    config = replace(fixed_shape("lora"), method="nextlora", optimizer="nextadam", options={"extra": 1})
    newer = replace(record(fixed_shape("lora")), config=config)
    paging = replace(paged(), config=replace(paged().config, optimizer="nextadam"))
    build(read(filled(tmp_path / "results", newer, paging))[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []


def test_files_of_others_survive(example_results: Path, tmp_path: Path) -> None:
    """A rebuild removes its own stale pages and keeps files it did not write, README included."""
    output = tmp_path / "site"
    output.mkdir()
    (output / "README.md").write_text("mine")
    results = read(example_results)[0]
    build(results, output)
    stale = next(output.rglob("cases/*/*full*.html"))
    (stale.parent / "mine.html").write_text("mine too")
    kept = [case for case in results.cases if case.config.method != "full"]
    build(Results(kept), output)
    assert not stale.exists()
    assert (output / "README.md").read_text() == "mine"
    assert (stale.parent / "mine.html").read_text() == "mine too"
    assert not list(tmp_path.glob(".site-*"))


def test_a_foreign_file_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    """A page that the site did not write is never overwritten; nothing else is touched either."""
    (tmp_path / "index.html").write_text("somebody's")
    with pytest.raises(StoreError, match="was not written by ftbench site"):
        publish({"index.html": b"ours", "other.html": b"ours"}, tmp_path)
    assert contents(tmp_path) == {"index.html": b"somebody's"}


def test_a_page_that_somebody_edited_is_not_removed(tmp_path: Path) -> None:
    """A stale page whose content changed since it was written stays."""
    output = tmp_path / "site"
    publish({"a/one.html": b"1", "a/two.html": b"2"}, output)
    (output / "a" / "one.html").write_bytes(b"edited")
    publish({"index.html": b"3"}, output)
    assert {path for path in contents(output) if path != "manifest.json"} == {"a/one.html", "index.html"}


def test_a_manifest_cannot_lead_out_of_the_site(tmp_path: Path) -> None:
    """Paths in a tampered manifest that leave the folder are ignored; a broken one is an error."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    output = tmp_path / "site"
    output.mkdir()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (output / "manifest.json").write_text(f'{{"../victim": "{empty}", "{victim}": "{empty}"}}')
    publish({"index.html": b"1"}, output)
    assert victim.exists()
    (output / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="move it away"):
        publish({"index.html": b"1"}, output)


def test_numbers_below_zero_are_checked_like_others(tmp_path: Path) -> None:
    """A stall that came out negative passes, and its page with another number does not."""
    made = paged("prefetch", 0.0)
    seconds = [s - 0.5 if n % 4 in (1, 2) else s for n, s in enumerate(made.series["step.seconds"])]  # cold ones
    root = filled(tmp_path / "results", replace(made, series={**made.series, "step.seconds": tuple(seconds)}))
    site = tmp_path / "site"
    build(read(root)[0], site)
    assert read(root)[0].cases[0].values("paging.stall")[0] < 0

    assert list(problems(site)) == []

    (page,) = (site / "cases").rglob("*.html")
    text = page.read_text()
    found = re.search(r'value="(-0\.\d+)"[^>]*data-metric="paging.stall"', text)
    assert found
    page.write_text(text.replace(found.group(1), f"-{abs(float(found.group(1))) / 2!r}"))
    assert any("paging.stall" in problem for problem in problems(site))
