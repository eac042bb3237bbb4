"""Models that cannot read the data: the share of unknown tokens of a run's models, before training and after."""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from embexp.config.compose import BY_PATH, model_named, option_of
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import EmbexpError, Problem, listed
from embexp.evaluation.scores import Evaluator
from embexp.experiment.datasets import DataBuilder, costly_steps, is_costly, without_costly_steps
from embexp.experiment.evaluators import guard_nodes
from embexp.experiment.settings_checks import Findings, merged
from embexp.experiment.stage_config import StageConfig
from embexp.losses.spec import LossSpec
from embexp.models.tokens import (
    FEW_UNKNOWN,
    CountUnknown,
    UnknownTokens,
    models_for,
    scripts_of,
    scripts_read_by,
    unknown_by_files,
)
from embexp.protocols import BaseModel
from embexp.training.stages import StagePlan

_NAMED = 3  # most models from the Hub that are named
_SAMPLED = 2_000  # most rows of a split whose texts are looked at


def sampled_texts(dataset: EmbeddingDataset, split: str) -> list[str]:
    """The texts of at most `_SAMPLED` rows of a split, always the same ones."""
    rows = dataset.splits[split]
    if rows.num_rows > _SAMPLED:
        rows = rows.select(sorted(random.Random(0).sample(range(rows.num_rows), _SAMPLED)))
    return [*replace(dataset, splits={split: rows}).texts(split)]


def unknown_tokens(
    count: CountUnknown, stages: Iterable[StagePlan], evaluators: Iterable[Evaluator]
) -> dict[str, UnknownTokens]:
    """What a model does not know of the texts of a run, by their place: train, train/<stage>, dev/sts, test/sts."""
    found = {
        f"train/{part.name}": count(sampled_texts(part.dataset, "train")) for stage in stages for part in stage.parts
    }
    if "train/main" in found:
        found = {"train": found.pop("train/main"), **found}
    for evaluator in evaluators:
        for split in evaluator.splits:
            texts = [text for some in evaluator.texts(split).values() for text in some]
            if texts:  # those of others are not known beforehand
                found[f"{split}/{evaluator.name}"] = count(texts)
    return found


def _unknown_findings(
    found: Mapping[str, UnknownTokens],
    texts: Iterable[str],
    most: float,
    key: str,
    given: str,
    fixes: Sequence[str] = (),
    **wanted: bool,
) -> Findings:
    """An error where more than the share `most` is unknown anywhere, a warning where it is more than a few percent.

    Args:
        texts: some of them: their writing systems decide which models to name.
        key, given: of the configuration: what names the model.
        fixes: what to type first.
        wanted: of the models that are named (`models_for`).
    """
    worst = max(found.values(), key=lambda each: each.share, default=None)
    if worst is None:
        return Findings()
    scripts, read = scripts_of(itertools.islice(texts, _SAMPLED)), scripts_read_by(given)
    strange = [script for script in scripts if script not in read] if read and "any" not in read else []
    if worst.share <= FEW_UNKNOWN and not worst.unread and not strange:
        return Findings()
    if worst.share <= FEW_UNKNOWN and worst.unread:
        unread = {place: each for place, each in found.items() if each.unread}
        shown = ", ".join(f"{each.unread:,} of {each.texts:,} of {place}" for place, each in unread.items())
        example = next(iter(unread.values())).example[:60]
        return Findings(warnings=(Problem(f"knows no word of some texts ({shown}), such as {example!r}", key, given),))
    if read and not strange and not wanted.get("trained"):
        scripts = [*scripts, "other"]  # it reads the letters: what it does not know are other signs
    models = {name: hub for name, hub in models_for(scripts, **wanted).items() if name != given}
    here, far = ([name for name, hub in models.items() if hub is is_far] for is_far in (False, True))
    reads = f"a model that reads {' and '.join(scripts) or 'these signs'}"
    kinds = [*([listed(here)] if here else []), *([f"{listed(far[:_NAMED])} (from the Hub)"] if far else [])]
    shares = ", ".join(f"{each} of {place}" for place, each in found.items())
    unread = f"; of {worst.unread:,} of {worst.texts:,} texts it knows nothing" if worst.unread else ""
    text = f"does not know many tokens of the texts: {shares}{unread}"
    if worst.share <= FEW_UNKNOWN:
        text = f"is made for {listed(sorted(read))}, not for {listed(strange)}, which it may read letter by letter"
    problem = Problem(
        text,
        key,
        given,
        expected=f"{reads}: {'; '.join(kinds)}" if kinds else reads,
        fix=(*fixes, *(f"{key}={name}" for name in (*here[:1], *far[:1])), "max_unknown_tokens=1"),
    )
    return (
        Findings(errors=(problem,))
        if worst.share > most
        else Findings(warnings=(replace(problem, fix=problem.fix[:-1]),))
    )


def check_models(
    config: Mapping[str, Any],
    names: Mapping[str, str],
    model: BaseModel,
    place: Mapping[str, str],
    stages: Sequence[StagePlan],
    evaluators: Iterable[Evaluator],
) -> Findings:
    """Whether the base model, and the models that losses name, know the tokens of the texts.

    Those whose tokenizers are known only once they are loaded are left out.
    """
    parts = []
    if not is_stand_in(config, place) and (count := unknown_by_files(model, place)):
        parts.append(base_findings(unknown_tokens(count, stages, evaluators), config, names, model, stages))
    for part in (part for stage in stages for part in stage.parts):
        texts = sampled_texts(part.dataset, "train")
        for key, companion in part.loss.companions().items():
            given = str(part.loss.call[key])
            parts.append(
                findings_of(companion, f"loss.{key}", given, texts, config, needs_transformer=True, trained=True)
            )
    return merged(parts)


def check_step_models(
    config: Mapping[str, Any], stages: Sequence[StageConfig], builder: DataBuilder, base: tuple[BaseModel, str]
) -> Findings:
    """The same for the models that costly steps name, and for the base model, on the texts that these steps get.

    Args:
        base: the base model, and what it is called.
    """
    parts = []
    for stage in (each for each in stages if is_costly(each.node["dataset"])):
        node = stage.node["dataset"]
        try:
            dataset = builder.read(without_costly_steps(node), stage.dataset_name, (node["shapes"] or [None])[0])
        except EmbexpError:  # the data are reported as they are read with all steps
            continue
        texts = sampled_texts(dataset, "train") if "train" in dataset.splits else []
        named = [each for key, step in costly_steps(node) for each in _models_in(step, f"dataset.steps.{key}")]
        for key, given in named:
            fixes = [f"{group}=bm25" for group in ("negatives", "silver") if key.startswith(f"dataset.steps.{group}.")]
            is_retriever = "retriever" in key
            parts.append(
                findings_of(_model(given), key, given, texts, config, fixes if is_retriever else (), trained=True)
            )
        parts.append(
            findings_of(base[0], "model", base[1], texts, config, needs_transformer=_needs_transformer([stage.spec]))
        )
    return merged(parts)


def evaluation_warnings(found: Mapping[str, UnknownTokens], name: str, texts: Iterable[str]) -> tuple[Problem, ...]:
    """What to say of a model that is scored without training: the same, but nothing is refused."""
    return _unknown_findings(found, texts, 1.0, "model", name).warnings


UNKNOWN = "data/unknown_tokens"  # begins the names of metrics


def base_findings(
    found: Mapping[str, UnknownTokens],
    config: Mapping[str, Any],
    names: Mapping[str, str],
    model: BaseModel,
    stages: Sequence[StagePlan],
) -> Findings:
    """What the counts of the base model mean for a run."""
    parts = [part for stage in stages for part in stage.parts]
    texts = [text for part in parts for text in sampled_texts(part.dataset, "train")]
    trained = model.trains_adapter or model.locate()["source"] == "scratch"  # another from scratch has the same texts
    wanted = {"needs_transformer": _needs_transformer(part.loss for part in parts), "trained": trained}
    guard = {place: each for place, each in found.items() if place.partition("/")[2] in guard_nodes(config)}
    own = {place: each for place, each in found.items() if place not in guard}
    name = base_name(config, names)
    findings = _unknown_findings(own, texts, _most(config), "model", name, **wanted)
    return replace(findings, warnings=(*findings.warnings, *_unread_guards(guard, name)))


def _unread_guards(found: Mapping[str, UnknownTokens], model: str) -> Iterator[Problem]:
    """A warning of the guard's tasks that the model cannot read; nothing is refused for them."""
    unread = {place.partition("/")[2]: each for place, each in found.items() if each.share > FEW_UNKNOWN or each.unread}
    if unread:
        shares = ", ".join(f"{each} of {name}" for name, each in unread.items())
        text = f"has tasks that model={model} hardly reads ({shares}): what it loses or gains there says little"
        fix = ("guard=general_en",) if any(name.endswith("_zh") for name in unread) else ()
        yield Problem(text, "guard", expected="tasks in a language of the model", fix=fix)


def is_stand_in(config: Mapping[str, Any], place: Mapping[str, str]) -> bool:
    """Whether other weights stand in for those of the model (trainer=smoke): whatever they read, no score counts."""
    node = config["model"].get("base") or config["model"].get("source") or config["model"]
    return bool(node.get("stand_in")) and place["id"] != (node.get("path") or node.get("id"))


def base_name(config: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """What is typed for the base model: its option, folder or Hub id."""
    return config["model"].get("path") or names["model"].partition("+")[0]


def findings_of(
    model: BaseModel,
    key: str,
    given: str,
    texts: Sequence[str],
    config: Mapping[str, Any],
    fixes: Sequence[str] = (),
    **wanted: bool,
) -> Findings:
    """Whether a model knows the tokens of some texts; nothing where only loading it shows that.

    Args:
        key, given: of the configuration: what names the model.
        fixes: what to type first.
        wanted: of the models that are named (`models_for`).
    """
    try:
        count = unknown_by_files(model, model.locate())
    except EmbexpError:  # is reported where the model is found
        return Findings()
    found = {"train": count(texts)} if count else {}
    return _unknown_findings(found, texts, _most(config), key, given, fixes, **wanted)


def _most(config: Mapping[str, Any]) -> float:
    return config.get("max_unknown_tokens", 1)  # runs of before had no limit


def _needs_transformer(losses: Iterable[LossSpec]) -> bool:
    return any(
        loss.needs.transformer or "gradient_cache" in loss.traits or (loss.modifier and loss.modifier.needs.transformer)
        for loss in losses
    )


def _models_in(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """The models that a step names, each with its key: encoders and teachers by `model`, cross-encoders by `path`."""
    if isinstance(node, Mapping):
        own = "path" if str(node.get("_target_")).endswith(".CrossEncoderScorer") else "model"
        for key, value in node.items():
            if key == own and isinstance(value, str):
                yield f"{place}.{key}", value
            else:
                yield from _models_in(value, f"{place}.{key}")


def _model(name: str) -> BaseModel:
    """A model by what a step calls it; what is no option is a folder or an id."""
    try:
        return model_named("model", name)
    except EmbexpError:
        return model_named("model", option_of("model", BY_PATH) | {"path": name})
