"""Templates of instruct models against the texts that get them: on the side of the documents, or a second time.

Qwen3-Embedding, E5-mistral and BGE put an instruction before queries, and nothing before documents. A template on both
sides makes all texts alike; one that the texts begin with already is read twice. Tasks whose sides are alike
(similarity, duplicates, classification) have their template on both.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Problem
from embexp.experiment.settings_checks import Findings, named, of_rows
from embexp.models.pretrained import PretrainedModel
from embexp.models.trained_as import TrainedWith, trained_with
from embexp.models.weights import LOCAL
from embexp.protocols import BaseModel

_TEMPLATE = re.compile(
    r"\binstruct(ion)?\s*[:>]|^\s*represent (this|the)\b|^\s*(search_query|task)\s*:|\w.*\bquery\s*:\s*$"
    r"|为这个句子生成表示",
    re.IGNORECASE | re.DOTALL,
)
_SYMMETRIC = re.compile(r"similar|paraphras|duplicate|cluster|classif|parallel|translat|\bsts\b", re.IGNORECASE)
_BEGINS = re.compile(
    r"\s*(<?instruct(ion)?\s*[:>]|represent (this|the)\b[^:\n]{5,80}:|(task|title): [^|\n]{3,80}\|"
    r"|search_(query|document):|为这个句子生成表示)",
    re.IGNORECASE,
)
_DOCUMENTS = re.compile(r"positives?|negatives|negative_\d+")
_SAMPLED = 500  # rows whose texts are looked at
_SOME, _MANY = 0.05, 0.5  # shares of them for a warning and for an error


def check_templates(dataset: EmbeddingDataset, model: BaseModel | None, place: Mapping[str, str] | None) -> Findings:
    """Templates on the documents of the training rows, and before texts that begin with one.

    With `model.unlike_training=warn` they are warnings.

    Args:
        dataset: with the prompts that its texts will get; without any the model's own default one goes before them.
    """
    weights = getattr(model, "base", None) or getattr(model, "source", None) or model
    if not isinstance(weights, PretrainedModel) or not place:
        return Findings()
    folder = Path(place["location"]) if place["source"] in LOCAL else None
    known = trained_with(folder, weights.trained_with)
    before = {column: _prompt_of(dataset, column, known) for column in dataset.text_columns}
    misplaced = [*_on_documents(dataset, before, known, weights)]
    doubled, few = _doubled(dataset, before, weights)
    if weights.unlike_training == "warn":
        return Findings(warnings=(*misplaced, *doubled, *few))
    return Findings(errors=(*misplaced, *doubled), warnings=tuple(few))


def _prompt_of(dataset: EmbeddingDataset, column: str, known: TrainedWith) -> str:
    own = dataset.prompts.prompt_for(column)
    return known.default_prompt if own is None else own


def _is_template(prompt: str, known: TrainedWith) -> bool:
    """Whether a prompt is one of queries alone."""
    of_queries = {text for name, text in known.prompts.items() if name.lower() in ("query", "queries")}
    is_sentence = prompt in of_queries and len(prompt.split()) > 2
    return bool(is_sentence or _TEMPLATE.search(prompt)) and not _SYMMETRIC.search(prompt)


def _on_documents(
    dataset: EmbeddingDataset, before: Mapping[str, str], known: TrainedWith, weights: Any
) -> Iterator[Problem]:
    found = [
        column for column, prompt in before.items() if _DOCUMENTS.fullmatch(column) and _is_template(prompt, known)
    ]
    if found:
        text = (
            f"{named(found[0], dataset)}: documents would get the template of queries, {before[found[0]]!r}: it goes "
            "before queries only, and before documents what the model was trained with"
        )
        expected = repr(next((known.prompts[each] for each in ("document", "passage") if each in known.prompts), ""))
        note = "A task whose two sides are alike is another template: similarity, duplicates"
        yield Problem(text, expected=f"{expected} before documents", note=note, fix=_sides(dataset, found[0], weights))


def _sides(dataset: EmbeddingDataset, column: str, weights: Any) -> tuple[str, ...]:
    """What to type so that documents get no template: where it comes from decides."""
    prompts, anyway = dataset.prompts, "model.unlike_training=warn"
    if not prompts.named:
        return ("model.prompts=saved model.prompt=sides", anyway)
    if isinstance(weights.prompts, Mapping | str):
        return ("model.prompt=sides", anyway)
    if column in prompts.columns:
        return (f"~dataset.steps.prompts.columns.{column}", anyway)
    query, step = dataset.text_columns[0], "dataset.steps.prompts"
    return (f"{step}.default=null '++{step}.columns={{{query}: {prompts.default}}}'", anyway)


def _doubled(dataset: EmbeddingDataset, before: Mapping[str, str], weights: Any) -> tuple[list[Problem], list[Problem]]:
    """Columns whose texts get a prompt although they begin with a template: many of them, and some."""
    many: list[Problem] = []
    some: list[Problem] = []
    rows = dataset.splits["train"].select(range(min(_SAMPLED, dataset.splits["train"].num_rows)))
    told = tuple(text.strip() for text in dataset.prompts.named.values() if len(text.strip()) > 1)
    for column in (each for each, prompt in before.items() if prompt.strip()):
        texts = [each for value in rows[column][:] for each in (value if isinstance(value, list) else [value])]
        start = before[column].strip()
        found = [text for text in texts if text and (_BEGINS.match(text) or text.lstrip().startswith(start))]
        found = [text for text in found if not (told and text.lstrip().startswith(told))]  # is said where prompts are
        if len(found) < max(1, _SOME * len(texts)):
            continue
        problem = Problem(
            f"{named(column, dataset)}: {of_rows(len(found), len(texts))} begin with a template already, such as "
            f"{found[0][:60]!r}, and would get {before[column]!r} before it",
            expected="one template: in the texts or before them",
            fix=(*_without(dataset, weights), "model.unlike_training=warn"),
        )
        (many if len(found) >= _MANY * len(texts) else some).append(problem)
    return many, some


def _without(dataset: EmbeddingDataset, weights: Any) -> tuple[str, ...]:
    if not dataset.prompts.named:
        return ("'model.prompts={none: \"\"}' model.prompt=none",)
    return ("model.prompts=null",) if isinstance(weights.prompts, Mapping | str) else ("~dataset.steps.prompts",)
