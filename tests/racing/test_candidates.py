"""The candidates of a race: typed, of a YAML, and by the shape and the writing of the data."""

import csv
import json

import pytest
from omegaconf import OmegaConf

from embexp.config.compose import composed
from embexp.config.session import hydra_started, option_files
from embexp.data.readers import read_files
from embexp.errors import ConfigError, EmbexpError
from embexp.experiment.datasets import DataBuilder
from embexp.inspection.suggestions import row_of
from embexp.racing.candidates import candidates_of
from embexp.racing.data import RaceData, default_space
from embexp.racing.folder import RACE, _race_folder, race_key
from embexp.racing.space import Dimension, in_order, read_typed, shown, space_of, typed_space
from embexp.steps.conversions.conversion import default_settings

QUESTIONS = [f"Where does the {place} ferry to {isle} land?" for place in ("north", "south") for isle in "abcdefghij"]
ANSWERS = [f"The ferry of question {number} lands at pier {number}." for number in range(len(QUESTIONS))]
PAIRS = [*zip(QUESTIONS, ANSWERS, strict=True)]
DEFAULT = OmegaConf.to_container(OmegaConf.load(option_files("race")["default"]))


@pytest.fixture(autouse=True)
def started(workplace):  # noqa: ARG001
    """Hydra, as a command has started it, and data of several kinds."""
    tables = {
        "ferries.csv": [("question", "answer"), *PAIRS],
        "graded.csv": [("sentence1", "sentence2", "score"), *((*pair, 1 / (1 + at)) for at, pair in enumerate(PAIRS))],
        "intents.csv": [("text", "label"), *((question, question.split()[3]) for question in QUESTIONS)],
        "渡轮.csv": [("question", "answer"), *((f"第{at}号渡轮停靠在哪里", f"停靠在第{at}号码头") for at in range(20))],
    }
    for name, rows in tables.items():
        with open(name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    with open("triplets.jsonl", "w", encoding="utf-8") as file:
        for question, answer in PAIRS:
            row = {"anchor": question, "positive": answer, "negative": ANSWERS[0]}
            file.write(json.dumps(row) + "\n")
    for name, negatives in {"ranked.jsonl": ANSWERS[:2], "positives.jsonl": []}.items():
        with open(name, "w", encoding="utf-8") as file:
            for question, answer in PAIRS[2:]:
                file.write(json.dumps({"query": question, "pos": [answer], "neg": negatives}) + "\n")
    with open("texts.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(ANSWERS))
    with hydra_started():
        yield


def race(*typed):
    """The names of a race's candidates, the candidates, and what was left out."""
    overrides = typed_space(typed)
    found, reasons = candidates_of(composed(overrides, "race")[0], overrides)
    return [each.name for each in found], found, reasons


def data_of(name):
    dataset = read_files(path=name, name=name, shape=None)
    return RaceData({}, dataset, [dataset.shape.name], DataBuilder(default_settings(), None))


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("ferries.csv", ["mnrl", "info_nce"]),
        ("graded.csv", ["cosent", "angle", "cosine"]),
        ("intents.csv", ["batch_hard_soft_margin", "batch_all", "batch_semi_hard"]),
        ("triplets.jsonl", ["mnrl", "triplet", "info_nce"]),
        ("ranked.jsonl", ["mnrl", "triplet", "info_nce"]),
        ("positives.jsonl", ["mnrl", "info_nce"]),  # without negatives there are no triplets
        ("texts.txt", ["contrastive_tension_in_batch", "simcse", "tsdae"]),
    ],
)
def test_the_losses_of_a_shape_begin_with_the_one_of_loss_auto_and_need_nothing_else(name, losses):
    data = data_of(name)
    assert data.losses() == losses
    assert losses[0] == row_of(data.shapes[0], ())["loss"]


def test_models_that_are_not_here_or_cannot_read_the_texts_are_passed_over(monkeypatch):
    chinese, english = data_of("渡轮.csv"), data_of("ferries.csv")
    monkeypatch.setattr("embexp.models.tokens._is_here", lambda weights: "all-MiniLM" in weights["id"])
    prior = ["static_scratch", "static", "minilm", "bge_small_zh", "bge_small_en"]
    assert english.models(prior, downloads=False) == (["static", "minilm"], ["bge_small_zh", "bge_small_en"])
    assert chinese.models(prior, downloads=False) == (["static_scratch"], ["bge_small_zh"])
    assert chinese.models(prior, downloads=True) == (["bge_small_zh"], [])
    space, passed_over = default_space(chinese, DEFAULT)
    assert [each.key for each in space] == ["loss", "model", "trainer.learning_rate"]
    assert space[1].values == ("static_scratch",)
    assert "race.downloads=true" in passed_over[0]


def test_losses_that_need_a_transformer_are_not_proposed_without_one():
    data = data_of("texts.txt")
    space, _ = default_space(data, {**DEFAULT, "models": ["static_scratch"]})
    assert space[0].values == ("contrastive_tension_in_batch",)


def test_the_candidates_come_by_themselves_each_at_its_models_learning_rate():
    typed = ("dataset=渡轮.csv", "race.models=[static_scratch]", "race.max_candidates=3", "seed=7", "budget=5m")
    names, found, _ = race(*typed)
    assert names == ["mnrl 0.1", "info_nce 0.1", "mnrl 0.3"]
    assert [each.number for each in found] == [0, 1, 2]
    dataset, path, *own = found[1].overrides
    assert (dataset, path) == ("dataset=file", 'dataset.reader.path="渡轮.csv"')
    assert own == ["loss=info_nce", "model=static_scratch", "trainer.learning_rate=0.1"]  # no seed, no budget
    assert found[1].model == ("model=static_scratch",)


def test_what_is_typed_takes_the_place_of_the_default_and_what_cannot_be_is_left_out_with_its_reason():
    typed = ("dataset=ferries.csv", "loss=contrastive,mnrl,info_nce", "model=tiny", "trainer.learning_rate=1e-4")
    names, found, reasons = race(*typed, "loss.scale=20,40")
    assert names == ["scale=20", "scale=40"]
    assert "contrastive scale=20, contrastive scale=40: loss=contrastive accepts binary_pair" in reasons[0]
    assert reasons[1].startswith("info_nce scale=20, info_nce scale=40: loss.scale is not a key")
    assert "model=tiny" in found[0].overrides
    assert "loss=contrastive" not in found[0].overrides


def test_a_race_of_one_has_the_names_of_its_loss_and_its_model():
    typed = ("dataset=ferries.csv", "loss=info_nce", "model=tiny", "trainer.learning_rate=3e-5")
    names, found, reasons = race(*typed)
    assert names == ["info_nce tiny"]
    assert found[0].overrides[2:] == typed[1:]
    assert reasons == []


def test_a_yaml_is_a_space_and_more_combinations_than_wanted_are_counted():
    typed = ("dataset=intents.csv", "race=losses", "model=static_scratch", "race.max_candidates=2")
    names, _, reasons = race(*typed)
    assert names == ["batch_hard_soft_margin", "batch_all"]
    (rest,) = reasons
    assert rest.endswith("less promising combinations: the race has its race.max_candidates=2")


def test_a_path_among_the_models_is_no_key_of_the_others(monkeypatch):
    monkeypatch.setattr(RaceData, "refuse_model", lambda *_: None)
    names, found, _ = race("dataset=ferries.csv", "loss=mnrl", "model=my/model,tiny", "race.learning_rates=[]")
    assert names == ["my/model", "tiny"]
    assert found[0].model == ("model=pretrained", "model.path=my/model")
    assert found[1].model == ("model=tiny",)


def test_a_model_that_cannot_read_the_texts_does_not_race():
    names, _, reasons = race("dataset=渡轮.csv", "loss=mnrl", "model=minilm,static_scratch", "race.learning_rates=[]")
    assert names == ["mnrl static_scratch"]
    assert [each.partition(":")[0] for each in reasons] == ["minilm"]
    assert "does not know many tokens of the texts" in reasons[0]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["loss=mnrl,mnlr"], r"loss/mnlr"),
        (["loss=cosent,cosine"], r"(?s)2 things do not fit.*loss=cosent accepts.*So cosent cannot race.*loss=cosine"),
        (["loss=cosent"], r"^loss=cosent accepts scored_pair"),
        (["loss=mnrl", "loss.scal=10,20"], r"loss\.scal"),
        (["race.max_candidates=0", "race.rungs=[0.5]"], r"(?s)race\.max_candidates=0.*race\.rungs=\[0\.5\]"),
        (["race.space={loss: mnrl}"], r"race\.space=.* cannot be read"),
    ],
)
def test_a_race_without_candidates_is_refused_as_other_commands_refuse_it(typed, message):
    with pytest.raises(Exception, match=message):
        race("dataset=ferries.csv", "model=tiny", *typed)


def test_one_multiple_of_the_learning_rate_is_each_models_own():
    names, found, _ = race("dataset=ferries.csv", "loss=mnrl,info_nce", "model=tiny", "trainer.learning_rate=3x")
    assert names == ["mnrl", "info_nce"]
    rates = [each.rpartition("=")[2] for one in found for each in one.overrides if "learning_rate" in each]
    assert len(rates) == 2
    assert all(float(rate) > 0 for rate in rates)


@pytest.mark.parametrize(
    "typed", ["rungs=5", "rungs=0.5", "rungs=all", "models=7", "models=tiny", "learning_rates=0.1"]
)
def test_one_value_in_place_of_a_list_is_refused_with_a_list_that_works(typed):
    common = ("dataset=ferries.csv", "loss=mnrl,info_nce", "model=tiny")
    with pytest.raises(ConfigError, match=r"Expected a list\.") as refusal:
        race(*common, f"race.{typed}")
    (fix,) = refusal.value.problems[0].fix
    assert race(*common, fix)[0]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("trainer.learning_rate=interval(1e-5, 1e-3)", "embexp.tune searches an interval"),
        ("trainer.learning_rate=tag(log, interval(1e-5, 1e-3))", "embexp.tune searches an interval"),
        ("a=range(3, 3)", "a=range(3, 3) holds no values"),
        ("seed=1,2", "race.seeds=<number>"),
        ("evaluator=sts,retrieval", "candidates that are measured differently cannot be compared"),
        ("+dataset@test=stsb,finance", "candidates that are measured differently"),
        ("race.alpha=0.1,0.2", "race.alpha=0.1,0.2 cannot be raced: it changes no result"),
    ],
)
def test_what_cannot_be_raced_is_refused(typed, message):
    with pytest.raises(ConfigError) as refusal:
        read_typed([typed])
    assert message in str(refusal.value)


@pytest.mark.parametrize("typed", [["-m", "loss=a,b"], ["loss=mnrl,cosent", "loss=angle"], ["loss=a,b", "loss=c,d"]])
def test_a_multirun_and_a_key_that_is_typed_twice_are_refused(typed):
    with pytest.raises(ConfigError, match=r"was typed"):
        typed_space(typed)


def test_typed_values_keep_their_order():
    assert read_typed(["loss=mnrl,cosent,mnrl", "+a=range(1,4)"]) == [
        Dimension("loss", ("mnrl", "cosent")),
        Dimension("+a", ("1", "2", "3")),
    ]
    space = [Dimension("a", ("x", "y", "z")), Dimension("b", ("1", "2"))]
    assert [*in_order(space)] == [("x", "1"), ("y", "1"), ("x", "2"), ("z", "1"), ("y", "2"), ("z", "2")]
    assert [*in_order([])] == [()]


def test_every_space_that_is_ready_can_be_read():
    names = [name for name in option_files("race") if name != "default"]
    assert len(names) == 3
    for name in names:
        config = composed([f"race={name}"], "race")[0]
        (dimension,) = space_of(OmegaConf.to_container(config.race, resolve=True)["space"])
        known = option_files(dimension.key)
        assert not known or {*dimension.values} <= {*known}
    assert {*DEFAULT["models"]} <= {*option_files("model")}


def test_names_of_candidates_say_what_differs():
    assert shown(["model=pretrained", 'model.path="模型/a b"', "model/adapter=none"]) == "模型/a b adapter=none"


def test_the_folder_of_a_race_is_found_again_with_another_budget(workplace):
    folder = workplace / "races" / "2026-01-01" / "12-00-00"
    folder.mkdir(parents=True)
    (folder / RACE).write_text(json.dumps({"key": race_key(["loss=mnrl", "budget=5m"])}))
    assert _race_folder(["budget=1h", "loss=mnrl"], "races", "fresh") == "races/2026-01-01/12-00-00"
    assert _race_folder(["loss=cosent"], "races", "fresh") == "races/fresh"


def test_what_is_left_out_of_the_data_ends_the_race():
    with pytest.raises(EmbexpError, match="nowhere"):
        race("dataset=nowhere.csv")
