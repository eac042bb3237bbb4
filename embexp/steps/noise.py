"""Damaged and whole texts, for losses that rebuild a text from its damaged copy."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.augment.text_changes import TextChange, shown_change
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row
from embexp.steps.conversions.convert import convert, convert_to
from embexp.steps.conversions.plain_texts import to_noised_texts

_MADE = "noised_text"

logger = logging.getLogger(__name__)


def add_noise(
    dataset: EmbeddingDataset, noise: TextChange, shape: str = _MADE, seed: int = 42, examples: int = 3
) -> EmbeddingDataset:
    """The distinct texts of the data set, each damaged and whole, in all splits; labels are left out.

    Without this step a loss that reads noised texts gets those of the conversion (conf/conversion: words deleted).

    Args:
        noise: damages a text (see `TextChange`): Deletion as TSDAE has it, Swap, Mask, or one of your own.
        shape: noised_text; says in the YAML what the step makes.
        examples: how many texts the report shows.

    Raises:
        ConfigError: lists every invalid argument.
        ShapeError: the data are twin or noised texts already.
    """
    problems = [*problems_with("shape", shape, LegalValues(one_of=(_MADE,)), such_as=_MADE)]
    problems += problems_with("examples", examples, LegalValues(least=0, whole=True), such_as=3)
    refuse(problems)
    texts = dataset if dataset.shape.name == "text" else convert_to(dataset, "text")

    def noised(source: ConversionInput) -> Iterator[Row]:
        return to_noised_texts(source, noise, seed)

    made = convert(texts, Conversion("text", _MADE, noised, repr(noise).replace("{", "{{").replace("}", "}}")))
    first_rows = islice(chain.from_iterable(map(rows_of, made.splits.values())), examples)
    shown = tuple(shown_change(row["original"], row["damaged"]) for row in first_rows)
    for line in shown:
        logger.info("%s: %s", made.name, line)
    return replace(made, history=(*made.history[:-1], replace(made.history[-1], step="noise", examples=shown)))
