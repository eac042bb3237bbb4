"""What an export gets and gives: the trained model with those who judge it, and what was made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from embexp.data.dataset import EmbeddingDataset
from embexp.evaluation.scores import Evaluator, Scores, judged_split
from embexp.protocols import Encoder


@dataclass
class TrainedModel:
    """A saved model, and what a run knows of it; a model that no run of ours trained has no result and no config.

    Attributes:
        folder: the saved model, as `SentenceTransformer(folder)` loads it.
        output: where exports go, each in a folder of its own name.
        dataset: what it was trained on; ranges are calibrated on its train split.
        result, config: result.json and config.yaml of the run.
        run_folder: the run's folder, None without a run.
        known_scores: of the evaluators, by name, on the split that judges; what is missing is measured when asked for.
        made: what the exports before this one made.
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
        """The model's own scores on the split that judges: test, or dev where there is no test."""
        if evaluator.name not in self.known_scores:
            self.known_scores[evaluator.name] = evaluator.score(self.encoder, judged_split(evaluator))
        return self.known_scores[evaluator.name]

    def texts_to_compare(self, count: int) -> list[str]:
        """Up to `count` different texts: the evaluators', else those of the data, else a few of our own."""
        judged = [evaluator.texts(judged_split(evaluator)) for evaluator in self.evaluators]
        found = [text for by_prompt in judged for texts in by_prompt.values() for text in texts]
        if not found and self.dataset:
            found = [*self.dataset.texts("train")]
        return list(dict.fromkeys(found or WITHOUT_DATA))[:count]


WITHOUT_DATA = ("a bond", "What does the price of a share depend on?", "one two three four five " * 8)


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes:
        lines: what a person should know of it, for the terminal and result.json.
        metrics: as they are logged: `export/<name>/...`.
        problem: why there is nothing; the message says what to type.
    """

    name: str
    folder: Path
    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None

    def record(self) -> dict[str, Any]:
        """As result.json keeps it, where the metrics stand among those of the run."""
        record = {"name": self.name, "folder": f"exports/{self.name}", "lines": list(self.lines)}
        return record | ({"problem": self.problem} if self.problem else {})


class Export(Protocol):
    """Makes one form of a trained model. Whatever is cheap to check is checked when it is built, in the plan.

    Attributes:
        needs: what it cannot do without: `run` (a finished run of ours), `texts` (a data set to calibrate on), or
            `shared_base` (of an adapter a base that others have).
        comes_last: it hands on what the others made.
    """

    name: str
    needs: tuple[str, ...]
    comes_last: bool

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the form into `folder`.

        Raises:
            ExportError: it cannot be made, or is not what the model is.
        """
