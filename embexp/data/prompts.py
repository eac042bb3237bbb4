"""Which prompt goes before which text: a named set, a default one, and the columns that take one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The first text of a row asks, the others answer: conversions rename columns, but a text keeps its side.
ASKING = ("query", "anchor", "sentence1", "text", "damaged")


@dataclass(frozen=True)
class Prompts:
    """Prompts by name, as sentence-transformers keeps them with a model.

    Attributes:
        named: text of each prompt by its name, such as {"query": "query: ", "document": "passage: "}.
        default: name of the prompt that `model.encode` puts before a text when none is asked for.
        columns: name of the prompt for a column of the data; a column that is not listed takes that of the same side
            (queries, anchors and first sentences on one side, the texts they go with on the other), else the default.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def of(self, column: str) -> str:
        """The prompt that goes before the texts of a column; empty for none.

        >>> prompts = Prompts({"query": "Q: ", "document": "D: "}, columns={"anchor": "query", "positive": "document"})
        >>> prompts.of("sentence1"), prompts.of("negative_2")
        ('Q: ', 'D: ')
        """
        same_side = (name for other, name in self.columns.items() if (other in ASKING) == (column in ASKING))
        name = self.columns.get(column) or next(same_side, self.default)
        return self.named[name] if name else ""
