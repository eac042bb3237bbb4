"""The pictures in docs/: of the newest sweep in a store, and of the run of a recipe (docs/evaluation/evaluators.md).

python tests/browser/screenshots.py <folder>/mlflow.db
python tests/browser/screenshots.py runs/<date>/<time>
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))
from chromium import chromium, new_page  # noqa: E402
from mlflow_pages import open_page  # noqa: E402
from servers import mlflow_server  # noqa: E402

DOCS = TESTS.parent / "docs"


def take_pictures(store: str) -> None:
    """Write docs/mlflow_sweep.png, mlflow_chart.png and leaderboard.png, of the newest sweep in an MLflow database."""
    import mlflow

    from embexp.tracking.mlflow_store import page_of
    from embexp.tracking.mlflow_tracker import SWEEP_TAG, VIEW

    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder), store) as uri, chromium() as browser:
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name("embexp").experiment_id
        newest = client.search_runs([experiment], f"tags.`{SWEEP_TAG}` LIKE '%'", max_results=1)[0].data.tags
        parent, sweep = newest["mlflow.parentRunId"], newest[SWEEP_TAG].split()[-1].strip(",")
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
        page = new_page(browser, width=1500, height=355 + 32 * len(children), device_scale_factor=1.5)
        link = page_of(uri, f"experiments/{experiment}/runs", viewStateShareKey=f"{VIEW}-{sweep}")
        show_runs(page, uri, link.partition("/#/")[2], children[0].info.run_name)
        page.screenshot(path=DOCS / "mlflow_sweep.png")
        show_charts(page)
        page.screenshot(path=DOCS / "mlflow_chart.png")
        board = client.download_artifacts(parent, "leaderboard", folder)
        page = new_page(browser, width=1400)
        page.goto(f"file://{board}/leaderboard.html")
        # It names a folder of the machine.
        page.get_by_text("Links to MLflow answer after").evaluate_all("lines => lines.forEach(line => line.remove())")
        page.locator("#ranking").wait_for()
        page.screenshot(path=DOCS / "leaderboard.png", full_page=True)


def show_runs(page: Any, uri: str, link: str, child: str) -> None:
    """Open the page that a sweep ends with, in a browser that has seen none before."""
    from playwright.sync_api import expect

    open_page(page, uri, link)
    expect(page.get_by_role("link", name=child, exact=True).first).to_be_visible()
    expect(page.get_by_role("columnheader", name="verdict", exact=True).first).to_be_visible()
    page.locator("body").click(position={"x": 600, "y": 5})


def show_charts(page: Any) -> None:
    """From the table of runs, their charts."""
    page.set_viewport_size({"width": 1500, "height": 700})
    page.locator("label").filter(has=page.locator("input[value=CHART]")).click()
    page.get_by_role("button", name="Hide banner").click()
    page.get_by_placeholder("Search metric charts").fill("train/dev/sts")
    page.locator("svg.main-svg").first.wait_for()
    page.wait_for_timeout(3000)  # the charts are drawn one after the other


def copy_plots(run: Path) -> None:
    """Write docs/scores_before_and_after.png and docs/similarity_matrix.png: two of the pictures of a run."""
    (scores,) = run.glob("plots/*_test_scores.png")
    shutil.copy(scores, DOCS / "scores_before_and_after.png")
    shutil.copy(run / "plots" / "test_matrix.png", DOCS / "similarity_matrix.png")


if __name__ == "__main__":
    place = Path(*sys.argv[1:]).resolve()
    if place.suffix == ".db" and place.is_file():
        take_pictures(f"sqlite:///{place}")
    elif (place / "plots").is_dir():
        copy_plots(place)
    else:
        sys.exit(f"{sys.argv[1:]} was given, expected MLflow's database of a sweep, or a run's folder")
