"""The prepare command: steps, conversion, files and manifest; the cache; a prepared folder as a dataset again."""

import json
import subprocess
import sys

import pytest

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose
from embexp.data.readers import read_files
from embexp.errors import EmbexpError
from embexp.inspection.prepare_dataset import prepare

CLEAN = "+dataset.steps.clean={_target_: embexp.steps.clean.clean}"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(workplace):
    """Commands write below the working directory."""


def prepared(*overrides):
    typed = quote_texts(expand_paths(overrides))
    given = dict(text.split("=", 1) for text in typed if "." not in text.partition("=")[0])
    return prepare(compose(typed, "prepare"), {"dataset": "finance", **given}, overrides)


@pytest.fixture
def pairs(workplace):
    rows = "".join(f"text {n}\tother  {n}\t{n % 2}\n" for n in range(40))
    (workplace / "pairs.tsv").write_text("sentence1\tsentence2\tlabel\n" + rows)
    return "dataset=pairs.tsv"


def test_a_file_becomes_a_folder_with_splits_and_a_manifest(pairs, capsys):
    folder = prepared(pairs, CLEAN, "format=jsonl")
    assert sorted(path.name for path in folder.iterdir()) == ["dev.jsonl", "manifest.json", "test.jsonl", "train.jsonl"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["shape"] == "binary_pair"
    assert [step["step"] for step in manifest["steps"]] == ["split", "clean"]
    assert sum(split["rows"] for split in manifest["splits"].values()) == 40
    assert manifest["source"]["source"] == "pairs.tsv"
    assert manifest["config"]["dataset"]["steps"]["split"]["seed"] == 42
    said = capsys.readouterr().out
    assert "prepared/pairs/ holds pairs as binary_pair (train" in said
    assert "python -m embexp dataset=prepared/pairs/ loss=auto" in said


def test_the_command_to_train_with_is_one_that_works(workplace, capsys):
    """Quoted, with settings that evaluators need, and with an evaluator where the data have no scored pairs."""
    rows = "".join(f"a{n},b{n},{'同' if n % 2 else '异'}\n" for n in range(40))
    (workplace / "pairs.csv").write_text("sentence1,sentence2,label\n" + rows)
    scores = "conversion.label_scores={同: 1, 异: 0}"
    command = [sys.executable, "-m", "embexp.prepare", "dataset=pairs.csv", "output=带 空格", scores]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == f"Train on it: python -m embexp 'dataset=带 空格/' '{scores}' loss=auto"
    prepared("dataset=pairs.csv", "conversion.positive_labels=[同]", "shape=positive_pair")
    said = capsys.readouterr().out.splitlines()[-1]
    typed = "'conversion.positive_labels=[同]'"
    assert said == f"Train on it: python -m embexp dataset=prepared/pairs/ {typed} loss=auto evaluator=[retrieval]"


def test_nothing_is_to_be_trained_on_data_without_a_train_split(workplace, capsys):
    (workplace / "judged").mkdir()
    for split in ("dev", "test"):
        (workplace / "judged" / f"{split}.csv").write_text(f"sentence1,sentence2,label\n{split},b,1\n")
    prepared("dataset=judged/")
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("Note: there is no train split (only dev, test)")


def test_a_prepared_folder_is_a_dataset(pairs):
    folder = prepared(pairs, CLEAN, "shape=positive_pair")
    dataset = read_files(folder, "again")
    assert dataset.shape.name == "positive_pair"
    assert dataset.num_rows == 20
    assert dataset.splits["train"][0]["positive"].startswith("other ")
    assert "other  " not in dataset.splits["train"][0]["positive"]
    again = prepared(f"dataset={folder}/", "output=again", "format=jsonl")
    assert read_files(again, "x").splits["train"].to_dict() == dataset.splits["train"].to_dict()


def test_the_same_steps_on_the_same_file_come_from_the_cache(pairs, workplace, caplog):
    caplog.set_level("INFO")
    prepared(pairs, CLEAN)
    assert "taken from the cache" not in caplog.text
    first = (workplace / "prepared/pairs/train.parquet").read_bytes()
    prepared(pairs, CLEAN, "overwrite=true")
    assert caplog.text.count("taken from the cache") == 2
    assert (workplace / "prepared/pairs/train.parquet").read_bytes() == first


def test_a_changed_file_or_step_is_made_anew(pairs, workplace, caplog):
    caplog.set_level("INFO")
    prepared(pairs)
    path = workplace / "pairs.tsv"
    path.write_text(path.read_text() + "one more\trow\t1\n")
    prepared(pairs, "overwrite=true")
    prepared(pairs, "overwrite=true", "dataset.steps.split.seed=43")
    assert "taken from the cache" not in caplog.text
    assert len(list((workplace / "cache").iterdir())) == 3
    assert read_files(workplace / "prepared/pairs", "x").num_rows == 41


def test_a_number_that_a_conversion_needs_is_requested_and_used(workplace):
    (workplace / "scored.csv").write_text(
        "sentence1,sentence2,score\n" + "".join(f"a{n},b{n},{n / 10}\n" for n in range(11))
    )
    options = ("dataset=scored.csv", "dataset.steps.split.ratios=[1,0,0]", "shape=positive_pair")
    with pytest.raises(EmbexpError, match=r"conversion\.min_score"):
        prepared(*options)
    folder = prepared(*options, "conversion.min_score=0.8")
    assert read_files(folder, "x").splits["train"]["anchor"][:] == ["a8", "a9", "a10"]


def test_what_is_there_is_not_lost(pairs):
    prepared(pairs)
    with pytest.raises(
        EmbexpError, match=r"prepared/pairs holds a prepared data set\.[^\n]*\nhint: type overwrite=true"
    ):
        prepared(pairs)
    with pytest.raises(EmbexpError, match=r"holds files that embexp did not prepare"):
        prepared(pairs, "output=.", "overwrite=true")
    with pytest.raises(EmbexpError, match=r"output=pairs\.tsv is a file"):
        prepared(pairs, "output=pairs.tsv")
    with pytest.raises(EmbexpError, match=r"format=csv was given\. Expected one of: parquet, jsonl\."):
        prepared(pairs, "format=csv")


def test_a_shape_out_of_reach_is_refused_with_those_within(pairs):
    with pytest.raises(
        EmbexpError,
        match=r"Expected a shape within reach\.\nhint: type one of: .*shape=positive_pair, shape=scored_pair",
    ):
        prepared(pairs, "shape=scored_triplet")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["dataset.steps.split.ratios=[1,-1,0]"], r"^dataset\.steps\.split\.ratios=\[1,-1,0\] was given"),
        (
            ["step=[split,augment_typos]", "dataset.steps.augment_typos.copies=0"],
            r"^dataset\.steps\.augment_typos\.copies=0 was given",
        ),
        (
            ["step=[split,augment_typos]", "dataset.steps.augment_typos.method.share=2"],
            r"^dataset\.steps\.augment_typos\.method\.share=2 (.|\n)*hint: type dataset\.steps\..*method\.share=0\.1",
        ),
    ],
    ids=["its own", "of a step for many YAMLs", "of a part"],
)
def test_a_wrong_argument_of_a_step_is_reported_once_with_its_place(pairs, typed, told):
    with pytest.raises(EmbexpError, match=told):
        prepared(pairs, *typed)


def test_the_command_prepares_and_a_mistake_ends_with_one_message(pairs, workplace):
    command = [sys.executable, "-m", "embexp.prepare", pairs]
    assert "prepared/pairs/ holds pairs" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stderr.startswith("Error: prepared/pairs holds a prepared data set")
    assert sorted(path.name for path in workplace.iterdir()) == ["cache", "pairs.tsv", "prepared"]
