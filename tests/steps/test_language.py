"""keep_languages: foreign rows go, doubtful ones stay, and each language that went is counted."""

import pytest

from embexp.data.dataset import StepReport
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.steps.language import _detect, keep_languages

ENGLISH = "The committee approved the annual budget for next year."
GERMAN = "Der Ausschuss hat den Haushalt für das kommende Jahr genehmigt."
FRENCH = "Le comité a approuvé le budget annuel pour l'année prochaine."
CHINESE = "委员会批准了下一年度的预算。"


def texts(*values):
    return dataset_of("mine", "text", {"train": {"text": list(values)}})


def test_detect_says_the_language_or_that_it_is_not_sure():
    assert _detect([ENGLISH, GERMAN, FRENCH, CHINESE]) == ["en", "de", "fr", "zh"]
    assert _detect(["", "Hallo", "ok", "12345 67890 12345 67890", "!!! ??? ... --- +++ ***"]) == ["und"] * 5
    # Taken for Cantonese, Kurdish and no language at all.
    assert (
        _detect(["。。。。。。！！！！？？？《》《》", "١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠", "a1b2c3d4e5f6a7b8c9d0e1f2"])
        == ["und"] * 3
    )
    assert _detect(iter([])) == []


def test_short_texts_are_checked_on_request():
    assert _detect(["Bonjour le monde"]) == ["und"]
    assert _detect(["Bonjour le monde"], min_chars=5) == ["fr"]


def test_relatives_count_as_the_larger_language():
    # The identifier alone calls these Wu Chinese.
    assert _detect(["一个小男孩打高尔夫球。", "几个游泳者跳入水中。"]) == ["zh", "zh"]


def test_foreign_rows_go_and_are_counted_by_language():
    made = keep_languages(texts(ENGLISH, GERMAN, "Hallo", FRENCH, "12345", GERMAN, CHINESE), languages=["en", "zh"])
    assert made.splits["train"]["text"][:] == [ENGLISH, "Hallo", "12345", CHINESE]
    assert made.history == (StepReport("keep_languages", 7, 4, "2 de, 1 fr"),)


def test_only_the_named_columns_are_checked():
    columns = {"anchor": [ENGLISH, GERMAN], "positive": [GERMAN, ENGLISH]}
    dataset = dataset_of("mine", "positive_pair", {"train": columns})
    made = keep_languages(dataset, languages=["en"], columns=["anchor"])
    assert made.splits["train"].to_dict() == {"anchor": [ENGLISH], "positive": [GERMAN]}
    with pytest.raises(DataError, match=r"keep_languages leaves no row of train in mine \(2 de\)"):
        keep_languages(dataset, languages=["en"])


def test_a_list_of_texts_counts_as_one():
    columns = {"query": [ENGLISH] * 3, "positives": [[ENGLISH], [GERMAN], ["Hallo"]], "negatives": [[], [], []]}
    made = keep_languages(dataset_of("mine", "ranked", {"train": columns}), languages=["en"])
    assert made.splits["train"]["positives"][:] == [[ENGLISH], ["Hallo"]]


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        keep_languages(texts(ENGLISH), languages=["xx", "yue"], columns=["txt"], min_chars=-1, min_probability=2)
    faults = (
        "languages=[xx,yue] was given",
        "The code yue counts as zh",
        "hint: type languages=[en,zh]",
        "columns=[txt] was given",
    )
    for fault in (*faults, "Did you mean 'text'?", "min_chars=-1", "min_probability=2"):
        assert fault in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"languages": "en"}, "languages=en was given. Expected a list"),
        ({"languages": ["en"], "columns": "text"}, "columns="),
    ],
)
def test_a_word_in_the_place_of_a_list_is_refused(arguments, fault):
    with pytest.raises(ConfigError, match=fault):
        keep_languages(texts(ENGLISH), **arguments)
