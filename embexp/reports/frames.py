"""Runs, and what commands found, as Python and notebooks have them: plain values, and tables of pandas."""

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.run_folder import RESULT, read_json, read_record, status_of
from embexp.errors import DataError, did_you_mean, listed

if TYPE_CHECKING:
    from pandas import DataFrame
    from sentence_transformers import SentenceTransformer


def frame(rows: Any, columns: Sequence[str] | None = None) -> "DataFrame":
    """The rows, or those of a Parquet file, as a table."""
    import pandas

    return pandas.read_parquet(rows) if isinstance(rows, Path) else pandas.DataFrame(rows, columns=columns)


def csv_frame(text: str) -> "DataFrame":
    """The rows of a CSV as a table."""
    import pandas

    return pandas.read_csv(io.StringIO(text))


@dataclass(frozen=True)
class Run:
    """A run in its folder."""

    folder: Path

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of result.json; of a run that has not ended only its status."""
        path = self.folder / RESULT
        return read_json(path) if path.is_file() else {"run": {"status": "RUNNING"}}

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by their keys, such as `test/sts/spearman_cosine`."""
        return self.result.get("metrics", {})

    @property
    def table(self) -> "DataFrame":
        """The untouched and the trained model in each metric: difference, 95 % interval, verdict."""
        return frame(self.result.get("comparisons", []))

    def examples(self, evaluator: str, split: str = "test") -> "DataFrame":
        """The examples of an evaluator: id, texts, gold, and what both models predict (`base_...`, `trained_...`).

        Raises:
            DataError: the run keeps no such examples.
        """
        path = self.folder / "examples" / f"{evaluator}_{split}.parquet"
        if not path.is_file():
            known = sorted(each.stem for each in path.parent.glob("*.parquet"))
            raise DataError(
                f"{self.folder} keeps no examples of {evaluator} on {split}",
                expected=f"an evaluator and a split of: {listed(known)}",
                note=did_you_mean(path.stem, known),
            )
        return frame(path)

    def model(self) -> "SentenceTransformer":
        """The trained model.

        Raises:
            DataError: the run has not trained any.
        """
        from sentence_transformers import SentenceTransformer

        path = self.folder / "stages" / "main" / "model"
        if not path.is_dir():
            raise DataError(f"{self.folder} holds no trained model: the run is {status_of(self.folder)}.")
        return SentenceTransformer(str(path))

    def __repr__(self) -> str:
        return f"<Run {' '.join(self._lines())}>"

    def _repr_html_(self) -> str:
        head = "<br>".join(map(html.escape, self._lines()))
        shown = [row for row in self.result.get("comparisons", []) if row["headline"] or row["primary"]]
        columns = ["evaluator", "split", "metric", "base", "trained", "difference", "low", "high", "verdict"]
        return head + (frame(shown, columns).to_html(index=False, float_format="%.4f") if shown else "")

    def _lines(self) -> list[str]:
        try:
            name = read_record(self.folder)["name"]
        except FileNotFoundError:  # it ended before it was begun
            name = self.folder.name
        lines = [f"{name} {self.result['run']['status']}"]
        if primary := self.result.get("primary"):
            lines.append(
                f"{primary['key']} {primary['base']:.4f} -> {primary['trained']:.4f} "
                f"({primary['difference']:+.4f}: {primary['verdict']})"
            )
        if error := self.result.get("error"):
            lines.append(str(error).splitlines()[0])
        return [*lines, f"in {self.folder}"]


@dataclass(frozen=True)
class Report:
    """What a command found.

    Attributes:
        text: as the command prints it, or close to it.
        content: all of it as plain values.
        tables: by their names, the most important first.
    """

    text: str
    content: Any
    tables: Mapping[str, "DataFrame"] = field(repr=False)

    @property
    def table(self) -> "DataFrame":
        """The most important table."""
        return next(iter(self.tables.values()))

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, float_format="%.4f")
