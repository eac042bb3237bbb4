"""The model card: the run's numbers, data and settings as the Hub reads them, without this machine's folders."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.session import shell_command
from embexp.core.escaping import as_markdown_block, as_markdown_code, as_markdown_text
from embexp.core.run_folder import write_text
from embexp.exports.delivery import is_local, public, without_folders
from embexp.losses.catalogue import citations_of, class_name
from embexp.reports.tables import loss_name
from embexp.reports.verdict_words import in_words

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TEMPLATE = Path(__file__).with_name("model_card.md")
CARD = "README.md"
_UNLICENSED = (
    "Nobody has chosen a license yet. The licenses of the training data and of the base model decide which ones are "
    "possible: read both before you share this model, then state one in the first lines of this file."
)


@dataclass(frozen=True)
class Sharing:
    """What only a person can decide: repository, license, languages, and rows to show."""

    repo: str | None = None
    license: str | None = None
    data_license: str | None = None
    languages: Sequence[str] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    license_name: str | None = None
    license_link: str | None = None


def write_card(
    folder: Path,
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    run_folder: Path | None = None,
    sharing: Sharing | None = None,
) -> Path:
    """Write the card into a model's folder, replacing the one of sentence-transformers."""
    path = folder / CARD
    saved = {file: folder / f"{file}.json" for file in ("modules", "config_sentence_transformers")}
    known = {file: json.loads(each.read_text(encoding="utf-8")) for file, each in saved.items() if each.is_file()}
    write_text(path, _model_card(result, config, run_folder, sharing or Sharing(), known) + "\n")
    return path


def _model_card(
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    run_folder: Path | None,
    sharing: Sharing,
    saved: Mapping[str, Any] | None = None,
) -> str:
    """The card's text: checked metadata for the Hub, then the table, data, training and license for people.

    Args:
        result: the run's result.json.
        config: its resolved configuration.
        run_folder: with the command in `.hydra/overrides.yaml`.
        saved: the saved model's own files, by their names without `.json`.
    """
    from huggingface_hub import ModelCard

    choices = result["choices"]
    license = f"{sharing.license_name} ({sharing.license_link})" if sharing.license_name else sharing.license
    of_data = f"License of the training data: {sharing.data_license or 'not stated'}."
    tags = result["tags"]
    versions = [f"{key[8:]} {tags[key]}" for key in sorted(tags) if key[:8] == "version." and key != "version.embexp"]
    base, base_line = _base_facts(result, config["model"])
    losses, settings = _losses_of(result, config), config["trainer"].items()
    card = ModelCard.from_template(
        _card_data(result, config, sharing, losses),
        template_path=str(_TEMPLATE),
        **{"md": as_markdown_text, "code": as_markdown_code, "block": as_markdown_block, "quoted": json.dumps},
        title=_title(result, sharing),
        base=base,
        base_facts=base_line,
        adapter_base=result.get("adapter_base"),
        adapter_is_local=is_local(result.get("adapter_base")),
        loss_name=loss_name(choices),
        data_name=choices["dataset"],
        verdict=_verdict(result),
        rows=[row for row in result["comparisons"] if row["headline"] or row["primary"]],
        verdict_split=result["primary"]["split"],
        repo=sharing.repo,
        **_of_saved(saved or {}),
        citations=citations_of(losses),
        data_facts=[*_data_facts(result, sharing.data_license)],
        examples=sharing.examples,
        stages=[*_stage_facts(result, config)],
        loss_call=" + ".join(map(_call_of, _main(config, "loss"))),
        modifier_call=" + ".join(filter(None, map(_call_of, _main(config, "modifier")))),
        training=result["training"],
        seed=result["seed"],
        trainer=[(key, public(value)) for key, value in settings if not key.startswith("_") and value is not None],
        command=_command_of(run_folder),
        versions=", ".join([f"embexp {tags['version.embexp']} ({tags['commit']})", *versions]),
        license_text=f"{license}. {of_data}" if sharing.license else _UNLICENSED,
    )
    return card.content


def _of_saved(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What the saved model says of its use: prompts, similarity, modules."""
    own = saved.get("config_sentence_transformers", {})
    return {
        "prompts": {name: text for name, text in (own.get("prompts") or {}).items() if text},
        "default_prompt": own.get("default_prompt_name"),
        "similarity": own.get("similarity_fn_name") or "cosine",
        "modules": [each["type"].rpartition(".")[2] for each in saved.get("modules", ())],
    }


def _card_data(
    result: Mapping[str, Any], config: Mapping[str, Any], sharing: Sharing, losses: Sequence[Mapping[str, Any]]
) -> "ModelCardData":
    """The metadata, as huggingface_hub checks and writes it; unknown values are left out, never guessed."""
    from huggingface_hub import ModelCardData

    trained_on = _hub_datasets([config["dataset"], config.get("mixture"), config.get("adapt")])
    rows = result.get("params", {}).get("dataset.train_rows")
    tags = ["sentence-transformers", "sentence-similarity", "feature-extraction", "dense", "generated_from_trainer"]
    named = dict.fromkeys(class_name(loss) for loss in losses if "_trained_by_" not in loss)
    tags += [f"loss:{name}" for name in named]
    return ModelCardData(
        language=list(sharing.languages) or None,
        license=sharing.license,
        license_name=sharing.license_name,
        license_link=sharing.license_link,
        base_model=_base_model_id(result),
        datasets=trained_on or None,
        pipeline_tag="sentence-similarity",
        library_name="sentence-transformers",
        tags=[*tags, *([f"dataset_size:{rows}"] if rows else []), "embexp"],
        model_name=_title(result, sharing),
        eval_results=[*_eval_results(result, config)],
    )


def _eval_results(result: Mapping[str, Any], config: Mapping[str, Any]) -> "list[EvalResult]":
    """The trained model's headline metrics on the splits of the verdicts."""
    from huggingface_hub import EvalResult

    rows = [row for row in result["comparisons"] if row["headline"] or row["primary"]]
    tested = {row["evaluator"] for row in rows if row["split"] == "test"}
    own = {**config["evaluator"], **(config.get("guard") or {})}
    return [
        EvalResult(
            task_type=(task := _task_of(own[row["evaluator"]])).lower().replace(" ", "-"),
            task_name=task,
            dataset_type=_evaluated_on(row, config) or "unknown",
            dataset_name=row.get("data")
            or (row["evaluator"] if own[row["evaluator"]].get("dataset") else result["choices"]["dataset"]),
            dataset_split=row["split"],
            metric_type=row["metric"],
            metric_name=row["metric"].replace("_", " ").capitalize(),
            metric_value=round(row["trained"], 6),
        )
        for row in rows
        if row["split"] == "test" or row["evaluator"] not in tested
    ]


# What sentence-transformers calls the tasks of its evaluators, by the functions that make ours.
_TASKS = {"similarity": "Semantic Similarity", "binary": "Binary Classification", "retrieval": "Information Retrieval"}


def _task_of(evaluator: Mapping[str, Any]) -> str:
    """The task of an evaluator's YAML.

    >>> _task_of({"_target_": "a.b.clustering_evaluator"}), _task_of({"_target_": "a.b.binary_evaluator"})
    ('Clustering', 'Binary Classification')
    """
    name = evaluator.get("_target_", "similarity").rpartition(".")[2].removesuffix("_evaluator")
    return _TASKS.get(name, name.replace("_", " ").title())


def _evaluated_on(row: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """The id on the Hub of the data of a comparison, None for data from elsewhere."""
    given = config.get(row["split"]) or config.get("test") or config.get("dev")  # a file of test has the run's dev, too
    node = {**config["evaluator"], **(config.get("guard") or {})}[row["evaluator"]]
    return next(iter(_hub_datasets([node.get("dataset") or given or config["dataset"]])), None)


def _title(result: Mapping[str, Any], sharing: Sharing) -> str:
    names = result["choices"]
    return sharing.repo or f"{names['model']} trained with {loss_name(names)} on {names['dataset']}"


def _verdict(result: Mapping[str, Any]) -> str:
    """One sentence: the comparison with the untouched model."""
    primary = result["primary"]
    return (
        f"On {primary['split']} it is **{in_words(primary['verdict'])}** the untouched model: {primary['metric']} "
        f"{primary['trained']:.4f} against {primary['base']:.4f}."
    )


# Not part of the model: where results went, what was exported, and Hydra's own settings.
_OF_THE_MACHINE = ("tracking", "paths", "export", "hydra", "threads", "keep", "resume")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_QUOTES = set("'\"")  # a quotation may be a text of the data


def _hub_datasets(nodes: Any) -> list[str]:
    """The ids on the Hub of dataset YAMLs and of the data that their steps read.

    >>> step = {"corpus": {"reader": {"id": "org/more"}}}
    >>> _hub_datasets([{"reader": {"hub": "org/name"}, "steps": {"mine": step}}, None, {"reader": {"path": "x.csv"}}])
    ['org/name', 'org/more']
    """
    found: list[str] = []
    if isinstance(nodes, Mapping):
        reader = nodes.get("reader")
        known = (reader.get("hub") or reader.get("id")) if isinstance(reader, Mapping) else None
        found = [*([known] if known else []), *_hub_datasets([*nodes.values()])]
    elif isinstance(nodes, list | tuple):
        found = [each for node in nodes for each in _hub_datasets(node)]
    return [*dict.fromkeys(found)]


def _base_model_id(result: Mapping[str, Any]) -> str | None:
    """The base model's id on the Hub, None for a local folder or a model from scratch."""
    tags = result["tags"]
    from_hub = tags.get("base_model.source") in ("package", "cache", "hub")
    return tags["base_model.id"] if from_hub and _HUB_ID.fullmatch(tags["base_model.id"]) else None


def _base_facts(result: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, str]:
    """The base model's name with its changes, and the same with revision and sha256 if known."""
    tags, name = result["tags"], as_markdown_text(result["choices"]["model"])
    if tags.get("base_model.source") == "scratch":
        return f"{name}, from scratch", f"{name}, from scratch: random weights"
    name = as_markdown_text(_base_model_id(result) or Path(tags["base_model.id"]).name)
    known = {"revision": tags.get("base_model.revision"), "sha256": tags.get("base_model.sha256")}
    facts = [f"{key} {as_markdown_code(value)}" for key, value in known.items() if value]
    changes = [*map(as_markdown_text, _base_changes(model))]
    return ", ".join([name, *changes]), ", ".join([name, *facts, *changes])


def _base_changes(model: Mapping[str, Any]) -> Iterator[str]:
    """The changes of the base in a model's YAML, in words.

    >>> list(_base_changes({"num_layers": 1, "pooling": ["cls", "mean"], "adapter": {"r": 8, "merge": True}}))
    ['first 1 layer', 'pooling cls+mean', 'trained by an adapter of rank 8 (merged)']
    """
    base = {**(model.get("base") or model.get("source") or {}), **model}
    if (layers := base.get("num_layers")) is not None:
        yield f"first {layers} layer{'s' if layers != 1 else ''}"
    if pooling := base.get("pooling"):
        yield f"pooling {pooling if isinstance(pooling, str) else '+'.join(pooling)}"
    if base.get("dtype"):
        yield f"weights as {base['dtype']}"
    if base.get("max_seq_length"):
        yield f"texts cut after {base['max_seq_length']} tokens"
    if modules := model.get("modules"):
        yield f"with modules {', '.join(modules)}"
    if adapter := base.get("adapter"):
        yield f"trained by an adapter of rank {adapter['r']}{' (merged)' if adapter['merge'] else ''}"


def _data_facts(result: Mapping[str, Any], data_license: str | None) -> Iterator[tuple[str, str]]:
    """Name, shape and rows of the training data, its source, license and steps."""
    tags = result["tags"]
    shape, *steps = result["data"]
    yield "data", shape
    known = (key for key in ("source", "subset", "revision") if tags.get(f"data.{key}"))
    yield from ((key, without_folders(tags[f"data.{key}"])) for key in known)
    yield "license", data_license or tags.get("data.license") or "not stated; ask where the data are from"
    yield "fingerprint of the train split", tags["data.train"]
    yield from (("step", without_folders(step)) for step in steps)
    for warning in result.get("warnings", ()):
        found = warning.splitlines()[0].partition(". ")[0].removesuffix(".")
        if not set(found) & _QUOTES:
            yield "note", without_folders(found)


def _losses_of(result: Mapping[str, Any], config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The YAML of each loss and modifier that trained the model, the main stage's first."""
    found = [*_main(config, "loss"), *_main(config, "modifier")]
    for node in (config["adapt"][stage["name"]] for stage in result.get("stages", ())):
        found += [node.get("loss") or config["loss"], node.get("modifier")]
    return [loss for loss in found if loss]


def _main(config: Mapping[str, Any], group: str) -> list[Any]:
    """The main stage's loss or modifier; of a mixture that of each set."""
    sets = (config.get("mixture") or {"sets": {}})["sets"].values()
    found = [each[group] for each in sets if each["weight"]]
    return [each for place, each in enumerate(found) if each not in found[:place]] or [config[group]]


def _stage_facts(result: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Name, call of the loss, data and training of each stage before the main one."""
    for stage in result.get("stages", ()):
        name, data = stage["name"], without_folders(stage["data"][0])
        call = _call_of(config["adapt"][name].get("loss") or config["loss"])
        yield {"name": name, "call": call, "data": data, "training": stage["training"]}


def _call_of(node: Mapping[str, Any] | None) -> str:
    """A YAML's call as Python.

    >>> _call_of({"_target_": "a.b.Loss", "_accepts_": ["triplet"], "scale": 20.0})
    'Loss(scale=20.0)'
    >>> _call_of({"_target_": "a.b.Loss", "guide": "/home/me/a guide", "places": ["~/x", {"_target_": "c.D", "e": 1}]})
    "Loss(guide='a guide', places=['x', D(e=1)])"
    """
    if not node:
        return ""
    arguments = ", ".join(f"{key}={_as_python(value)}" for key, value in node.items() if not key.startswith("_"))
    return f"{node['_target_'].rpartition('.')[2]}({arguments})"


def _as_python(value: Any) -> str:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _call_of(value)
        return f"{{{', '.join(f'{key!r}: {_as_python(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_as_python(each) for each in value)}]"
    return repr(public(value))


def _command_of(run_folder: Path | None) -> str:
    """The command of the run, without settings of the machine it ran on."""
    from omegaconf import OmegaConf

    path = run_folder / ".hydra" / "overrides.yaml" if run_folder else None
    typed = OmegaConf.to_container(OmegaConf.load(path), resolve=False) if path and path.is_file() else []
    kept = [text for text in typed if text.lstrip("+~").partition("=")[0].partition(".")[0] not in _OF_THE_MACHINE]
    return shell_command("", (_public_override(text) for text in kept), rename=public)


def _public_override(override: str) -> str:
    key, _, value = override.partition("=")
    plain = value.strip("'\"")
    return shlex.quote(f"{key}={public(plain) if plain.startswith(('/', '~')) else public(value)}")
