"""The site in a browser, from disk: quiet, accessible, readable at any width, with and without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import store
from bench.analysis.cases import group, read
from bench.report.pages import build
from bench.schema import Kind
from tests.records import METHODS, filled, fixed_shape, on_card, predicted, published, record

PAGES = ("index.html", "method.html", "learning", "failed")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(example_results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example site's first page, method page, a case with test items, and a failed case."""
    site = tmp_path_factory.mktemp("browser") / "site"
    build(group(read(example_results)[0]), site)
    learning, failed = (next(site.rglob(f"cases/*/{part}.html")) for part in ("*qlora*-s64-*", "*-b64-*"))
    return {
        "index.html": site / "index.html",
        "method.html": site / "method.html",
        "learning": learning,
        "failed": failed,
    }


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_quiet_accessible_and_fit(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    """No request leaves the disk, no console error, charts are drawn, nothing overflows, axe finds no violation."""
    from axe_playwright_python.sync_playwright import Axe

    page, trouble = opened(browser, pages[name], width, scheme)
    assert trouble == []
    drawn, charts = page.locator("figure.drawn").count(), {"index.html": 2, "learning": 2}.get(name, 0)
    assert drawn == charts
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_banner_of_made_up_numbers_is_seen(browser: Any, tmp_path: Path, scheme: str) -> None:
    """A dry run's first page shows its banner in the first screen, and axe finds no violation."""
    from axe_playwright_python.sync_playwright import Axe

    store.prepare_dry_root(tmp_path / "dry")
    root = filled(tmp_path / "dry", *(record(fixed_shape(method), kind=Kind.DRY) for method in METHODS))
    build(group(read(root)[0]), tmp_path / "site")
    page, trouble = opened(browser, tmp_path / "site" / "index.html", 360, scheme)
    page.evaluate("scrollTo(0, 0)")
    box = page.get_by_text("Made-up numbers of a dry run").bounding_box()
    assert trouble == []
    assert box is not None
    assert 0 <= box["y"] < 400
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_predictions_are_accessible_and_fit(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    """Predictions beside other kinds: nothing overflows, no console error, and axe finds no violation on any page."""
    from axe_playwright_python.sync_playwright import Axe

    config, long = fixed_shape("lora"), "somebody/benchmark, results of a run of theirs, " * 20
    runs = [on_card(config), predicted(config), predicted(config, "h100-80gb", fits=False)]
    root = filled(tmp_path / "results", *runs, published(config, 2**30, citation=long))
    build(group(read(root)[0]), tmp_path / "site")
    for path in (tmp_path / "site" / "index.html", *(tmp_path / "site").rglob("cases/*/*.html")):
        page, trouble = opened(browser, path, width, scheme)
        assert trouble == []
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        found = Axe().run(page, options={"preload": False}).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
        page.context.close()


@pytest.mark.parametrize("name", ["index.html", "learning"])
def test_pages_work_without_javascript(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Without JavaScript no empty chart takes space, and every chart's numbers can be opened as a table."""
    page, trouble = opened(browser, pages[name], 1280, "light", java_script_enabled=False)
    assert trouble == []
    figures = page.locator("figure.chart").all()
    assert len(figures) == 2
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
