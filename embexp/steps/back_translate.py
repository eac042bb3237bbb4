"""More rows to train on: copies of rows whose texts were translated into another language and back."""

from collections.abc import Sequence

from embexp.data.dataset import EmbeddingDataset
from embexp.protocols import Encoder, Translator
from embexp.steps.augment import augment, augment_faults, band_faults
from embexp.steps.refusals import refuse
from embexp.steps.rewrite import Answered, sources_of


def back_translate(
    dataset: EmbeddingDataset,
    there: Translator,
    back: Translator,
    made_by: str,
    columns: Sequence[str] | None = None,
    copies: int = 1,
    min_similarity: float | None = None,
    max_similarity: float | None = None,
    encoder: Encoder | None = None,
    seed: int = 42,
    examples: int = 3,
) -> EmbeddingDataset:
    """The data set with copies of its train rows beside them, translated there and back; dev and test stay.

    The method is that of Sennrich et al. 2016 (arXiv:1511.06709), to paraphrase. Each distinct text is translated once
    for each copy. Otherwise as `augment`: a text that comes back as it was makes no copy.

    Args:
        there, back: into the other language, and from it; both are loaded before anything is translated.
        copies: more than one differ only where a translator draws tokens; each copy draws with a seed of its own.

    Raises:
        ConfigError: lists every argument that does not fit.
        ModelError: a translation model cannot be loaded.
    """
    band = {"min_similarity": min_similarity, "max_similarity": max_similarity, "encoder": encoder}
    faults = augment_faults(dataset, columns, made_by=made_by, copies=copies, examples=examples, seed=seed)
    refuse("back_translate", [*faults, *band_faults(**band)])
    there.load()
    back.load()
    sources = sources_of(dataset, list(columns or dataset.text_columns))
    versions = [back.translate(there.translate(sources, seed + number), seed + number) for number in range(copies)]
    by_text = {text: _distinct(text, made) for text, *made in zip(sources, *versions, strict=True)}
    for number in range(copies):
        shown = examples if number == 0 else 0
        dataset = augment(dataset, Answered(by_text, number), made_by, columns, 1, **band, seed=seed, examples=shown)
    return dataset


def _distinct(text: str, versions: Sequence[str]) -> list[str]:
    """As many texts as versions: each version once, then the text itself, of which no copy is made.

    >>> _distinct("a", ["b", "b", "", "c"])
    ['b', 'c', 'a', 'a']
    """
    different = [version for version in dict.fromkeys(versions) if version]
    return [*different, *[text] * (len(versions) - len(different))]
