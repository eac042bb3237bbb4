"""augment: copies of train rows after their sources, what is left out, the report; leave_out; dev and test stay."""

import pytest
from plane_encoder import PlaneEncoder
from shaped_rows import right_dataset

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.steps.augment.augment import augment
from embexp.steps.augment.provenance import leave_out
from embexp.steps.augment.text_changes import Deletion, Swap


class Shout:
    """A change that needs no chance, and cannot change what is loud already."""

    def __call__(self, text, draw):
        return text + "!"


class Number:
    """A change that chance decides: a digit behind the text."""

    def __init__(self, most):
        self.most = most

    def __call__(self, text, draw):
        return f"{text}{draw.randrange(self.most)}"


def pairs(**splits):
    return dataset_of(
        "mine",
        "scored_pair",
        {
            split: {
                "sentence1": [one for one, _ in rows],
                "sentence2": [other for _, other in rows],
                "score": [0.5] * len(rows),
            }
            for split, rows in splits.items()
        },
    )


def texts(*train, **splits):
    return dataset_of("mine", "text", {"train": {"text": list(train)}} | {s: {"text": t} for s, t in splits.items()})


def column(dataset, name="text", split="train"):
    return dataset.splits[split][name][:]


def report(dataset):
    return str(dataset.history[-1])


def test_a_copy_stands_after_its_source_with_its_label_and_id_and_the_method():
    made = augment(pairs(train=[("a", "b"), ("c", "d")]), Shout(), "shout")
    rows = made.splits["train"].to_list()
    assert [(row["sentence1"], row["sentence2"], row["score"], row["made_by"]) for row in rows] == [
        ("a", "b", 0.5, None),
        ("a!", "b!", 0.5, "shout"),
        ("c", "d", 0.5, None),
        ("c!", "d!", 0.5, "shout"),
    ]
    first, copy, second, _ = (row["made_from"] for row in rows)
    assert first == copy != second
    assert report(made) == "augment by shout: 2 -> 4 rows (2 made of train)"
    assert made.history[-1].examples == ("a -> a!", "c -> c!")


def test_the_id_is_that_of_the_content_wherever_the_row_stands():
    one, other = (augment(texts(*rows), Shout(), "s") for rows in (["x", "y"], ["new", "y", "x"]))
    ids = [dict(zip(column(made), column(made, "made_from"), strict=True)) for made in (one, other)]
    assert ids[0].items() <= ids[1].items()


def test_only_the_named_columns_are_changed():
    made = augment(pairs(train=[("a", "b")]), Shout(), "shout", columns=["sentence2"])
    assert (column(made, "sentence1"), column(made, "sentence2")) == (["a", "a"], ["b", "b!"])


def test_texts_in_lists_are_changed_one_by_one():
    rows = {"query": ["q"], "positives": [["a", "b"]], "negatives": [[]]}
    made = augment(dataset_of("mine", "ranked", {"train": rows}), Shout(), "shout")
    assert made.splits["train"][1]["positives"] == ["a!", "b!"]
    assert made.splits["train"][1]["negatives"] == []


def test_dev_and_test_stay_and_know_that_they_were_there_before():
    before = pairs(train=[("a", "b")], dev=[("e", "f")], test=[("g", "h")])
    made = augment(before, Shout(), "shout", copies=3)
    for split in ("dev", "test"):
        assert made.splits[split].select_columns(before.splits[split].column_names).to_list() == [
            *before.splits[split].to_list()
        ]
        assert column(made, "made_by", split) == [None]


def test_a_copy_whose_text_stands_in_dev_or_test_is_left_out():
    made = augment(texts("a", "b", "c", dev=["A?"], test=["x", "B"]), Shout(), "shout")
    assert column(made) == ["a", "b", "c", "c!"]
    assert report(made) == "augment by shout: 6 -> 7 rows (1 made of train; left out: 2 in dev or test)"


def test_copies_of_a_row_differ_and_those_that_cannot_are_counted():
    made = augment(texts("a"), Number(3), "number", copies=5)
    assert column(made)[0] == "a"
    assert sorted(column(made)[1:]) == ["a0", "a1", "a2"]
    assert report(made).endswith("(3 made of train; left out: 2 without another change)")


def test_texts_that_cannot_be_changed_make_no_copy_and_that_is_said(caplog):
    made = augment(texts(" one ", "一"), Swap(0.5), "swap")
    assert column(made) == [" one ", "一"]
    assert report(made) == "augment by swap: 2 -> 2 rows (0 made of train; left out: 2 without a change)"
    assert "mine: swap made no row" in caplog.text


def test_a_second_method_copies_the_sources_and_not_the_copies():
    made = augment(augment(texts("a", "b"), Shout(), "shout"), Number(1), "number")
    assert column(made) == ["a", "a0", "a!", "b", "b0", "b!"]
    assert len({*column(made, "made_from")}) == 2
    assert column(leave_out(made, ["shout"])) == ["a", "a0", "b", "b0"]
    without = leave_out(made)
    assert column(without) == ["a", "b"]
    assert report(without) == "leave_out: 6 -> 2 rows (2 made by number, 2 made by shout)"


def test_nothing_is_left_out_where_nothing_was_made_and_a_wrong_name_is_refused():
    assert report(leave_out(texts("a"))) == "leave_out: 1 -> 1 rows (no made rows)"
    made = augment(texts("a"), Shout(), "shout")
    with pytest.raises(
        ConfigError, match=r"methods=\[shot\] was given\. Expected .* one of: shout, or null\. Did you mean"
    ):
        leave_out(made, ["shot"])
    with pytest.raises(ConfigError, match=r"methods=shout was given\. Expected a list"):
        leave_out(made, "shout")
    with pytest.raises(ConfigError, match=r"methods=\[shout\] was given, and no row has a method"):
        leave_out(texts("a"), ["shout"])


def test_only_changes_within_the_band_of_similarity_stay():
    angles = {"a": 0, "a0": 10, "b": 0, "b0": 40, "c": 0, "c0": 80}
    encoder = PlaneEncoder(angles)
    made = augment(
        texts("a", "b", "c"), Number(1), "number", min_similarity=0.5, max_similarity=0.9, encoder=encoder
    )  # cosines 0.98, 0.77, 0.17
    assert column(made) == ["a", "b", "b0", "c"]
    assert report(made).endswith("(1 made of train; left out: 1 more similar than 0.9, 1 less similar than 0.5)")


def test_a_copy_goes_with_one_bad_change_and_is_counted_once():
    encoder = PlaneEncoder({"a": 0, "a0": 10, "b": 0, "b0": 80, "c": 0, "c0": 70, "d": 0, "d0": 70})
    rows = pairs(train=[("a", "b"), ("c", "d")])
    made = augment(rows, Number(1), "number", min_similarity=0.5, encoder=encoder)
    assert made.num_rows == 2
    assert report(made).endswith("left out: 2 less similar than 0.5)")


def test_the_same_seed_gives_the_same_and_another_one_does_not():
    rows = texts(*(f"{n} one two three four" for n in range(20)))
    made = [column(augment(rows, Deletion(0.5), "deletion", seed=seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_the_order_of_the_rows_changes_no_copy():
    rows = [f"{n} one two three four" for n in range(20)]
    one, other = (augment(texts(*some), Deletion(0.5), "deletion") for some in (rows, rows[::-1]))
    assert sorted(column(one)) == sorted(column(other))


def test_all_bad_arguments_are_named_at_once():
    band = {"min_similarity": 2, "max_similarity": 1}
    with pytest.raises(ConfigError) as refusal:
        augment(texts("a"), Shout(), " ", columns=["txt"], copies=0, seed="x", examples=-1, **band)
    numbers = ("copies=0", "examples=-1", "seed=x", "min_similarity=2")
    for fault in ("made_by=  was", "columns=[txt] was", "encoder=null was given, but min_similarity", *numbers):
        assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"columns": "text"}, r"columns=text was given\. Expected a list, each of it one of: text, or null"),
        ({"encoder": PlaneEncoder({})}, "encoder has no effect"),
        (
            {"encoder": PlaneEncoder({}), "min_similarity": 0.9, "max_similarity": 0.8},
            r"min_similarity=0\.9 was given\. Expected a number of at least -1 and below 0\.8",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, fault):
    with pytest.raises(ConfigError, match=fault):
        augment(texts("a"), Shout(), "shout", **arguments)


@pytest.mark.parametrize("shape", ["twin_text", "noised_text"])
def test_shapes_whose_columns_repeat_each_other_are_refused(shape):
    with pytest.raises(ConfigError, match=f"{shape} is {shape}: augment its texts before"):
        augment(right_dataset(shape), Shout(), "shout")


ENGLISH = "The central bank raised its rate again today. Nobody knows why. Shares fell at once."
CHINESE = "中央银行今年再次提高了基准利率。没有人知道为什么。股票价格马上下跌。"
CHANGED = {
    "augment_deletion": (True, True),
    "augment_swap": (True, True),
    "augment_crop": (True, True),
    "augment_sentences": (True, True),
    "augment_typos": (True, False),
}


@pytest.mark.parametrize("step", CHANGED)
def test_each_method_as_its_yaml_calls_it(step):
    call = resolve(compose([f"step=[{step}]"]))["dataset"]["steps"][step]
    made = [instantiate(call, dataset=texts(text)) for text in (ENGLISH, CHINESE)]
    assert tuple(each.num_rows == 2 for each in made) == CHANGED[step]
    assert made[0].splits["train"][1]["made_by"] == call["made_by"] == step.removeprefix("augment_")


def test_synonyms_without_their_source_say_where_it_comes_from(tmp_path):
    steps = resolve(compose(["step=[augment_synonyms,augment_synonyms_zh]"]))["dataset"]["steps"]
    steps["augment_synonyms"]["method"]["source"]["folder"] = str(tmp_path)
    with pytest.raises(DataError, match="apt-get install wordnet-base"):
        instantiate(steps["augment_synonyms"], dataset=texts(ENGLISH))
    with pytest.raises(DataError, match=r"path=null names no file(.|\n)*hint: type path=<file>"):
        instantiate(steps["augment_synonyms_zh"], dataset=texts(CHINESE))
