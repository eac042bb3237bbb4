"""Back-translation with translators that one can follow by hand."""

import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, ModelError
from embexp.steps.augment.rewrite import back_translate


class Words:
    """Translates word by word; the seed is added to a text where `draws`."""

    def __init__(self, table, draws=False):
        self.table, self.draws, self.asked = table, draws, []

    def load(self):
        self.asked.append("load")

    def translate(self, texts, seed):
        self.asked.append(list(texts))
        made = [" ".join(self.table.get(word, word) for word in text.split()) for text in texts]
        return [f"{text} {seed}" for text in made] if self.draws else made


THERE = {"big": "groß", "large": "groß", "profit": "Gewinn", "rises": "steigt"}
BACK = {"groß": "large", "Gewinn": "gain", "steigt": "climbs"}


def pairs():
    rows = {"anchor": ["big profit", "gold", "big profit"], "positive": ["profit rises", "silver", "large gold"]}
    return dataset_of("mine", "positive_pair", {"train": rows, "dev": {"anchor": ["big"], "positive": ["profit"]}})


def test_copies_hold_what_came_back_and_each_distinct_text_is_translated_once():
    there = Words(THERE)
    made = back_translate(pairs(), there, Words(BACK), "bt")
    rows = made.splits["train"].to_list()
    assert [(row["anchor"], row["positive"]) for row in rows if row["made_by"] == "bt"] == [
        ("large gain", "gain climbs"),
        ("large gain", "large gold"),
    ]
    assert there.asked == ["load", ["big profit", "profit rises", "gold", "silver", "large gold"]]
    assert made.splits["dev"].num_rows == 1
    assert "1 without a change" in made.history[-1].reason
    assert made.history[-1].examples[0] == "big profit -> large gain"


def test_copies_differ_where_words_are_drawn_and_are_not_repeated_where_not():
    drawn = back_translate(pairs(), Words(THERE), Words(BACK, draws=True), "bt", ["anchor"], copies=2)
    texts = {row["anchor"] for row in drawn.splits["train"].to_list() if row["made_by"]}
    assert texts == {f"{text} {seed}" for text in ("large gain", "gold") for seed in (42, 43)}
    plain = back_translate(pairs(), Words(THERE), Words(BACK), "bt", ["anchor"], copies=2)
    assert [row["anchor"] for row in plain.splits["train"].to_list() if row["made_by"]] == ["large gain"] * 2


def test_nothing_is_translated_when_the_way_back_is_missing():
    class Missing(Words):
        def load(self):
            raise ModelError("not here")

    there = Words(THERE)
    with pytest.raises(ModelError, match="not here"):
        back_translate(pairs(), there, Missing(BACK), "bt")
    assert there.asked == ["load"]


def test_all_arguments_that_do_not_fit_are_reported():
    with pytest.raises(ConfigError, match=r"copies=0 was given.*(\n.*)*encoder=null was given, but min_similarity"):
        back_translate(pairs(), Words({}), Words({}), "bt", copies=0, min_similarity=0.5)


def test_the_yaml_names_two_models_and_a_missing_one_is_reported():
    step = resolve(compose(["step=[augment_back_translation]"]))["dataset"]["steps"]["augment_back_translation"]
    paths = [step[way]["path"].removeprefix("Helsinki-NLP/opus-mt-") for way in ("there", "back")]
    assert paths == ["en-zh", "zh-en"]
    with pytest.raises(ModelError, match=r"opus-mt-en-zh \(hub\) cannot be loaded"):
        instantiate(step, dataset=pairs())
