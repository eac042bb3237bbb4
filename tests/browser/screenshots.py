"""The pictures of the newest sweep in docs/: python tests/browser/screenshots.py <folder>/mlflow.db"""

import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))
from chromium import chromium, new_page  # noqa: E402
from mlflow_pages import choose_columns, expand, open_page  # noqa: E402
from servers import mlflow_server  # noqa: E402

DOCS = TESTS.parent / "docs"
COLUMNS = ("test/sts/spearman_cosine", "delta/sts/spearman_cosine", "loss", "model", "seed")
CROWDING = ("Dataset", "Source", "Models")  # columns that MLflow shows unasked


def take_pictures(store: str) -> None:
    """Write docs/mlflow_sweep.png and docs/leaderboard.png, of the newest sweep in an MLflow database."""
    import mlflow

    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder), store) as uri, chromium() as browser:
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name("embexp").experiment_id
        newest = client.search_runs([experiment], "attributes.run_name LIKE 'sweep %'", max_results=1)[0].info
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{newest.run_id}'")
        page = new_page(browser, width=1280, height=355 + 32 * len(children), device_scale_factor=1.5)
        show_runs(page, uri, experiment, newest.run_name, children[0].info.run_name)
        page.screenshot(path=DOCS / "mlflow_sweep.png")
        board = client.download_artifacts(newest.run_id, "leaderboard", folder)
        page = new_page(browser, width=1400)
        page.goto(f"file://{board}/leaderboard.html")
        page.locator("#ranking").wait_for()
        page.screenshot(path=DOCS / "leaderboard.png", full_page=True)


def show_runs(page: Any, uri: str, experiment: str, sweep: str, child: str) -> None:
    """Open the table of runs with the sweep's children and the columns that tell them apart."""
    from playwright.sync_api import expect

    open_page(page, uri, f"experiments/{experiment}/runs")
    page.get_by_role("button", name="Model training").click()
    open_page(page, uri, f"experiments/{experiment}/runs")
    page.get_by_role("button", name="Toggle sidebar").click()
    expand(page, sweep)
    expect(page.get_by_role("link", name=child, exact=True).first).to_be_visible()
    choose_columns(page, *CROWDING, *COLUMNS)
    expect(page.get_by_role("columnheader", name=COLUMNS[-1], exact=True).first).to_be_visible()
    for column in page.locator(".ag-header-cell", has_text="spearman").all():
        column.locator(".ag-header-cell-resize").dblclick()  # as wide as its heading
    page.locator("body").click(position={"x": 600, "y": 5})


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(f"{sys.argv[1:]} was given, expected MLflow's database of a sweep: python {__file__} mlflow.db")
    take_pictures(f"sqlite:///{Path(sys.argv[1]).resolve()}")
