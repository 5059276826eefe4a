"""How fast the site is in Chromium, its processor slowed down four times: `tox -e site-browser`.

Best of three loads of the first page, the claims and the largest case, and of ten filterings of all cases. Fails above
the budgets, and for any request that leaves the disk. Charts cannot come before plotly.js has been evaluated: a page
with nothing else is loaded beside them, and where that alone is above a budget of charts, a share more than it is
allowed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SLOWER = 4
BUDGETS = {"largest paint, s": 1.0, "layout shift": 0.02, "first chart, s": 2.5, "blocked, s": 2.2, "filter, s": 0.1}
WITH_PLOTLY = ("first chart, s", "blocked, s")
ABOVE_BARE = 1.6
"""Most of what a page with charts may take, of what plotly.js takes alone."""
BARE = """<!doctype html><title>bare</title><figure class="chart" style="height: 400px"></figure><script src="{plotly}">
</script><script>Plotly.newPlot(document.querySelector('figure'), [{{type: 'bar', x: ['a'], y: [1]}}])</script>"""
WATCH = """
window.seen = {lcp: 0, cls: 0, blocked: 0};
new PerformanceObserver(list => list.getEntries().forEach(e => { seen.lcp = e.startTime / 1000; }))
  .observe({type: 'largest-contentful-paint', buffered: true});
new PerformanceObserver(list => list.getEntries().forEach(e => { if (!e.hadRecentInput) seen.cls += e.value; }))
  .observe({type: 'layout-shift', buffered: true});
const beyond = entry => Math.max(0, entry.duration - 50) / 1000;
new PerformanceObserver(list => list.getEntries().forEach(e => { seen.blocked += beyond(e); }))
  .observe({type: 'longtask', buffered: true});
"""
FILTER = """() => {
  const select = document.querySelector('select[name=method]'), spent = [];
  [...select.options].concat([...select.options]).slice(0, 10).forEach(option => {
    select.value = option.value;
    const begun = performance.now();
    select.dispatchEvent(new Event('input', {bubbles: true}));
    document.body.offsetHeight;
    spent.push((performance.now() - begun) / 1000);
  });
  return Math.min(...spent.slice(1));
}"""


def measured(browser: Any, path: Path, trouble: list[str]) -> dict[str, float]:
    """Load a page once and say what it took."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else trouble.append(asked.url))
    page.add_init_script(WATCH)
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.goto(path.as_uri())
    found = {}
    if page.locator("figure.chart").count():
        page.locator("figure.chart").first.scroll_into_view_if_needed()
        page.locator("figure.chart .main-svg").first.wait_for(timeout=30_000)
        found["first chart, s"] = page.evaluate("performance.now() / 1000")
    page.wait_for_timeout(500)
    seen = page.evaluate("seen")
    found |= {"largest paint, s": seen["lcp"], "layout shift": seen["cls"], "blocked, s": seen["blocked"]}
    if path.name == "explore.html":
        found["filter, s"] = page.evaluate(FILTER) / SLOWER
    page.context.close()
    return found


def best_of_three(browser: Any, path: Path, trouble: list[str]) -> dict[str, float]:
    """Load a page three times and keep the least of every number."""
    loads = [measured(browser, path, trouble) for _ in range(3)]
    return {name: min(load[name] for load in loads) for name in loads[0]}


def pages(site: Path) -> Iterator[Path]:
    """Return the pages that are loaded."""
    yield from (site / name for name in ("index.html", "claims.html", "memory.html", "explore.html"))
    yield max((site / "cases").rglob("*.html"), key=lambda path: path.stat().st_size)


def main() -> int:
    """Measure, say it, and compare with the budgets."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="a built site")
    site = parser.parse_args().site.resolve()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    trouble: list[str] = []
    over = False
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        bare = Path(scratch, "bare.html")
        bare.write_text(BARE.format(plotly=(site / "assets" / "plotly.min.js").as_uri()))
        floor = best_of_three(browser, bare, trouble)
        print("plotly.js alone: " + ", ".join(f"{name} {floor[name]:.3f}" for name in WITH_PLOTLY))
        budgets = BUDGETS | {name: max(BUDGETS[name], ABOVE_BARE * floor[name]) for name in WITH_PLOTLY}
        for path in pages(site):
            best = best_of_three(browser, path, trouble)
            over |= any(value > budgets[name] for name, value in best.items())
            said = ", ".join(f"{name} {value:.3f} of {budgets[name]:.3g}" for name, value in best.items())
            print(f"{path.relative_to(site)}: {said}")
        browser.close()
    print(f"requests that left the disk: {len(trouble)}")
    return int(over or bool(trouble))


if __name__ == "__main__":
    sys.exit(main())
