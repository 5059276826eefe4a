"""The site in a browser, from disk: quiet, accessible, readable at any width, with and without JavaScript."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from bench import store
from bench.analysis.results import read
from bench.report.questions import QUESTIONS
from bench.report.site.build import build
from bench.report.site.navigation import MENU
from bench.schema import Kind
from tests.records import METHODS, everything, filled, fixed_shape, on_card, paged, predicted, published, record

CASES = {"learning": "*qlora*-s64-*", "failed": "*-b64-*"}
PAGES = (*(path for path, _ in MENU), "404.html", "rank.html", "numerics.html", "environment", *CASES)
"""Every page that the menu leads to, a question with runs and one without, and one of each of the many."""
CHARTS = {"index.html": 1, "methods.html": 2, "memory.html": 2, "learning": 2}
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of a site with runs, predictions and published numbers, by what they are called here."""
    root = tmp_path_factory.mktemp("browser")
    config = fixed_shape("lora")
    kinds = [predicted(config), predicted(config, "h100-80gb", fits=False), published(config, 2**30), on_card(config)]
    build(read(filled(root / "results", *everything(), paged(), *kinds))[0], root / "site")
    found = {name: root / "site" / name for name in PAGES if name.endswith(".html")}
    found |= {name: next((root / "site").rglob(f"cases/example-cpu*/{part}.html")) for name, part in CASES.items()}
    return {**found, "environment": next((root / "site" / "environments").glob("*.html"))}


def opened(browser: Any, path: Path, width: int, scheme: str, **options: Any) -> tuple[Any, list[str]]:
    """Open a page, scroll every chart into view, and return it with every error and request beyond the disk."""
    page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options).new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else trouble.append(request.url)
    )
    page.goto(path.as_uri())
    for figure in page.locator("figure.chart").all():
        figure.scroll_into_view_if_needed()
        if options.get("java_script_enabled", True):
            figure.locator(".main-svg").first.wait_for(timeout=10_000)
    return page, trouble


def violations(page: Any) -> list[tuple[str, str]]:
    """Return what axe finds against a page: the rule and the first element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"preload": False}).response["violations"]
    return [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found]


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_quiet_accessible_and_fit(browser: Any, pages: dict[str, Path], name: str) -> None:
    """No request leaves the disk, charts are drawn, and nothing overflows nor breaks a rule in any theme and width."""
    page, trouble = opened(browser, pages[name], 360, "light")
    assert page.locator("figure.drawn").count() == page.locator("figure.chart").count() >= CHARTS.get(name, 0)
    for width, scheme in itertools.product((360, 1280), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert violations(page) == [], (width, scheme)
    assert trouble == []
    page.context.close()


OUTSIDE = """() => [...document.querySelectorAll(".xtitle, .ytitle")].filter(title => {
    const own = title.getBoundingClientRect();
    const all = title.closest("figure").querySelector(".plot").getBoundingClientRect();
    return own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1 || own.bottom > all.bottom + 1;
}).map(title => title.textContent)"""
LINES = "() => [...document.querySelectorAll('.xtitle')].map(title => title.querySelectorAll('tspan').length)"


def test_axis_titles_stay_in_their_charts(browser: Any, pages: dict[str, Path]) -> None:
    """On a phone a long title has lines, on a desk it is one, also when a window is made narrow and wide again."""
    page, _ = opened(browser, pages["methods.html"], 1280, "light")
    assert page.evaluate(OUTSIDE) == []
    assert not any(page.evaluate(LINES))
    for width, lines in ((360, True), (1280, False)):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(700)
        assert page.evaluate(OUTSIDE) == []
        assert any(page.evaluate(LINES)) is lines
    page.context.close()


def test_legends_of_many_names_are_whole_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    """Categories of memory stand one below the other above the chart, none scrolled away, and leave it its room."""
    page, _ = opened(browser, pages["memory.html"], 360, "light")
    bars = "() => [...document.querySelectorAll('.legend .scrollbar')].map(bar => bar.getBoundingClientRect().height)"
    rooms = "() => [...document.querySelectorAll('.plot .nsewdrag')].map(area => area.getBoundingClientRect().height)"
    assert set(page.evaluate(bars)) == {0}
    assert min(page.evaluate(rooms)) > 120
    page.context.close()


def test_every_question_has_a_page_that_the_first_leads_to(browser: Any, pages: dict[str, Path]) -> None:
    """Each question's title leads to its page, with or without runs."""
    page, _ = opened(browser, pages["index.html"], 1280, "light")
    titles = [link.inner_text() for link in page.locator(".cards h3 a").all()]
    assert titles == [question.title for question in QUESTIONS.values()]
    page.locator(".cards h3 a").last.click()
    assert page.locator("h1").inner_text() == titles[-1]
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_banner_of_made_up_numbers_is_seen(browser: Any, tmp_path: Path, scheme: str) -> None:
    """A dry run's first page shows its banner in the first screen, and axe finds no violation."""
    store.prepare_dry_root(tmp_path / "dry")
    root = filled(tmp_path / "dry", *(record(fixed_shape(method), kind=Kind.DRY) for method in METHODS))
    build(read(root)[0], tmp_path / "site")
    page, trouble = opened(browser, tmp_path / "site" / "index.html", 360, scheme)
    page.evaluate("scrollTo(0, 0)")
    box = page.get_by_text("Made-up numbers of a dry run").bounding_box()
    assert trouble == []
    assert box is not None
    assert 0 <= box["y"] < 400
    assert violations(page) == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_predictions_are_accessible_and_fit(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    """Predictions beside other kinds: nothing overflows, no console error, and axe finds no violation on any page."""
    config, long = fixed_shape("lora"), "somebody/benchmark, results of a run of theirs, " * 20
    runs = [on_card(config), predicted(config), predicted(config, "h100-80gb", fits=False)]
    root = filled(tmp_path / "results", *runs, published(config, 2**30, citation=long))
    build(read(root)[0], tmp_path / "site")
    for path in (tmp_path / "site" / "memory.html", *(tmp_path / "site").rglob("cases/*/*.html")):
        page, trouble = opened(browser, path, width, scheme)
        assert trouble == []
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert violations(page) == []
        page.context.close()


@pytest.mark.parametrize("name", ["index.html", "learning"])
def test_pages_work_without_javascript(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Without JavaScript no empty chart takes space, and every chart's numbers can be opened as a table."""
    page, trouble = opened(browser, pages[name], 1280, "light", java_script_enabled=False)
    assert trouble == []
    figures = page.locator("figure.chart").all()
    assert len(figures) >= CHARTS[name]
    for figure in figures:
        assert (figure.locator(".plot").bounding_box() or {"height": 0})["height"] == 0
        figure.locator("summary").click()
        assert figure.locator("table").is_visible()
    assert page.locator("main table").first.inner_text() != ""
    page.context.close()


def test_charts_follow_the_colour_scheme(browser: Any, pages: dict[str, Path]) -> None:
    """Switching to dark redraws charts in the new text colour; method colours stay."""
    page, _ = opened(browser, pages["index.html"], 1280, "light")
    colours = "[...document.querySelectorAll('.xtick text')].map(t => getComputedStyle(t).fill)"
    before = page.evaluate(colours)
    page.emulate_media(color_scheme="dark")
    for _ in range(50):  # wait_for_function would need eval, which the site's policy forbids
        page.wait_for_timeout(100)
        if page.evaluate(colours)[:1] not in ([], before[:1]):
            break
    assert page.evaluate(colours)[0] != before[0]
    fills = page.evaluate("[...document.querySelectorAll('.scatterlayer .point')].map(p => getComputedStyle(p).fill)")
    assert fills == ["rgb(0, 114, 178)", "rgb(213, 94, 0)", "rgb(0, 158, 115)"]
    page.context.close()


def test_the_keyboard_reaches_content_and_tables(browser: Any, pages: dict[str, Path]) -> None:
    """The first Tab shows the skip link, which leads to the content; wide tables can be focused to scroll."""
    page, _ = opened(browser, pages["index.html"], 360, "light")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    assert page.locator(".scroll:not([tabindex='0'])").count() == 0
    page.context.close()
