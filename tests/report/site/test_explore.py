"""Explore shows every case, filtered and sorted as asked, keeps the view in the address, and hands it out as shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from bench.analysis.results import Results, read
from bench.report.explore import every
from bench.report.site.build import build
from bench.report.site.pages import explore
from tests.records import cases_of, everything, failed, filled, fixed_shape, predicted, record

SCRIPT = "</script><script>document.title='owned'</script>"
SPEED = "train.tokens_per_second"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page over more cases than it shows at once: runs, predictions, failures, and one with a hostile device."""
    root = tmp_path_factory.mktemp("explore")
    many = [record(fixed_shape("lora", rank=rank)) for rank in range(1, 120)]
    odd = replace(record(fixed_shape("lora")), environment={"package.torch": SCRIPT, "package.peft": "=1+1"})
    runs = [*everything(), *many, predicted(fixed_shape("lora")), failed(fixed_shape("qlora", batch_size=9)), odd]
    build(read(filled(root / "results", *runs))[0], root / "site")
    return root / "site" / explore.PATH


@pytest.fixture
def page(browser: Any, path: Path) -> Any:
    """The page, open and quiet."""
    opened = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True).new_page()
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    assert trouble == []
    assert opened.title() != "owned"
    opened.context.close()


def column(page: Any, key: str) -> list[str]:
    """Return the shown words of a column, row by row."""
    keys = [button.get_attribute("data-sort") for button in page.locator("thead button").all()]
    place = keys.index(key) + 1
    return [cell.inner_text() for cell in page.locator(f"#cases tbody tr > :nth-child({place})").all()]


def values(page: Any, key: str) -> list[float | None]:
    """Return the numbers of a column, row by row; None where it is absent."""
    keys = [button.get_attribute("data-sort") for button in page.locator("thead button").all()]
    cells = page.locator(f"#cases tbody tr > :nth-child({keys.index(key) + 1})").all()
    found = [cell.get_attribute("data-value") for cell in cells]
    return [None if one is None else float(one) for one in found]


def asked(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


@pytest.mark.browser
def test_every_case_is_counted_and_can_be_shown(page: Any) -> None:
    """A hundred rows at first, the rest on request, none twice; the count is said to those who cannot see."""
    total = int(page.locator("#count").inner_text().split(" of ")[0])
    assert page.locator("#cases tbody tr").count() == 100
    page.locator("#more button").click()
    assert page.locator("#cases tbody tr").count() == total
    assert len(set(zip(column(page, "device"), column(page, "case"), strict=True))) == total
    assert page.locator("#more").is_hidden()
    assert page.locator("#count").get_attribute("aria-live") == "polite"


@pytest.mark.browser
def test_filters_and_words_narrow_the_view_together(page: Any) -> None:
    """A facet keeps its own rows, words must all occur, and clearing brings everything back."""
    page.locator("select[name=method]").select_option("QLoRA")
    assert set(column(page, "method")) == {"QLoRA"}
    page.locator("input[name=q]").fill("qlora oom")
    assert set(column(page, "ended")) == {"oom"}
    page.locator("input[name=q]").fill("no such words")
    assert page.locator("#cases tbody tr").count() == 0
    assert page.locator("#count").inner_text().startswith("0 of ")
    page.locator("button[type=reset]").click()
    page.locator("#cases tbody tr").first.wait_for()
    assert len(set(column(page, "method"))) > 1
    assert asked(page) == {}


@pytest.mark.browser
def test_sorting_is_by_value_and_what_is_absent_comes_last(page: Any) -> None:
    """Up, down, and back to the first order; focus stays on the button, and the heading says which way."""
    page.locator("select[name=kind]").select_option("measured")
    page.locator("#more button").click()
    before = column(page, "case")
    for direction, sort in (("ascending", SPEED), ("descending", f"-{SPEED}")):
        page.locator(f'[data-sort="{SPEED}"]').click()
        found = values(page, SPEED)
        known = [value for value in found if value is not None]
        assert known == sorted(known, reverse=direction == "descending")
        assert found == [*known, *[None] * (len(found) - len(known))]
        assert asked(page)["sort"] == [sort]
        assert page.locator(f'th:has([data-sort="{SPEED}"])').get_attribute("aria-sort") == direction
        assert page.evaluate("document.activeElement.dataset.sort") == SPEED
    page.locator(f'[data-sort="{SPEED}"]').click()
    assert column(page, "case") == before


@pytest.mark.browser
def test_the_address_is_the_view(browser: Any, page: Any) -> None:
    """Whoever opens the address sees the same rows in the same order; words it does not know change nothing."""
    page.locator("select[name=method]").select_option("LoRA")
    page.locator(f'[data-sort="{SPEED}"]').click()
    shown = column(page, "case")

    other = browser.new_page()
    other.goto(page.url + "&colour=red&device=nowhere")
    assert column(other, "case") == shown
    assert other.locator("select[name=method]").input_value() == "LoRA"
    assert (
        other.locator("select[name=device]").input_value() == "" if other.locator("select[name=device]").count() else 1
    )
    other.close()


@pytest.mark.browser
@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_is_taken_away_is_what_is_shown(page: Any, form: str) -> None:
    """The file has the shown cases in their order, numbers in base units with their unit, and no formulas."""
    page.locator("select[name=kind]").select_option("measured")
    page.locator(f'[data-sort="{SPEED}"]').click()
    page.locator("#more button").click()
    shown, numbers = column(page, "case"), values(page, SPEED)

    with page.expect_download() as waiting:
        page.locator(f"button[data-as={form}]").click()
    text = Path(waiting.value.path()).read_text()

    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        found = [(row["case"], float(row[SPEED]) if row[SPEED] else None) for row in rows]
        assert {row[f"{SPEED}.unit"] for row in rows if row[SPEED]} == {"tok/s"}
        assert not any(field.startswith(("=", "+", "@")) for row in rows for field in row.values())
    else:
        rows = json.loads(text)
        found = [(row["case"], row.get(SPEED, {}).get("value")) for row in rows]
    assert found == list(zip(shown, numbers, strict=True))


@pytest.mark.browser
def test_without_scripts_the_first_rows_stand_there(browser: Any, path: Path) -> None:
    """The page has a table of its own, leads to the CSV of all, and shows no filter that does nothing."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(path.as_uri())
    assert page.locator("#cases tbody tr").count() == explore.FIRST
    assert page.locator("#filters").is_hidden()
    assert page.locator("noscript a[href='data/records.csv']").count() == 1
    page.context.close()


def test_the_data_say_what_the_table_says() -> None:
    """Every row and number of the page's data is that of the table, and nothing can end its script."""
    results = Results(cases_of(*everything(), predicted(fixed_shape("lora"))))
    table = every(results.cases)
    (text,) = [text for path, text in explore.files(results) if path == explore.DATA]
    data = json.loads(text.removeprefix(f"var {explore.VARIABLE} = ").rstrip(";\n"))
    keys = [one["key"] for one in data["columns"]]
    assert keys == [one.key for one in table.columns]
    for said, row in zip(data["rows"], table.rows, strict=True):
        for key, cell in zip(keys, said, strict=True):
            assert (cell[0] if isinstance(cell, list) else cell) == row[key].value
    assert "<" not in text
