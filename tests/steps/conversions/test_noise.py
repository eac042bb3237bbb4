"""add_noise: texts damaged and whole, by the noise that its YAML names; the same code as the conversion."""

import pytest
from shaped_rows import RIGHT, right_dataset

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError, ShapeError
from embexp.steps.augment.text_changes import Deletion, Mask, Swap
from embexp.steps.conversions.convert import add_noise, convert_to
from embexp.steps.prompting import set_prompts
from embexp.steps.word_tokenizer import words_of

ENGLISH = " ".join(f"word{number}" for number in range(500))
DELETION = Deletion(0.6)
CHINESE = "中央银行今年再次提高了基准利率。" * 100


def noised(*texts, noise=DELETION, **arguments):
    made = add_noise(dataset_of("mine", "text", {"train": {"text": list(texts)}}), noise, **arguments)
    return [(row["damaged"], row["original"]) for row in made.splits["train"]]


def test_a_text_is_shown_with_its_damaged_copy():
    assert noised("one two", "利率提高", noise=Swap(0.9)) == [("two one", "one two"), ("提高利率", "利率提高")]
    assert noised("one, two", noise=Mask(0.999, "<mask>")) == [("<mask>, <mask>", "one, two")]


def by_yaml(step, text):
    call = resolve(compose([f"step=[{step}]"]))["dataset"]["steps"][step]
    made = instantiate(call, dataset=dataset_of("mine", "text", {"train": {"text": [text]}}))
    return made.splits["train"]["damaged"][0]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_the_yamls_damage_six_words_of_ten_and_leave_four(text):
    num_words = len(words_of(text))
    assert len(words_of(by_yaml("noise_deletion", text))) == pytest.approx(0.4 * num_words, rel=0.15)
    assert by_yaml("noise_mask", text).count("[MASK]") == pytest.approx(0.6 * num_words, rel=0.1)


def test_the_yaml_of_swap_moves_six_words_of_ten():
    pairs = zip(by_yaml("noise_swap", ENGLISH).split(), ENGLISH.split(), strict=True)
    assert sum(one != other for one, other in pairs) == 300


def test_step_and_conversion_delete_the_same_words():
    texts = ["the bank raised its rate again", "中央银行今年再次提高了基准利率"]
    dataset = dataset_of("mine", "text", {"train": {"text": texts}})
    converted = convert_to(dataset, "noised_text", seed=7, deletion_ratio=0.5)
    assert [tuple(row.values()) for row in converted.splits["train"]] == noised(*texts, noise=Deletion(0.5), seed=7)


def test_seed_and_text_alone_decide():
    texts = [f"{number} one two three four" for number in range(20)]
    assert noised(*texts) == noised(*texts) == noised(*texts[::-1])[::-1]
    assert noised(*texts) != noised(*texts, seed=1)


def test_the_report_shows_what_was_done_and_a_few_texts():
    rows = {"sentence1": ["a b", "a b"], "sentence2": ["c d", "e f"], "score": [0.1, 0.2]}
    made = add_noise(dataset_of("mine", "scored_pair", {"train": rows, "dev": rows}), Swap(0.9), examples=2)
    first, last = made.history
    assert str(first).startswith("convert scored_pair -> text: 4 -> 6 rows")
    assert str(last) == "noise: 6 -> 6 rows (Swap(share=0.9))"
    assert last.examples == ("a b -> b a", "c d -> d c")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in ("twin_text", "noised_text")])
def test_every_other_shape_comes_to_noised_texts(shape):
    made = add_noise(right_dataset(shape), Swap(0.1))
    assert (made.shape.name, made.splits["train"].column_names) == ("noised_text", ["damaged", "original"])
    assert {*made.splits["train"]["original"][:]} >= {*RIGHT[shape][SHAPES[shape].texts[0]]}


def test_prompts_go_with_the_texts():
    dataset = set_prompts(right_dataset("text"), {"query": "Q: "}, None, {"text": "query"})
    made = add_noise(dataset, Swap(0.1))
    assert [made.prompts.prompt_for(column) for column in ("damaged", "original")] == ["Q: ", "Q: "]


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(
        ConfigError, match=r"shape=text was given. Expected one of: noised_text\.(.|\n)*examples=-1 was given"
    ):
        noised("a b", shape="text", examples=-1)
    with pytest.raises(ShapeError, match="no conversion leads to text"):
        add_noise(right_dataset("noised_text"), Deletion(0.6))
