"""No figure of RESULTS.md is typed by hand, and no sentence says more than its verdict."""

import json
import re
from pathlib import Path

import pytest

from embexp.errors import ConfigError
from results.page import results_page
from results.prose import filled

ROOT = Path(__file__).parents[2]
SIZES = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "results").glob("*.json"))]
NOTES = (ROOT / "results/notes.md").read_text(encoding="utf-8")
CONSTANTS = {"95"}  # % of all intervals
# Of a number: not the digits of a name (minilm_l3, ndcg_at_10, H100) or of a hash.
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
JUDGING = r"better|worse|equal|identical|undecided|best|worst|beats?|wins?|won|loses?|lost|gains?|helps?|harms?|hurts?"
JUDGING += (
    r"|improves?|improved|lifts?|holds|told apart|outperforms?|ahead|behind|above|below|higher|lower|significant\w*"
)
COUNTING = r"two|three|four|five|six|seven|eight|nine|ten|twice|times|hundreds?|thousands?|half|thirds?|fifths?|tenths?"


def numbers_in(text):
    return {number.strip(",").lstrip("+") for number in NUMBER.findall(text)}


def known_numbers(content):
    """All numbers of a JSON value as the page writes them, and those in its texts."""
    if isinstance(content, dict):
        return set().union(*map(known_numbers, content.values()))
    if isinstance(content, list):
        counted = {str(len(content))}  # of seeds
        return counted.union(*map(known_numbers, content))
    if isinstance(content, str):
        return numbers_in(content) | numbers_in(re.sub(r"([0-9a-f]{12})[0-9a-f]{28}", r"\1", content))  # of commits
    if content is None:
        return set()
    return {f"{content:.4f}", f"{content:,.0f}", f"{content:.0f}"}


def unknown_numbers(page):
    return numbers_in(page) - known_numbers(SIZES) - CONSTANTS


def typed_by_hand(notes):
    """The notes without figures and code."""
    return re.sub(r"`[^`]*`|\{[^}]*\}", "", notes)


def findings_in(notes):
    """The part about what was found: that on how it was run states no finding."""
    return typed_by_hand(notes).partition("**How it was run.**")[0]


def test_the_page_is_that_of_its_results():
    page = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    assert page == results_page(SIZES, NOTES), "type: python -m results.reproduce only=[]"


def test_every_number_on_the_page_is_in_the_results():
    page = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    assert len(numbers_in(page)) > 300
    assert unknown_numbers(page) == set()
    assert unknown_numbers(f"{page}\nIt gains +0.0691 (+0.0453 to +0.0929).") == {"0.0691", "0.0453", "0.0929"}


def test_no_number_and_no_judgement_is_typed_into_the_notes():
    found = findings_in(NOTES)
    assert len(found) > 2000
    assert numbers_in(typed_by_hand(NOTES)) == set()
    assert re.findall(rf"\b(?:{JUDGING})\b", found, re.IGNORECASE) == []
    assert re.findall(rf"\b(?:{COUNTING}) (?!losses\b)\w+", found, re.IGNORECASE) == []


@pytest.mark.parametrize(
    "words", ["The published order holds.", "cosent is better", "they are told apart", "0.7 of it"]
)
def test_a_judgement_or_a_number_typed_by_hand_is_seen(words):
    assert numbers_in(words) or re.findall(rf"\b(?:{JUDGING})\b", words)


def test_the_runs_that_the_notes_call_alike_are_alike():
    rows = {row["variant"]: row for row in SIZES[0]["rows"] if row["recipe"] == "trec_batch_hard"}
    hard, soft = rows["loss=batch_hard"], rows["loss=batch_hard_soft_margin"]
    assert (hard["score"], hard["difference"]) == (soft["score"], soft["difference"])
    assert "came out with\n  the same score and interval to the last digit" in NOTES


ROW = {"recipe": "losses", "base": 0.5, "score": [0.6, 0.5, 0.7], "metric": "test/sts/spearman_cosine"}
ROW |= {"difference": [0.1, 0.05, 0.15], "verdict": "better", "published": "test 84.7", "corrected_for": 3}
ROWS = [ROW | {"variant": f"loss={loss}"} for loss in ("mnrl", "cosent", "angle")]
PAIR = {"recipe": "losses", "difference": [0.02, -0.01, 0.05], "verdict": "undecided", "corrected_for": 2}
PAIRS = [
    PAIR | {"first": "loss=mnrl", "second": "loss=cosent"},
    PAIR | {"first": "loss=mnrl", "second": "loss=angle", "verdict": "worse", "difference": [-0.04, -0.05, -0.03]},
]
SIZE = {"size": "cpu", "rows": ROWS, "pairs": PAIRS, "failures": []}


def test_a_figure_has_its_verdict_and_what_was_not_compared():
    assert filled("Losses: {pairs cpu\n  losses}.", [SIZE]) == (
        "Losses: **worse**: angle beside mnrl -0.0400 (-0.0500 to -0.0300); **undecided**: cosent beside mnrl +0.0200 "
        "(-0.0100 to +0.0500); not compared: angle beside cosent."
    )
    assert filled("{gains cpu losses}", [SIZE | {"rows": ROWS[:1]}]) == "**better**: mnrl +0.1000 (+0.0500 to +0.1500)"
    assert filled("{scores cpu losses}", [SIZE | {"rows": ROWS[:2]}]) == "untouched 0.5000, mnrl 0.6000, cosent 0.6000"
    assert filled("{published losses}, {gains cpu tsdae}", [SIZE]) == "test 84.7, not measured"


def test_a_verdict_that_is_not_corrected_is_marked():
    own = {key: value for key, value in PAIRS[1].items() if key != "corrected_for"}
    assert filled("{pairs cpu losses}", [SIZE | {"pairs": [own]}]).startswith("**worse †**: angle beside mnrl")


@pytest.mark.parametrize("figure", ["{pears cpu losses}", "{pairs gpu losses}", "{pairs cpu}"])
def test_an_unknown_figure_is_refused(figure):
    with pytest.raises(ConfigError, match="is no figure"):
        filled(figure, [SIZE])
