"""The bundled corpora: finance concepts for first runs, and everyday texts to see what a training costs elsewhere."""

import functools
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.row_checks import dataset_of
from embexp.errors import DataError, did_you_mean, listed

_Concept = dict[str, Any]
_Rows = Iterator[dict[str, Any]]
_MOST_UNLIKE = 0.3  # pairs scored at most this are not similar


def _positive_pairs(ranked: Iterable[dict[str, Any]]) -> _Rows:
    """Each query with each of its positives."""
    for row in ranked:
        for positive in row["positives"]:
            yield {"anchor": row["query"], "positive": positive}


def _triplets(ranked: Iterable[dict[str, Any]]) -> _Rows:
    """Each query with a positive and a negative, as long as there are both."""
    for row in ranked:
        for positive, negative in zip(row["positives"], row["negatives"], strict=False):
            yield {"anchor": row["query"], "positive": positive, "negative_1": negative}


def _binary_pairs(scored: Iterable[dict[str, Any]]) -> _Rows:
    """Pairs scored 1 are similar, those up to 0.3 are not; those between are left out."""
    for row in scored:
        if row["score"] == 1 or row["score"] <= _MOST_UNLIKE:
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": int(row["score"] == 1)}


_CORPORA, _GENERAL = Path(__file__).parent / "corpus", Path(__file__).parent / "general"
NLI_LABELS = ("entailment", "neutral", "contradiction")
# Similarity of two texts by what they share, in [0, 1].
_SAME_INTENT, _SAME_CONCEPT, _SAME_FAMILY, _UNRELATED = 1.0, 0.6, 0.3, 0.0


def read_bundled(name: str, shape: str, corpus: str, max_rows: int | None = None) -> EmbeddingDataset:
    """A bundled corpus in one of its shapes: ranked, scored_pair, class_pair, labelled_text or text; or as pairs or
    triplets made of these, as public data sets have them.

    Concepts are divided among the splits within each family (two fifths, one fifth, two fifths), so no text is in
    two splits.

    Args:
        corpus: `finance_en` or `finance_zh`.
        max_rows: most rows of each split; None takes all.

    Raises:
        DataError: a corpus that is not bundled.
    """
    rows_of = {
        "ranked": _ranked_rows,
        "scored_pair": _scored_pairs,
        "class_pair": _class_pairs,
        "labelled_text": _labelled_texts,
        "text": _texts,
        "positive_pair": lambda concepts: _positive_pairs(_ranked_rows(concepts)),
        "triplet": lambda concepts: _triplets(_ranked_rows(concepts)),
        "binary_pair": lambda concepts: _binary_pairs(_scored_pairs(concepts)),
    }[shape]
    concepts = _concepts_of(corpus)
    families = tuple(sorted({concept["family"] for concept in concepts}))
    label_names = {"class_pair": NLI_LABELS, "labelled_text": families}.get(shape, ())
    splits = {
        split: _columns(itertools.islice(rows_of(_members(concepts, split)), max_rows), label_names) for split in SPLITS
    }
    return dataset_of(name, shape, splits, label_names, {"source": f"bundled {corpus}"})


def read_general(name: str, shape: str, corpus: str) -> EmbeddingDataset:
    """A bundled set of everyday texts, all of it test: scored_pair, ranked or labelled_text.

    Nobody trains on them: they show what a training for another task does to a model (`guard=general`). Pairs of one
    sentence have the same `item`, and are drawn together behind an interval.

    Args:
        corpus: `general_en` or `general_zh`.

    Raises:
        DataError: a corpus that is not bundled.
    """
    tasks = {"scored_pair": "pair", "ranked": "question", "labelled_text": "topic"}
    lines = [line for line in _lines_of(_GENERAL, corpus) if line["task"] == tasks[shape]]
    names = tuple(dict.fromkeys(line["label"] for line in lines)) if shape == "labelled_text" else ()
    rows_of = {"scored_pair": _graded_pairs, "ranked": _questions, "labelled_text": lambda rows: iter(rows)}
    rows = [{key: value for key, value in row.items() if key != "task"} for row in rows_of[shape](lines)]
    return dataset_of(name, shape, {"test": _columns(rows, names)}, names, {"source": f"bundled {corpus}"})


_PAIRS_OF_AN_ITEM = 3  # a sentence with a paraphrase, the sentence with a related one, the paraphrase with a stranger


def _graded_pairs(lines: list[dict[str, Any]]) -> _Rows:
    for place, line in enumerate(lines):
        yield {**line, "score": line["score"] / 5, "item": place // _PAIRS_OF_AN_ITEM}


def _questions(lines: list[dict[str, Any]]) -> _Rows:
    """Each question with its answer, and a text that shares words with it and does not answer it."""
    return ({"query": line["query"], "positives": [line["answer"]], "negatives": [line["other"]]} for line in lines)


@functools.cache
def _concepts_of(corpus: str) -> tuple[_Concept, ...]:
    """All concepts of a corpus, in the order of its file."""
    return _lines_of(_CORPORA, corpus)


def _lines_of(folder: Path, corpus: str) -> tuple[dict[str, Any], ...]:
    path = folder / f"{corpus}.jsonl"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.jsonl"))
        key, note, fix = "dataset.reader.corpus", did_you_mean(corpus, known), f"dataset.reader.corpus={known[0]}"
        expected = f"one of: {listed(known)}"
        raise DataError("is not bundled", key=key, given=corpus, expected=expected, note=note, fix=fix)
    with open(path, encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def _members(concepts: Iterable[_Concept], split: str) -> list[_Concept]:
    """The concepts of a split: of every family, in the order of their hashes, two fifths, one fifth, two fifths."""
    families = defaultdict(list)
    for concept in concepts:
        families[concept["family"]].append(concept)
    turn = ("train", "test", "dev", "train", "test")
    return [
        concept
        for family in families.values()
        for place, concept in enumerate(sorted(family, key=lambda c: hashlib.sha1(c["concept"].encode()).hexdigest()))
        if turn[place % len(turn)] == split
    ]


def _ranked_rows(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    """For each intent of a concept one wording of the question, with its answers and its other wordings.

    The negatives are answers and questions of the same intent, of look-alikes: those listed as such in the same family
    and split, else the whole family in that split. The only concept of a family has none.
    """
    for place, concept in enumerate(concepts):
        for turn, (intent, wordings) in enumerate(concept["questions"].items()):
            query = wordings[(place + turn) % len(wordings)]
            yield {
                "query": query,
                "positives": concept["answers"][intent] + [other for other in wordings if other != query],
                "negatives": [
                    text
                    for lookalike in _lookalikes(concept, concepts)
                    for text in (lookalike["answers"][intent][0], lookalike["questions"][intent][0])
                ],
            }


def _lookalikes(concept: _Concept, concepts: list[_Concept]) -> list[_Concept]:
    family = [other for other in concepts if other["family"] == concept["family"] and other is not concept]
    return [other for other in family if other["concept"] in concept["lookalikes"]] or family


def _scored_pairs(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    """Pairs scored by hand, and pairs graded by what they share: the intent, the concept, the family, nothing."""
    seen: set[frozenset[str]] = set()
    for row in _all_scored_pairs(concepts):
        texts_of_row = frozenset((row["sentence1"], row["sentence2"]))
        if texts_of_row not in seen:  # two look-alikes may choose each other
            seen.add(texts_of_row)
            yield row


def _all_scored_pairs(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    for place, concept in enumerate(concepts):
        for pair in concept["pairs"]:
            yield {"sentence1": pair["sentence1"], "sentence2": pair["sentence2"], "score": pair["score"] / 5}
        intents = list(concept["questions"])
        for intent, wordings in concept["questions"].items():
            for first, second in itertools.combinations([*wordings, concept["answers"][intent][0]], 2):
                yield {"sentence1": first, "sentence2": second, "score": _SAME_INTENT}
        for turn, intent in enumerate(intents):
            other = intents[(turn + 1 + place % 2) % len(intents)]
            question = concept["questions"][intent][turn]
            yield {"sentence1": question, "sentence2": concept["questions"][other][turn], "score": _SAME_CONCEPT}
            yield {"sentence1": question, "sentence2": concept["answers"][other][0], "score": _SAME_CONCEPT}
        strangers = [other for other in concepts if not _are_related(concept, other)]
        yield from _same_intent_elsewhere(concept, _lookalikes(concept, concepts), _SAME_FAMILY, place)
        yield from _same_intent_elsewhere(concept, strangers, _UNRELATED, 7 * place)


def _are_related(one: _Concept, other: _Concept) -> bool:
    lookalike = other["concept"] in one["lookalikes"] or one["concept"] in other["lookalikes"]
    return lookalike or one["family"] == other["family"]


def _same_intent_elsewhere(concept: _Concept, others: list[_Concept], score: float, place: int) -> _Rows:
    for turn, (intent, wordings) in enumerate(concept["questions"].items()):
        if others:  # a small family may have one concept only in a split
            other = others[(place + turn) % len(others)]
            yield {"sentence1": wordings[turn], "sentence2": other["questions"][intent][turn], "score": score}
            yield {"sentence1": wordings[turn], "sentence2": other["answers"][intent][0], "score": score}


def _class_pairs(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    """A premise with what follows from it, what may be true and what contradicts it."""
    for concept, name in itertools.product(concepts, NLI_LABELS):
        yield {"sentence1": concept["nli"]["premise"], "sentence2": concept["nli"][name], "label": name}


def _labelled_texts(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    """Every question and answer with its family."""
    return ({"text": text, "label": concept["family"]} for concept in concepts for text in _texts_of(concept))


def _texts(concepts: list[_Concept]) -> Iterator[dict[str, Any]]:
    """Every question and answer."""
    return ({"text": text} for concept in concepts for text in _texts_of(concept))


def _texts_of(concept: _Concept) -> Iterator[str]:
    return itertools.chain(*concept["questions"].values(), *concept["answers"].values())


def _columns(rows: Iterable[dict[str, Any]], label_names: tuple[str, ...]) -> dict[str, list[Any]]:
    columns = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            is_class = name == "label" and isinstance(value, str)
            columns[name].append(label_names.index(value) if is_class else value)
    return dict(columns)
