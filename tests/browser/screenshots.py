"""The pictures of the newest sweep in docs/: python tests/browser/screenshots.py <folder>/mlflow.db"""

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
    """Write docs/mlflow_sweep.png and docs/leaderboard.png, of the newest sweep in an MLflow database."""
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
        board = client.download_artifacts(parent, "leaderboard", folder)
        page = new_page(browser, width=1400)
        page.goto(f"file://{board}/leaderboard.html")
        page.locator("#ranking").wait_for()
        page.screenshot(path=DOCS / "leaderboard.png", full_page=True)


def show_runs(page: Any, uri: str, link: str, child: str) -> None:
    """Open the page that a sweep ends with, in a browser that has seen none before."""
    from playwright.sync_api import expect

    open_page(page, uri, link)
    expect(page.get_by_role("link", name=child, exact=True).first).to_be_visible()
    expect(page.get_by_role("columnheader", name="verdict", exact=True).first).to_be_visible()
    page.locator("body").click(position={"x": 600, "y": 5})


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit(f"{sys.argv[1:]} was given, expected MLflow's database of a sweep: python {__file__} mlflow.db")
    take_pictures(f"sqlite:///{Path(sys.argv[1]).resolve()}")
