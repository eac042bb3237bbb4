"""What makes rows and columns, and which runs share a cell."""

import pytest
from recorded_runs import KEY, recorded

from embexp.errors import ConfigError
from embexp.leaderboards.axes import Axes, RunEntry, choose_axes, find_varying, group_by_place
from embexp.leaderboards.runs import entries_of, newest


def entries(*runs):
    return [RunEntry(run, KEY) for run in runs]


def test_rows_are_losses_and_columns_are_models_where_nothing_else_varies():
    runs = entries(
        recorded(1, 0.1, loss="mnrl", **{"loss.scale": 20.0}),
        recorded(2, 0.1, loss="cosent", **{"loss.scale": 30.0, "loss.margin": 0.5}),
        recorded(3, 0.1, loss="mnrl", model="static", seed=2, **{"loss.scale": 20.0}),
    )
    assert choose_axes(runs, None, None) == Axes(("loss",), ("model",))


def test_a_parameter_that_varies_within_one_loss_is_a_row_and_one_of_the_model_a_column():
    runs = entries(
        *(recorded(number, 0.1, **{"loss.scale": scale}) for number, scale in enumerate((20.0, 30.0))),
        recorded(3, 0.1, **{"loss.scale": 20.0, "model.pooling": "cls"}),
    )
    assert choose_axes(runs, None, None) == Axes(("loss", "loss.scale"), ("model", "model.pooling"))


def test_of_a_trainer_and_its_values_the_trainer_is_shown():
    runs = entries(
        recorded(1, 0.1, trainer="default", **{"trainer.optim": "adam", "trainer.bf16": False}),
        recorded(2, 0.1, trainer="gpu", **{"trainer.optim": "fused", "trainer.bf16": True}),
    )
    assert choose_axes(runs, None, None).rows == ("loss", "trainer")


@pytest.mark.parametrize(
    "key", ["name", "paths.runs", "tracking.uri", "threads", "loss._paper_", "evaluator.sts.resamples", "base_model"]
)
def test_what_changes_no_result_is_no_row(key):
    runs = entries(recorded(1, 0.1, **{key: "one"}), recorded(2, 0.1, **{key: "two"}))
    assert choose_axes(runs, None, None) == Axes(("loss",), ("model",))


def test_what_is_always_the_seed_is_no_row_but_what_only_goes_along_with_it_is():
    runs = [recorded(seed, 0.1, seed=seed, **{"dataset.seed": seed, "loss.scale": 10 * seed}) for seed in (1, 2)]
    assert find_varying(entries(*runs), ["loss"]) == ["loss.scale"]


def test_datasets_and_metrics_become_columns_where_there_are_several():
    other = RunEntry(recorded(2, 0.1, dataset="stsb"), "test/stsb/spearman_cosine")
    axes = choose_axes([*entries(recorded(1, 0.1)), other], None, None)
    assert axes.columns == ("model", "dataset", "metric")
    assert choose_axes([*entries(recorded(1, 0.1)), other], ["loss"], ["model"]).columns == ("model", "metric")


def test_what_was_typed_for_one_side_does_not_stand_on_the_other():
    runs = entries(recorded(1, 0.1), recorded(2, 0.1, loss="cosent"), recorded(3, 0.1, model="static"))
    assert choose_axes(runs, ["model"], None) == Axes(("model",), ("loss",))
    assert choose_axes(runs, None, ["loss"]) == Axes(("model",), ("loss",))


def test_keys_that_no_run_has_and_keys_typed_twice_are_refused():
    runs = entries(recorded(1, 0.1))
    unknown = r"^rows=los names los, which no run has\. .*Did you mean 'loss'\?\nhint: type rows=loss,"
    with pytest.raises(ConfigError, match=unknown):
        choose_axes(runs, ["los"], None)
    with pytest.raises(ConfigError, match=r"^loss stands in rows and columns twice\."):
        choose_axes(runs, ["loss"], ["loss", "model"])


def test_runs_that_share_their_values_stand_at_one_place():
    runs = entries(recorded(1, 0.1), recorded(2, 0.2, seed=2), recorded(3, 0.3, loss="cosent"))
    places = group_by_place(runs, Axes(("loss",), ("model",)))
    assert [(place.row, [entry.run.id for entry in place.entries]) for place in places] == [
        (("mnrl",), ["run 1", "run 2"]),
        (("cosent",), ["run 3"]),
    ]


def test_of_a_configuration_and_seed_that_ran_again_the_newest_counts():
    runs = entries(recorded(2, 0.2, name="again"), recorded(1, 0.1, name="first"), recorded(3, 0.1, seed=2))
    assert [entry.run.id for entry in newest(runs)] == ["run 2", "run 3"]


def test_a_metric_is_found_without_its_split_and_test_comes_first():
    run = recorded(1, 0.1)
    run.metrics["dev/sts/spearman_cosine"] = 0.5
    keys = ["sts/spearman_cosine", "dev/sts/spearman_cosine", None]
    assert [entries_of([run], key)[0].metric for key in keys] == [KEY, "dev/sts/spearman_cosine", KEY]
    with pytest.raises(ConfigError, match=r"^metric=sts/spearman is in none of 1 finished runs\. .*Did you mean"):
        entries_of([run], "sts/spearman")
