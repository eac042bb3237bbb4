"""Model soups: the mean of the weights of several finished runs that began with the same model."""

import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.session import shell_command
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.run_folder import find_run, read_record, status_of
from embexp.errors import ConfigError, ExportError, ModelError
from embexp.evaluation.scores import Evaluator, verdict_split
from embexp.exports.delivery import Exported, TrainedModel, metrics_and_lines
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder
from embexp.models.merging import average, check_can_be_merged, check_merges, check_was_whole, load_whole
from embexp.protocols import BaseModel, Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
UNIFORM, GREEDY = "uniform", "greedy"


class ModelSoup:
    """An export that averages the weights of this run and of others, and compares the mean with this run's model.

    Args:
        runs: the others, by their folders or ids.
        recipe: `uniform`: all of them count the same. `greedy`: from the best on dev on, each run joins if the mean is
            no worse on dev with it (Wortsman et al. 2022, recipe 1); test and guard have no part in it.
        root: where runs are looked for by their ids.

    Raises:
        ConfigError: an unknown recipe, no other run, one twice, or mergekit is not installed.
    """

    comes_last = False
    needs = ("run", "untouched")

    def __init__(self, name: str, runs: Sequence[str], recipe: str, root: str) -> None:
        problems = [*problems_with("recipe", recipe, LegalValues(one_of=(UNIFORM, GREEDY)), such_as=UNIFORM)]
        problems += problems_with("runs", runs, LegalValues(text=True, many=True), such_as="[<run>]")
        refuse(problems, under=f"export.{name}")
        if len({*runs}) < len(runs):
            raise ConfigError("names a run twice", key=f"export.{name}.runs", given=[*runs], expected="each once")
        check_merges(name)
        self.name, self.runs, self.recipe, self.root = name, tuple(runs), recipe, root

    def check(self, model: BaseModel, source: str) -> None:
        """Refuse a run whose model is not whole."""
        check_can_be_merged(self.name, model, source)

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the mean as a plain model; score every evaluator."""
        is_scratch = read_record(trained.run_folder).get("weights", {}).get("base model") == ""
        check_was_whole(self.name, trained.config["model"], "scratch" if is_scratch else "")
        folders = [trained.run_folder, *self._others(trained)]
        try:
            models = [load_whole(each / "stages" / "main" / "model") for each in folders]
            kept = [*range(len(models))] if self.recipe == UNIFORM else self._greedy(trained, models)
            soup = average([models[place] for place in kept], [1.0] * len(kept)) if len(kept) > 1 else models[kept[0]]
        except ModelError as error:
            raise ExportError(*error.problems) from error
        soup.save_pretrained(str(folder / "model"))
        metrics, lines = metrics_and_lines(trained, _encoder(soup), f"export/{self.name}")
        names = ", ".join(folders[place].name for place in kept)
        left = f" of {len(models)}" if len(kept) < len(models) else ""
        first = f"the mean of {len(kept)}{left} runs, {self.recipe} ({names}), against this run ({folder.name}/model)"
        return Exported(self.name, folder, [first, *lines], metrics)

    def _others(self, trained: TrainedModel) -> list[Path]:
        """The folders of the other runs: finished, begun with the same weights, evaluated on the same rows."""
        own, found = trained.run_folder, []
        began = read_record(own).get("weights", {}).get("base model")
        for run in self.runs:
            folder = find_run(run, [self.root])
            if folder.resolve() == own.resolve():
                raise ExportError(f"export.{self.name}.runs names {run}, the run that is exported", expected="others")
            if folder.resolve() in [each.resolve() for each in found]:
                raise ExportError(f"export.{self.name}.runs names the run in {folder} twice", expected="each once")
            if (status := status_of(folder)) != "FINISHED":
                fix = shell_command("", [f"resume={shlex.quote(str(folder))}"])
                raise ExportError(f"The run in {folder} is {status}", expected="one that has finished", fix=fix)
            theirs = read_record(folder).get("weights", {}).get("base model")
            if began != theirs:
                raise ExportError(
                    f"{own} and {folder} began with different weights ({began} and {theirs}), whose mean is no model",
                    expected="runs that began with the same base model",
                )
            self._check_held_out(trained, folder)
            found.append(folder)
        return found

    def _check_held_out(self, trained: TrainedModel, other: Path) -> None:
        """Refuse a run that did not evaluate on the rows that the mean is scored on: it may have trained on them."""
        guard, theirs = trained.config.get("guard") or {}, read_record(other).get("evaluated", {})
        rows = {}
        own = (each for each in trained.evaluators if each.name not in guard and getattr(each, "dataset", None))
        for evaluator in own:
            by_split = evaluator.dataset.fingerprints()
            chosen = {verdict_split(evaluator), *(("dev",) if self.recipe == GREEDY else ())} & {*by_split}
            rows |= {f"{evaluator.name}/{split}": by_split[split] for split in chosen}
        others = sorted(key for key, value in rows.items() if theirs.get(key, value) != value)
        if others or (rows and not rows.keys() & theirs.keys()):
            raise ExportError(
                f"{other} was evaluated on other rows than {trained.run_folder} ({', '.join(others or sorted(rows))}), "
                "so it may have been trained on those that the mean is scored on",
                expected="runs that were evaluated on the same rows: with one split, or with the same test=<file>",
            )

    def _greedy(self, trained: TrainedModel, models: "Sequence[SentenceTransformer]") -> list[int]:
        """The places of the models in the mean, the best on dev first."""
        primary: Mapping[str, Any] = trained.result["primary"]
        evaluator = next(each for each in trained.evaluators if each.name == primary["evaluator"])
        if "dev" not in evaluator.splits or verdict_split(evaluator) == "dev":
            raise ExportError(
                f"export.{self.name}.recipe={GREEDY} picks runs on dev, and {evaluator.name} has none besides test",
                expected="data with dev and test, or all runs",
                fix=f"export.{self.name}.recipe={UNIFORM}",
            )
        alone = [_on_dev(evaluator, model, primary["metric"]) for model in models]
        order = sorted(range(len(models)), key=lambda place: -alone[place])
        kept, best = order[:1], alone[order[0]]
        for place in order[1:]:
            tried = [*kept, place]
            value = _on_dev(evaluator, average([models[each] for each in tried], [1.0] * len(tried)), primary["metric"])
            logger.info(
                "Export %s: %s runs have %.4f on dev, %.4f without the last", self.name, len(tried), value, best
            )
            if value >= best:
                kept, best = tried, value
        return kept


def _on_dev(evaluator: Evaluator, model: "SentenceTransformer", metric: str) -> float:
    value = evaluator.score(_encoder(model), "dev").metrics[metric]
    return -math.inf if math.isnan(value) else value


def _encoder(model: "SentenceTransformer") -> Encoder:
    return MemoryCachedEncoder(ModelEncoder(model, progress="scoring"))
