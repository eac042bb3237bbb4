"""Damaged texts beside whole ones, for losses that rebuild a text from its damaged copy."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.augment.text_changes import TextChange, shown_change
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row
from embexp.steps.conversions.convert import convert, convert_to
from embexp.steps.conversions.plain_texts import with_noise
from embexp.steps.refusals import refuse

_MADE = "noised_text"

logger = logging.getLogger(__name__)


def add_noise(
    dataset: EmbeddingDataset, noise: TextChange, shape: str = _MADE, seed: int = 42, examples: int = 3
) -> EmbeddingDataset:
    """The distinct texts of the data set, each damaged and whole, in all splits; labels are left out.

    Without this step a loss that wants noised texts gets those of the conversion (conf/conversion: words deleted).

    Args:
        noise: damages a text (see text_changes.TextChange): Deletion as TSDAE has it, Swap, Mask, or one of your own.
        shape: noised_text; tells those who plan a run what the step makes.
        examples: how many texts the report shows.

    Raises:
        ConfigError: lists every argument that does not fit.
        ShapeError: the data are twin or noised texts already.
    """
    refuse("noise", _faults(shape, examples))
    texts = dataset if dataset.shape.name == "text" else convert_to(dataset, "text")

    def noised(source: ConversionInput) -> Iterator[Row]:
        return with_noise(source, noise, seed)

    made = convert(texts, Conversion("text", _MADE, noised, repr(noise).replace("{", "{{").replace("}", "}}")))
    first_rows = islice(chain.from_iterable(map(rows_of, made.splits.values())), examples)
    shown = tuple(shown_change(row["original"], row["damaged"]) for row in first_rows)
    for line in shown:
        logger.info("%s: %s", made.name, line)
    return replace(made, history=(*made.history[:-1], replace(made.history[-1], step="noise", examples=shown)))


def _faults(shape: Any, examples: Any) -> Iterator[str]:
    if shape != _MADE:
        yield f"shape={shape} must be {_MADE}: that is what the step makes."
    if not isinstance(examples, int) or isinstance(examples, bool) or examples < 0:
        yield f"examples={examples} must be a whole number from 0."
