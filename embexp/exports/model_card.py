"""The model card: the run's numbers, data and settings as the Hub reads them, without this machine's folders."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.session import shell_command
from embexp.exports.delivery import is_local
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
    path.write_text(_model_card(result, config, run_folder, sharing or Sharing()) + "\n", encoding="utf-8")
    return path


def _model_card(result: Mapping[str, Any], config: Mapping[str, Any], run_folder: Path | None, sharing: Sharing) -> str:
    """The card's text: checked metadata for the Hub, then the table, data, training and license for people.

    Args:
        result: the run's result.json.
        config: its resolved configuration.
        run_folder: with the command in `.hydra/overrides.yaml`.
    """
    from huggingface_hub import ModelCard

    choices = result["choices"]
    license = f"{sharing.license_name} ({sharing.license_link})" if sharing.license_name else sharing.license
    of_data = f"License of the training data: {sharing.data_license or 'not stated'}."
    tags = result["tags"]
    libraries = sorted(key for key in tags if key.startswith("version.") and key != "version.embexp")
    versions = [f"{key.removeprefix('version.')} {tags[key]}" for key in libraries]
    base, base_line = _base_facts(result, config["model"])
    card = ModelCard.from_template(
        _card_data(result, config, sharing),
        template_path=str(_TEMPLATE),
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
        data_facts=[*_data_facts(result, sharing.data_license)],
        examples=sharing.examples,
        stages=[*_stage_facts(result, config)],
        loss_call=_call_of(config["loss"]),
        modifier_call=_call_of(config["modifier"]),
        training=result["training"],
        seed=result["seed"],
        trainer=[
            (key, _public(value))
            for key, value in config["trainer"].items()
            if not key.startswith("_") and value is not None
        ],
        command=_command_of(run_folder),
        versions=", ".join([f"embexp {tags['version.embexp']} ({tags['commit']})", *versions]),
        license_text=f"{license}. {of_data}" if sharing.license else _UNLICENSED,
    )
    return card.content


def _card_data(result: Mapping[str, Any], config: Mapping[str, Any], sharing: Sharing) -> "ModelCardData":
    """The metadata, as huggingface_hub checks and writes it; unknown values are left out, never guessed."""
    from huggingface_hub import ModelCardData

    dataset = _hub_dataset(config["dataset"])
    return ModelCardData(
        language=list(sharing.languages) or None,
        license=sharing.license,
        license_name=sharing.license_name,
        license_link=sharing.license_link,
        base_model=_base_model_id(result),
        datasets=[dataset] if dataset else None,
        pipeline_tag="sentence-similarity",
        library_name="sentence-transformers",
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction", "embexp"],
        model_name=_title(result, sharing),
        eval_results=[*_eval_results(result, config)],
    )


def _eval_results(result: Mapping[str, Any], config: Mapping[str, Any]) -> "list[EvalResult]":
    """The trained model's headline metrics on the splits of the verdicts."""
    from huggingface_hub import EvalResult

    rows = [row for row in result["comparisons"] if row["headline"] or row["primary"]]
    tested = {row["evaluator"] for row in rows if row["split"] == "test"}
    own = config["evaluator"]
    return [
        EvalResult(
            task_type="semantic-similarity",
            task_name="Semantic Similarity",
            dataset_type=_hub_dataset(own[row["evaluator"]].get("dataset") or config["dataset"]) or row["evaluator"],
            dataset_name=row["evaluator"] if own[row["evaluator"]].get("dataset") else result["choices"]["dataset"],
            dataset_split=row["split"],
            metric_type=row["metric"],
            metric_name=row["metric"].replace("_", " ").capitalize(),
            metric_value=round(row["trained"], 6),
        )
        for row in rows
        if row["split"] == "test" or row["evaluator"] not in tested
    ]


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
_FOLDERS = re.compile(r"(?<![\w:/.])(?:file:/*|~)?/(?:[^/\s]+/)*([^/\s]+)")


def _without_folders(text: str) -> str:
    """A text with absolute paths cut to their last part.

    >>> _without_folders("convert /home/me/rows.csv (of org/name, https://a.b/c)")
    'convert rows.csv (of org/name, https://a.b/c)'
    """
    return _FOLDERS.sub(r"\1", text)


def _hub_dataset(node: Mapping[str, Any]) -> str | None:
    """The id on the Hub of a dataset YAML, None for data from elsewhere."""
    reader = node["reader"]
    return reader.get("hub") or reader.get("id")


def _base_model_id(result: Mapping[str, Any]) -> str | None:
    """The base model's id on the Hub, None for a local folder or a model from scratch."""
    tags = result["tags"]
    from_hub = tags.get("base_model.source") in ("package", "cache", "hub")
    return tags["base_model.id"] if from_hub and _HUB_ID.fullmatch(tags["base_model.id"]) else None


def _base_facts(result: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, str]:
    """The base model's name with its changes, and the same with revision and sha256 if known."""
    tags = result["tags"]
    if tags.get("base_model.source") == "scratch":
        name = result["choices"]["model"]
        return f"{name}, from scratch", f"{name}, from scratch: random weights"
    name = _base_model_id(result) or Path(tags["base_model.id"]).name
    known = {"revision": tags.get("base_model.revision"), "sha256": tags.get("base_model.sha256")}
    facts = [f"{key} `{value}`" for key, value in known.items() if value]
    changes = [*_base_changes(model)]
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
    for key in ("source", "subset", "revision"):
        if tags.get(f"data.{key}"):
            yield key, _without_folders(tags[f"data.{key}"])
    yield "license", data_license or tags.get("data.license") or "not stated; ask where the data are from"
    yield "fingerprint of the train split", tags["data.train"]
    for step in steps:
        yield "step", _without_folders(step)
    for warning in result.get("warnings", ()):
        found = warning.splitlines()[0].partition(". ")[0].removesuffix(".")
        if not set(found) & _QUOTES:
            yield "note", _without_folders(found)


def _stage_facts(result: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Name, call of the loss, data and training of each stage before the main one."""
    for stage in result.get("stages", ()):
        name, data = stage["name"], _without_folders(stage["data"][0])
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
    return repr(_public(value))


def _public(value: Any) -> Any:
    """A value for other people: of an absolute path only the last part.

    >>> _public("/home/me/my models/one"), _public("https://a.b/c"), _public(2)
    ('one', 'https://a.b/c', 2)
    """
    if not isinstance(value, str):
        return value
    return Path(value).name if value.startswith(("/", "~")) else _without_folders(value)


def _command_of(run_folder: Path | None) -> str:
    """The command of the run, without settings of the machine it ran on."""
    from omegaconf import OmegaConf

    path = run_folder / ".hydra" / "overrides.yaml" if run_folder else None
    typed = OmegaConf.to_container(OmegaConf.load(path), resolve=False) if path and path.is_file() else []
    kept = [text for text in typed if text.lstrip("+~").partition("=")[0].partition(".")[0] not in _OF_THE_MACHINE]
    return shell_command("", (_public_override(text) for text in kept), rename=_public)


def _public_override(override: str) -> str:
    key, _, value = override.partition("=")
    plain = value.strip("'\"")
    return shlex.quote(f"{key}={_public(plain) if plain.startswith(('/', '~')) else _public(value)}")
