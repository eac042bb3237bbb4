"""What a language model makes for each row: asked once for each distinct source, held against the row's own texts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.asking.asking import Asked, ask
from embexp.steps.asking.conversation import Request
from embexp.steps.asking.endpoint import Endpoint
from embexp.steps.asking.templates import messages_of
from embexp.steps.augmenting.filters import HeldOut
from embexp.steps.made_rows import Row
from embexp.steps.rewording.rewording import shown_change

LIKE_OWN = "like a text of its row"


@dataclass(frozen=True)
class Task:
    """What is asked for.

    Args:
        places: the column whose text stands in each place of the prompt.
    """

    endpoint: Endpoint
    prompt: Mapping[str, str]
    made_by: str
    places: Mapping[str, str]
    per_text: int
    cache: Path | None

    def ask(self, dataset: EmbeddingDataset, splits: Iterable[str]) -> "RowAnswers":
        """The answers for all rows of some splits."""
        rows = (row for split in splits for row in rows_of(dataset.splits[split].select_columns([*self._columns])))
        sources = [*dict.fromkeys(self.source(row) for row in rows)]
        requests = [self._request(source) for source in sources]
        asked = ask(self.endpoint, requests, self.made_by, self.cache)
        texts = {source: made for source, made in zip(sources, asked.texts, strict=True) if made}
        return RowAnswers(self, asked, texts)

    def source(self, row: Row) -> tuple[str, ...]:
        """The texts of a row that the prompt shows."""
        return tuple(row[column] for column in self._columns)

    @property
    def _columns(self) -> Iterable[str]:
        return self.places.values()

    def _request(self, source: Sequence[str]) -> Request:
        values = dict(zip(self.places, source, strict=True)) | {"number": str(self.per_text)}
        return Request(messages_of(self.prompt, values), self.per_text)


@dataclass
class RowAnswers:
    """The answers for rows, with counts of those that went, and the first ones to read."""

    task: Task
    asked: Asked
    texts: Mapping[tuple[str, ...], Sequence[str]]
    left_out: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    num_made: int = 0

    def of(self, row: Row, own: Sequence[str], held_out: HeldOut | None, num_shown: int) -> list[str]:
        """The texts made for a row, without those like its own texts or, in train, like texts of dev and test.

        Args:
            own: the texts of the row.
        """
        source = self.task.source(row)
        made = [text for text in self.texts.get(source, ()) if not _is_like(text, own, self.left_out)]
        if held_out and made:
            reasons = held_out([(source[0], text) for text in made])
            self.left_out.update(reason for reason in reasons if reason)
            made = [text for text, reason in zip(made, reasons, strict=True) if reason is None]
        self.num_made += len(made)
        self.shown += [shown_change(source[0], text) for text in made[: num_shown - len(self.shown)]]
        return made

    def report(self) -> str:
        """What was asked, what it took, what was left out."""
        return self.asked.report(self.left_out)


def _is_like(text: str, own: Sequence[str], left_out: Counter[str]) -> bool:
    import pyarrow

    from embexp.steps.comparing.row_keys import comparable

    first, *others = comparable(pyarrow.array([text, *own])).to_pylist()
    left_out[LIKE_OWN] += first in others
    return first in others
