"""Which prompt goes before which text: a named set, a default one, and the columns that take one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

# The first text of a row asks, the others answer: conversions rename columns, but a text keeps its side.
ASKING = ("query", "anchor", "sentence1", "text", "twin", "damaged", "original")


@dataclass(frozen=True)
class Prompts:
    """Prompts by name, as sentence-transformers keeps them with a model.

    Attributes:
        named: text of each prompt by its name, such as {"query": "query: ", "document": "passage: "}.
        default: name of the prompt that `model.encode` puts before a text when none is asked for.
        columns: name of the prompt for a column of the data; a column that is not listed takes that of the same side
            (queries, anchors and first sentences on one side, the texts they go with on the other), else the default.
        in_text: columns whose texts begin with their prompts already; those of the same side do too.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    in_text: tuple[str, ...] = ()

    def of(self, column: str) -> str | None:
        """The prompt to put before the texts of a column: empty for none, None for the model's own default one.

        The model's own is meant where a data set names no prompts at all.

        >>> prompts = Prompts({"query": "Q: ", "document": "D: "}, columns={"anchor": "query", "positive": "document"})
        >>> prompts.of("sentence1"), prompts.of("negative_2")
        ('Q: ', 'D: ')
        >>> Prompts().of("anchor") is None
        True
        """
        if any(_same_side(column, other) for other in self.in_text):
            return ""
        if not self.named:
            return None
        name = self._name_of(column)
        return self.named[name] if name else ""

    def moved(self, column: str, columns: Iterable[str]) -> "Prompts":
        """The prompts once the texts of one column stand in all these: each takes what that one took."""
        columns, name = tuple(columns), self._name_of(column)
        in_text = columns if any(_same_side(column, other) for other in self.in_text) else ()
        return replace(self, columns=dict.fromkeys(columns, name) if name else {}, in_text=in_text)

    def _name_of(self, column: str) -> str | None:
        same_side = (name for other, name in self.columns.items() if _same_side(other, column))
        return self.columns.get(column) or next(same_side, self.default)


def _same_side(column: str, other: str) -> bool:
    return (column in ASKING) == (other in ASKING)
