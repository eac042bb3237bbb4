"""RESULTS.md says on what, with which code and how many seeds each row was measured."""

from results.findings import results_page

ROW = {
    "recipe": "one_loss",
    "variant": "",
    "model": "minilm",
    "dataset": "nli",
    "shape": "triplet",
    "train_rows": 7198,
    "rows_trained": 19200,
    "metric": "test/stsb/spearman_cosine",
    "base": 0.82,
    "score": [0.83, 0.82, 0.84],
    "difference": [0.01, None, None],
    "verdict": "no interval",
    "dev": None,
    "seeds": ["1", "2"],
    "seconds": 12.3,
    "runs": ["1a2b"],
    "device": "NVIDIA H100",
    "commit": "0123456789abcdef",
    "published": "none",
    "command": "python -m embexp -m loss=angle",
}


def page_of(*rows):
    return results_page([{"size": "gpu", "rows": rows, "failures": []}], "")


def test_a_row_names_its_device_only_where_they_differ():
    page = page_of(ROW, ROW)
    assert "Measured on NVIDIA H100.\n" in page
    assert "| device |" not in page
    page = page_of(ROW, ROW | {"device": "2 CPU threads"})
    assert "Measured on NVIDIA H100; 2 CPU threads.\n" in page
    assert "| s per run | device |" in page
    assert "| 2 | 12 | NVIDIA H100 |\n" in page
    assert "| 2 | 12 | 2 CPU threads |\n" in page


def test_a_recipe_lists_all_commits_of_its_rows():
    page = page_of(ROW, ROW, ROW | {"commit": "0123456789abcdef, fedcba98765432+changes"})
    assert "; commit 0123456789ab, fedcba987654+changes; runs" in page


def test_a_row_of_one_seed_says_that_its_interval_holds_examples_only():
    assert "| 1 (examples only) |" in page_of(ROW | {"seeds": ["1"]})
    assert "| 1 |" in page_of(ROW | {"seeds": ["1"], "score": [0.83, None, None]})
    assert "| 2 |" in page_of(ROW)


def test_a_row_says_what_its_stages_saw():
    assert "; 19,200 seen after 640 in tsdae |" in page_of(ROW | {"rows_before": {"tsdae": 640}})
    assert "; 19,200 seen in the main stage |" in page_of(ROW | {"rows_before": {"tsdae": None}})
