"""Embeddings in fewer bits: int8 with calibrated ranges, or one bit for each dimension."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.exports.delivery import Exported, TrainedModel, metrics_and_lines
from embexp.protocols import Encoder
from embexp.steps.prompting import with_row_prompts

_SMALLER = {"int8": 4, "binary": 32}  # times less memory than float32
_RANGES = "ranges.npy"
_USAGE = {
    "int8": """```python
import numpy
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

model = SentenceTransformer("<the trained model's folder or id>")
ranges = numpy.load("ranges.npy")  # (2, dimensions): lowest and highest value of each, from training texts
vectors = quantize_embeddings(model.encode(texts), "int8", ranges=ranges)  # int8 (texts, dimensions)
```

The scores were measured on the cosine similarity of these numbers. Values outside of the ranges are cut.
""",
    "binary": """```python
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import quantize_embeddings

model = SentenceTransformer("<the trained model's folder or id>")
vectors = quantize_embeddings(model.encode(texts), "ubinary")  # uint8 (texts, dimensions / 8): eight bits in each
```

The scores were measured on the Hamming distance: the share of equal bits orders pairs as it does.
""",
}


class _QuantisedEncoder:
    """An Encoder with the vectors of a quantised index, as numbers that can be compared.

    int8 gives the whole numbers -128 to 127. binary gives -1 and 1: their cosine is 1 - 2 * Hamming distance / bits,
    so that cosine, dot product and distances rank pairs as the Hamming distance does.
    """

    def __init__(self, encoder: Encoder, precision: str, ranges: numpy.ndarray | None) -> None:
        self.encoder, self.precision, self.ranges = encoder, precision, ranges

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """float32 `(len(texts), dim)`, in the order of the texts."""
        from sentence_transformers.util import quantize_embeddings

        vectors = self.encoder.encode(texts, prompt)
        if self.precision == "int8":
            return quantize_embeddings(vectors, "int8", ranges=self.ranges).astype("float32")
        bits = numpy.unpackbits(quantize_embeddings(vectors, "ubinary"), axis=1, count=vectors.shape[1])
        return bits.astype("float32") * 2 - 1


class QuantisedEmbeddings:
    """An export that measures what embeddings in fewer bits lose, and writes what is needed to make them.

    Args:
        precision: int8 (4 times smaller) or binary (32 times).
        calibration_texts: the number of texts of the train split that give the ranges of int8; always the same sample.
            None for binary, which needs none.

    Raises:
        ConfigError: an unknown precision, or too few texts to calibrate on.
    """

    comes_last = False

    def __init__(self, name: str, precision: str, calibration_texts: int | None) -> None:
        problems = [*problems_with("precision", precision, LegalValues(one_of=tuple(_SMALLER)), such_as="int8")]
        if precision == "int8":
            legal = LegalValues(least=2, whole=True)
            problems += problems_with("calibration_texts", calibration_texts, legal, such_as=1000)
        refuse(problems, under=f"export.{name}")
        self.name = name
        self.precision = precision
        self.calibration_texts = calibration_texts
        self.needs = ("texts",) if precision == "int8" else ()

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write ranges (int8) and usage; score every evaluator with quantised embeddings."""
        ranges = self._ranges(trained) if self.precision == "int8" else None
        if ranges is not None:
            numpy.save(folder / _RANGES, ranges)
        encoder = _QuantisedEncoder(trained.encoder, self.precision, ranges)
        metrics, kept = metrics_and_lines(trained, encoder, f"export/{self.name}")
        lines = [f"{_SMALLER[self.precision]} times smaller embeddings", *kept]
        listed_lines = "".join(f"- {line}\n" for line in lines)
        text = f"# {self.precision} embeddings\n\n{listed_lines}\n{_USAGE[self.precision]}"
        (folder / "README.md").write_text(text, encoding="utf-8")
        return Exported(self.name, folder, lines, metrics)

    def _ranges(self, trained: TrainedModel) -> numpy.ndarray:
        """The lowest and highest value of each dimension over texts of the train split, `(2, dim)`.

        Each text follows the prompt of its column, as in training and evaluation.
        """
        trained.dataset.training_rows()  # raises if there are none
        dataset = with_row_prompts(trained.dataset)
        prompts = {column: dataset.prompts.prompt_for(column) for column in dataset.text_columns}
        texts = {(text, prompts[column]) for column in prompts for text in dataset.texts_of("train", column)}
        texts = sorted(texts, key=lambda pair: (pair[0], pair[1] or ""))
        sampled = random.Random(0).sample(texts, min(self.calibration_texts, len(texts)))
        parts = [
            trained.encoder.encode([text for text, before in sampled if before == prompt], prompt)
            for prompt in sorted({before for _, before in sampled}, key=str)
        ]
        vectors = numpy.concatenate(parts)
        return numpy.vstack([vectors.min(axis=0), vectors.max(axis=0)])
