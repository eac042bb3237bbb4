"""A file whose parts nobody reads is not divided; ratios that were typed are kept."""

import json

import pytest

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose, resolve
from embexp.core.run_folder import RECORD
from embexp.experiment.evaluation_data import split_for_evaluation, split_for_run

OWN = "+dataset@evaluator.sts.dataset=gold.csv"


def ratios_in(config, *path):
    for key in path:
        config = config[key]
    return config["steps"]["split"]["ratios"]


def for_run(*overrides):
    chosen = [] if any(each.startswith("evaluator=") for each in overrides) else ["evaluator=[sts]"]
    return split_for_run(resolve(compose(expand_paths([*chosen, *overrides]))))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["dataset=pairs.csv"], None),
        (["dataset=org/pairs"], None),
        (["dataset=pairs.csv", "evaluator=[stsb]"], [1, 0, 0]),
        (["dataset=org/pairs", "evaluator=[mteb]", "evaluator.mteb.tasks=[STSBenchmark]"], [1, 0, 0]),
        (["dataset=pairs.csv", OWN], [1, 0, 0]),
        (["dataset=pairs.csv", "evaluator=[stsb,retrieval]"], None),
        (["dataset=pairs.csv", "evaluator=[stsb]", "dataset.steps.split.ratios=[8,1,1]"], [8, 1, 1]),
        (["dataset=pairs.csv", "evaluator=[stsb]", "step=[leaks]"], None),
        (["dataset=sentences", "step=[split]", "evaluator=[stsb]"], [1, 0, 0]),
        (["dataset=gold.csv", OWN], None),  # the same file: what is evaluated is not trained on
        (["dataset=./gold.csv", OWN], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and isinstance(value[0], str) else None,
)
def test_a_file_is_divided_where_an_evaluator_reads_it(overrides, expected):
    assert ratios_in(for_run(*overrides), "dataset") == expected


def test_the_file_of_an_evaluator_is_test_as_a_whole():
    def of(*overrides):
        return ratios_in(for_run("dataset=pairs.csv", *overrides), "evaluator", "sts", "dataset")

    assert of(OWN) == [0, 0, 1]
    assert of(OWN, "evaluator.sts.dataset.steps.split.ratios=[0,1,1]") == [0, 1, 1]
    assert of("+dataset@evaluator.sts.dataset=pairs.csv") is None


def test_a_probe_that_is_fitted_on_train_keeps_its_train():
    own = "+dataset@evaluator.classification.dataset=tickets.csv"
    for fit_on, expected in (("folds", [0, 0, 1]), ("train", None)):
        config = for_run("evaluator=[classification]", own, f"evaluator.classification.fit_on={fit_on}")
        assert ratios_in(config, "evaluator", "classification", "dataset") == expected


def test_a_stage_trains_on_all_of_its_file_unless_it_is_evaluated():
    def of(*overrides):
        return ratios_in(for_run("adapt=tsdae", *overrides), "adapt", "tsdae", "dataset")

    assert of("adapt.tsdae.dataset=texts.txt") == [1, 0, 0]
    assert of("adapt.tsdae.dataset=pairs.csv", "dataset=pairs.csv") is None
    assert of("adapt.tsdae.dataset=gold.csv", "dataset=pairs.csv", OWN) is None


def test_deciding_twice_changes_nothing():
    once = for_run("dataset=pairs.csv", "adapt=tsdae", "adapt.tsdae.dataset=texts.txt", OWN)
    assert split_for_run(once) == once


def for_evaluation(*overrides):
    config = resolve(compose(expand_paths(["dataset=pairs.csv", *overrides]), "evaluate"))
    return ratios_in(split_for_evaluation(config, [config["model"]]), "dataset")


def test_without_training_all_rows_of_a_file_are_test():
    assert for_evaluation() == [0, 0, 1]
    assert for_evaluation("dataset.steps.split.ratios=[8,1,1]") == [8, 1, 1]
    assert for_evaluation("evaluator=[classification]", "evaluator.classification.fit_on=train") is None


def test_a_file_that_the_run_of_the_model_was_trained_on_is_divided_as_it_was(workplace):
    folder = workplace / "runs" / "one"
    (folder / "stages" / "main" / "model").mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps({"directory": str(workplace)}))
    model = f"model={folder / 'stages' / 'main' / 'model'}"
    for trained_on, expected in (("pairs.csv", None), ("others.csv", [0, 0, 1])):
        (folder / "config.yaml").write_text(f"dataset: {{reader: {{path: {trained_on}}}}}\n")
        assert for_evaluation(model) == expected
        sets = (
            f"{{one: {{dataset: {{reader: {{path: a.csv}}}}}}, two: {{dataset: {{reader: {{path: {trained_on}}}}}}}}}"
        )
        (folder / "config.yaml").write_text(f"dataset: {{reader: {{path: a.csv}}}}\nmixture: {{sets: {sets}}}\n")
        assert for_evaluation(model) == expected
