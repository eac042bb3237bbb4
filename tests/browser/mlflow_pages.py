"""What a user does on MLflow's pages."""

import re
from typing import Any

# MLflow's assistant otherwise opens by itself, over a quarter of the window.
NO_ASSISTANT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"


def open_page(page: Any, uri: str, path: str) -> None:
    """Load a page of the UI anew; without the blank one between, a change after # would keep what was chosen."""
    page.add_init_script(f"if (location.protocol != 'about:' && window == top) {NO_ASSISTANT}")
    page.goto("about:blank")
    page.goto(f"{uri}/#/{path}")


def expand(page: Any, name: str) -> None:
    """In the table of runs, show the children of the run whose name begins so."""
    from playwright.sync_api import expect

    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name))
    row.get_by_role("button").click()
    expect(row).to_have_count(1)


def choose_columns(page: Any, *names: str) -> None:
    """In the table of runs, show these metrics and parameters, by their full names."""
    page.get_by_role("button", name="Columns", exact=True).click()
    menu = page.get_by_role("dialog")
    for name in names:
        menu.get_by_placeholder("Search columns").fill(name)
        # By the whole text: the part that was searched for stands in an element of its own.
        menu.locator("[class*=tree-title]").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
    page.keyboard.press("Escape")
    menu.wait_for(state="hidden")


def open_artifact(page: Any, *path: str) -> None:
    """In a run's artifacts, open the folders to a file one after the other, then the file."""
    for name in path:
        page.get_by_test_id("artifact-tree-node").get_by_text(name, exact=True).click()
