"""Paraphrase mining: numbers one can check by hand, and those of sentence-transformers."""

import random

import numpy
import pytest
from plane_encoder import PlaneEncoder

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.paraphrase_mining import _most_similar_pairs, _precision_at_pairs, paraphrase_mining_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import ModelEncoder
from embexp.steps.prompting import set_prompts

OPTIONS = {"top_k": 100, "max_pairs": 500_000, "resamples": 50}
# Texts on the unit circle. Pairs by how near they are: (a, b) 1, (c, d) 2, (b, c) 9, (a, c) 10, (b, d) 11, (a, d) 12.
ANGLES = {"a": 0, "b": 1, "c": 10, "d": 12}
PAIRS = {"anchor": ["b", "b", "d", "a"], "positive": ["a", "c", "b", "a"]}


def evaluator_of(rows=PAIRS, shape="positive_pair", **options):
    return paraphrase_mining_evaluator("mining", dataset_of("toy", shape, {"test": rows}), **OPTIONS | options)


def test_each_pair_has_the_precision_down_to_it():
    scores = evaluator_of().score(PlaneEncoder(ANGLES), "test")
    assert scores.examples["first"] == ["a", "b", "b"]
    assert scores.examples["second"] == ["b", "c", "d"]
    assert scores.predicted["average_precision"].tolist() == pytest.approx([1, 2 / 3, 3 / 5])
    assert scores.metrics == {"average_precision": pytest.approx((1 + 2 / 3 + 3 / 5) / 3)}


def test_a_pair_that_is_not_found_has_nothing():
    assert evaluator_of(max_pairs=2).score(PlaneEncoder(ANGLES), "test").predicted["average_precision"].tolist() == [
        1,
        0,
        0,
    ]
    # the nearest of a is b, of b a, of c d, of d c: two pairs
    assert evaluator_of(top_k=1).score(PlaneEncoder(ANGLES), "test").predicted["average_precision"].tolist() == [
        1,
        0,
        0,
    ]


def test_pairs_with_one_score_share_their_precision():
    # two points with two texts each: two pairs as near as can be, and four at a right angle
    vectors = numpy.array([[1, 0], [0, 1], [1, 0], [0, 1]], "float32")
    pairs, scores = _most_similar_pairs(vectors, 10, 100)
    assert pairs.tolist() == [[0, 2], [1, 3], [0, 1], [0, 3], [1, 2], [2, 3]]
    assert scores.tolist() == [1, 1, 0, 0, 0, 0]
    assert _precision_at_pairs([(2, 0), (0, 1)], pairs, scores).tolist() == pytest.approx([1 / 2, 2 / 6])


def test_rows_that_are_one_pair_are_one_example_and_equal_texts_are_none():
    rows = {"anchor": ["a", "b", "c", "d"], "positive": ["b", "a", "c", "c"]}
    evaluator = evaluator_of(rows)
    assert list(evaluator.task.example_of(evaluator.dataset.splits["test"])) == [0, 0, -1, 1]
    assert evaluator.score(PlaneEncoder(ANGLES), "test").predicted["average_precision"].tolist() == [1, 1]


def test_of_binary_pairs_those_labelled_1_are_to_be_found():
    rows = {"sentence1": ["a", "b", "c"], "sentence2": ["b", "c", "d"], "label": [1, 0, 1]}
    evaluator = evaluator_of(rows, "binary_pair")
    assert list(evaluator.task.example_of(evaluator.dataset.splits["test"])) == [0, -1, 1]
    assert evaluator.score(PlaneEncoder(ANGLES), "test").metrics == {"average_precision": 1}
    with pytest.raises(DataError, match="toy/test has no pair of two different texts that mean the same"):
        evaluator_of(rows | {"label": [0, 0, 0]}, "binary_pair")


def test_all_texts_are_encoded_after_the_prompt_of_the_first_column():
    rows = {"anchor": ["a", "b"], "positive": ["b", "c"]}
    dataset = dataset_of("toy", "positive_pair", {"test": rows})
    dataset = set_prompts(dataset, {"ask": "Q: ", "tell": "D: "}, columns={"anchor": "ask", "positive": "tell"})
    encoder = PlaneEncoder(ANGLES)
    evaluator = paraphrase_mining_evaluator("mining", dataset, **OPTIONS)
    evaluator.score(encoder, "test")
    assert encoder.calls == [(["a", "b", "c"], "Q: ")]
    assert evaluator.positives("test").prompts == ("Q: ", "Q: ")


def tiny(folder):
    """120 texts, 50 pairs of them, and a tiny model."""
    import torch

    from embexp.models.scratch import ScratchModel

    draw = random.Random(1)
    words = [f"{start}{end}" for start in ("ba", "ke", "mi", "so", "tu") for end in ("nk", "rt", "ll", "sh", "pe")]
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 8))) for _ in range(70)]
    texts += [" ".join(sorted(text.split())) + " bank" for text in texts[:50]]  # near to what they are made of
    assert len({*texts}) == 120
    torch.manual_seed(1)
    return texts, ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: texts, folder)


@pytest.mark.parametrize(("top_k", "max_pairs"), [(100, 500_000), (5, 500_000), (100, 60), (3, 40)])
def test_average_precision_equals_that_of_sentence_transformers(tmp_path, top_k, max_pairs):
    from sentence_transformers.sentence_transformer.evaluation import ParaphraseMiningEvaluator

    texts, model = tiny(tmp_path)
    theirs = ParaphraseMiningEvaluator(
        {str(number): text for number, text in enumerate(texts)},
        [(str(number), str(number + 70)) for number in range(50)],
        top_k=top_k,
        max_pairs=max_pairs,
        write_csv=False,
    )(model)
    rows = {"anchor": texts[:50] + texts[50:70], "positive": texts[70:] + texts[50:70]}  # 20 pairs of equal texts
    evaluator = evaluator_of(rows, top_k=top_k, max_pairs=max_pairs)
    ours = evaluator.score(ModelEncoder(model), "test").metrics["average_precision"]
    assert ours == pytest.approx(theirs["average_precision"], abs=1e-6)
    assert 0.01 < ours < 0.99


def test_two_models_are_compared_over_the_pairs():
    rows = {"anchor": [f"a{n}" for n in range(20)], "positive": [f"b{n}" for n in range(20)]}
    right = {f"a{n}": 9 * n for n in range(20)} | {f"b{n}": 9 * n + 1 for n in range(20)}
    wrong = right | {f"b{n}": 9 * n + 11 for n in range(20)}
    evaluator = evaluator_of(rows)
    base, trained = (evaluator.score(PlaneEncoder(angles), "test") for angles in (wrong, right))
    (difference,) = compare(base, trained, 200)
    assert difference.trained == pytest.approx(1)
    assert difference.verdict == "better"


def test_pairs_seen_in_training_are_left_out_of_a_second_metric():
    evaluator = evaluator_of(leaked={"test": numpy.array([True, False, False, False])})
    metrics = evaluator.score(PlaneEncoder(ANGLES), "test").metrics
    assert metrics["average_precision_no_leaks"] == pytest.approx((2 / 3 + 3 / 5) / 2)


@pytest.mark.parametrize("option", ["top_k", "max_pairs"])
def test_numbers_below_1_are_refused(option):
    with pytest.raises(
        ConfigError, match=rf"evaluator\.mining\.{option}=0 was given\. Expected a whole number of at least 1"
    ):
        evaluator_of(**{option: 0})


def test_a_run_builds_it_from_pairs(tmp_path):
    from embexp.config.compose import compose, resolve
    from embexp.errors import Problems
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import plan_evaluators

    (tmp_path / "dev.csv").write_text("anchor,positive\na,b\nc,d\n")
    config = resolve(
        compose(
            ["evaluator=[paraphrase_mining]", "dataset=file", f"dataset.reader.path={tmp_path}", "paths.cache=null"]
        )
    )
    config["dataset"]["steps"] = {}
    (evaluator,), _, _ = plan_evaluators(config, "pairs", [], builder_of(config), Problems())
    assert evaluator.metric_names == ("average_precision",)
    assert evaluator.splits == ("dev",)
