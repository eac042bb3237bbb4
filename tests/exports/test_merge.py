"""Weights between the untouched and the trained model, and means of runs: the numbers, the choice, the refusals."""

import json
import math
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose, instantiate, option_of
from embexp.core.run_folder import CONFIG, LAYOUT, RECORD, RESULT
from embexp.errors import ConfigError, ExportError, ModelError
from embexp.experiment.export_run import export
from embexp.exports.delivery import TrainedModel
from embexp.exports.merge import MergedWeights, Point, _correct_others, _line
from embexp.exports.soup import ModelSoup
from embexp.models.merging import average, check_can_be_merged, check_was_whole, load_whole

pytest.importorskip("mergekit")


def toy(kind, seed, tmp_path=None, **changes):
    """A small model of a kind: transformer, static or dense, all of one tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, StaticEmbedding, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {
        word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *changes.get("words", "abcd")])
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(seed)
    if kind == "static":
        return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": len(words)}
    network = BertModel(BertConfig(**sizes, num_hidden_layers=changes.get("layers", 1), max_position_embeddings=16))
    folder = tmp_path / f"{kind}-{seed}-{len(words)}-{changes.get('layers', 1)}"
    network.save_pretrained(folder)
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    first = Transformer(str(folder))
    modules = [first, Pooling(8, changes.get("pooling", "mean"))]
    return SentenceTransformer(modules=[*modules, *([Dense(8, 4)] if kind == "dense" else [])], device="cpu")


@pytest.mark.parametrize("kind", ["transformer", "static", "dense"])
def test_an_average_is_the_weighted_sum_of_all_weights_and_loads_as_a_plain_model(kind, tmp_path):
    import torch

    models = [toy(kind, seed, tmp_path) for seed in (1, 2, 3)]
    before = [{name: each.clone() for name, each in model.state_dict().items()} for model in models]
    merged = average(models, [0.5, 0.3, 0.2])
    merged.save_pretrained(str(tmp_path / "merged"))
    loaded = load_whole(tmp_path / "merged").state_dict()
    for name, values in before[0].items():
        wanted = 0.5 * values.double() + 0.3 * before[1][name].double() + 0.2 * before[2][name].double()
        if values.is_floating_point():
            assert torch.allclose(loaded[name].double(), wanted, atol=1e-7), name
    assert all(torch.equal(each, models[0].state_dict()[name]) for name, each in before[0].items())
    texts = ["a b", "c d d"]
    assert numpy.allclose(merged.encode(texts), load_whole(tmp_path / "merged").encode(texts), atol=1e-6)


def test_the_dtype_is_that_of_the_first_and_tied_weights_stay_tied(tmp_path):
    import torch

    models = [toy("transformer", seed, tmp_path).to(torch.bfloat16) for seed in (1, 2)]
    for model in models:  # one tensor under two names
        model.register_parameter("tied", model[0].auto_model.embeddings.word_embeddings.weight)
    merged = average(models, [1, 1])
    assert {each.dtype for each in merged.state_dict().values() if each.is_floating_point()} == {torch.bfloat16}
    assert merged.tied is merged[0].auto_model.embeddings.word_embeddings.weight


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"layers": 2}, "different"),
        ({"words": "abxy"}, "Tokenizer"),
        ({"pooling": "cls"}, "different configuration"),
    ],
)
def test_models_that_do_not_go_together_are_refused(other, message, tmp_path):
    with pytest.raises(ModelError, match=f"(?s)cannot be averaged.*{message}"):
        average([toy("transformer", 1, tmp_path), toy("transformer", 2, tmp_path, **other)], [1, 1])


def test_whole_numbers_are_not_averaged(tmp_path):
    import torch

    models = [toy("transformer", seed, tmp_path) for seed in (1, 2)]
    for place, model in enumerate(models):
        model.register_buffer("steps", torch.tensor([3 + place]))
    with pytest.raises(ModelError, match="whole numbers steps differ"):
        average(models, [1, 1])
    models[1].steps = torch.tensor([3])
    assert average(models, [1, 1]).steps.item() == 3


@pytest.mark.parametrize(
    ("trains", "merges", "source", "message"),
    [
        (False, False, "scratch", "random here"),
        (True, False, "package", "model.adapter.merge=true"),
        (True, True, "package", ""),
        (False, False, "hub", ""),
    ],
)
def test_a_run_without_two_whole_models_is_refused_before_training(trains, merges, source, message):
    model = SimpleNamespace(trains_adapter=trains, merges_adapter=merges)
    with pytest.raises(ConfigError, match=message) if message else nullcontext():
        check_can_be_merged("merge", model, source)


@pytest.mark.parametrize(
    ("model", "drawn"),
    [("minilm_dense", "Dense"), ("word_cnn", "CNN"), ("word_lstm", "LSTM"), ("minilm_layers", ""), ("static", "")],
)
def test_modules_that_begin_at_random_have_no_mean(model, drawn):
    node = option_of("model", model)
    message = f"those of {drawn} begin at random"
    with pytest.raises(ConfigError, match=f"{message}(.|\n)*hint: type model=minilm") if drawn else nullcontext():
        check_can_be_merged("merge", instantiate(node), "package")
    with pytest.raises(ExportError, match=message) if drawn else nullcontext() as refused:
        check_was_whole("soup", node, "package")
    assert not drawn or "hint" not in str(refused.value)


@pytest.mark.parametrize(
    ("shares", "keep", "message"),
    [
        ([], "dev", "export.merge.shares"),
        ([0.3, 1.0], "dev", "export.merge.shares"),
        ([0.3, "half"], "dev", "export.merge.shares"),
        ([0.3, 0.5], 0.4, "export.merge.keep=0.4"),
        ([0.3, 0.5], "test", "export.merge.keep=test"),
    ],
)
def test_shares_and_what_is_kept_are_checked(shares, keep, message):
    with pytest.raises(ConfigError, match=message):
        MergedWeights("merge", shares, keep)


def points(*dev):
    shares = (0, 0.3, 0.5, 0.7, 1)
    return [Point(share, value, {"difference": 0, "verdict": ""}, {}) for share, value in zip(shares, dev, strict=True)]


@pytest.mark.parametrize(
    ("dev", "keep", "kept"),
    [
        ((0.36, 0.38, 0.40, 0.403, 0.404), "dev", 0.5),  # within 0.005 of the best
        ((0.36, 0.38, 0.39, 0.395, 0.41), "dev", 1),
        ((0.36, 0.41, 0.40, 0.39, 0.38), "dev", 0.3),
        ((0.36, math.nan, 0.40, 0.39, 0.38), "dev", 0.5),
        ((0.41, 0.36, 0.35, 0.34, 0.33), "dev", 0.3),  # the untouched model is no choice: nothing would be exported
        ((0.36, 0.38, 0.40, 0.403, 0.404), 0.7, 0.7),
    ],
)
def test_the_kept_share_is_the_smallest_within_the_margin_of_the_best_on_dev(dev, keep, kept):
    assert MergedWeights("merge", [0.3, 0.5, 0.7], keep)._chosen(points(*dev), 0.005).share == kept


@pytest.mark.parametrize(
    ("runs", "recipe", "message"),
    [([], "uniform", "runs"), (["a", "a"], "uniform", "twice"), (["a"], "mean", "recipe")],
)
def test_a_soup_is_checked_before_any_model_is_loaded(runs, recipe, message):
    with pytest.raises(ConfigError, match=message):
        ModelSoup("soup", runs, recipe, "runs")


def recorded(folder, evaluated, weights="abc"):
    """The folder of a run that has finished, as far as a soup looks at it before it loads a model."""
    folder.mkdir()
    record = {"layout": LAYOUT, "evaluated": evaluated, "weights": {"base model": weights}, "id": f"id-{folder.name}"}
    (folder / RECORD).write_text(json.dumps(record))
    (folder / RESULT).write_text(json.dumps({"run": {"status": "FINISHED"}}))
    (folder / CONFIG).write_text("{}")
    return folder


def evaluator_on(name, **rows):
    return SimpleNamespace(name=name, splits=(*rows,), dataset=SimpleNamespace(fingerprints=lambda: rows))


def souped(folder, others, evaluators, recipe="uniform", model="minilm", **config):
    trained = TrainedModel(folder, folder, None, evaluators, run_folder=folder)
    trained.config = {"model": option_of("model", model), **config}
    return ModelSoup("soup", [*map(str, others)], recipe, str(folder.parent))._others(trained)


@pytest.mark.parametrize(
    ("theirs", "recipe", "message"),
    [
        ({"sts/test": "t", "sts/dev": "d"}, "greedy", ""),
        ({"sts/test": "t", "sts/dev": "other"}, "uniform", ""),
        ({"sts/test": "t", "sts/dev": "other"}, "greedy", "sts/dev"),
        ({"sts/test": "other", "sts/dev": "d"}, "uniform", "sts/test"),
        ({"sts/test": "t", "retrieval/test": "x", "general/test": "x"}, "uniform", ""),
        ({"retrieval/test": "x"}, "uniform", "sts/test"),
        ({}, "uniform", "sts/test"),
    ],
)
def test_a_soup_takes_runs_that_held_out_the_same_rows(theirs, recipe, message, tmp_path):
    own, other = recorded(tmp_path / "own", {}), recorded(tmp_path / "other", theirs)
    evaluators = [evaluator_on("sts", dev="d", test="t"), evaluator_on("general", test="g"), SimpleNamespace(name="x")]
    refused = pytest.raises(ExportError, match=rf"other was evaluated on other rows than \S*own \({message}\)")
    with refused if message else nullcontext():
        assert souped(own, [other], evaluators, recipe, guard={"general": {}}) == [other]


def test_a_run_counts_once_in_a_soup_however_it_was_named(tmp_path):
    own, other = (recorded(tmp_path / name, {}) for name in ("own", "other"))
    (tmp_path / "link").symlink_to(other)
    for named in ("id-other", f"{other}/", tmp_path / "link"):
        with pytest.raises(ExportError, match=r"names the run in .* twice"):
            souped(own, [other, named], [])
    with pytest.raises(ExportError, match="the run that is exported"):
        souped(own, ["id-own"], [])


@pytest.mark.parametrize(
    ("model", "weights", "message"), [("minilm_dense", "abc", "Dense"), ("tiny", "", "random here")]
)
def test_runs_that_did_not_begin_the_same_are_no_soup(model, weights, message, tmp_path):
    own, other = (recorded(tmp_path / name, {}, weights) for name in ("own", "other"))
    trained = TrainedModel(own, own, None, run_folder=own, config={"model": option_of("model", model)})
    with pytest.raises(ExportError, match=message):
        ModelSoup("soup", [str(other)], "uniform", str(tmp_path)).make(trained, tmp_path)


@pytest.mark.parametrize(
    ("soup", "fix"),
    [("[one,./two]", 'three,one,"./two"'), ("[one,three]", "three,one"), ("[three,one]", "")],
)
def test_the_run_that_is_exported_is_the_first_of_the_soup(soup, fix, workplace, monkeypatch):
    for name in ("one", "two", "three"):
        recorded(workplace / name, {})
    found = []
    monkeypatch.setattr("embexp.experiment.export_run._of_run", lambda folder, *_: found.append(folder.name))
    monkeypatch.setattr("embexp.experiment.export_run._deliver", lambda *_: [])
    if fix:
        with pytest.raises(ConfigError, match="is not the first run of the soup") as refused:
            export(compose(["run=three", f"soup={soup}"], "export"), {})
        assert refused.value.problems[0].fix == (f"'soup=[{fix}]'",)
        soup = f"[{fix}]"
    export(compose(["run=three", f"soup={soup}"], "export"), {})
    assert found == ["three"]


# Whole runs


def run_of(folder, base, *overrides):
    from test_run import plan_of

    from embexp.experiment.execute import execute

    made = plan_of(folder, "tracking=none", "paths.cache=null", f"model={base}/", "max_unknown_tokens=1", *overrides)
    return execute(made).content


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A saved tiny model: weights that runs begin with."""
    from test_run import plan_of

    place = tmp_path_factory.mktemp("base")
    plan = plan_of(place / "never", "tracking=none")
    model = plan.model.load(lambda: plan.stages[-1].dataset.texts("train"), place)
    model.save_pretrained(str(place / "tiny"))
    return place / "tiny"


@pytest.fixture(scope="module")
def merged(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged") / "run"
    rate = "trainer.learning_rate=0.01"
    return folder, run_of(folder, base, "merge=[0.7,0.3]", "guard=[topics_en]", rate)


@pytest.mark.slow
def test_the_end_of_a_run_draws_the_front_and_exports_a_plain_model(merged):
    import torch

    folder, result = merged
    (entry,) = result["exports"]
    assert "problem" not in entry
    front = json.loads((folder / "exports" / "merge" / "front.json").read_text())
    assert [each["share"] for each in front["points"]] == [0, 0.3, 0.7, 1]
    assert all(each["guard"] for each in front["points"])
    assert front["points"][3]["own"]["difference"] == result["primary"]["difference"]
    assert (folder / "exports" / "merge" / "front.png").is_file()
    kept = load_whole(folder / "exports" / "merge" / "model").state_dict()
    trained = load_whole(folder / "stages" / "main" / "model").state_dict()
    assert kept.keys() == trained.keys()
    if front["kept"] == 1:
        assert all(torch.equal(kept[name], trained[name]) for name in kept)
    assert result["metrics"]["export/merge/kept"] == front["kept"]


@pytest.mark.slow
def test_a_soup_of_two_seeds_is_scored_against_the_first_and_strangers_are_refused(merged, base, tmp_path):
    folder, _ = merged
    other, stranger = tmp_path / "other", tmp_path / "stranger"
    run_of(other, base, "seed=7", "guard=[topics_en]")
    shutil.copytree(base, tmp_path / "changed")
    model = load_whole(base)
    model[0].auto_model.embeddings.word_embeddings.weight.data += 1
    model.save_pretrained(str(tmp_path / "changed"))
    run_of(stranger, tmp_path / "changed")

    def mean_of(*runs):
        arguments = expand_paths([f"soup=[{','.join(map(str, runs))}]", "export.soup.recipe=greedy"][:1])
        return export(compose(arguments, "export"), {"dataset": "", "model": ""})

    (made,) = mean_of(folder, other)
    assert "the mean of 2 runs" in made.lines[0]
    assert any("topics_en/accuracy" in line for line in made.lines)
    one, two, mean = (
        load_whole(Path(each)).state_dict()
        for each in (folder / "stages/main/model", other / "stages/main/model", folder / "exports/soup/model")
    )
    name = next(name for name in mean if name.endswith("word_embeddings.weight"))
    assert numpy.allclose(mean[name], (one[name] + two[name]) / 2, atol=1e-6)
    with pytest.raises(ExportError, match="1 of 1 exports failed"):
        mean_of(folder, stranger)


def test_verdicts_of_shares_that_were_not_chosen_are_corrected():
    from embexp.evaluation.stats.seeds import Interval

    def own(low, high):
        row = {"difference": (low + high) / 2, "verdict": "better", "margin": 0.0, "low": low, "high": high}
        return row | {"interval": Interval((low + high) / 2, low, high)}

    every = [Point(share, 0.4, own(0.001, 0.02), {}) for share in (0.3, 0.5, 0.7)]
    _correct_others(every, every[1])
    assert [each.own["verdict"] for each in every] == ["undecided", "better", "undecided"]
    assert _line(every[1]) == "0.5: dev 0.4000, own test +0.0105 (better)"
