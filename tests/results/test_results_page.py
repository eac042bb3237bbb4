"""RESULTS.md says on what, with which code and how many seeds each row was measured."""

from results.page import results_page

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
    return results_page([{"size": "gpu", "rows": rows, "pairs": [], "failures": []}], "")


def test_a_row_names_its_device_only_where_they_differ():
    page = page_of(ROW, ROW)
    assert "Measured on NVIDIA H100.\n" in page
    assert "| device |" not in page
    page = page_of(ROW, ROW | {"device": "2 CPU threads"})
    assert "Measured on NVIDIA H100; 2 CPU threads.\n" in page
    assert "| published | device |" in page
    assert "| none | NVIDIA H100 |\n" in page
    assert "| none | 2 CPU threads |\n" in page


def test_a_line_says_how_it_was_measured():
    protocol = {"examples": 1379, "steps": 600, "fingerprints": ["aa11", "bb22"]}
    page = page_of(ROW | protocol | {"commit": "0123456789abcdef, fedcba98765432+changes"})
    measured = "1,379 | 2 | 600 | 19,200 | 12 | 0123456789ab, fedcba987654+changes | aa11 bb22 | 1a2b |"
    assert f"| one_loss | {measured}\n" in page
    assert "- one_loss: `python -m embexp -m loss=angle`\n" in page
    assert "| one_loss |  | 2 |  | 19,200 | 12 | 0123456789ab |  | 1a2b |\n" in page_of(ROW)


def test_what_was_not_compared_and_what_is_not_corrected_is_said():
    cosent, angle = ROW | {"variant": "loss=cosent"}, ROW | {"variant": "loss=angle", "corrected_for": 2}
    page = page_of(cosent, angle)
    assert "- one_loss: loss=angle and loss=cosent\n" in page
    assert page.count("| no interval † |") == 1
    assert "needed" not in page
    assert "| undecided; 4 more seeds |" in page_of(angle | {"verdict": "undecided", "needed": "4 more seeds"})


def test_a_row_of_one_seed_says_that_its_interval_holds_examples_only():
    assert "| 1 (examples only) |" in page_of(ROW | {"seeds": ["1"]})
    assert "| 1 |" in page_of(ROW | {"seeds": ["1"], "score": [0.83, None, None]})
    assert "| 2 |" in page_of(ROW)


def test_a_row_says_what_its_stages_saw():
    assert "| 19,200 after 640 in tsdae |" in page_of(ROW | {"rows_before": {"tsdae": 640}})
    assert "| 19,200 in the main stage |" in page_of(ROW | {"rows_before": {"tsdae": None}})
