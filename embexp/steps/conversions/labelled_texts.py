"""Texts with classes: positives are sampled from the same class, negatives from other classes, with a seed."""

import random
from collections import defaultdict
from collections.abc import Iterator

from embexp.steps.conversions.conversion import ConversionInput, Row

_Classes = dict[int, list[str]]


def to_positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Each text with another one of its class."""
    for text, _, positive in _with_classmate(source, _classes(source), random.Random(source.settings.seed)):
        yield {"anchor": text, "positive": positive}


def to_triplets(source: ConversionInput) -> Iterator[Row]:
    """Each text with another one of its class and one of another class."""
    generator, classes = random.Random(source.settings.seed), _classes(source)
    labels = list(classes)
    for text, label, positive in _with_classmate(source, classes, generator):
        if len(labels) == 1:
            source.left_out["without another class"] += 1
            continue
        place = generator.randrange(len(labels) - 1)
        negative = generator.choice(classes[labels[place + (place >= labels.index(label))]])
        if negative == text:  # a text may be in two classes
            source.left_out["with itself sampled as negative"] += 1
        else:
            yield {"anchor": text, "positive": positive, "negative_1": negative}


def _classes(source: ConversionInput) -> _Classes:
    """The distinct texts of each class, in the order of the rows."""
    classes: dict[int, dict[str, None]] = defaultdict(dict)
    for row in source.rows():
        classes[row["label"]][row["text"]] = None
    return {label: list(texts) for label, texts in classes.items()}


def _with_classmate(
    source: ConversionInput, classes: _Classes, generator: random.Random
) -> Iterator[tuple[str, int, str]]:
    """Each text with its label and another text of the same class; texts alone in their class are left out."""
    places = {label: {text: place for place, text in enumerate(texts)} for label, texts in classes.items()}
    for row in source.rows():
        text, label = row["text"], row["label"]
        others = len(classes[label]) - 1
        if not others:
            source.left_out["alone in their class"] += 1
            continue
        place = generator.randrange(others)
        yield text, label, classes[label][place + (place >= places[label][text])]
