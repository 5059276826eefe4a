"""Predictions are shown beside measurements and published numbers, with their kind, and never mixed with them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis.cases import Case
from bench.analysis.results import Results, read
from bench.report import render
from bench.report.attribution import attribution
from bench.report.comparison import comparison_tables
from bench.report.conditions import conditions
from bench.report.cost import cost
from bench.report.display import shown
from bench.report.forecast import fit, forecast, verdict
from bench.report.limits import limits
from bench.report.memory import memory
from bench.report.paging import paging
from bench.report.predictions import predictions
from bench.report.published import published as published_table
from bench.report.show import detail, listing
from bench.report.site.build import build, render_site
from bench.report.site.check import problems
from bench.report.summary import failures, per_run, summary
from bench.report.tables import Table
from bench.schema import Failure, Kind, RunRecord, Status
from bench.schema.metrics.memory import CATEGORIES
from bench.schema.protocols import PROTOCOLS
from tests.records import (
    METHODS,
    cases_of,
    failed,
    filled,
    fixed_shape,
    learning,
    on_card,
    paged,
    predicted,
    published,
    record,
)

RESERVED = "train.peak_reserved"
KINDS = {kind.value for kind in Kind}


def refused(**changes: object) -> RunRecord:
    """A prediction that could not be made."""
    made = predicted(fixed_shape("qlora", batch_size=3))
    failure = Failure(phase="load", message="this attention is not simulated.")
    return replace(made, status=Status.UNSUPPORTED, metrics={}, resolved={}, failure=failure, **changes)


def of_every_kind() -> list[RunRecord]:
    """Runs of every sort, predictions that fit, do not fit and could not be made, and published numbers."""
    made: list[RunRecord] = [paged("fault", 0.5), failed(fixed_shape("full", batch_size=64)), refused()]
    for method in METHODS:
        config = fixed_shape(method)
        made += [record(config), record(learning(method)), on_card(config), on_card(config.but(seed=1))]
        made += [predicted(config), predicted(config, "h100-80gb"), predicted(config.but(batch_size=64), fits=False)]
        size = int(1.01 * predicted(config).metrics[RESERVED])
        made += [published(config, size), published(config, size, citation="another source")]
    return made


def tables_of_runs(cases: Sequence[Case]) -> list[Table]:
    """Every table that is about runs, and so about one kind."""
    return [
        summary(cases), failures(cases), memory(cases), attribution(cases), limits(cases), *cost(cases),
        *conditions(cases), *paging(cases), *comparison_tables(cases),
    ]  # fmt: skip


def kinds_in(table: Table) -> set[str]:
    cells = chain.from_iterable(row.values() for row in table.rows)
    return {cell.kind or str(cell.value) for cell in cells if cell.kind or cell.value in KINDS}


@pytest.fixture(scope="module")
def everything() -> list[Case]:
    return cases_of(*of_every_kind())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of records of every kind; for reading only."""
    root = tmp_path_factory.mktemp("kinds")
    build(read(filled(root / "results", *of_every_kind()))[0], root / "site")
    return root / "site"


def test_tables_of_runs_hold_runs_alone(everything: list[Case]) -> None:
    """No predicted number enters a table of runs, T1 or the failures; published ones are the guide's columns alone."""
    tables = tables_of_runs(everything)
    rows = len(tables_of_runs([case for case in everything if case.kind is Kind.MEASURED])[0].rows)
    assert len(tables[0].rows) == rows
    for table in tables:
        assert kinds_in(table) <= {"measured", "published"}, table.title
        cited = {key for row in table.rows for key, cell in row.items() if cell.kind == "published"}
        assert all(key.endswith(".guide") for key in cited), table.title


def test_a_row_has_one_kind(everything: list[Case]) -> None:
    """The cells of a row share a kind, in every table but the one that sets kinds side by side, column by column."""
    peaks, checks = predictions(everything)
    for table in (*tables_of_runs(everything), peaks, published_table(everything)):
        for row in table.rows:
            kinds = {cell.kind for key, cell in row.items() if cell.kind and not key.endswith(".guide")}
            assert len(kinds) <= 1, (table.title, kinds)
    for row in checks.rows:
        assert (row["predicted"].kind, row["error"].kind) == ("predicted", "derived")
        assert row["known"].kind == row["known_kind"].text
        assert {cell.kind for key, cell in row.items() if key not in ("predicted", "error", "known")} == {""}


def test_without_runs_memory_is_of_one_kind_still() -> None:
    """A folder of predictions and published numbers shows the predictions' memory, and no table of runs has a row."""
    cases = cases_of(predicted(fixed_shape("full"), fits=False), published(fixed_shape("full"), 5))
    peaks, parts = memory(cases), attribution(cases)
    assert peaks.title.endswith(", predicted")
    assert kinds_in(peaks) == kinds_in(parts) == {"predicted"}
    others = [table for table in tables_of_runs(cases) if table.title not in (peaks.title, parts.title)]
    assert [table.title for table in others if table.rows] == []


def test_predicted_peaks_say_everything_a_run_would_hold() -> None:
    """One row a case and card: peaks, card, moment, operation, fit, largest batch and the three largest parts."""
    made = predicted(fixed_shape("lora"))
    (row,) = predictions(cases_of(made))[0].rows
    for name in ("train.peak_allocated", RESERVED, "train.peak_process", "predict.largest_batch"):
        assert row[name].value == made.metrics[name]
        assert (row[name].kind, len(row[name].runs)) == ("predicted", 1)
    told = [row[key].text for key in ("kind", "card", "fits", "moment", "operation", "parts")]
    assert told == ["predicted", "L40S", "yes", "train, backward of step 2", "aten.mm.default",
                    "base f32 56%, activations 18%, temp 9%"]  # fmt: skip
    held = {name for name in CATEGORIES if made.metrics[f"at_peak.{name}"]}
    detail_columns = {column.key for column in predictions(cases_of(made))[0].columns if column.detail}
    assert {f"at_peak.{name}" for name in held} <= detail_columns


@pytest.mark.parametrize(
    ("made", "said", "word"),
    [
        (predicted(fixed_shape("full")), "yes", "fits"),
        (predicted(fixed_shape("full"), metrics={"predict.retries": 1}), "yes, with 1 retry", "fits"),
        (predicted(fixed_shape("full"), metrics={"predict.retries": 3}), "yes, with 3 retries", "fits"),
        (predicted(fixed_shape("full"), fits=False), "no: needs 2.59 GiB, has 2.30 GiB", "does not fit"),
        (predicted(fixed_shape("full"), metrics={}), "not known", "not known"),
        (refused(), "no prediction: unsupported", "no prediction"),
    ],
)
def test_whether_a_run_fits_is_said_in_words(made: RunRecord, said: str, word: str) -> None:
    """Yes with its retries, no with need and room, or why nobody knows."""
    assert (fit(made), verdict(made)) == (said, word)


def test_the_need_is_the_highest_of_all_phases() -> None:
    """A run whose loading needs more than its training is said to need that."""
    made = predicted(fixed_shape("full"), fits=False)
    heavy = replace(made, metrics={**made.metrics, "load.peak_reserved": 9 * 2**30})
    assert fit(heavy) == "no: needs 9.00 GiB, has 2.30 GiB"


def test_a_search_that_ended_early_says_so() -> None:
    """The largest batch that was looked for is a lower bound."""
    made = predicted(fixed_shape("full"))
    bound = replace(made, resolved={**made.resolved, "predict.largest_batch": "the largest that was looked for"})
    (row,) = predictions(cases_of(bound))[0].rows
    assert row["predict.largest_batch"].text == "24 or more"


def test_what_cannot_be_predicted_has_a_row_and_its_reason() -> None:
    """Its row shows no number, and a note has the words of the refusal."""
    table = predictions(cases_of(refused()))[0]
    (row,) = table.rows
    assert row["fits"].text == "no prediction: unsupported"
    assert {row[name].text for name in (RESERVED, "predict.largest_batch")} == {"-"}
    assert any("this attention is not simulated" in note for note in table.notes)


def test_rows_tell_whose_loop_they_are() -> None:
    """A published benchmark's loop is named; a loop that has no name is another."""
    loop = {"protocol": PROTOCOLS["peft-metamath"].settings["protocol"]}
    other = {"protocol": replace(loop["protocol"], padded=False)}
    made = [predicted(fixed_shape("full", **settings)) for settings in ({}, loop, other)]
    assert {row["loop"].text for row in predictions(cases_of(*made))[0].rows} == {"ours", "peft-metamath", "another"}


def test_checks_show_both_sides_and_the_error_with_its_sign() -> None:
    """7 GiB predicted against 8 GiB published is -12.50 %, with its source; a measured one counts its runs."""
    config = fixed_shape("lora")
    ours = predicted(config)
    ours = replace(ours, metrics={**ours.metrics, RESERVED: 7 * 2**30})
    runs = [on_card(config.but(seed=seed)) for seed in range(2)]
    table = predictions(cases_of(ours, *runs, published(config, 8 * 2**30)))[1]
    *measured, cited = table.rows

    assert [cited[key].text for key in ("predicted", "known_kind", "known", "error", "source")] == [
        "7.00 GiB", "published", "8.00 GiB", "-12.50%", "(1)",
    ]  # fmt: skip
    assert {row["source"].text for row in measured} == {"2 runs"}
    assert any(note.startswith("(1) example/benchmark") for note in table.notes)
    assert cited["citation"].text.startswith("example/benchmark")


def test_checks_name_their_definitions_and_how_far_off_predictions_are() -> None:
    """Notes define every metric that was compared, no other, and give median and largest error a family."""
    config = fixed_shape("qlora")
    notes = predictions(cases_of(predicted(config), published(config, 2**30)))[1].notes
    assert any(note.startswith("Size of the error, 4-bit and 8-bit bases: median ") for note in notes)
    assert not any("Full and the LoRA family" in note for note in notes)
    assert any("torch.cuda.max_memory_reserved" in note for note in notes)
    assert not any("torch.cuda.max_memory_allocated" in note for note in notes)


def test_without_a_pair_there_is_no_check() -> None:
    """The second table says that there is nothing to check against; the forecast quotes the released predictions."""
    cases = cases_of(predicted(fixed_shape("lora"), "a100-40gb"), on_card(fixed_shape("lora"), "a100-80gb"))
    peaks, checks = predictions(cases)
    assert (len(peaks.rows), checks.rows) == (1, ())
    assert "same card" in checks.notes[0]
    told = {row["what"].text: row["value"].text for row in forecast(cases[0], []).rows}
    assert told["expected error"].startswith("Full and the LoRA family: median ")
    assert predictions([])[0].notes[0].startswith("No record here is a prediction")


def test_memory_tells_how_well_its_cases_were_predicted(everything: list[Case]) -> None:
    """A note with the range of the errors, and none where nothing was predicted."""
    assert any("3 of these cases were predicted too" in note for note in memory(everything).notes)
    assert not any("predicted" in note for note in memory(cases_of(on_card(fixed_shape("full")))).notes)
    config = fixed_shape("full")
    ours = predicted(config)
    theirs = replace(on_card(config), metrics={RESERVED: ours.metrics[RESERVED] * 2})
    (note,) = [note for note in memory(cases_of(ours, theirs, published(config, 5))).notes if "predicted" in note]
    assert note.endswith("errors of the predictions: peak reserved memory, training, -50.00%.")


def test_memory_of_a_prediction_misses_nothing_that_only_runs_have() -> None:
    """What predictions never hold leaves no column and no excuse."""
    for table in (
        memory(cases_of(predicted(fixed_shape("full")))),
        attribution(cases_of(predicted(fixed_shape("full")))),
    ):
        assert not any("ot measured" in note or "NVML" in note for note in table.notes)


def test_every_format_writes_predictions(everything: list[Case]) -> None:
    """CSV and JSON have raw numbers with their kind, a difference as a number of unit 1; Markdown has every part."""
    tables = predictions(everything)
    rows = list(csv.DictReader(io.StringIO(render.to_csv(tables[1]))))
    said = {(row["predicted.kind"], row["error.kind"], row["error.unit"]) for row in rows}
    assert said == {("predicted", "derived", "1")}
    for row in rows:
        assert float(row["error"]) == pytest.approx(float(row["predicted"]) / float(row["known"]) - 1, abs=1e-9)
    document = json.loads(render.to_json(tables[0]))
    assert {row[RESERVED]["kind"] for row in document["rows"] if row[RESERVED]["value"]} == {"predicted"}
    assert "base 4bit" in render.to_markdown(tables[0])


@pytest.mark.parametrize(
    ("value", "text"), [(0.00412, "+0.41%"), (-0.125, "-12.50%"), (0.0, "+0.00%"), (1.5, "+150.00%")]
)
def test_a_difference_is_shown_with_its_sign(value: float, text: str) -> None:
    """Above zero a plus, below zero a minus, in percent."""
    assert shown(value, "+%") == text


def test_show_lists_predictions_with_their_kind(everything: list[Case]) -> None:
    """Their row says predicted, whether the run fits and its peak, and that nothing was run; others count runs."""
    table = listing(everything)
    told = {(row["kind"].text, row["runs"].text) for row in table.rows if row["kind"].text != "measured"}
    assert told == {("predicted", "fits"), ("predicted", "does not fit"), ("predicted", "no prediction"),
                    ("published", "2 citations")}  # fmt: skip
    short = next(row for row in table.rows if row["runs"].text == "does not fit")
    assert short["train.peak_allocated"].kind == "predicted"
    assert any("nothing was run" in note for note in table.notes)
    assert not any("predicted" in note for note in listing(cases_of(record(fixed_shape("full")))).notes)


def test_show_tells_one_prediction_in_detail() -> None:
    """In detail it is called a prediction, with its fit; a published number shows its source."""
    said = detail(cases_of(predicted(fixed_shape("full"), fits=False), published(fixed_shape("full"), 5)))
    assert "Prediction 2026" in said
    assert "fits: no: needs 2.59 GiB, has 2.30 GiB" in said
    assert "source: example/benchmark" in said
    assert "Every number, predicted" in said


def test_per_run_numbers_of_a_prediction_have_reasons_of_their_own() -> None:
    """A number that was asked for and is not part of a prediction says so, and not that a GPU lacks it."""
    made = predicted(fixed_shape("lora"), absent={"evaluate.accuracy": "no answer is scored."})
    (row,) = [row for row in per_run(cases_of(made)[0]).rows if row["metric"].metric == "evaluate.accuracy"]
    assert "no answer is scored" in next(cell.text for key, cell in row.items() if key != "metric")


class Rows(HTMLParser):
    """Every row of every table of a page: the table's name and heading, the row's text, the kinds of its numbers."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, str, set[str]]] = []
        self._name, self._shared, self._text, self._kinds = "", None, "", set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if named.get("role") == "region":
            self._name = str(named["aria-label"])
        if tag == "table":
            self._shared = named.get("data-kind")
        if tag == "tr":
            self._text, self._kinds = "", set()
            self.rows.append((self._name, "", self._kinds))
        if tag == "data" and (kind := named.get("data-kind") or (self._shared if "data-metric" in named else None)):
            self._kinds.add(kind)

    def handle_data(self, data: str) -> None:
        self._text += data
        if self.rows:
            self.rows[-1] = (self.rows[-1][0], self._text, self.rows[-1][2])


def test_a_predicted_number_never_appears_without_its_kind(site: Path) -> None:
    """A row with a predicted number says so, or its table's name does; only checks hold what was measured beside it."""
    seen = 0
    for page in site.rglob("*.html"):
        for name, words, kinds in Rows(page.read_text()).rows:
            if "predicted" in kinds:
                seen += 1
                assert "predicted" in f"{name} {words}".lower(), (page, name, words)
                assert kinds <= {"predicted", "derived"} or "against" in name, (page, name, words)
    assert seen > 50


def test_a_site_of_every_kind_has_no_problem(site: Path) -> None:
    """Links, numbers, errors of predictions and bytes are what the records give."""
    assert problems(site) == []


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r'(value=")-0\.009\d+(" data-unit="\+%")', r"\g<1>-0.0091\2"),
        (r'(data-unit="\+%" data-kind=")derived', r"\g<1>predicted"),
        (r'(<table class="dense roomy" data-kind=")predicted', r"\g<1>measured"),
        (r'(value=")\d+(" data-unit="B"[^>]* data-metric="train\.peak_process")', r"\g<1>7.0\2"),
    ],
)
def test_a_changed_prediction_or_error_is_found(site: Path, tmp_path: Path, pattern: str, new: str) -> None:
    """A predicted value, an error, or the kind of either that its records do not give is a problem of its own."""
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    page = copy / "memory.html"
    changed, count = re.subn(pattern, new, page.read_text(), count=1)
    assert count == 1
    page.write_text(changed)
    assert any("is not what its records say" in found or "claims to be" in found for found in problems(copy))


@pytest.mark.parametrize(
    "records",
    [
        [predicted(fixed_shape("full"))],
        [published(fixed_shape("full"), 5)],
        [refused()],
        [predicted(fixed_shape("full")), published(fixed_shape("full"), 5, citation=None)],
    ],
)
def test_a_site_without_runs_is_a_site(tmp_path: Path, records: list[RunRecord]) -> None:
    """Predictions or published numbers alone give a site without problems, which says that nothing was run yet."""
    build(read(filled(tmp_path / "results", *records))[0], tmp_path / "site")
    assert problems(tmp_path / "site") == []
    assert "No runs yet" in (tmp_path / "site" / "index.html").read_text()


def test_pages_of_predictions_forecast_and_do_not_fail(site: Path) -> None:
    """A run that would not fit is a forecast with the shortage in its own words, no failure; speed is not mentioned."""
    page = next(site.glob("cases/fake-l40s/*-full-*-b64-*.html")).read_text()
    for words in ("A prediction: nothing was run", "no: needs 2.59 GiB, has 2.30 GiB", "find no room in",
                  "backward of step 2", "expected error", "Peak memory by phase, predicted"):  # fmt: skip
        assert words in page
    for words in ("What failed", "Speed of training", "tokens/s", "good and", "went well", "With the package versions"):
        assert words not in page
    assert "What could not be predicted" in next(site.glob("cases/fake-l40s/*-b3-*.html")).read_text()


def test_measured_and_published_pages_show_their_prediction(site: Path) -> None:
    """The page of a measured case links its prediction with the error, and so does that of a published number."""
    for folder, words in (("nvidia-l40s", "2 good and 0 failed runs"), ("l40s", "Published by others")):
        text = next(site.glob(f"cases/{folder}/*-lora-*.html")).read_text()
        assert words in text
        assert "Predicted against measured and published" in text
        assert re.search(r'href="\.\./\.\./cases/fake-l40s/[^"]*-lora-', text)
    assert "another source" in next(site.glob("cases/l40s/*-lora-*.html")).read_text()
    unpredicted = next(site.glob("cases/example-cpu-2-cores/*-lora-*.html")).read_text()
    assert "Predicted against" not in unpredicted


def test_pages_keep_predictions_apart(site: Path) -> None:
    """They have sections of their own, are counted apart, and neither fail nor enter the CSV of runs."""
    text = (site / "index.html").read_text()
    assert 'data-kind="predicted"' not in text
    assert "Apart from them: 10 predicted cases and 3 published." in text
    assert "1 of them failed" in text
    runs, apart = (site / "memory.html").read_text().split('<section aria-labelledby="fits">')
    assert "predicted" not in runs.partition("</h2>")[2]
    assert apart.index('id="checks"') < apart.index('id="predictions"')
    assert "predicted" not in (site / "data/records.csv").read_text()
    assert "predicted" in (site / "data/predictions.csv").read_text()
    assert "data/predictions.csv" not in render_site(Results(cases_of()))
