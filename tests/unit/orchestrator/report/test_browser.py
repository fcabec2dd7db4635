"""The report in headless Chromium: it renders, slider and filters work, nothing is wrong and nothing is loaded."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

import pytest

from tests.unit.orchestrator.report.report_material import HOSTILE, report
from tests.unit.orchestrator.synthetic_study import empty, study

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    """A running browser."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("TAUSWEEP_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium on PATH: install the package `chromium`, or set TAUSWEEP_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page and what it did."""

    page: object
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def traces(self, plot):
        return self.page.evaluate(f"document.getElementById('{plot}').data.map(t => [t.name, t.x.length])")


@pytest.fixture
def opened(chromium, tmp_path):
    """`opened(html, width=…, scheme=…)`: the page in a window of its own, when it has drawn."""
    contexts = []

    def open_page(html, *, width=1200, scheme="light"):
        file = tmp_path / f"report {len(contexts)}.html"
        file.write_text(html)
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        shown = Opened(context.new_page())
        shown.page.on("console", lambda message: shown.complaints.append(message.text))
        shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.page.on("request", lambda request: shown.requests.append(request.url))
        shown.page.goto(file.as_uri())
        shown.page.wait_for_selector("html[data-ready]", timeout=60_000)
        return shown

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    tables = study(seeds=(0, 1), widths=(8, 16), steps=3000)
    return report(tables, tmp_path_factory.mktemp("store"), failures=[("error", "bad", "Traceback")])


def test_it_renders_without_a_complaint_and_without_a_request(opened, html):
    shown = opened(html)
    assert shown.page.locator("#curve-plot svg.main-svg").count() > 0
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in shown.requests if url.startswith("file:")]) == 1


def test_the_slider_moves_the_phase_diagram_through_the_budgets(opened, html):
    shown = opened(html)
    assert shown.page.locator("#budget").inner_text() == "3,000"
    late = dict(shown.traces("phase-plot"))
    slider = shown.page.locator("#budget-slider")
    slider.focus()
    slider.press("Home")
    assert shown.page.locator("#budget").inner_text() != "3,000"
    early = dict(shown.traces("phase-plot"))
    assert late["memorises"] > 0
    assert "memorises" not in early
    assert shown.complaints == []


def test_the_boundary_moves_with_the_slider(opened, html):
    shown = opened(html)

    def n_star():
        return shown.page.evaluate(
            "document.getElementById('phase-plot').data.filter(t => t.name.startsWith('n*(p; τ = ')).map(t => [t.name, ...t.x])"
        )

    (late,) = n_star()
    shown.page.locator("#budget-slider").press("ArrowLeft")
    shown.page.locator("#budget-slider").press("ArrowLeft")
    shown.page.locator("#budget-slider").press("ArrowLeft")
    (early,) = n_star()
    assert late[0] == "n*(p; τ = 3,000)"
    assert early[0] == f"n*(p; τ = {shown.page.locator('#budget').inner_text()})"
    assert all(then < now for then, now in zip(early[1:], late[1:], strict=True))


def test_the_first_screen_has_the_sentences_the_phase_diagram_and_the_law(opened, html):
    shown = opened(html, width=1280)
    for part in (".conclusions li:last-child", "#budget-slider", "#phase-plot", "#tau-plot"):
        box = shown.page.locator(part).bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= 800, part
    for plot in ("#phase-plot", "#tau-plot"):
        box = shown.page.locator(plot).bounding_box()
        assert (box["width"] > 500, box["height"] > 220) == (True, True)


def test_the_law_that_is_drawn_first_is_that_of_the_sentence(opened, html):
    shown = opened(html)
    sentence = shown.page.locator(".conclusions li").nth(1).inner_text()
    assert (
        shown.page.evaluate("document.getElementById('criterion').selectedOptions[0].textContent") in sentence
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_needs_sideways_scrolling(opened, html, width):
    shown = opened(html, width=width)
    shown.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:
        wide = "[...document.querySelectorAll('.scroll, pre')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert shown.page.evaluate(wide) == 0
        assert shown.page.locator(".scroll").count() > 5


def test_on_a_phone_the_samples_of_every_row_are_visible(opened, html):
    shown = opened(html, width=390)
    images = shown.page.locator(".strip img")
    assert images.count() > 8 * 3
    boxes = images.evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(b => [b.left, b.right])"
    )
    assert all(0 <= left < right - 20 and right <= 390 for left, right in boxes)


def test_tables_are_folded_until_they_are_asked_for(opened, html):
    shown = opened(html)
    assert shown.page.locator("table:visible").count() == 0
    shown.page.get_by_text("The law of every criterion").click()
    assert shown.page.locator("table:visible").count() == 1


def test_filters_choose_the_curves(opened, html):
    shown = opened(html)
    assert len(shown.traces("curve-plot")) == 16
    shown.page.locator("#filter-W input").first.uncheck()
    assert len(shown.traces("curve-plot")) == 8
    assert shown.page.locator("#curve-count").inner_text() == "8 of 16 runs."
    shown.page.locator("#filter-n input").first.uncheck()
    assert len(shown.traces("curve-plot")) == 6
    shown.page.locator("#mean").check()
    assert len(shown.traces("curve-plot")) == 3


def test_measure_and_scale_change_what_is_drawn(opened, html):
    shown = opened(html)

    def first_x():
        return shown.page.evaluate("document.getElementById('curve-plot').data[0].x[0]")

    plain = first_x()
    shown.page.select_option("#scale", "n")
    assert first_x() == pytest.approx(plain / 16)
    shown.page.select_option("#measure", label="frechet_pca")
    title = shown.page.evaluate("document.getElementById('curve-plot').layout.yaxis.title.text")
    assert title == "frechet_pca"
    shown.page.select_option("#criterion", label="loss_gap=0.1@t150")
    assert "n^1" in shown.traces("tau-plot")[-1][0]
    assert shown.complaints == []


def test_runs_are_found_by_their_settings(opened, html):
    shown = opened(html)
    shown.page.get_by_text("All runs (").click()
    assert shown.page.locator("#run-table tbody tr").count() == 16
    shown.page.fill("#run-filter", "n=32 w=16")
    assert shown.page.locator("#run-table tbody tr").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_can_be_switched(opened, html, scheme):
    shown = opened(html, scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = shown.page.evaluate(ground)
    assert (before == "rgb(255, 255, 255)") == (scheme == "light")
    shown.page.click("#theme")
    assert shown.page.evaluate(ground) != before


def test_a_phone_needs_no_sideways_scrolling_of_the_page(opened, html):
    shown = opened(html, width=360)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.page.locator("#phase-plot svg.main-svg").first.bounding_box()["width"] <= 360


def test_on_a_phone_the_legend_lies_below_the_axis_and_leaves_the_plot_room(opened, html):
    shown = opened(html, width=360)
    title = shown.page.locator("#curve-plot .xtitle").bounding_box()
    legend = shown.page.locator("#curve-plot .legend").bounding_box()
    assert legend["y"] >= title["y"] + title["height"]
    assert legend["height"] < 0.35 * shown.page.locator("#curve-plot").bounding_box()["height"]


def test_text_of_users_runs_no_script(opened, tmp_path):
    tables = study(seeds=(0,), n_values=(16, 32))
    shown = opened(
        report(tables, tmp_path, sweep=HOSTILE, failures=[("error", HOSTILE, HOSTILE)], source=HOSTILE)
    )
    assert shown.page.evaluate("window.broken === undefined")
    assert shown.complaints == []
    assert shown.page.locator("h1").inner_text().startswith("</script>")


def test_an_empty_sweep_renders(opened, tmp_path):
    shown = opened(report(empty(), tmp_path))
    assert (
        "has a measurement yet, so there is nothing to conclude"
        in shown.page.locator("#summary").inner_text()
    )
    assert shown.complaints == []


def test_an_all_censored_sweep_renders(opened, tmp_path):
    shown = opened(report(study(steps=150, seeds=(0,)), tmp_path))
    assert shown.complaints == []
    assert dict(shown.traces("phase-plot")).keys() & {"not yet good"}
