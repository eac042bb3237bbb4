"""Every loss on data of every shape, right and faulty: it trains on what its documentation lists or is refused in time.

A combination is planned from a JSONL file as a run is. What a plan lets through is trained for a step, once for each
loss and converted shape; what it refuses must name the column or the shape, and what to type, before a model is loaded.
"""

import copy
import functools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from shaped_rows import CLASSES, NUM_ROWS, NUMBERS, OTHERS, RIGHT, STRANGERS, TEXTS, write_rows

from embexp.config.compose import compose
from embexp.config.session import conf_dir
from embexp.data.shapes import SHAPES
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.models.scratch import ScratchModel
from embexp.steps.conversions.convert import route
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.stage import train_stage

LOSSES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml"))
# Inputs and labels in the documentation of sentence-transformers 6.2 or of our own losses, in our shapes; twin_text are
# pairs as SimCSE has.
DOCUMENTED = {
    "angle": {"scored_pair", "triplet"},
    "batch_all": {"labelled_text"},
    "batch_hard": {"labelled_text"},
    "batch_hard_soft_margin": {"labelled_text"},
    "batch_semi_hard": {"labelled_text"},
    "cached_gist": {"positive_pair", "triplet"},
    "cached_mnrl": {"positive_pair", "triplet"},
    "contrastive": {"binary_pair"},
    "contrastive_tension": {"twin_text"},
    "contrastive_tension_in_batch": {"text"},
    "cosent": {"scored_pair"},
    "cosine": {"scored_pair"},
    "diffcse": {"twin_text"},
    "distill_kl": {"scored_triplet"},
    "embed_distill": {"embedded_text"},
    "gist": {"positive_pair", "triplet"},
    "info_nce": {"positive_pair", "triplet"},
    "margin_mse": {"scored_triplet"},
    "mega_batch": {"positive_pair"},
    "mnrl": {"positive_pair", "triplet"},
    "mse": {"embedded_text"},
    "online_contrastive": {"binary_pair"},
    "own_negatives": {"triplet"},
    "simcse": {"twin_text"},
    "simcse_sup": {"triplet"},
    "softmax": {"class_pair", "binary_pair"},
    "triplet": {"triplet"},
    "tsdae": {"noised_text"},
}
# One loss for each set of shapes; of them the default lane has those with a label of each kind and one without any.
ONE_OF_A_KIND = {frozenset(shapes): loss for loss, shapes in sorted(DOCUMENTED.items(), reverse=True)}.values()
IN_DEFAULT_LANE = {"batch_all", "cosent", "mnrl", "softmax"}
LANES = {each: pytest.mark.slow if each in ONE_OF_A_KIND else pytest.mark.matrix for each in LOSSES}
EACH_LOSS = [pytest.param(each, marks=() if each in IN_DEFAULT_LANE else LANES[each]) for each in LOSSES]
# One value that does not belong into a label of that kind, under what it is called.
ODD_LABELS = {
    "score": {"0 to 5": 4.0, "negative": -0.5, "NaN": math.nan, "null": None, "text": "very similar", "list": [0.5]},
    "binary": {"out of range": 2, "negative": -3, "a float": 0.5, "NaN": math.nan, "null": None, "text": "odd"},
    "class": {"out of range": 3, "negative": -3, "a float": 0.5, "NaN": math.nan, "null": None, "text": "odd"},
    "scores": {"too long": [0.5] * 3, "empty": [], "NaN": [math.nan, 0.1], "null": None, "text": "odd", "a float": 0.5},
    "embedding": {
        "too long": [0.5] * 4,
        "empty": [],
        "NaN": [math.nan] * 3,
        "null": None,
        "text": "odd",
        "a float": 1.0,
    },
}
# What to type, or the row to look at.
FIX = re.compile(r"Expected|Type |type |Choose|Name |Losses that fit|give |\.jsonl:\d+: ")


def faulty_columns(shape: str):
    """Columns with one fault each, by the name of the fault and the column that has it."""
    columns, label = RIGHT[shape], SHAPES[shape].label
    first, *_, last = [column for column in columns if column != label] * 2
    yield f"{first} ids", first, columns | {first: [f"{number:032x}" for number in NUMBERS]}
    yield f"{first} missing", first, {name: values for name, values in columns.items() if name != first}
    yield f"{last} null", last, columns | {last: [*columns[last][:-1], None]}
    if label:
        yield f"{label} missing", label, {name: values for name, values in columns.items() if name != label}
        for name, value in ODD_LABELS[SHAPES[shape].label_kind].items():
            yield f"{label} {name}", label, columns | {label: [value, *columns[label][1:]]}
        if SHAPES[shape].label_kind in ("score", "binary", "class"):
            yield f"{label} constant", label, columns | {label: [1] * NUM_ROWS}
        if shape == "scored_triplet":
            yield f"{label} margins", label, columns | {label: [[number / 20] for number in NUMBERS]}


FAULTS = [(shape, *fault) for shape in SHAPES for fault in faulty_columns(shape)]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder with scored pairs to evaluate on, where the runs of this file go."""
    folder = tmp_path_factory.mktemp("workshop")
    write_rows(folder / "judged" / "dev.jsonl", RIGHT["scored_pair"])
    return folder


@pytest.fixture(scope="module")
def tiny_model(workshop):
    """The one model of this file, never trained itself."""
    import torch

    torch.set_num_threads(1)
    scratch = ScratchModel(num_layers=1, hidden_size=16, num_heads=2, vocabulary_size=100, max_seq_length=16)
    model = scratch.load(lambda: [*TEXTS, *OTHERS, *STRANGERS], workshop)
    model.save_pretrained(str(workshop / "guide"))
    return model


@functools.cache
def config_of(loss: str):
    """A tiny run with that loss, composed once; the data are put in later."""
    tiny = ["model=tiny", "trainer=smoke", "tracking=none", "threads=1", "trainer.max_steps=1", "evaluator=[sts]"]
    config = compose([f"loss={loss}", *tiny, "dataset=file", "dataset.reader.path=x.jsonl", "trainer.eval_strategy=no"])
    OmegaConf.set_struct(config, False)
    config.dataset.steps = {}
    return config


def plan_of(loss: str, shape: str, columns: dict[str, list], workshop: Path, name: str):
    """The plan of a run on these columns, declared to be of that shape."""
    path = workshop / "data" / shape / f"{name.replace(' ', '_')}.jsonl"
    if not path.exists():
        write_rows(path, columns)
    config = copy.deepcopy(config_of(loss))
    config.dataset.shapes = [shape]
    config.dataset.reader.path = str(path)
    config.dataset.reader.label_names = CLASSES if SHAPES[shape].label_kind == "class" else []
    if "guide" in config.loss:  # one that is quick to find and to load
        config.loss.guide = {"_target_": "embexp.models.pretrained.PretrainedModel", "path": str(workshop / "guide")}
    config.evaluator.sts.dataset = {
        "shapes": ["scored_pair"],
        "reader": {**config.dataset.reader, "path": str(workshop / "judged"), "label_names": []},
        "steps": {},
    }
    choices = {"dataset": "file", "model": "tiny", "loss": loss, "modifier": "none", "trainer": "smoke"}
    return plan_run(config, choices, workshop / "run")


def names_one_of(message: str, *names: str) -> bool:
    return any(re.search(rf"\b{name}\b", message) for name in names)


TRAINED: set[tuple[str, str]] = set()


def train_once(stage, model, workshop: Path) -> None:
    """One step, unless that loss was trained on data of that shape before."""
    if (stage.loss.name, stage.dataset.shape.name) in TRAINED:
        return
    TRAINED.add((stage.loss.name, stage.dataset.shape.name))
    folder = workshop / f"{stage.loss.name}_{stage.dataset.shape.name}"
    with Journal(folder, NullTracker()).open("a step", None) as journal:
        result = train_stage(
            replace(stage, folder=folder / "stage"), copy.deepcopy(model), None, "dev/sts/none", journal, seed=1
        )
    assert result.num_steps == 1
    (metrics,) = [line["metrics"] for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())][:1]
    assert math.isfinite(metrics["train/loss"])


def outcome_of(loss: str, shape: str, columns: dict[str, list], workshop: Path, model, name: str) -> tuple[str, str]:
    """("trained", converted shape) or ("refused", message); whatever else happens fails the test."""
    try:
        plan = plan_of(loss, shape, columns, workshop, name)
    except EmbexpError as error:
        return "refused", str(error)
    (stage,) = plan.stages
    converted = [report.step for report in stage.dataset.history if report.step.startswith("convert ")]
    assert bool(converted) == (stage.dataset.shape.name != shape)
    train_once(stage, model, workshop)
    assert stage.dataset.shape.name in DOCUMENTED[stage.loss.name], (loss, shape, name)
    return "trained", stage.dataset.shape.name


@functools.cache
def faults_that_reach(loss: str) -> list[tuple]:
    """The faults in data that a loss's run would read; where no way leads from the shape, it reads none."""
    accepted = tuple(DOCUMENTED.get(loss, SHAPES))
    ways = {shape for shape in SHAPES if route([shape], accepted)}
    return [fault for fault in FAULTS if fault[0] in ways]


def test_the_table_covers_every_loss_and_every_shape():
    assert set(DOCUMENTED) | {"auto"} == set(LOSSES)
    assert set(RIGHT) == set(SHAPES)
    assert len(SHAPES) == 12
    num_faulty = sum(len(faults_that_reach(loss)) for loss in LOSSES)
    assert len(LOSSES) >= 28
    assert num_faulty >= 1000
    assert set(LOSSES) - set(ONE_OF_A_KIND)


@pytest.mark.slow
def test_the_shapes_that_a_loss_accepts_are_those_of_its_documentation():
    accepted = {loss: set(config_of(loss).loss._accepts_) for loss in DOCUMENTED}
    assert accepted == DOCUMENTED


@pytest.mark.parametrize("loss", EACH_LOSS)
def test_a_loss_trains_on_right_data_of_a_documented_shape_or_is_refused(loss, workshop, tiny_model):
    for shape, columns in RIGHT.items():
        kind, what = outcome_of(loss, shape, columns, workshop, tiny_model, "right")
        if loss == "auto" or shape in DOCUMENTED[loss]:
            assert kind == "trained", (shape, what)
        elif kind == "refused":
            assert names_one_of(what, shape, *columns), (shape, what)
            assert FIX.search(what), (shape, what)


@pytest.mark.parametrize("loss", EACH_LOSS)
def test_a_loss_refuses_faulty_data_and_names_the_column_or_the_shape(loss, workshop, tiny_model):
    for shape, name, column, columns in faults_that_reach(loss):
        kind, what = outcome_of(loss, shape, columns, workshop, tiny_model, name)
        if kind == "refused":
            assert names_one_of(what, shape, column), (shape, name, what)
            assert FIX.search(what), (shape, name, what)
        else:  # a conversion left the faulty column behind, or put ids among texts, which is a warning
            reads_margins = loss in ("margin_mse", "auto") and name == "label margins"
            assert what != shape or reads_margins, (shape, name)
            assert "ids" not in name or what in ("text", "twin_text", "noised_text"), (shape, name, what)
