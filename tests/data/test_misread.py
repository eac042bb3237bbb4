"""Data that would be read otherwise than meant: columns left out, scores as classes, options that do nothing."""

import gzip
import logging

import pytest

from embexp.core.file_contents import sha256_of
from embexp.data.readers import read_files, read_hub
from embexp.data.row_checks import dataset_of
from embexp.data.storage import write_dataset
from embexp.errors import ConfigError, DataError, EmbexpError

PAIR = {"anchor": ["a"], "positive": ["b"]}


def csv(path, **columns):
    from datasets import Dataset

    Dataset.from_dict(columns).to_csv(path, index=False)
    return path


def refusal_of(path, error=DataError, **options):
    with pytest.raises(error) as refusal:
        read_files(path, "mine", **options)
    return str(refusal.value)


def test_columns_that_are_not_used_are_logged_once_and_kept_in_the_provenance(tmp_path, caplog):
    csv(tmp_path / "train.csv", ticker=["x"], **PAIR, page=[3])
    csv(tmp_path / "dev.csv", ticker=["x"], **PAIR)
    with caplog.at_level(logging.INFO):
        dataset = read_files(tmp_path, "mine")
    assert dataset.provenance["ignored_columns"] == "page, ticker"
    assert caplog.messages == [f"{tmp_path}: columns not used: page, ticker"]


@pytest.mark.parametrize(
    ("columns", "shape", "ignored", "way"),
    [
        (
            "text coarse_label fine_label",
            "text",
            "coarse_label, fine_label",
            "columns={label: coarse_label}' dataset.reader.ignore=[fine_label]",
        ),
        ("anchor positive hard_negative", "positive_pair", "hard_negative", "columns={negative_1: hard_negative}"),
        (
            "anchor positive negative_0 negative_1",
            "triplet",
            "negative_0",
            "columns={negative_1: negative_0, negative_2: negative_1}",
        ),
        (
            "anchor positive negative_1 negative",
            "triplet",
            "negative",
            "columns={negative_2: negative}",
        ),
        ("anchor positive Similarity", "positive_pair", "Similarity", "sentence2: positive, score: Similarity}"),
        ("text split", "text", "split", "Expected a file for each split, in a folder."),
    ],
)
def test_a_column_whose_name_tells_something_is_not_left_out_in_silence(tmp_path, columns, shape, ignored, way):
    path = csv(tmp_path / "rows.csv", **{name: ["a", "b"] for name in columns.split()})
    message = refusal_of(path)
    assert message.startswith(f"{path}: the columns {columns.replace(' ', ', ')} can be {shape}, but then {ignored} ")
    assert way in message
    assert message.endswith(f"\nhint: type dataset.reader.ignore=[{ignored.replace(', ', ',')}]")
    dataset = read_files(path, "mine", ignore=ignored.split(", "))
    assert (dataset.shape.name, dataset.provenance["ignored_columns"]) == (shape, ignored)
    assert dataset.provenance["reading"] == f"{path}: columns not used: {ignored}"
    assert read_files(path, "mine", shape=shape).provenance["ignored_columns"] == ignored


def test_who_names_columns_says_what_of_the_others_to_ignore(tmp_path):
    path = csv(tmp_path / "trec.csv", text=["a"], coarse_label=[0], fine_label=[7])
    message = refusal_of(path, columns={"label": "coarse_label"})
    assert message.endswith(
        "can be labelled_text, but then fine_label would be ignored.\n"
        "hint: type 'dataset.reader.columns={label: coarse_label}' dataset.reader.ignore=[fine_label]"
    )
    dataset = read_files(path, "mine", columns={"label": "coarse_label"}, ignore=["fine_label"])
    assert (dataset.shape.name, dataset.provenance["ignored_columns"]) == ("labelled_text", "fine_label")


def test_the_numbered_parts_of_a_split_are_read_in_their_order(tmp_path):
    parts = [tmp_path / f"train-0000{number}-of-00002.csv" for number in range(2)]
    for number, part in enumerate(parts):
        csv(part, text=[f"a{number}", f"b{number}"])
    csv(tmp_path / "test-00000-of-00001.csv", text=["c"])
    dataset = read_files(tmp_path, "mine")
    assert {split: rows["text"][:] for split, rows in dataset.splits.items()} == {
        "train": ["a0", "b0", "a1", "b1"],
        "test": ["c"],
    }
    assert dataset.provenance["sha256/train"] == sha256_of(*parts)
    parts[1].write_text('text\n" "\n')
    assert f"{parts[1]}:2: text is empty or missing" in refusal_of(tmp_path)


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_that_lacks_is_reported(tmp_path, number):
    csv(tmp_path / f"train-0000{number}-of-00002.csv", text=["a"])
    message = f"{tmp_path} holds 1 of the 2 parts of train: train-0000{number}-of-00002.csv. Expected all."
    assert refusal_of(tmp_path) == message


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "train.tsv"),
        ("train.csv", "train-00000-of-00001.csv"),
        ("train-00000-of-00002.csv", "train-00001-of-00002.tsv"),
    ],
)
def test_two_files_of_a_split_are_refused(tmp_path, names):
    for name in names:
        csv(tmp_path / name, text=["a"])
    assert "are both the split train. Expected one file for each split, or its parts as train-0" in refusal_of(tmp_path)


def test_a_path_below_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    csv(tmp_path / "mine.csv", text=["a"])
    assert read_files("~/mine.csv", "mine").num_rows == 1


def test_files_that_are_no_split_are_reported(tmp_path, caplog):
    csv(tmp_path / "extra.CSV", text=["a"])
    assert refusal_of(tmp_path).endswith(f"It holds extra.CSV.\nhint: type dataset={tmp_path / 'extra.CSV'}")
    csv(tmp_path / "more.csv", text=["a"])
    assert refusal_of(tmp_path).endswith("It holds extra.CSV, more.csv.")
    (tmp_path / "more.csv").unlink()
    csv(tmp_path / "train.csv", text=["a"])
    with caplog.at_level(logging.INFO):
        read_files(tmp_path, "mine")
    assert caplog.messages == [f"{tmp_path}: files that are no split are not read: extra.CSV"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("B.JSONL", b'{"anchor": "a", "positive": "b"}'), ("A.CSV.GZ", gzip.compress(b"anchor,positive\na,b\n", mtime=0))],
)
def test_capital_endings_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read_files(tmp_path / name, "mine").splits["train"].to_dict() == PAIR


@pytest.mark.parametrize("labels", [[0.2, 1.0, 0.7], ["0.2", "1", "0.7"], ["0.2", "0.9", "0.7"]])
@pytest.mark.parametrize("on_fault", ["stop", "drop"])
def test_fractions_are_no_classes(tmp_path, labels, on_fault):
    from datasets import Dataset

    path = tmp_path / "rows.parquet"
    Dataset.from_dict({"sentence1": list("abc"), "b": list("def"), "label": labels}).to_parquet(path)
    message = refusal_of(path, columns={"sentence2": "b"}, on_fault=on_fault)
    assert message.startswith(f"{path}:1: label holds a fraction: {labels[0]!r} (rows like it: ")
    assert message.endswith("type 'dataset.reader.columns={sentence1: sentence1, sentence2: b, score: label}'")
    path = csv(tmp_path / "texts.csv", text=["a", "b"], label=[0.5, 1])
    assert refusal_of(path).endswith("Expected classes: names, or whole numbers from 0.")


@pytest.mark.parametrize("labels", [[True, False], ["True", "False"], ["true", "FALSE"]])
@pytest.mark.parametrize(("names", "expected"), [([], [1, 0]), (["True", "False"], [0, 1]), (["no", "yes"], [1, 0])])
def test_true_is_one_unless_names_say_otherwise(tmp_path, labels, names, expected):
    from datasets import Dataset

    if names == ["True", "False"] and labels[0] == "true":
        labels = ["True", "False"]
    path = tmp_path / "rows.parquet"
    Dataset.from_dict({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": labels}).to_parquet(path)
    dataset = read_files(path, "mine", label_names=names)
    assert dataset.splits["train"]["label"][:] == expected
    assert dataset.shape.name == ("class_pair" if names else "binary_pair")


@pytest.mark.parametrize(
    ("labels", "names", "kept"),
    [
        ([0, -1, *[1] * 18], [], [0, *[1] * 18]),
        ([-1, *[0, 2] * 10], [], [0, 2] * 10),
        ([1, -1, *[1] * 18], ["no", "yes"], [1] * 19),
        ([0, 1, 2], [], [0, 1, 2]),
    ],
)
def test_minus_one_is_no_label_where_few_rows_have_it(tmp_path, labels, names, kept):
    path = csv(tmp_path / "rows.csv", text=[f"t{place}" for place in range(len(labels))], label=labels)
    assert read_files(path, "mine", label_names=names).splits["train"]["label"][:] == kept


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, -1], "holds the label -1 in 1 of 2 rows, besides 1. Expected to know whether -1 is a class"),
        ([-1, -1], "first in row 1: -1. Expected whole numbers"),
    ],
)
def test_minus_one_and_one_are_two_classes_in_another_writing(tmp_path, labels, message):
    assert message in refusal_of(csv(tmp_path / "rows.csv", text=["a", "b"], label=labels))


@pytest.mark.parametrize(("labels", "hinted"), [([0, 5], True), ([0, 2], False), ([0, 99], False)])
def test_whole_numbers_that_may_be_scores_are_pointed_out(tmp_path, caplog, labels, hinted):
    path = csv(tmp_path / "rows.csv", sentence1=["a", "b"], sentence2=["c", "d"], label=labels)
    with caplog.at_level(logging.INFO):
        assert read_files(path, "mine").shape.name == "class_pair"
    expected = (
        "If they are scores, type 'dataset.reader.columns={score: <the column>}' and dataset.reader.score_range=[0,5]."
    )
    assert [expected in message for message in caplog.messages] == [True] * hinted


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("on_fault", ["stop", "drop"])
def test_a_score_outside_of_the_range_is_shown_as_the_file_has_it(tmp_path, suffix, on_fault):
    from datasets import Dataset

    path = tmp_path / f"rows.{suffix}"
    rows = Dataset.from_dict({"sentence1": list("abc"), "sentence2": list("def"), "score": [5, 7, -1]})
    rows.to_parquet(path) if suffix == "parquet" else rows.to_csv(path, index=False)
    place, shown = (2, "7") if suffix == "parquet" else (3, "'7'")
    advice = (
        "Expected a range that holds the lowest and the highest score that there can be. The lowest is -1 and the "
        "highest 7: are there none beyond?"
    )
    assert refusal_of(path, score_range=[0, 5], on_fault=on_fault) == (
        f"{path}:{place}: score is outside of 0 to 5: {shown} (rows like it: 2). {advice}\n"
        "hint: type dataset.reader.score_range=[-1,7]"
    )
    assert "score is outside of 0 to 1: " in (message := refusal_of(path))
    assert message.endswith("\nhint: type dataset.reader.score_range=[-1,7]")
    assert read_files(path, "mine", score_range=[-1, 7]).splits["train"]["score"][:] == [0.75, 1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rows": 0}, "dataset.reader.max_rows=0 was given. Expected a whole number of at least 1, or null."),
        ({"max_rows": -1}, "dataset.reader.max_rows=-1 was given."),
        ({"max_rows": "ten"}, "dataset.reader.max_rows=ten was given."),
        ({"score_range": 5}, "dataset.reader.score_range=5 is no range. Expected the lowest and the highest score"),
        ({"score_range": [5, 0]}, "dataset.reader.score_range=[5,0] is no range."),
        ({"encoding": None}, "dataset.reader.encoding=null is no name. Expected a name such as utf-8"),
        (
            {"columns": "foo"},
            "dataset.reader.columns=foo names no columns. Expected a column for each.\nhint: type 'dataset.reader.co",
        ),
        ({"columns": {"text": None}}, "dataset.reader.columns={text: null} names no columns."),
        ({"columns": {"sentence1": "a", "sentence2": "a"}}, "dataset.reader.columns names a more than once."),
        ({"path": None}, "dataset.reader.path=null is no path. Expected a file or a folder."),
        ({"label_names": ["a", "b", "a"]}, "dataset.reader.label_names names a more than once."),
        ({"label_names": "yes"}, "dataset.reader.label_names=yes is no list of names."),
        ({"header": "text"}, "dataset.reader.header=text is no list of names."),
        ({"quote": "''"}, "dataset.reader.quote=\"''\" is not one character. Expected one character, or null."),
        ({"delimiter": ""}, "dataset.reader.delimiter='' is no text. Expected some characters, or null."),
        ({"delimiter": '"'}, "dataset.reader.delimiter='\"' is the quote or a line end."),
    ],
)
def test_an_option_that_cannot_be_is_one_message(tmp_path, options, message):
    path = csv(tmp_path / "rows.csv", text=["a"])
    assert refusal_of(**{"path": path, "error": ConfigError} | options).startswith(message)


def test_all_options_that_cannot_be_are_named_at_once():
    with pytest.raises(ConfigError) as refusal:
        read_files(None, "mine", max_rows=0, encoding=None)
    keys = [problem.key for problem in refusal.value.problems]
    assert keys == ["dataset.reader.path", "dataset.reader.max_rows", "dataset.reader.encoding"]
    with pytest.raises(ConfigError, match=r"dataset\.reader\.max_rows=0 was given"):
        read_hub("org/name", "mine", max_rows=0)


@pytest.mark.parametrize(
    ("name", "options", "idle"),
    [
        (
            "a.jsonl",
            {"encoding": "gb18030", "header": ["text"], "quote": None},
            "quote=null",
        ),
        ("a.parquet", {"encoding": "gb18030", "delimiter": ";"}, "encoding=gb18030, delimiter=;"),
        ("a.txt", {"quote": None}, "quote=null"),
    ],
)
def test_options_for_text_have_no_effect_on_other_files(tmp_path, name, options, idle):
    path = tmp_path / name
    with pytest.raises(ConfigError) as refusal:
        read_files(path, "mine", **options)
    assert [str(problem) for problem in refusal.value.problems] == [
        f"dataset.reader.{option} has no effect on {path}. Leave it out." for option in idle.split(", ")
    ]


def test_options_for_labels_have_no_effect_without_labels(tmp_path):
    with pytest.raises(DataError) as refusal:
        read_files(csv(tmp_path / "rows.csv", text=["a"]), "mine", label_names=["no", "yes"], score_range=[0, 5])
    assert [str(problem) for problem in refusal.value.problems] == [
        "dataset.reader.score_range=[0,5] has no effect on text, which has no scores.\n"
        "hint: type dataset.reader.score_range=null",
        "dataset.reader.label_names=[no,yes] has no effect on text, which has no classes.\n"
        "hint: type dataset.reader.label_names=[]",
    ]


def test_a_prepared_folder_takes_no_options_but_the_number_of_rows(tmp_path):
    folder = write_dataset(dataset_of("mine", "text", {"train": {"text": ["a", "b"]}}), tmp_path / "out", "jsonl")
    with pytest.raises(ConfigError) as refusal:
        read_files(folder, "mine", columns={"text": "b"}, encoding="gb18030")
    assert [problem.key for problem in refusal.value.problems] == ["dataset.reader.columns", "dataset.reader.encoding"]
    assert f"has no effect on {folder}. Leave it out." in str(refusal.value)
    assert read_files(folder, "mine", shape="text", columns={}, on_fault="drop", max_rows=1).num_rows == 1


SCORED = {"sentence1": ["a", "b", "c"], "sentence2": ["x", "y", "z"], "score": [0.1, 0.5, 0.9]}


@pytest.mark.parametrize("given", [[0, 100], [0, 5], [-10, 10]])
def test_scores_that_take_a_small_part_of_their_range_are_a_warning(tmp_path, given):
    csv(tmp_path / "mine.csv", **SCORED)
    dataset = read_files(tmp_path / "mine.csv", "mine", score_range=given)
    said = f"score is 0.1 to 0.9 in a range of {given[0]} to {given[1]}: is that range right?"
    assert said in dataset.provenance["reading"]


@pytest.mark.parametrize("given", [[0, 1], [0, 2], [-1, 1]])
def test_scores_that_take_much_of_their_range_are_none(tmp_path, given):
    csv(tmp_path / "mine.csv", **SCORED)
    assert "reading" not in read_files(tmp_path / "mine.csv", "mine", score_range=given).provenance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"no_label": -1},
            "dataset.reader.no_label=-1 has no effect on scored_pair, which has no classes.\nhint: type ",
        ),
        ({"score_range": [1, 0]}, "the lowest and the highest score.\nhint: type dataset.reader.score_range=[0,1]"),
        (
            {"columns": {"sentence1": "sentence1", "sentence2": "sentence1", "score": "score"}},
            "\nhint: type 'dataset.reader.columns={sentence1: sentence1, score: score}'",
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused_with_what_to_type(tmp_path, options, message):
    csv(tmp_path / "mine.csv", **SCORED)
    with pytest.raises(EmbexpError) as refusal:
        read_files(tmp_path / "mine.csv", "mine", **options)
    assert message in str(refusal.value)


def test_a_decimal_comma_has_no_effect_where_there_are_no_scores(tmp_path):
    csv(tmp_path / "mine.csv", text=["a"])
    with pytest.raises(EmbexpError, match=r"decimal=, has no effect on text, which has no scores"):
        read_files(tmp_path / "mine.csv", "mine", decimal=",")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ({"anchor": "quesiton", "positive": "answer"}, "{anchor: question, positive: answer}"),
        ({"anchor": "question", "positive": "anwser"}, "{anchor: question, positive: answer}"),
        ({"anchor": "Question", "positive": "Answer "}, "{anchor: question, positive: answer}"),
    ],
)
def test_columns_that_are_misspelt_are_proposed_as_they_are_spelt(tmp_path, typed, hint):
    csv(tmp_path / "mine.csv", question=["a"], answer=["b"])
    with pytest.raises(EmbexpError) as refusal:
        read_files(tmp_path / "mine.csv", "mine", columns=typed)
    assert str(refusal.value).endswith(f"\nhint: type 'dataset.reader.columns={hint}'")
