"""Data sets of the Hugging Face Hub, or of local folders in its layout, by the `datasets` library."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embexp.data.arrow import BATCH_ROWS
from embexp.data.chunks import Chunk, arrow_chunk
from embexp.data.dataset import SPLITS
from embexp.data.files import SPLIT_NAMES
from embexp.errors import DataError, listed


@functools.cache
def hub_answers() -> bool:
    """Whether the Hub can be reached; asked once in a process, while the Hub's client would try for half a minute."""
    import requests
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        requests.head(constants.ENDPOINT, timeout=10)
    except requests.RequestException:
        return False
    return True


def load_hub(
    id: str, name: str, subset: str | None, revision: str | None, splits: Mapping[str, str] | None, streaming: bool
) -> dict[str, Any]:
    """The splits of a data set as `datasets` loads them, under our names. Arguments as in `readers.read_hub`.

    Raises:
        DataError: the Hub does not answer, or there is no such data set, subset or split.
    """
    import datasets
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    answers = Path(id).exists() or hub_answers()
    if not answers:
        datasets.config.HF_HUB_OFFLINE = True  # what was fetched before is read without waiting for the Hub
    try:
        if splits:
            return {
                split: load_dataset(id, subset, revision=revision, split=theirs, streaming=streaming)
                for split, theirs in splits.items()
            }
        found = load_dataset(id, subset, revision=revision, streaming=streaming)
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError) as error:  # ValueError: no such split
        reason = (str(error).splitlines() or [type(error).__name__])[0] if answers else "it does not answer."
        no_folder = f"There is no folder {id} here. " if name == Path(id).name and not Path(id).exists() else ""
        raise DataError(
            f"{no_folder}Data set {name} could not be read from the Hugging Face Hub ({id}): {reason} Expected a "
            "connection and an id as org/name, or local files: dataset=<file or folder>/, paths.data=<folder> for the "
            "public sets."
        ) from error
    usual = {SPLIT_NAMES[theirs]: rows for theirs, rows in found.items() if theirs in SPLIT_NAMES}
    if not usual:
        raise DataError(
            f"{id} has the splits {listed(found)}. Say which is which with dataset.reader.splits={{train: <split>}}."
        )
    return {split: usual[split] for split in SPLITS if split in usual}


def hub_chunks(rows: Any) -> Iterator[Chunk]:
    """The rows of a split in chunks, whether it was downloaded or is streamed."""
    import pyarrow

    start = 1
    for batch in rows.with_format("arrow").iter(BATCH_ROWS):
        table = batch if isinstance(batch, pyarrow.Table) else pyarrow.Table.from_batches([batch])
        yield arrow_chunk(table, start)
        start += table.num_rows


def names_of_classes(loaded: Mapping[str, Any], columns: Mapping[str, str]) -> Sequence[str]:
    """The class names that the Hub knows of the label column."""
    features = next(iter(loaded.values())).features or {}
    label = features.get(columns.get("label", "label"))
    return getattr(label, "names", None) or ()
