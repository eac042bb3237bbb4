"""Batches of sentence-transformers' trainer without its work for each: texts tokenised once, few widths of batches.

Its collator tokenises the texts of every batch, in every epoch, and pads them to the longest. Its own hook for both is
the collator's `preprocess_fn`; the rest of it (columns, prompts, labels) stays as it is.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.environment import COMPUTING, versions
from embexp.core.file_contents import folder_hash
from embexp.data.arrow import batches_of, table_of_batches
from embexp.data.dataset import fingerprint
from embexp.training.stages import StagePlan
from embexp.training.trainer_values import steps_of

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

logger = logging.getLogger(__name__)
_TEXTS = 256  # are tokenised together: they are padded to the longest of them for a moment
_PROBED = 16  # rows whose batch is compared with sentence-transformers' own
_Preprocess = Callable[..., dict[str, Any]]
_PADDED = ("input_ids", "attention_mask", "token_type_ids")


def set_batches(trainer: Any, plan: StagePlan) -> None:
    """Make the trainer's batches as `trainer.tokens_once` and `trainer.pad_to` say; what cannot be so is logged."""
    if plan.trainer.get("tokens_once"):
        reason = _why_texts(trainer) or _why_anew(plan) or _train_on_tokens(trainer, plan.cache)
        _say_unused("tokens_once", reason)
    if ladder := plan.trainer.get("pad_to"):
        if reason := _why_texts(trainer):
            _say_unused("pad_to", reason)
            return
        trainer.data_collator.preprocess_fn = _Widened(trainer.data_collator.preprocess_fn, trainer.model, ladder)
        if trainer.args.torch_compile:
            trainer.accelerator.state.dynamo_plugin.dynamic = False  # a graph for each width


def _say_unused(key: str, reason: str | None) -> None:
    if reason:
        logger.info("trainer.%s has no effect: %s.", key, reason)


def _why_texts(trainer: Any) -> str | None:
    """Why the model must be given texts, None where tokens will do."""
    from sentence_transformers.base.modules import Transformer

    if not isinstance(trainer.model[0], Transformer):
        return "the model has no transformer"
    if trainer.args.router_mapping:
        return "the model reads each column in another way"
    if not {"attention_mask", "cu_seq_lens_q"} & {*trainer.model.preprocess(["a"])}:
        return "its tokenizer does not say what is padding"
    return None


def _why_anew(plan: StagePlan) -> str | None:
    """Why tokenising all rows would take longer than tokenising batches, None where it does not."""
    read = steps_of(plan.trainer, plan.num_rows) * plan.trainer.get("gradient_accumulation_steps", 1)
    return None if read >= plan.num_batches else "the training reads some of the rows only"


def _train_on_tokens(trainer: Any, cache: Path | None) -> str | None:
    """Give the trainer tokens in place of texts, which its samplers still see; why not, where batches would differ."""
    from datasets import DatasetDict

    texts, collator = trainer.train_dataset, trainer.data_collator
    sets = texts if isinstance(texts, dict) else {"": texts}
    made = {}
    for name, rows in sets.items():
        prompts = trainer.args.prompts or {}
        prompts = prompts.get(name, {}) if name else prompts
        label = next((column for column in collator.valid_label_columns if column in rows.column_names), None)
        read = {column: prompts.get(column) for column in rows.column_names if column != label}
        if others := [column for column in read if getattr(rows.features[column], "dtype", None) != "string"]:
            return f"the column {others[0]} holds no texts"
        made[name] = _tokens(trainer.model, rows, read, cache)
    tokens = trainer.preprocess_dataset(DatasetDict(made)) if isinstance(texts, dict) else made[""]
    with_tokens = replace(collator, preprocess_fn=TokenPreprocess(trainer.model))
    for name, rows in sets.items():
        if not _is_same_batch(collator, rows, with_tokens, tokens[name] if name else tokens):
            return "batches made of tokens would not be those of sentence-transformers"
    texts_of = {id(tokens[name] if name else tokens): rows for name, rows in sets.items()}
    draw = trainer.get_batch_sampler
    trainer.get_batch_sampler = lambda dataset, **settings: draw(texts_of[id(dataset)], **settings)
    trainer.train_dataset, trainer.data_collator = tokens, with_tokens
    return None


def _is_same_batch(collator: Any, texts: "Dataset", with_tokens: Any, tokens: "Dataset") -> bool:
    """Whether some of the rows are the same batch, bit for bit, made of texts or of tokens."""
    import torch

    some = range(0, len(texts), max(1, len(texts) // _PROBED))
    one, other = collator([texts[row] for row in some]), with_tokens([tokens[row] for row in some])
    return {*one} == {*other} and all(
        torch.equal(value, other[key]) and value.dtype == other[key].dtype
        if isinstance(value, torch.Tensor)
        else value == other[key]
        for key, value in one.items()
    )


def _tokens(
    model: "SentenceTransformer", rows: "Dataset", read: Mapping[str, str | None], cache: Path | None
) -> "Dataset":
    """The rows with the token ids of each text (int32, as bytes) in place of it, from a mapped file.

    The file is found again by tokenizer, prompts and rows; without a cache it is a temporary one.

    Args:
        read: the prompt of each column of texts.
    """
    import pyarrow
    from datasets import Dataset

    schema = rows.features.arrow_schema.remove_metadata()
    for column in read:
        schema = schema.set(schema.get_field_index(column), pyarrow.field(column, pyarrow.binary()))

    def batches() -> Iterator["pyarrow.Table"]:
        for batch in batches_of(rows, "tokenising"):
            for place, column in enumerate(batch.column_names):
                if column in read:
                    ids = _ids(model.preprocess, batch[column].to_pylist(), read[column])
                    batch = batch.set_column(place, schema.field(column), pyarrow.array(ids, pyarrow.binary()))
            yield batch.cast(schema)

    if cache is None:
        return table_of_batches(batches(), schema)
    file = cache / "tokens" / f"{_key(model, rows, read)}.arrow"
    try:
        if not file.is_file():
            _write(file, batches(), schema)
    except OSError as error:
        logger.warning("The tokens were not kept in %s: %s", file.parent, error)
        return table_of_batches(batches(), schema)
    return Dataset.from_file(str(file))


def _write(file: Path, batches: "Iterable[pyarrow.Table]", schema: "pyarrow.Schema") -> None:
    """Write all batches, so that the file is either whole or not there."""
    import pyarrow

    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        with open(unfinished, "wb") as opened, pyarrow.ipc.new_stream(opened, schema) as writer:
            for batch in batches:
                writer.write_table(batch)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _key(model: "SentenceTransformer", rows: "Dataset", read: Mapping[str, str | None]) -> str:
    """A hash of all that the tokens depend on."""
    with tempfile.TemporaryDirectory() as folder:
        model.preprocess(["a"])  # sets the tokenizer's truncation, which its files say
        model[0].processor.save_pretrained(folder)
        files = folder_hash(Path(folder))
    parts = files, model[0].get_config_dict(), model.max_seq_length, dict(read), fingerprint(rows), versions(COMPUTING)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _ids(preprocess: _Preprocess, texts: Sequence[str], prompt: str | None) -> list[bytes]:
    """The token ids of each text, int32, without padding."""
    import torch

    found = []
    for start in range(0, len(texts), _TEXTS):
        features = preprocess(texts[start : start + _TEXTS], prompt=prompt, task=None)
        ids = features["input_ids"].to(torch.int32)
        if "cu_seq_lens_q" in features:
            parts = ids[0].split(features["cu_seq_lens_q"].diff().tolist())
        else:
            mask = features["attention_mask"].bool()
            parts = ids[mask].split(mask.sum(dim=1).tolist())
        found += [part.numpy().tobytes() for part in parts]
    return found


class TokenPreprocess:
    """Does with tokens what a model's `preprocess` does with texts: the same batch, padded or flattened.

    It is an object, not a closure, so that processes that load batches can be given it.
    """

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model
        self._of_prompt: dict[str | None, dict[str, Any]] = {}  # a batch of one text

    def __call__(self, inputs: Sequence[bytes], prompt: str | None = None, task: str | None = None) -> dict[str, Any]:
        """The batch of some rows of a column.

        Args:
            inputs: token ids of each row, int32.
            prompt: what they begin with already; its length stands in the batch.
        """
        import numpy
        import torch

        if prompt not in self._of_prompt:
            self._of_prompt[prompt] = self.model.preprocess(["a"], prompt=prompt, task=task)
        features = dict(self._of_prompt[prompt])
        rows = [numpy.frombuffer(each, "int32") for each in inputs]
        if "cu_seq_lens_q" in features:
            return features | self._flattened(rows)
        lengths = numpy.array([len(row) for row in rows])[:, None]
        places = numpy.arange(lengths.max())
        is_left = self.model.tokenizer.padding_side == "left"
        mask = places >= len(places) - lengths if is_left else places < lengths
        ids = numpy.full(mask.shape, self.model.tokenizer.pad_token_id or 0)
        ids[mask] = numpy.concatenate(rows)
        arrays = {"input_ids": ids, "attention_mask": mask.astype("int64"), "token_type_ids": numpy.zeros_like(ids)}
        return {key: torch.from_numpy(arrays[key]) if key in arrays else value for key, value in features.items()}

    def _flattened(self, rows: Sequence[Any]) -> dict[str, Any]:
        """All rows behind each other, as FlashAttention reads them."""
        module = self.model[0]
        made = module.data_collator([{"input_ids": row.tolist()} for row in rows])
        made["position_ids"] = made["position_ids"] + (module._flatten_position_offset or 0)
        return {key: value for key, value in made.items() if key != "labels"}


class _Widened:
    """A `preprocess` whose batches are padded to the next width of a ladder; the last width is the longest text's."""

    def __init__(self, preprocess: _Preprocess, model: "SentenceTransformer", ladder: Sequence[int]) -> None:
        longest = model.max_seq_length
        self.preprocess = preprocess
        self.widths = sorted({each for each in ladder if not longest or each < longest} | {*filter(None, [longest])})
        self.tokenizer = model.tokenizer

    def __call__(self, inputs: Sequence[Any], **given: Any) -> dict[str, Any]:
        from torch.nn.functional import pad

        features = self.preprocess(inputs, **given)
        if "attention_mask" not in features:  # flattened for FlashAttention: there is no padding
            return features
        width = features["attention_mask"].shape[1]
        more = next((each for each in self.widths if each >= width), width) - width
        sides = (more, 0) if self.tokenizer.padding_side == "left" else (0, more)

        def widened(key: str, value: "Tensor") -> "Tensor":
            return pad(value, sides, value=(self.tokenizer.pad_token_id or 0) if key == "input_ids" else 0)

        return features | {key: widened(key, features[key]) for key in _PADDED if key in features}
