"""Prompts: named ones for a data set, and those of single rows written into their texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import refuse
from embexp.data.arrow import batches_of, table_of_batches
from embexp.data.dataset import EmbeddingDataset, Prompts
from embexp.data.shapes import ROW_PROMPT, SHAPES
from embexp.errors import Problem, did_you_mean, listed

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

# A data set may be read in several shapes: its prompts may name the text columns of any of them.
_COLUMNS = tuple(dict.fromkeys(name for shape in SHAPES.values() for name in (*shape.texts, *shape.required_negatives)))


def set_prompts(
    dataset: EmbeddingDataset,
    named: Mapping[str, str],
    default: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> EmbeddingDataset:
    """The data set with prompts. They precede its texts in training and evaluation and are saved with the model.

    Args:
        named: text of each prompt by its name, such as {"query": "query: ", "document": "passage: "}.
        default: name of the prompt of all columns that are not in `columns`, and of `model.encode`.
        columns: name of the prompt for a column, such as {"anchor": "query"}; conversions keep it with its texts.

    Raises:
        ConfigError: lists every prompt and column that does not exist, and every prompt that is no text.
    """
    columns = columns or {}
    refuse(_problems(named, default, columns))
    prompts = Prompts(dict(named), default, dict(columns))
    said = [f"{name} {text!r}" for name, text in named.items()]
    said += [f"{column} takes {name}" for column, name in columns.items()]
    said += [f"default {default}"] if default else []
    return dataset.after("set prompts", dataset.splits, ", ".join(said), prompts=prompts)


def _problems(named: Mapping[str, str], default: str | None, columns: Mapping[str, str]) -> Iterator[Problem]:
    if not named or not all(isinstance(text, str) for text in named.values()):
        fix = "\"named={query: 'query: '}\""
        yield Problem(key="named", given=dict(named), expected="one prompt or more, each a text", fix=(fix,))
    given = {"default": default} | {f"columns.{column}": name for column, name in columns.items()}
    for key, name in given.items():
        if name is not None and name not in named:
            near = did_you_mean(str(name), named)
            yield Problem("names no prompt", key, name, f"one of those in named: {listed(named)}", near)
    for column, name in columns.items():
        if column not in _COLUMNS and not column.startswith("negative_"):
            near = did_you_mean(column, _COLUMNS)
            yield Problem("names no column of texts", f"columns.{column}", name, f"some of: {listed(_COLUMNS)}", near)


def with_row_prompts(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set with each row's own prompt written before its first text; the column `prompt` is gone.

    Rows without their own prompt get the data set's for that column, so the column takes no other prompt any more.
    A model that leaves prompts out of its pooling cannot distinguish these from the text.
    """
    if not any(ROW_PROMPT in rows.column_names for rows in dataset.splits.values()):
        return dataset
    return _written(dataset, dataset.text_columns[:1])


def with_prompts_in_texts(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set with all prompts written before its texts, for conversions that mix the texts of several columns."""
    return _written(dataset, dataset.text_columns)


def _written(dataset: EmbeddingDataset, columns: Sequence[str]) -> EmbeddingDataset:
    first = dataset.text_columns[0]

    def in_texts(rows: "Dataset") -> Iterator["pyarrow.Table"]:
        for batch in batches_of(rows):
            own = batch[ROW_PROMPT] if ROW_PROMPT in batch.column_names else None
            for column in columns:
                place = batch.column_names.index(column)
                prompt = dataset.prompts.prompt_for(column) or ""
                texts = _with_prompt(batch[column].combine_chunks(), prompt, own if column == first else None)
                batch = batch.set_column(place, column, texts)
            yield batch.drop_columns([ROW_PROMPT]) if own is not None else batch

    splits = {
        split: table_of_batches(in_texts(rows), _schema_without_prompt(rows)) for split, rows in dataset.splits.items()
    }
    prompts = replace(dataset.prompts, in_text=(*dataset.prompts.in_text, *columns))
    return dataset.after("write prompts into the texts", splits, f"of {listed(columns)}", prompts=prompts)


def _schema_without_prompt(rows: "Dataset") -> "pyarrow.Schema":
    schema = rows.features.arrow_schema.remove_metadata()
    return schema.remove(schema.get_field_index(ROW_PROMPT)) if ROW_PROMPT in schema.names else schema


def _with_prompt(texts: "pyarrow.Array", prompt: str, own: "pyarrow.ChunkedArray | None") -> "pyarrow.Array":
    """Texts, or lists of texts, after the prompt, or after their own one where they have one."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_list(texts.type):
        lengths = pyarrow.compute.list_value_length(texts).to_numpy(zero_copy_only=False)
        offsets = pyarrow.array(numpy.concatenate([[0], numpy.cumsum(lengths)]), pyarrow.int32())
        return pyarrow.ListArray.from_arrays(offsets, _with_prompt(texts.flatten(), prompt, None))
    before = pyarrow.scalar(prompt, pyarrow.string())
    if own is not None:
        before = own.combine_chunks().cast(pyarrow.string()).fill_null(prompt)
    return pyarrow.compute.binary_join_element_wise(before, texts.cast(pyarrow.string()), "")
