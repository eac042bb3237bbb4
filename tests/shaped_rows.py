"""Twelve right rows of every shape, and how they become a file: what tests over all losses train on."""

import json
from pathlib import Path

from embexp.data.dataset import EmbeddingDataset
from embexp.data.row_checks import dataset_of
from embexp.data.shapes import SHAPES

NUM_ROWS = 12
ANIMALS = ["cat", "dog", "hen", "cow", "fox", "owl", "ant", "bee", "pig", "rat", "elk", "emu"]
TEXTS = [f"a {animal} sits on the wall" for animal in ANIMALS]
OTHERS = [f"on the wall there is a {animal}" for animal in ANIMALS]
STRANGERS = [f"the {animal} sleeps in its bed tonight" for animal in ANIMALS]
NUMBERS = range(NUM_ROWS)
PAIR = {"sentence1": TEXTS, "sentence2": OTHERS}
TRIPLET = {"anchor": TEXTS, "positive": OTHERS, "negative_1": STRANGERS}
RIGHT = {
    "scored_pair": PAIR | {"score": [number / NUM_ROWS for number in NUMBERS]},
    "binary_pair": PAIR | {"label": [number % 2 for number in NUMBERS]},
    "class_pair": PAIR | {"sentence1": [TEXTS[n // 3] for n in NUMBERS], "label": [n % 3 for n in NUMBERS]},
    "positive_pair": {"anchor": TEXTS, "positive": OTHERS},
    "triplet": TRIPLET,
    "labelled_text": {"text": TEXTS, "label": [number % 3 for number in NUMBERS]},
    "ranked": {
        "query": TEXTS,
        "positives": [[text] for text in OTHERS],
        "negatives": [[text] for text in STRANGERS],
        "positive_scores": [[0.9] for _ in NUMBERS],
        "negative_scores": [[number / 20] for number in NUMBERS],
    },
    "scored_triplet": TRIPLET | {"label": [[0.9, number / 20] for number in NUMBERS]},
    "embedded_text": {"text": TEXTS, "label": [[number / 10, 0.5, 1.0 - number] for number in NUMBERS]},
    "text": {"text": TEXTS},
    "twin_text": {"text": TEXTS, "twin": TEXTS},
    "noised_text": {"damaged": OTHERS, "original": TEXTS},
}
CLASSES = ["entailment", "neutral", "contradiction"]


def right_dataset(shape: str) -> EmbeddingDataset:
    """The right rows of a shape as training rows."""
    return dataset_of(shape, shape, {"train": RIGHT[shape]}, CLASSES if SHAPES[shape].label_kind == "class" else ())


def write_rows(path: Path, columns: dict[str, list]) -> None:
    """Write the columns as a JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
