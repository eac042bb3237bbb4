"""What MLflow's UI shows of a sweep, in a real browser against a real server."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from chromium import chromium, new_page
from conftest import TINY
from mlflow_pages import choose_columns, expand, open_artifact, open_page
from servers import mlflow_server

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("browser")]  # the browser first: no sweep without one
SWEEP = "finance: 2 losses x 2 seeds"
METRIC = "test/sts/spearman_cosine"
CURVE = "train/dev/sts/spearman_cosine"
PAINTED = """canvas => {
    const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height})
    const pen = copy.getContext("2d")
    pen.drawImage(canvas, 0, 0)
    return pen.getImageData(0, 0, copy.width, copy.height).data.some(value => value > 0)
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser):
    opened = new_page(browser)
    yield opened
    opened.context.close()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A finished sweep of two losses and two seeds on a server: uri, client, experiment, parent, children by name."""
    import mlflow

    folder = tmp_path_factory.mktemp("sweep")
    with mlflow_server(folder) as uri:
        values = ["loss=mnrl,cosent", "seed=1,2", "trainer.max_steps=2", f"tracking.uri={uri}", "hydra.sweep.dir=sweep"]
        command = [sys.executable, "-m", "embexp", "-m", *TINY, *values]
        done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name("embexp").experiment_id
        runs = {run.info.run_name: run for run in client.search_runs([experiment])}
        parent = runs.pop(SWEEP)
        (link,) = re.findall(r"^page +(\S+)$", done.stdout, re.MULTILINE)[-1:]
        known = {"uri": uri, "client": client, "experiment": experiment, "link": link}
        yield SimpleNamespace(parent=parent, children=runs, **known)


def test_the_link_of_a_sweep_shows_its_runs_by_score_with_their_verdicts(sweep, page):
    from playwright.sync_api import expect

    assert sweep.link.startswith(f"{sweep.uri}/#/experiments/{sweep.experiment}/runs?")
    open_page(page, sweep.uri, sweep.link.partition("/#/")[2])
    for name in ("loss", "model", "seed", "score", "score_delta", "verdict"):
        expect(page.get_by_role("columnheader", name=name, exact=True).first).to_be_visible()
    best_first = sorted(sweep.children.values(), key=lambda run: -run.data.metrics["score"])
    links = page.get_by_role("link", name=re.compile(r" · tiny · "))
    expect(links).to_have_count(4)
    assert [links.nth(place).inner_text() for place in range(4)] == [run.info.run_name for run in best_first]
    expect(page.get_by_text(best_first[0].data.tags["verdict"], exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name=SWEEP)).to_have_count(0)


def test_the_table_of_runs_shows_the_children_below_their_sweep_with_what_was_measured(sweep, page):
    from playwright.sync_api import expect

    open_page(page, sweep.uri, f"experiments/{sweep.experiment}/runs")
    expect(page.get_by_role("link", name=SWEEP)).to_be_visible()
    expect(page.get_by_role("link", name="mnrl · tiny · 1")).to_have_count(0)
    expand(page, SWEEP)
    expect(page.get_by_role("link", name="mnrl · tiny · 1").first).to_be_visible()  # the run's, then its model's
    choose_columns(page, METRIC, "loss", "seed")
    for name in (METRIC, "loss", "seed"):
        expect(page.get_by_role("columnheader", name=name, exact=True).first).to_be_visible()
    assert sweep.children.keys() == {f"{loss} · tiny · {seed}" for loss in ("mnrl", "cosent") for seed in "12"}
    for name, run in sweep.children.items():
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True)).first
        place = row.get_attribute("row-index")
        cells = page.locator(f".ag-row[row-index='{place}']").get_by_role("gridcell")
        for text in (str(run.data.metrics[METRIC]), *name.split(" · ")[::2]):
            expect(cells.get_by_text(text, exact=True)).to_be_visible()


def test_two_runs_are_compared_in_a_chart_that_holds_their_values(sweep, page):
    from playwright.sync_api import expect

    pair = [sweep.children[f"mnrl · tiny · {seed}"] for seed in "12"]
    ids = json.dumps([run.info.run_id for run in pair], separators=(",", ":"))
    open_page(page, sweep.uri, f'compare-runs?runs={ids}&experiments=["{sweep.experiment}"]')
    expect(page.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    for run in pair:
        expect(page.get_by_role("link", name=run.info.run_id)).to_be_visible()
    chart = page.get_by_role("tabpanel", name="Parallel Coordinates Plot")
    for text in ("seed", CURVE, *(f"{run.data.metrics[CURVE]:.5f}".replace("-", "−") for run in pair)):
        expect(chart.locator("svg text").get_by_text(text, exact=True).first).to_be_visible()
    page.wait_for_function(f"() => ({PAINTED})(document.querySelector('canvas.gl-canvas-context'))")


def test_the_page_of_a_run_shows_its_closing_table_and_its_data(sweep, page):
    from playwright.sync_api import expect

    run = sweep.client.get_run(sweep.children["mnrl · tiny · 1"].info.run_id)
    open_page(page, sweep.uri, f"experiments/{sweep.experiment}/runs/{run.info.run_id}")
    note = page.get_by_test_id("note-editor-preview-content")
    expect(note.get_by_role("columnheader")).to_have_text(
        ["metric", "base", "trained", "difference", "95 % interval", "verdict"]
    )
    row = note.get_by_role("row").filter(has_text=METRIC)
    expect(row.get_by_role("cell").nth(2)).to_have_text(f"{run.data.metrics[METRIC]:.4f}")
    expect(row.get_by_role("cell").last).to_have_text(run.data.tags["verdict"])
    digests = [entry.dataset.digest for entry in run.inputs.dataset_inputs]
    assert len(digests) == 4  # rows of three splits, and the base model
    expect(page.get_by_role("button", name=f"finance ({digests[0]})")).to_be_visible()


@pytest.mark.parametrize("name", ["heat_map.png", "intervals.png"])
def test_a_picture_of_the_leaderboard_opens_among_the_artifacts_of_the_sweep(sweep, page, name):
    from playwright.sync_api import expect

    open_page(page, sweep.uri, f"experiments/{sweep.experiment}/runs/{sweep.parent.info.run_id}/artifacts")
    open_artifact(page, "leaderboard", name)
    picture = page.get_by_role("img", name=f"leaderboard/{name}")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.naturalWidth") > 300


def test_the_leaderboard_sorts_within_mlflow(sweep, page):
    open_page(page, sweep.uri, f"experiments/{sweep.experiment}/runs/{sweep.parent.info.run_id}/artifacts")
    open_artifact(page, "leaderboard", "leaderboard.html")
    check_sorting(page.frame_locator("iframe#html").locator("#ranking"))


def test_the_leaderboard_sorts_when_it_is_opened_as_a_file(sweep, page, tmp_path):
    file = sweep.client.download_artifacts(sweep.parent.info.run_id, "leaderboard/leaderboard.html", str(tmp_path))
    page.goto(f"file://{file}")
    check_sorting(page.locator("#ranking"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, begins in (
        ("Markdown", "# loss"),
        ("CSV", "loss,model,"),
        ("LaTeX", "% "),
        ("how this was", "Trained on "),
    ):
        button = page.get_by_role("button", name=name)
        button.click()
        assert page.evaluate("navigator.clipboard.readText()").startswith(begins)
    dark = page.context.browser.new_page(color_scheme="dark")
    dark.goto(f"file://{file}")
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(27, 27, 29)"
    dark.close()


def check_sorting(table) -> None:
    """A click on the heading of the losses orders the rows by them, a second one the other way round."""
    from playwright.sync_api import expect

    heading = table.locator("th").filter(has_text=re.compile("^loss$"))
    expect(heading).to_be_visible()
    place = heading.evaluate("heading => heading.cellIndex")
    cells = table.locator(f"tbody tr td:nth-child({place + 1})")
    ordered = sorted(cells.all_inner_texts())
    assert {"cosent", "mnrl"} <= set(ordered)
    heading.click()
    expect(cells).to_have_text(ordered)
    heading.click()
    expect(cells).to_have_text(ordered[::-1])
