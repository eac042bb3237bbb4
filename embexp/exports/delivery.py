"""Exports, planned before training and made after it: their inputs and outputs, and the scores they retain."""

import json
import logging
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from embexp.config.compose import check_arguments, instantiate, option_of
from embexp.config.session import shell_command
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, ExportError, ModelError, Problems
from embexp.evaluation.library_evaluators import NeedsModelError
from embexp.evaluation.scores import Evaluator, Scores, compare, verdict_split
from embexp.evaluation.stats.verdicts import margins_in
from embexp.models.weights import LOCAL
from embexp.protocols import BaseModel, Encoder


@dataclass
class TrainedModel:
    """A saved model with the data of its run; a model that no run of ours trained has no result and no config.

    Attributes:
        folder: the saved model, as `SentenceTransformer(folder)` loads it.
        output: where exports go, each in a folder of its own name.
        dataset: the training data; ranges are calibrated on its train split.
        result, config: result.json and config.yaml of the run.
        run_folder: the run's folder, None without a run.
        known_scores: of the evaluators, by name, on the split of the verdict; missing ones are measured on demand.
        made: the earlier exports.
    """

    folder: Path
    output: Path
    encoder: Encoder
    evaluators: Sequence[Evaluator] = ()
    dataset: EmbeddingDataset | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    run_folder: Path | None = None
    known_scores: dict[str, Scores] = field(default_factory=dict)
    made: list["Exported"] = field(default_factory=list)

    def scores(self, evaluator: Evaluator) -> Scores:
        """The model's own scores on the split of the verdict: test, or dev without a test split."""
        if evaluator.name not in self.known_scores:
            self.known_scores[evaluator.name] = evaluator.score(self.encoder, verdict_split(evaluator))
        return self.known_scores[evaluator.name]

    def texts_to_compare(self, count: int) -> list[str]:
        """Up to `count` different texts: the evaluators', else the data's, else a few of our own."""
        by_evaluator = [evaluator.texts(verdict_split(evaluator)) for evaluator in self.evaluators]
        found = [text for by_prompt in by_evaluator for texts in by_prompt.values() for text in texts]
        if not found and self.dataset:
            found = [*self.dataset.texts("train")]
        return list(dict.fromkeys(found or _WITHOUT_DATA))[:count]


_WITHOUT_DATA = ("a bond", "What does the price of a share depend on?", "one two three four five " * 8)


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes:
        lines: a summary for people, for the terminal and result.json.
        metrics: as they are logged: `export/<name>/...`.
        problem: why it failed, with what to type.
    """

    name: str
    folder: Path
    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None

    def record(self) -> dict[str, Any]:
        """The entry in result.json, which keeps the metrics among those of the run."""
        record = {"name": self.name, "folder": f"exports/{self.name}", "lines": list(self.lines)}
        return record | ({"problem": self.problem} if self.problem else {})


class Export(Protocol):
    """Makes one form of a trained model. Cheap checks run when it is built, in the plan.

    Attributes:
        needs: its requirements: `run` (a finished run of ours), `texts` (a data set to calibrate on),
            `shared_base` (for an adapter, a base that others have), `untouched` (its `check` says of which models), or
            `margins` (of the verdict, by which it chooses).
        comes_last: it uploads what the others made.
    """

    name: str
    needs: tuple[str, ...]
    comes_last: bool

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the form into `folder`.

        Raises:
            ExportError: it cannot be made, or differs from the model.
        """


def adapter_base(folder: Path) -> str | None:
    """The base that a saved model's adapter names, a folder or an id on the Hub; None for a whole model."""
    for path in sorted(folder.rglob("adapter_config.json")):
        return json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    return None


def is_local(base: str | None) -> bool:
    """Whether a base is a folder on this machine, which nobody else has.

    >>> is_local("/home/me/runs/base"), is_local("sentence-transformers/all-MiniLM-L6-v2"), is_local(None)
    (True, False, False)
    """
    return bool(base) and (Path(base).is_absolute() or Path(base).is_dir())


_FOLDERS = re.compile(r"(?<![\w:/.])(?:file:/*|~)?/(?:[^/\s]+/)*([^/\s]+)")


def without_folders(text: str) -> str:
    """A text with absolute paths cut to their last part.

    >>> without_folders("convert /home/me/rows.csv (of org/name, https://a.b/c)")
    'convert rows.csv (of org/name, https://a.b/c)'
    """
    return _FOLDERS.sub(r"\1", text)


def public(value: Any) -> Any:
    """A value for other people: of an absolute path only the last part.

    >>> public("/home/me/my models/one"), public("https://a.b/c"), public(2)
    ('one', 'https://a.b/c', 2)
    """
    if not isinstance(value, str):
        return value
    return Path(value).name if value.startswith(("/", "~")) else without_folders(value)


def check_shared_base(exports: Sequence[Export], model: BaseModel, place: Mapping[str, str]) -> None:
    """Raise before training if an adapter whose base is a folder is to be exported for others, or a model without two
    whole sets of weights is to be averaged.

    Raises:
        ConfigError: it is not merged, and the base model is from a folder. Other copies of the base are only seen
            when the export is made.
    """
    for export in exports:
        if "untouched" in export.needs:
            export.check(model, place["source"])
    names = [export.name for export in exports if "shared_base" in export.needs]
    if names and model.trains_adapter and not model.merges_adapter and place["source"] in LOCAL:
        raise ConfigError(
            f"is for an adapter whose base is the folder {place['location']}, which nobody else has",
            key="export",
            given=names[0],
            expected="a whole model",
            fix="model.adapter.merge=true",
        )


def metrics_and_lines(trained: TrainedModel, encoder: Encoder, prefix: str) -> tuple[dict[str, float], list[str]]:
    """`<prefix>/<evaluator>/<metric>` and `<prefix>/delta/...`, and a line for each evaluator's primary metric.

    In a difference `base` is the model as it was trained, `trained` its other form. The interval is the evaluator's
    own: the paired bootstrap over the same examples. One that reads a whole model is not measured by vectors alone.

    Raises:
        ExportError: that is so of all of them.
    """
    metrics: dict[str, Any] = {}
    lines, unread = [], []
    for evaluator in trained.evaluators:
        split = verdict_split(evaluator)
        try:
            scores = evaluator.score(encoder, split)
        except NeedsModelError as error:
            lines.append(f"{split}/{evaluator.name} not measured: it reads a whole model, not vectors alone")
            unread.append(error)
            continue
        except ModelError as error:
            raise ExportError(*error.problems) from error
        for found in compare(trained.scores(evaluator), scores, evaluator.resamples, margins_in(trained.config)):
            name = f"{evaluator.name}/{found.metric}"
            delta = f"{prefix}/delta/{name}"
            metrics |= {f"{prefix}/{name}": found.trained, delta: found.value}
            metrics |= {f"{delta}_low": found.low, f"{delta}_high": found.high}
            if found.metric == evaluator.primary_metric:
                ends = "" if math.isnan(found.low) else f", {found.low:+.4f} to {found.high:+.4f}"
                lines.append(
                    f"{split}/{name} {found.base:.4f} -> {found.trained:.4f} "
                    f"({found.value:+.4f}{ends}: {found.verdict})"
                )
    if unread and len(unread) == len(trained.evaluators):
        raise ExportError(*unread[0].problems)
    return metrics, lines


logger = logging.getLogger(__name__)


def exports_in(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The YAML of each export, with those that `merge=[0.3,0.5]` and `soup=[<run>,<run>]` stand for."""
    nodes = dict(config["export"] or {})
    if shares := config.get("merge"):
        nodes["merge"] = {**option_of("export", "merge")["merge"], **nodes.get("merge", {}), "shares": shares}
    if runs := config.get("soup"):
        nodes["soup"] = {**option_of("export", "soup")["soup"], **nodes.get("soup", {}), "runs": [*runs[1:]]}
    return nodes


def plan_exports(config: Mapping[str, Mapping[str, Any]] | None, problems: Problems) -> tuple[Export, ...]:
    """The exports of a configuration, checked; those that upload what the others made come last."""
    planned = [problems.attempt(_planned, name, node) for name, node in (config or {}).items()]
    return tuple(sorted((export for export in planned if export), key=lambda export: export.comes_last))


def _planned(name: str, node: Mapping[str, Any]) -> Export:
    check_arguments(dict(node), {"name": name}, f"export.{name}")
    return instantiate(node, name=name)


def make_exports(exports: Sequence[Export], trained: TrainedModel) -> Iterator[Exported]:
    """Each export as it is made, in its own folder below `trained.output`.

    One that cannot be made is logged as an error and yielded with its problem; an earlier one of the same name stays.
    """
    for export in exports:
        logger.info("Export %s", export.name)
        try:
            made = _make(export, trained)
        except ExportError as error:
            made = Exported(export.name, trained.output / export.name, problem=str(error))
            logger.error("%s", error)
        trained.made.append(made)
        yield made


def _make(export: Export, trained: TrainedModel) -> Exported:
    """The export, made next to its folder and then moved there, replacing what was there."""
    folder = trained.output / export.name
    try:
        trained.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=trained.output, prefix=".making-") as making:
            fresh, old = Path(making) / export.name, Path(making) / "old"
            fresh.mkdir()
            made = export.make(trained, fresh)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
    except OSError as error:
        subject = f"run={trained.run_folder}" if trained.run_folder else f"model={trained.folder}"
        raise ExportError(
            f"export={export.name} failed on the files of {trained.output}: {error}",
            expected=f"a writable folder with enough room, and the whole model in {trained.folder}",
            fix=shell_command("export", [subject, f"export=[{export.name}]"]),
        ) from error
    return replace(made, folder=folder)
