"""What a model's YAML says to the plan of a run: prompts for its texts, a licence, a learning rate that suits it."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from embexp.data.dataset import EmbeddingDataset, Prompts
from embexp.errors import Problem, as_typed, listed
from embexp.evaluation.scores import Evaluator
from embexp.experiment.settings_checks import Findings, named, of_rows, usual_learning_rate
from embexp.models.prompts import CLASSIFICATION, CLUSTERING, SEARCH, SIMILARITY
from embexp.protocols import BaseModel
from embexp.training.stages import StagePlan

logger = logging.getLogger(__name__)
_Node = Mapping[str, Any]


def task_of(evaluators: Mapping[str, _Node] | None) -> str:
    """The kind of task that the first evaluator has: search, similarity, classification or clustering.

    It decides which prompts a model gets by itself; training has the same ones.
    """
    node = next((each for each in (evaluators or {}).values() if each), {})
    target, reads = str(node.get("_target_")), node.get("_reads_") or ()
    if "ranked" in reads:
        return SEARCH
    if "labelled_text" in reads:
        return CLUSTERING if "clustering" in target else CLASSIFICATION
    return SIMILARITY


def model_prompts(model: BaseModel, evaluators: Mapping[str, _Node] | None) -> Prompts | None:
    """What the base model wants before texts of this task; None where it wants nothing, or leaves it to its files.

    Raises:
        ConfigError: no prompt is known to go with the task.
    """
    find = getattr(model, "prompts_for", None)
    return find(task_of(evaluators)) if find else None


def prompted(dataset: EmbeddingDataset, prompts: Prompts | None) -> EmbeddingDataset:
    """The data set with a model's prompts, unless it brings prompts of its own."""
    if prompts is None or dataset.prompts.named:
        return dataset
    return replace(dataset, prompts=replace(prompts, in_text=dataset.prompts.in_text))


def prompted_stage(stage: StagePlan, prompts: Prompts | None) -> StagePlan:
    """The stage, or the part of a mixture, with a model's prompts before its texts."""
    return replace(stage, dataset=prompted(stage.dataset, prompts)) if prompts else stage


def prompted_evaluators(evaluators: Iterable[Evaluator], prompts: Prompts | None) -> tuple[Evaluator, ...]:
    """The evaluators, which put a model's prompts before their texts unless their data bring prompts."""
    if prompts is None:
        return tuple(evaluators)
    return tuple(each.with_prompts(prompts) if hasattr(each, "with_prompts") else each for each in evaluators)


def prompt_findings(dataset: EmbeddingDataset, prompts: Prompts | None) -> Findings:
    """What is wrong with prompts: texts that begin with theirs already, prompts of the model and of the data.

    Args:
        dataset: with the prompts that its texts will get.
        prompts: the model's.
    """
    errors, warnings = [], []
    own = dataset.prompts.named
    if prompts and own and {*own.values()} != {*prompts.named.values()}:
        text, given = "has no effect: the data bring prompts of their own", dict(prompts.named)
        expected = f"one of the two; the data have {listed(repr(each) for each in own.values())}"
        warnings.append(Problem(text, "model.prompts", given, expected, fix=("model.prompts=null", "step=[]")))
    for column, begun, total, example in _begun(dataset):
        of_model = prompts is not None and {*own} == {*prompts.named}
        problem = Problem(
            f"{named(column, dataset)}: {of_rows(begun, total)} begin with a prompt already, such as {example[:60]!r}, "
            f"and would get {dataset.prompts.prompt_for(column)!r} before it",
            expected="each prompt once",
            fix=("model.prompts=null" if of_model else "~dataset.steps.prompts",),
        )
        (errors if begun >= total / 2 else warnings).append(problem)
    return Findings(tuple(errors), tuple(warnings))


_SAMPLED = 2_000  # rows whose texts are looked at
_NOTICED = 0.05  # share of the rows from which on a prompt in the text is worth a warning


def _begun(dataset: EmbeddingDataset) -> Iterator[tuple[str, int, int, str]]:
    """Columns that get a prompt although texts begin with one: how many do, of how many, and one of them."""
    starts = tuple({text.strip() for text in dataset.prompts.named.values() if len(text.strip()) > 1})
    rows = dataset.splits["train"].select(range(min(_SAMPLED, dataset.splits["train"].num_rows)))
    for column in dataset.text_columns if starts else ():
        if not dataset.prompts.prompt_for(column):
            continue
        texts = [each for value in rows[column][:] for each in (value if isinstance(value, list) else [value])]
        found = [text for text in texts if text and text.lstrip().startswith(starts)]
        if len(found) > _NOTICED * len(texts):
            yield column, len(found), len(texts), found[0]


_OPEN = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0")
_FAR = 10  # times the rate that suits a model, or a part of it, from which on it is worth a warning


def preset_warnings(config: _Node, name: str, place: Mapping[str, str]) -> Iterator[Problem]:
    """Licences that forbid something, weights that are given to some only, and a rate far from what suits the model.

    A licence that allows all is in the log, before anything is fetched.
    """
    model = config["model"]
    weights = next((model[key] for key in ("base", "source") if isinstance(model.get(key), Mapping)), model)
    is_far, licence, page = place.get("source") == "hub", weights.get("_licence_"), weights.get("_source_")
    if licence and not weights.get("path"):
        if licence not in _OPEN:
            forbids = ", which forbids commercial use" if "-nc" in licence else ", with terms of its own"
            text = f"has the licence {licence}{forbids}: {page}"
            yield Problem(f"{text}. A model that is trained from it is bound by it, too", "model", name)
        elif is_far:
            logger.info("model=%s is fetched from the Hub once (licence %s): %s", name, licence, page)
        if weights.get("_gated_") and is_far:
            text = "is given only to those who have accepted its licence"
            expected = f"it accepted on {page}, and a token of that account"
            yield Problem(text, "model", name, expected, fix=("hf auth login", "model.path=<folder>"))
    yield from _rate_warnings(config, name)


def _rate_warnings(config: _Node, name: str) -> Iterator[Problem]:
    usual, rate = usual_learning_rate(config["model"]), config["trainer"].get("learning_rate")
    if not usual or not isinstance(rate, int | float) or usual / _FAR <= rate <= _FAR * usual:
        return
    side, risk = ("above", "may forget what it can") if rate > usual else ("below", "may hardly change")
    adapter = config["model"].get("adapter")
    whose = "adapter of the model" if isinstance(adapter, Mapping) and adapter.get("_learning_rate_") else "model"
    text = f"is far {side} {usual:g}, which suits the {whose} {name}: it {risk}"
    fix = (f"trainer.learning_rate={as_typed(usual)}",)
    yield Problem(text, "trainer.learning_rate", rate, f"about {usual:g}", fix=fix)
