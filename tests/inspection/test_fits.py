"""Which losses inspect offers: as the data are, after a conversion, or once the user has said what is missing."""

import pytest

from embexp.inspection.collect import _fits_of
from embexp.steps.conversions.conversion import default_settings

NLI = ("entailment", "neutral", "contradiction")


def test_scores_need_a_number_to_become_pairs():
    fits = _fits_of(["scored_pair"], default_settings())
    assert {"cosent", "cosine"} <= set(fits["directly"])
    assert fits["given"]["mnrl"] == "conversion.min_score=..."
    assert (
        _fits_of(["scored_pair"], default_settings(min_score=0.8))["converted"]["mnrl"]
        == "scored_pair -> positive_pair"
    )


@pytest.mark.parametrize(
    ("names", "loss", "missing"),
    [
        (NLI, "mnrl", None),
        (NLI, "cosent", None),
        (("蕴含", "中立", "矛盾"), "mnrl", "conversion.positive_labels=[...] conversion.negative_labels=[...]"),
        (("蕴含", "中立", "矛盾"), "mega_batch", "conversion.positive_labels=[...]"),
        (("蕴含", "中立", "矛盾"), "cosent", "conversion.label_scores={...}"),
        ((), "mnrl", "dataset.reader.label_names=[...]"),
        ((), "simcse", None),
        ((), "softmax", None),
    ],
)
def test_classes_are_converted_by_their_names(names, loss, missing):
    fits = _fits_of(["class_pair"], default_settings(), names)
    assert fits["given"].get(loss) == missing
    assert (loss in fits["converted"] or loss in fits["directly"]) == (missing is None)
