"""The page of a leaderboard as a colleague opens it: a file, an empty profile, narrow or wide, light or dark, paper."""

from dataclasses import replace

import pytest
from chromium import chromium, new_page
from recorded_runs import recorded

from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.page import leaderboard_page

pytestmark = pytest.mark.browser
HOSTILE = "<script>document.title = 'x'</script> \"'> 余弦损失 & `a` ${b}"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """The page of 3 losses, one of a hostile name, with 6 models and 2 seeds, in its sweep's folder."""
    sweep = tmp_path_factory.mktemp("sweep")
    runs = []
    for loss in ("mnrl", "cosent", HOSTILE):
        for model in ("minilm", HOSTILE, *(f"org/a-model-of-a-long-name-{number}" for number in range(4))):
            for seed in (1, 2):
                number = len(runs) + 1
                (sweep / str(number)).mkdir()
                run = recorded(number, 0.001 * number, loss=loss, model=model, seed=seed)
                page = f"http://127.0.0.1:5000/#/experiments/1/runs/{number} (after: mlflow ui)"
                runs.append(replace(run, folder=sweep / str(number), page=page))
    place = sweep / "leaderboard"
    place.mkdir()
    text = leaderboard_page(make_leaderboard(runs, command=HOSTILE), (), place)
    (place / "leaderboard.html").write_text(text, encoding="utf-8")
    return place / "leaderboard.html"


@pytest.fixture
def opened(browser, board, request):
    """The page in a fresh profile, which fetches nothing and raises nothing."""
    page = new_page(browser, **{"width": 800, **getattr(request, "param", {})})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: faults.append(sent.url) if sent.url != board.as_uri() else None)
    page.goto(board.as_uri())
    yield page
    assert faults == []
    page.context.close()


SIZES = [{"width": width, "color_scheme": scheme} for width in (400, 800, 1600) for scheme in ("light", "dark")]


@pytest.mark.parametrize("opened", SIZES, indirect=True, ids=str)
def test_it_fits_the_window_and_its_first_column_stays(opened):
    assert opened.title() == "loss x model: test/sts/spearman_cosine"
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for table in ("#pivot", "#ranking"):
        wide, first = opened.locator(f".wide:has({table})"), opened.locator(f"{table} tbody tr > :first-child").first
        before = first.bounding_box()["x"]
        assert wide.evaluate("each => each.classList.contains('more')")
        wide.evaluate("each => { each.scrollLeft = each.scrollWidth; }")
        opened.wait_for_function(
            "table => !document.querySelector(`.wide:has(${table})`).classList.contains('more')", arg=table
        )
        assert first.bounding_box()["x"] == before
        assert first.bounding_box()["width"] < 0.6 * opened.viewport_size["width"]
    colours = "each => { const look = getComputedStyle(each); return [look.color, look.backgroundColor]; }"
    ink, paper = opened.locator("body").evaluate(colours)
    is_dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    brightness = [sum(map(int, each.removeprefix("rgb(").rstrip(")").split(","))) for each in (ink, paper)]
    assert (brightness[0] > brightness[1]) == is_dark


def test_seeds_open_by_keyboard_for_one_cell_by_a_click_for_all_and_on_paper(opened):
    shown = "() => [...document.querySelectorAll('#pivot details')].filter(each => each.open).length"
    summary = opened.locator("#pivot summary").first
    summary.focus()
    opened.keyboard.press("Enter")
    assert opened.evaluate(shown) == 1
    link = opened.locator("#pivot details[open] a").first
    assert link.is_visible()
    assert link.get_attribute("href").startswith("http://127.0.0.1:5000/#/experiments/1/runs/")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.evaluate(shown) == 18
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.evaluate(shown) == 1
    for number in (18, 0):
        opened.locator("#all-seeds").click()
        assert opened.evaluate(shown) == number


def test_the_link_to_a_folder_leads_there(opened, board):
    opened.locator("#all-seeds").click()
    addresses = opened.locator("#pivot details a:text-is('folder')").evaluate_all("all => all.map(each => each.href)")
    assert sorted(addresses) == sorted(f"{(board.parent.parent / str(number)).as_uri()}/" for number in range(1, 37))


@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}], indirect=True)
def test_paper_is_white_and_has_no_buttons(opened):
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.locator("body").evaluate("each => getComputedStyle(each).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.locator("#all-seeds").is_visible()
    assert opened.locator(".wide").first.evaluate("each => getComputedStyle(each).overflowX") == "visible"


def test_a_click_copies_the_table_and_how_it_was_measured(opened):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, begins in (("Markdown", "# loss x model"), ("CSV", "loss,model,"), ("LaTeX", "% \\usepackage{booktabs}")):
        opened.get_by_role("button", name=name, exact=True).click()
        text = opened.evaluate("navigator.clipboard.readText()")
        assert text.startswith(begins)
        assert "余弦损失" in text
    opened.get_by_role("button", name="how this was measured").click()
    assert HOSTILE in opened.evaluate("navigator.clipboard.readText()")


def test_a_click_on_a_cost_begins_with_the_cheapest(opened):
    heading = opened.locator("#ranking th", has_text="wall s")
    place = heading.evaluate("each => each.cellIndex + 1")
    for order in ("ascending", "descending"):
        heading.click()
        assert heading.get_attribute("aria-sort") == order
        cells = opened.locator(f"#ranking tbody td:nth-child({place})[data-value]")
        values = [float(each) for each in cells.evaluate_all("all => all.map(each => each.dataset.value)")]
        assert len(values) == 18
        assert values == sorted(values, reverse=order == "descending")
